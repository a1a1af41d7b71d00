"""The part without I/O: takes a key set, revocation statements, a token and a time, and returns claims."""

import hashlib
import re
import threading
from typing import Any, NamedTuple

import jwt

from .refused import InvalidToken, Revoked, Unavailable

MAX_TOKEN_CHARS = 8192
MAX_STATEMENT_CHARS = 4 << 20
# Leeway for the difference between the clocks of two machines, in seconds.
SKEW = 60
ALGORITHMS = ("EdDSA", "ES256", "RS256")
# The type of revocation statements. The previous format is refused.
STATEMENT = "revocations.v2+jwt"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
REQUIRED = ("iss", "sub", "aud", "exp", "iat", "jti", "client_id")

# Headers that are always refused: they change how a token is verified, or contain a key (RFC 8725, section
# 3.10).
FORBIDDEN_HEADERS = frozenset(("b64", "crit", "cty", "enc", "jku", "jwk", "x5c", "x5t", "x5t#S256", "x5u", "zip"))
PRIVATE_MEMBERS = frozenset(("d", "dp", "dq", "k", "oth", "p", "q", "qi"))


class State(NamedTuple):
    """Keys and revocations; replaced as a whole, so that readers need no lock."""

    # The key set as it was published, and its keys by `kid`.
    published: Any
    keys: dict[str, jwt.PyJWK]
    # `iat` of the newest statement, and when it was received: by the wall clock, and by a monotonic clock.
    issued_at: int | None
    received: float | None
    received_monotonic: float | None
    # When each session ended; per user, from when on tokens without a session are valid; per user, up to when
    # all tokens are revoked, except those of a kept session; up to when the tokens of all users are revoked;
    # when each revoked key was last listed.
    sessions: dict[str, int]
    users: dict[str, int]
    all_of: dict[str, dict[str | None, int]]
    before: int | None
    revoked_keys: dict[str, int]
    verified: "VerifiedTokens"

    def check(self, claims: dict[str, Any]) -> None:
        sid, user, iat = claims.get("sid"), claims["sub"], claims["iat"]
        if sid is not None:
            sid = sid.lower()
        if sid in self.sessions:
            raise Revoked("session_ended")
        if self.before is not None and iat <= self.before:
            raise Revoked("issued_before")
        for kept, until in self.all_of.get(user, {}).items():
            if iat <= until and (kept is None or kept != sid):
                raise Revoked("issued_before")
        if sid is None and iat < self.users.get(user, iat):
            raise Revoked("issued_before")


class Statement(NamedTuple):
    """The content of a revocation statement: ids, each with a time."""

    iat: int
    window: int
    sessions: list[tuple[str, int]]
    users: list[tuple[str, int]]
    all_of: list[tuple[str, str | None, int]]
    before: int | None
    keys: list[tuple[str, int]]

    @classmethod
    def of(cls, claims: dict[str, Any]) -> "Statement":
        """Ignores further elements of entries, which later versions may add."""
        iat, window = _integer(claims["iat"]), _integer(claims["window"])
        if window < 0:
            raise InvalidToken("bad_claim")
        sessions = [(_session(one[0]), _integer(one[1])) for one in _entries(claims["sessions"])]
        users, all_of = [], []
        for one in _entries(claims["users"]):
            user, time = str(_integer(one[0])), _integer(one[1])
            if len(one) == 2:
                users.append((user, time))
            else:
                all_of.append((user, None if one[2] is None else _session(one[2]), time))
        before = _integer(claims["before"]) if "before" in claims else None
        keys = claims["keys"]
        if not isinstance(keys, list) or not all(isinstance(kid, str) for kid in keys):
            raise InvalidToken("bad_claim")
        return cls(iat, window, sessions, users, all_of, before, [(kid, iat) for kid in keys])


class Checker:
    """Verifies access tokens from a key set, revocation statements and a time that are passed in. Does no
    I/O."""

    def __init__(self, issuer: str, audience: str | None = None, *, leeway: int = 0, remembered: int = 20_000):
        self.issuer = issuer
        self.audience = audience or issuer
        self._leeway = min(leeway, SKEW)
        self._remembered = remembered
        self._state = State(None, {}, None, None, None, {}, {}, {}, None, {}, VerifiedTokens(remembered))
        self._changing = threading.Lock()

    def set_keys(self, jwks: dict[str, Any]) -> None:
        """Replaces the key set (RFC 7517). Raises `ValueError` if a key is weak, private or malformed; then
        the previous set stays."""
        if jwks == self._state.published:
            return
        keys = [_public_key(jwk) for jwk in jwks["keys"]]
        by_id = {key.key_id: key for key in keys}
        if len(by_id) != len(keys):
            raise ValueError("two keys with the same kid")
        with self._changing:
            # A change of the keys clears the cache of verified tokens.
            verified = VerifiedTokens(self._remembered)
            self._state = self._state._replace(published=jwks, keys=by_id, verified=verified)

    def add_statement(self, signed: str, now: float, monotonic: float | None = None) -> bool:
        """Verifies and applies a signed revocation statement. Returns whether it revokes a key that was not
        revoked before.

        `now` is in seconds since 1970 UTC; `monotonic`, if given, in seconds of a monotonic clock.
        """
        with self._changing:
            state = self._state
            parsed = self._statement(state, signed, now)
            is_news = state.issued_at is None or parsed.iat > state.issued_at
            issued_at = parsed.iat if state.issued_at is None else max(parsed.iat, state.issued_at)
            # Merged, not replaced: one instance of the issuer may know of a logout before another does.
            oldest = issued_at - parsed.window
            revoked_keys = _merged(state.revoked_keys, parsed.keys, oldest)
            revokes_key = not revoked_keys.keys() <= state.revoked_keys.keys()
            all_of = {user: left for user, kept in state.all_of.items() if (left := _merged(kept, (), oldest))}
            for user, kept, until in parsed.all_of:
                all_of[user] = _merged(all_of.get(user, {}), ((kept, until),), oldest)
            self._state = state._replace(
                issued_at=issued_at,
                received=now if is_news else state.received,
                received_monotonic=monotonic if is_news else state.received_monotonic,
                sessions=_merged(state.sessions, parsed.sessions, oldest),
                users=_merged(state.users, parsed.users, oldest),
                all_of=all_of,
                before=max((time for time in (state.before, parsed.before) if time is not None), default=None),
                revoked_keys=revoked_keys,
                verified=VerifiedTokens(self._remembered) if revokes_key else state.verified,
            )
            return revokes_key

    def verify(self, token: str, now: float) -> dict[str, Any]:
        """Returns the claims of an access token that is valid at `now`. Do not modify them: they are
        cached."""
        if len(token) > MAX_TOKEN_CHARS:
            raise InvalidToken("too_long")
        if not token.isascii():
            raise InvalidToken("malformed")
        state = self._state
        digest = hashlib.sha256(token.encode()).digest()
        claims = state.verified.get(digest)
        if claims is None:
            claims = self._signed(state, token, "at+jwt")
            _require(claims, REQUIRED)
            if not isinstance(claims["sub"], str) or not isinstance(claims.get("sid"), str | None):
                raise InvalidToken("bad_claim")
            self._check_times(claims, now, self._leeway)
            audience = claims["aud"]
            if self.audience not in (audience if isinstance(audience, list) else [audience]):
                raise InvalidToken("wrong_audience", f"expected the audience {self.audience!r}, got {audience!r}")
            state.verified.put(digest, claims)
        else:
            self._check_times(claims, now, self._leeway)
        state.check(claims)
        return claims

    def silence(self, now: float, monotonic: float | None = None) -> float | None:
        """Seconds since the newest statement was received, by the clock that shows more; None if none was."""
        state = self._state
        if state.received is None:
            return None
        by_monotonic = 0.0 if monotonic is None or state.received_monotonic is None else monotonic - state.received_monotonic
        return max(0.0, now - state.received, by_monotonic)

    def is_stale(self, limit: float, now: float, monotonic: float | None = None) -> bool:
        """Whether no statement was received for longer than `limit` seconds, or the newest one is older than
        that by more than the permitted clock difference: a delayed statement says nothing about the time
        since it was issued."""
        state = self._state
        silence = self.silence(now, monotonic)
        return silence is None or silence > limit or state.issued_at is None or now - state.issued_at > limit + SKEW

    def clock_difference(self) -> float | None:
        """Seconds by which this clock was ahead of the issuer's when the newest statement was received,
        including its transit time."""
        state = self._state
        return None if state.received is None or state.issued_at is None else state.received - state.issued_at

    @property
    def has_keys(self) -> bool:
        return bool(self._state.keys)

    def _statement(self, state: State, signed: str, now: float) -> "Statement":
        if len(signed) > MAX_STATEMENT_CHARS:
            raise InvalidToken("too_long")
        parsed = self._signed(state, signed, STATEMENT)
        _require(parsed, ("iss", "iat", "exp", "window", "sessions", "users", "keys"))
        statement = Statement.of(parsed)
        try:
            self._check_times(parsed, now, SKEW)
        except InvalidToken as refused:
            raise InvalidToken(refused.code, f"clocks differ by {abs(now - statement.iat):.0f} s, or it was delayed") from None
        return statement

    def _signed(self, state: State, token: str, typ: str) -> dict[str, Any]:
        """Returns the payload, if the token has this type and is signed by a key of the issuer."""
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise InvalidToken("malformed") from None
        if FORBIDDEN_HEADERS & header.keys():
            raise InvalidToken("forbidden_header")
        if str(header.get("typ", "")).lower().removeprefix("application/") != typ:
            raise InvalidToken("wrong_type")
        kid = header.get("kid")
        if not state.keys:
            raise Unavailable("no_keys")
        if kid in state.revoked_keys:
            raise Revoked("key_revoked")
        key = state.keys.get(kid)
        if key is None:
            raise InvalidToken("unknown_key")
        try:
            # The algorithm follows from the key, never from the token. Times and audience are checked by the
            # caller, with its clock.
            claims = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False},
            )
        except jwt.InvalidAlgorithmError:
            raise InvalidToken("wrong_algorithm") from None
        except jwt.InvalidSignatureError:
            raise InvalidToken("bad_signature") from None
        except jwt.PyJWTError:
            raise InvalidToken("malformed") from None
        issuer = claims.get("iss")
        if issuer != self.issuer:
            raise InvalidToken("wrong_issuer", f"expected the issuer {self.issuer!r}, got {issuer!r}")
        return claims

    @staticmethod
    def _check_times(claims: dict[str, Any], now: float, leeway: int) -> None:
        for name in ("exp", "iat", "nbf"):
            if name in claims and type(claims[name]) is not int:
                raise InvalidToken("bad_claim")
        if now >= claims["exp"] + leeway:
            raise InvalidToken("expired", f"it expired {now - claims['exp']:.0f} s ago")
        if claims.get("nbf", 0) > now + leeway:
            raise InvalidToken("not_yet_valid", f"it becomes valid in {claims['nbf'] - now:.0f} s")
        if claims["iat"] > now + SKEW:
            raise InvalidToken("issued_in_future", f"issued in the future: clocks differ by {claims['iat'] - now:.0f} s or more")


def _entries(value: Any) -> list[list[Any]]:
    if not isinstance(value, list) or not all(isinstance(one, list) and len(one) >= 2 for one in value):
        raise InvalidToken("bad_claim")
    return value


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise InvalidToken("bad_claim")
    return value


def _session(value: Any) -> str:
    if not isinstance(value, str) or not UUID.fullmatch(value):
        raise InvalidToken("bad_claim")
    return value.lower()


def _require(claims: dict[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if name not in claims:
            raise InvalidToken("missing_claim")


def _public_key(jwk: dict[str, Any]) -> jwt.PyJWK:
    if PRIVATE_MEMBERS & jwk.keys() or jwk.get("use", "sig") != "sig" or not isinstance(jwk.get("kid"), str):
        raise ValueError("a key of the set is not a public signature key with a kid")
    try:
        key = jwt.PyJWK(jwk)
    except jwt.PyJWTError as error:
        raise ValueError("a key of the set cannot be used") from error
    if key.algorithm_name not in ALGORITHMS or (key.algorithm_name == "RS256" and key.key.key_size < 2048):
        raise ValueError("a key of the set has no accepted algorithm, or is weak")
    return key


def _merged(old: dict[Any, int], new: Any, oldest: int) -> dict[Any, int]:
    merged = {name: time for name, time in old.items() if time >= oldest}
    for name, time in new:
        merged[name] = max(time, merged.get(name, time))
    return merged


class VerifiedTokens:
    """Cache of claims by the digest of their token, in two generations: when the current one is full, it
    replaces the previous one."""

    def __init__(self, capacity: int):
        self._size = max(1, capacity // 2)
        self._current: dict[bytes, dict[str, Any]] = {}
        self._previous: dict[bytes, dict[str, Any]] = {}

    def get(self, digest: bytes) -> dict[str, Any] | None:
        claims = self._current.get(digest)
        if claims is None:
            claims = self._previous.get(digest)
            if claims is not None:
                self.put(digest, claims)
        return claims

    def put(self, digest: bytes, claims: dict[str, Any]) -> None:
        if len(self._current) >= self._size:
            self._previous, self._current = self._current, {}
        self._current[digest] = claims

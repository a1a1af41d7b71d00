"""The pure part: key set, revocation statements, token and time go in, claims come out."""

import hashlib
import re
import threading
from typing import Any, NamedTuple

import jwt

from .refused import InvalidToken, Revoked, Unavailable

MAX_TOKEN_CHARS = 8192
MAX_STATEMENT_CHARS = 4 << 20
# How far the clocks of two machines may differ.
SKEW = 60
ALGORITHMS = ("EdDSA", "ES256", "RS256")
# The type of revocation statements; the former format is refused.
STATEMENT = "revocations.v2+jwt"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
REQUIRED = ("iss", "sub", "aud", "exp", "iat", "jti", "client_id")

# None of them is ever honoured: they change the rules of verifying, or bring a key along (RFC 8725, section 3.10).
FORBIDDEN_HEADERS = frozenset(("b64", "crit", "cty", "enc", "jku", "jwk", "x5c", "x5t", "x5t#S256", "x5u", "zip"))
PRIVATE_MEMBERS = frozenset(("d", "dp", "dq", "k", "oth", "p", "q", "qi"))


class State(NamedTuple):
    """What is known; replaced as a whole, so that readers need no lock."""

    # The key set as it was published, and its keys by `kid`.
    published: Any
    keys: dict[str, jwt.PyJWK]
    # `iat` of the newest statement, and when it came: by the wall clock, and by a clock that is never set.
    as_of: int | None
    heard: float | None
    heard_steady: float | None
    # When each session ended; since when tokens of each user that name no session count; until when no token of each user does, but
    # for those of a session that is kept; until when no token of anybody does; when each revoked key was last named.
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
    """What a statement says: ids, each with a time."""

    iat: int
    window: int
    sessions: list[tuple[str, int]]
    users: list[tuple[str, int]]
    all_of: list[tuple[str, str | None, int]]
    before: int | None
    keys: list[tuple[str, int]]

    @classmethod
    def of(cls, claims: dict[str, Any]) -> "Statement":
        """Further elements of entries are skipped, so that later versions can say more."""
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
    """Decides about access tokens from what it is given. Reads no clock, and does no input or output."""

    def __init__(self, issuer: str, audience: str | None = None, *, leeway: int = 0, remembered: int = 20_000):
        self.issuer = issuer
        self.audience = audience or issuer
        self._leeway = min(leeway, SKEW)
        self._remembered = remembered
        self._state = State(None, {}, None, None, None, {}, {}, {}, None, {}, VerifiedTokens(remembered))
        self._changing = threading.Lock()

    def set_keys(self, jwks: dict[str, Any]) -> None:
        """Takes the issuer's key set (RFC 7517). One key that is weak, secret or malformed spoils it: `ValueError`, and the keys of
        before stay."""
        if jwks == self._state.published:
            return
        keys = [_public_key(jwk) for jwk in jwks["keys"]]
        by_id = {key.key_id: key for key in keys}
        if len(by_id) != len(keys):
            raise ValueError("two keys with the same kid")
        with self._changing:
            # Nothing verified survives a change of the keys.
            verified = VerifiedTokens(self._remembered)
            self._state = self._state._replace(published=jwks, keys=by_id, verified=verified)

    def hear(self, signed: str, now: float, steady: float | None = None) -> bool:
        """Takes a signed revocation statement. True if it revokes a key that was not revoked before.

        `now` is in seconds since 1970 UTC; `steady`, if it is given, in seconds of a clock that is never set.
        """
        with self._changing:
            state = self._state
            said = self._statement(state, signed, now)
            is_news = state.as_of is None or said.iat > state.as_of
            as_of = said.iat if state.as_of is None else max(said.iat, state.as_of)
            # United, not replaced: of several instances one may know of a logout before another does.
            oldest = as_of - said.window
            revoked_keys = _united(state.revoked_keys, said.keys, oldest)
            revokes_key = not revoked_keys.keys() <= state.revoked_keys.keys()
            all_of = {user: left for user, kept in state.all_of.items() if (left := _united(kept, (), oldest))}
            for user, kept, until in said.all_of:
                all_of[user] = _united(all_of.get(user, {}), ((kept, until),), oldest)
            self._state = state._replace(
                as_of=as_of,
                heard=now if is_news else state.heard,
                heard_steady=steady if is_news else state.heard_steady,
                sessions=_united(state.sessions, said.sessions, oldest),
                users=_united(state.users, said.users, oldest),
                all_of=all_of,
                before=max((time for time in (state.before, said.before) if time is not None), default=None),
                revoked_keys=revoked_keys,
                verified=VerifiedTokens(self._remembered) if revokes_key else state.verified,
            )
            return revokes_key

    def verify(self, token: str, now: float) -> dict[str, Any]:
        """The claims of an access token that is valid at `now`. Not to be changed: they are remembered."""
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
                raise InvalidToken("wrong_audience", f"the audience {self.audience!r} was expected, and {audience!r} came")
            state.verified.put(digest, claims)
        else:
            self._check_times(claims, now, self._leeway)
        state.check(claims)
        return claims

    def silence(self, now: float, steady: float | None = None) -> float | None:
        """For how many seconds nothing was heard from the feed, by the clock that says more; None: nothing ever was."""
        state = self._state
        if state.heard is None:
            return None
        by_steady = 0.0 if steady is None or state.heard_steady is None else steady - state.heard_steady
        return max(0.0, now - state.heard, by_steady)

    def is_stale(self, limit: float, now: float, steady: float | None = None) -> bool:
        """Whether nothing was heard from the feed for longer than `limit` seconds, or the newest that was is older than that by more
        than clocks may differ: a statement that came late says nothing of the time since it was made."""
        state = self._state
        silence = self.silence(now, steady)
        return silence is None or silence > limit or state.as_of is None or now - state.as_of > limit + SKEW

    def clock_difference(self) -> float | None:
        """How many seconds this clock was ahead of the issuer's when the newest statement came; its way is part of it."""
        state = self._state
        return None if state.heard is None or state.as_of is None else state.heard - state.as_of

    @property
    def has_keys(self) -> bool:
        return bool(self._state.keys)

    def _statement(self, state: State, signed: str, now: float) -> "Statement":
        if len(signed) > MAX_STATEMENT_CHARS:
            raise InvalidToken("too_long")
        said = self._signed(state, signed, STATEMENT)
        _require(said, ("iss", "iat", "exp", "window", "sessions", "users", "keys"))
        statement = Statement.of(said)
        try:
            self._check_times(said, now, SKEW)
        except InvalidToken as refused:
            raise InvalidToken(refused.code, f"clocks differ by {abs(now - statement.iat):.0f} s, or it came late") from None
        return statement

    def _signed(self, state: State, token: str, typ: str) -> dict[str, Any]:
        """The payload, if a key of the issuer's signed it as this type of token."""
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
            # The algorithm is that of the key, never the token's choice. Times and audience are judged elsewhere, by the given clock.
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
            raise InvalidToken("wrong_issuer", f"the issuer {self.issuer!r} was expected, and {issuer!r} came")
        return claims

    @staticmethod
    def _check_times(claims: dict[str, Any], now: float, leeway: int) -> None:
        for name in ("exp", "iat", "nbf"):
            if name in claims and type(claims[name]) is not int:
                raise InvalidToken("bad_claim")
        if now >= claims["exp"] + leeway:
            raise InvalidToken("expired", f"it ended {now - claims['exp']:.0f} s ago")
        if claims.get("nbf", 0) > now + leeway:
            raise InvalidToken("not_yet_valid", f"it begins in {claims['nbf'] - now:.0f} s")
        if claims["iat"] > now + SKEW:
            raise InvalidToken("issued_in_future", f"it is of {claims['iat'] - now:.0f} s from now: clocks differ by that or more")


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
        raise ValueError("a key of the set is not a public key for signatures with a kid")
    try:
        key = jwt.PyJWK(jwk)
    except jwt.PyJWTError as error:
        raise ValueError("a key of the set cannot be used") from error
    if key.algorithm_name not in ALGORITHMS or (key.algorithm_name == "RS256" and key.key.key_size < 2048):
        raise ValueError("a key of the set is of no accepted algorithm, or weak")
    return key


def _united(old: dict[Any, int], new: Any, oldest: int) -> dict[Any, int]:
    united = {name: time for name, time in old.items() if time >= oldest}
    for name, time in new:
        united[name] = max(time, united.get(name, time))
    return united


class VerifiedTokens:
    """Claims by the digest of their token, in two generations: when the young one is full it becomes the old one, which is forgotten."""

    def __init__(self, capacity: int):
        self._size = max(1, capacity // 2)
        self._young: dict[bytes, dict[str, Any]] = {}
        self._old: dict[bytes, dict[str, Any]] = {}

    def get(self, digest: bytes) -> dict[str, Any] | None:
        claims = self._young.get(digest)
        if claims is None:
            claims = self._old.get(digest)
            if claims is not None:
                self.put(digest, claims)
        return claims

    def put(self, digest: bytes, claims: dict[str, Any]) -> None:
        if len(self._young) >= self._size:
            self._old, self._young = self._young, {}
        self._young[digest] = claims

"""Fetches the keys and follows the revocation feed (docs/revocation-feed.md) in threads."""

import http.client
import json
import logging
import os
import random
import re
import socket
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from .checker import MAX_STATEMENT_CHARS, Checker
from .fetcher import WAIT, Fetcher
from .http import FetchError, Issuer
from .refused import Refused, Unavailable

log = logging.getLogger("doorwarden_verify")

JWKS = "/.well-known/jwks.json"
FEED = "/.well-known/revocations"
STREAM = "/.well-known/revocations/stream"

# All in seconds. Time without an event of the stream, longer than a heartbeat, after which the statement is
# fetched.
SILENCE = 7.0
# Interval of fetching the statement while there is no stream, and pause before the stream is tried again.
POLL = 1.0
WITHOUT_STREAM = 30.0
# Minimum interval between two fetches of the key set because of the feed.
FEED_REFRESH = 0.25
# Maximum age of the key set if it has no Cache-Control.
DEFAULT_MAX_AGE = 300.0
# Minimum interval between two warnings of the same kind.
MINUTE = 60.0
# Clock difference from which on warnings mention it.
NOTABLE_DIFFERENCE = 10.0

ERRORS = (OSError, http.client.HTTPException, FetchError, Refused, ValueError, KeyError, TypeError)


class Status(NamedTuple):
    """State of a verifier, for health checks and metrics."""

    has_keys: bool
    # Seconds since the newest statement was received; None if none was.
    silence_secs: float | None
    # Whether the feed is stale, so that `when_stale` applies.
    is_stale: bool


class Verifier:
    """Verifies access tokens of one issuer. May be used by all threads of a process. Its own threads start
    with the first token, and again after a fork.

    `issuer` is exactly the `iss` of the tokens, and `address` the URL at which the issuer is reached, if it
    differs. `audience` is by default the issuer. After `stale_limit` seconds without a statement (the feed
    has a heartbeat every 5) every token is refused with `Unavailable`, or with `when_stale="accept"` accepted
    if it is correctly signed.
    """

    def __init__(
        self,
        issuer: str,
        *,
        audience: str | None = None,
        address: str | None = None,
        stale_limit: float = 30.0,
        when_stale: Literal["refuse", "accept"] = "refuse",
        leeway: int = 0,
        remembered: int = 20_000,
        refresh_interval: float = 5.0,
        allow_http: bool = False,
        clock: Callable[[], float] = time.time,
    ):
        if when_stale not in ("refuse", "accept"):
            raise ValueError('when_stale must be "refuse" or "accept"')
        self.checker = Checker(issuer, audience, leeway=leeway, remembered=remembered)
        self._issuer = Issuer(address or issuer, allow_http)
        self._stale_limit = stale_limit
        self._when_stale = when_stale
        self._refresh_interval = refresh_interval
        self._clock = clock
        self._minutely = Minutely()
        self._follower: Follower | None = None
        self._starting = threading.Lock()
        self._was_stale = False
        os.register_at_fork(after_in_child=_reset_threads(weakref.ref(self)))

    def verify(self, token: str) -> dict[str, Any]:
        """Returns the claims of a valid access token; do not modify them. Raises `Refused`.

        If the token names an unknown key, the key set is fetched again, at most once per `refresh_interval`.
        Before tokens are refused because the feed is stale, the statement is fetched. Neither waits longer
        than two seconds.
        """
        follower = self._follow()
        deadline = time.monotonic() + WAIT
        if not follower.ready.is_set():
            follower.ready.wait(max(0.0, follower.started + WAIT - time.monotonic()))
        try:
            claims = self.checker.verify(token, self._clock())
        except Refused as refused:
            if refused.code not in ("unknown_key", "no_keys"):
                self._warn_of_cause(refused)
                raise
            follower.keys.request(self._refresh_interval, deadline - time.monotonic())
            claims = self.checker.verify(token, self._clock())
        is_refusing = self._when_stale == "refuse"
        if is_refusing and self._is_stale():
            follower.statements.request(POLL, deadline - time.monotonic())
            # The new statement may revoke this token.
            claims = self.checker.verify(token, self._clock())
        is_stale = self._is_stale()
        if is_stale != self._was_stale:
            self._was_stale = is_stale
            if is_stale:
                log.warning("the revocation feed of %s is stale", self._issuer.url)
            else:
                log.info("the revocation feed of %s is current again", self._issuer.url)
        if is_stale and is_refusing:
            raise Unavailable("stale")
        return claims

    def ready(self, timeout: float = 5.0) -> bool:
        """Waits until the key set and a first statement were received. Returns False, and warns, if they were
        not within `timeout` seconds."""
        follower = self._follow()
        is_ready = follower.ready.wait(timeout)
        if not is_ready:
            log.warning(
                "no keys and revocations from %s within %g s%s. hint: check that it runs and is reachable from here; if it has another name "
                "here, pass that as address",
                self._issuer.url,
                timeout,
                follower.last_error and f" ({follower.last_error})",
            )
        return is_ready

    def status(self) -> Status:
        """Returns the current state."""
        self._follow()
        return Status(self.checker.has_keys, self.checker.silence(self._clock(), time.monotonic()), self._is_stale())

    def close(self) -> None:
        """Ends the threads. Keys and statements received before remain in use until they are stale."""
        if self._follower is not None:
            self._follower.stop()

    def _is_stale(self) -> bool:
        return self.checker.is_stale(self._stale_limit, self._clock(), time.monotonic())

    def _warn_of_cause(self, refused: Refused) -> None:
        """Warns if the cause is the configuration or a clock, rather than one token."""
        if refused.code in ("wrong_audience", "wrong_issuer", "issued_in_future"):
            self._minutely.warn(refused.code, "tokens are refused: %.400s", refused.detail)
        elif refused.code in ("expired", "not_yet_valid"):
            difference = self.checker.clock_difference()
            if difference is not None and abs(difference) > NOTABLE_DIFFERENCE:
                self._minutely.warn(
                    refused.code, "tokens are refused as %s: clocks differ by about %.0f s", refused.code, abs(difference)
                )

    def _follow(self) -> "Follower":
        follower = self._follower
        if follower is not None:
            return follower
        with self._starting:
            if self._follower is None:
                self._follower = Follower(self.checker, self._issuer, self._clock, self._minutely)
                self._follower.start()
            return self._follower


def _reset_threads(reference: "weakref.ref[Verifier]") -> Callable[[], None]:
    """Threads do not survive a fork, and one of them may hold a lock."""

    def reset() -> None:
        verifier = reference()
        if verifier is not None:
            verifier._follower = None
            verifier._starting = threading.Lock()
            verifier.checker._changing = threading.Lock()

    return reset


class Minutely:
    """Logs each kind of warning at most once a minute."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def warn(self, kind: str, message: str, *arguments: object) -> None:
        now = time.monotonic()
        if now - self._last.get(kind, -MINUTE) >= MINUTE:
            self._last[kind] = now
            log.warning(message, *arguments)


class Follower:
    """Keeps a checker up to date, with a thread each for the keys, for the stream of statements, and for
    fetching the statement if there is no stream."""

    def __init__(self, checker: Checker, issuer: Issuer, clock: Callable[[], float], minutely: Minutely):
        self.ready = threading.Event()
        self.started = time.monotonic()
        # The last error, for the warning of `ready`.
        self.last_error = ""
        self.keys = Fetcher("doorwarden-keys", self._fetch_keys)
        self.statements = Fetcher("doorwarden-statements", self._fetch_statement)
        self._stream_thread = threading.Thread(name="doorwarden-stream", target=self._follow_stream, daemon=True)
        self._checker = checker
        self._issuer = issuer
        self._clock = clock
        self._minutely = minutely
        self._stopped = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._etag: str | None = None
        self._key_failures = self._statement_failures = self._stream_failures = 0

    def start(self) -> None:
        self.keys.start()
        self.statements.start()
        self._stream_thread.start()

    def is_alive(self) -> bool:
        return all(thread.is_alive() for thread in (self.keys, self.statements, self._stream_thread))

    def stop(self) -> None:
        self._stopped.set()
        self.keys.stop()
        self.statements.stop()
        connection = self._connection
        if connection is not None and connection.sock is not None:
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _fetch_keys(self, on_demand: bool) -> float:
        """Bypasses caches on demand: the caller needs a key that a cached set may lack."""
        try:
            headers, text = self._issuer.read(
                JWKS, "application/jwk-set+json, application/json", 256 << 10, is_fresh=on_demand
            )
            self._checker.set_keys(json.loads(text or ""))
        except ERRORS as error:
            self._report("could not fetch the key set", error)
            self._key_failures += 1
            return _backoff(self._key_failures)
        self._key_failures = 0
        self._check_ready()
        found = re.search(r"max-age=(\d{1,9})", headers.get("Cache-Control", ""))
        max_age = float(found[1]) if found else DEFAULT_MAX_AGE
        return min(max(max_age, 10.0), 3600.0) * random.uniform(0.5, 1.0)

    def _fetch_statement(self, on_demand: bool) -> float:
        try:
            headers, text = self._issuer.read(
                FEED, "application/jwt", MAX_STATEMENT_CHARS, etag=self._etag, is_fresh=on_demand
            )
            if text is not None:
                self._apply(text)
                self._etag = headers.get("ETag")
        except ERRORS as error:
            self._report("could not fetch the revocations", error)
            self._statement_failures += 1
            return max(POLL, _backoff(self._statement_failures))
        self._statement_failures = 0
        return POLL

    def _follow_stream(self) -> None:
        while not self._stopped.is_set():
            received, wait = False, 0.0
            try:
                received = self._stream()
            except ERRORS as error:
                if self._stopped.is_set():
                    return
                self._report("the stream of revocations ended", error)
                if isinstance(error, FetchError) and error.status is not None:
                    wait = WITHOUT_STREAM
            self._stream_failures = 0 if received else self._stream_failures + 1
            self._stopped.wait(max(wait * random.uniform(0.5, 1.0), _backoff(self._stream_failures)))

    def _stream(self) -> bool:
        """Reads the stream until it ends, as it does regularly. Returns whether an event was received."""
        connection, response = self._issuer.get(STREAM, "text/event-stream", SILENCE)
        self._connection = connection
        last_event = time.monotonic()
        received = False
        try:
            data = ""
            while not self._stopped.is_set():
                line = response.readline(MAX_STATEMENT_CHARS + 1024)
                if not line:
                    break
                text = line.decode().rstrip("\r\n")
                if text.startswith("data:"):
                    data = text[5:].strip()
                elif not text and data:
                    self._apply(data)
                    self.statements.postpone(SILENCE)
                    last_event, received, data = time.monotonic(), True, ""
                # A proxy may keep the connection alive and hold the events back.
                if time.monotonic() - last_event > SILENCE:
                    raise TimeoutError
        except TimeoutError:
            raise FetchError("no events from the stream", None if received else response.status) from None
        finally:
            self._connection = None
            connection.close()
        return received

    def _apply(self, statement: str) -> None:
        """Applies a statement; fetches the key set first if it is signed with an unknown key, and afterwards
        if it revokes one."""
        try:
            revokes_key = self._checker.add_statement(statement, self._clock(), time.monotonic())
        except Refused as refused:
            if refused.code not in ("unknown_key", "no_keys"):
                raise
            self._stopped.wait(self.keys.remaining(FEED_REFRESH))
            self.keys.request(FEED_REFRESH)
            revokes_key = self._checker.add_statement(statement, self._clock(), time.monotonic())
        self._check_ready()
        if revokes_key:
            log.warning("a key of %s was revoked", self._issuer.url)
            self.keys.request(FEED_REFRESH, wait=0.0)
        difference = self._checker.clock_difference()
        if difference is not None and abs(difference) > NOTABLE_DIFFERENCE:
            self._minutely.warn(
                "clocks",
                "clocks differ by about %.0f s: this machine is %s %s",
                abs(difference),
                "ahead of" if difference > 0 else "behind",
                self._issuer.url,
            )

    def _check_ready(self) -> None:
        if self._checker.has_keys and self._checker.clock_difference() is not None:
            self.ready.set()

    def _report(self, what: str, error: Exception) -> None:
        detail = getattr(error, "detail", None)
        self.last_error = f"{what}: {error or type(error).__name__}{detail and f', {detail}' or ''}"
        if not self._stopped.is_set():
            self._minutely.warn(what, "%s: %.400s", self._issuer.url, self.last_error)


def _backoff(failures: int) -> float:
    """Seconds to wait after this many failures in a row; random, so that many services do not retry at the
    same time."""
    return min(10.0, 0.1 * 2 ** min(failures, 7)) * random.uniform(0.5, 1.0)

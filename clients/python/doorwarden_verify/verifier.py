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

# Seconds. Without an event of the stream for so long, more than a heartbeat, the statement is fetched.
SILENCE = 7.0
# Between two statements while there is no stream, and how long to do without one before it is tried again.
POLL = 1.0
WITHOUT_STREAM = 30.0
# Between two fetches of the key set that the feed asks for.
FEED_REFRESH = 0.25
# How old the key set may become if its Cache-Control says nothing.
USUAL_AGE = 300.0
# Between two lines of one kind in the log.
MINUTE = 60.0
# From which difference on clocks are spoken of.
NOTABLE_DIFFERENCE = 10.0

ERRORS = (OSError, http.client.HTTPException, FetchError, Refused, ValueError, KeyError, TypeError)


class Status(NamedTuple):
    """What a verifier knows of its issuer, for health checks and metrics."""

    has_keys: bool
    # How many seconds ago the newest statement came; None: none came yet.
    heard_secs_ago: float | None
    # Whether too little was heard for too long, so that `when_stale` applies.
    is_stale: bool


class Verifier:
    """Verifies access tokens of one issuer. For every thread of a process; its own threads start with the first token, after a fork
    again.

    `issuer` is exactly what tokens have as `iss`, and `address` where the issuer is reached, if that is another URL. `audience` is by
    default the issuer. After `stale_limit` seconds without a word from the feed (it has a heartbeat every 5) every token is refused
    with `Unavailable`, or with `when_stale="accept"` accepted on its signature alone.
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
        os.register_at_fork(after_in_child=_forget_threads(weakref.ref(self)))

    def verify(self, token: str) -> dict[str, Any]:
        """The claims of an access token that counts now; not to be changed. Raises `Refused`.

        If the token names a key that is not known, the key set is fetched again, at most once in each `refresh_interval`; and before
        every token is refused because the feed is silent, its statement is fetched. No request waits for longer than two seconds.
        """
        follower = self._follow()
        deadline = time.monotonic() + WAIT
        if not follower.ready.is_set():
            follower.ready.wait(max(0.0, follower.began + WAIT - time.monotonic()))
        try:
            claims = self.checker.verify(token, self._clock())
        except Refused as refused:
            if refused.code not in ("unknown_key", "no_keys"):
                self._explain(refused)
                raise
            follower.keys.ask(self._refresh_interval, deadline - time.monotonic())
            claims = self.checker.verify(token, self._clock())
        is_refusing = self._when_stale == "refuse"
        if is_refusing and self._is_stale():
            follower.statements.ask(POLL, deadline - time.monotonic())
            # It may have revoked this very token.
            claims = self.checker.verify(token, self._clock())
        is_stale = self._is_stale()
        if is_stale != self._was_stale:
            self._was_stale = is_stale
            if is_stale:
                log.warning("nothing is heard from the revocation feed of %s", self._issuer.url)
            else:
                log.info("the revocation feed of %s is heard again", self._issuer.url)
        if is_stale and is_refusing:
            raise Unavailable("stale")
        return claims

    def ready(self, timeout: float = 5.0) -> bool:
        """Waits until the keys and a first statement have come; False, and a warning, if they do not within so many seconds."""
        follower = self._follow()
        is_ready = follower.ready.wait(timeout)
        if not is_ready:
            log.warning(
                "%s was not heard within %g s%s. hint: see that it runs and can be reached from here; where it has another name here, "
                "pass that as address",
                self._issuer.url,
                timeout,
                follower.trouble and f" ({follower.trouble})",
            )
        return is_ready

    def status(self) -> Status:
        """What is known of the issuer at this moment."""
        self._follow()
        return Status(self.checker.has_keys, self.checker.silence(self._clock(), time.monotonic()), self._is_stale())

    def close(self) -> None:
        """Ends the threads. What was heard still counts, until it is stale."""
        if self._follower is not None:
            self._follower.stop()

    def _is_stale(self) -> bool:
        return self.checker.is_stale(self._stale_limit, self._clock(), time.monotonic())

    def _explain(self, refused: Refused) -> None:
        """What is wrong with the configuration rather than with one token is said in the log."""
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


def _forget_threads(reference: "weakref.ref[Verifier]") -> Callable[[], None]:
    """Threads do not survive a fork, and locks may be held by one of them."""

    def forget() -> None:
        verifier = reference()
        if verifier is not None:
            verifier._follower = None
            verifier._starting = threading.Lock()
            verifier.checker._changing = threading.Lock()

    return forget


class Minutely:
    """Warns of one kind of thing once a minute."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def warn(self, kind: str, message: str, *arguments: object) -> None:
        now = time.monotonic()
        if now - self._last.get(kind, -MINUTE) >= MINUTE:
            self._last[kind] = now
            log.warning(message, *arguments)


class Follower:
    """Keeps a checker up to date: a thread each for the keys, for the stream of statements, and for the statement where the stream does
    not come through."""

    def __init__(self, checker: Checker, issuer: Issuer, clock: Callable[[], float], minutely: Minutely):
        self.ready = threading.Event()
        self.began = time.monotonic()
        # What went wrong last, for whoever waits in vain.
        self.trouble = ""
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

    def _fetch_keys(self, is_asked: bool) -> float:
        """Past every cache, if somebody asked: he knows of something that the set of before does not have."""
        try:
            headers, text = self._issuer.read(
                JWKS, "application/jwk-set+json, application/json", 256 << 10, is_fresh=is_asked
            )
            self._checker.set_keys(json.loads(text or ""))
        except ERRORS as error:
            self._complain("the key set was not fetched", error)
            self._key_failures += 1
            return _backoff(self._key_failures)
        self._key_failures = 0
        self._announce()
        found = re.search(r"max-age=(\d{1,9})", headers.get("Cache-Control", ""))
        max_age = float(found[1]) if found else USUAL_AGE
        return min(max(max_age, 10.0), 3600.0) * random.uniform(0.5, 1.0)

    def _fetch_statement(self, is_asked: bool) -> float:
        try:
            headers, text = self._issuer.read(
                FEED, "application/jwt", MAX_STATEMENT_CHARS, etag=self._etag, is_fresh=is_asked
            )
            if text is not None:
                self._hear(text)
                self._etag = headers.get("ETag")
        except ERRORS as error:
            self._complain("the revocations were not fetched", error)
            self._statement_failures += 1
            return max(POLL, _backoff(self._statement_failures))
        self._statement_failures = 0
        return POLL

    def _follow_stream(self) -> None:
        while not self._stopped.is_set():
            has_heard, wait = False, 0.0
            try:
                has_heard = self._stream()
            except ERRORS as error:
                if self._stopped.is_set():
                    return
                self._complain("the stream of revocations ended", error)
                if isinstance(error, FetchError) and error.status is not None:
                    wait = WITHOUT_STREAM
            self._stream_failures = 0 if has_heard else self._stream_failures + 1
            self._stopped.wait(max(wait * random.uniform(0.5, 1.0), _backoff(self._stream_failures)))

    def _stream(self) -> bool:
        """Listens until the stream ends, which it does now and then; whether something came."""
        connection, answer = self._issuer.get(STREAM, "text/event-stream", SILENCE)
        self._connection = connection
        heard = time.monotonic()
        has_heard = False
        try:
            data = ""
            while not self._stopped.is_set():
                line = answer.readline(MAX_STATEMENT_CHARS + 1024)
                if not line:
                    break
                text = line.decode().rstrip("\r\n")
                if text.startswith("data:"):
                    data = text[5:].strip()
                elif not text and data:
                    self._hear(data)
                    self.statements.put_off(SILENCE)
                    heard, has_heard, data = time.monotonic(), True, ""
                # Somebody in between may keep the connection alive and the events to himself.
                if time.monotonic() - heard > SILENCE:
                    raise TimeoutError
        except TimeoutError:
            raise FetchError("nothing comes through the stream", None if has_heard else answer.status) from None
        finally:
            self._connection = None
            connection.close()
        return has_heard

    def _hear(self, statement: str) -> None:
        """Takes a statement; fetches the keys first if it is signed by a new one, and afterwards if it revokes one."""
        try:
            revokes_key = self._checker.hear(statement, self._clock(), time.monotonic())
        except Refused as refused:
            if refused.code not in ("unknown_key", "no_keys"):
                raise
            self._stopped.wait(self.keys.rest(FEED_REFRESH))
            self.keys.ask(FEED_REFRESH)
            revokes_key = self._checker.hear(statement, self._clock(), time.monotonic())
        self._announce()
        if revokes_key:
            log.warning("a key of %s was revoked", self._issuer.url)
            self.keys.ask(FEED_REFRESH, wait=0.0)
        difference = self._checker.clock_difference()
        if difference is not None and abs(difference) > NOTABLE_DIFFERENCE:
            self._minutely.warn(
                "clocks",
                "clocks differ by about %.0f s: this machine is %s %s",
                abs(difference),
                "ahead of" if difference > 0 else "behind",
                self._issuer.url,
            )

    def _announce(self) -> None:
        if self._checker.has_keys and self._checker.clock_difference() is not None:
            self.ready.set()

    def _complain(self, what: str, error: Exception) -> None:
        detail = getattr(error, "detail", None)
        self.trouble = f"{what}: {error or type(error).__name__}{detail and f', {detail}' or ''}"
        if not self._stopped.is_set():
            self._minutely.warn(what, "%s: %.400s", self._issuer.url, self.trouble)


def _backoff(failures: int) -> float:
    """How many seconds to wait after so many failures in a row: not all at once, if there are many services."""
    return min(10.0, 0.1 * 2 ** min(failures, 7)) * random.uniform(0.5, 1.0)

"""Fetches the keys and follows the revocation feed (docs/revocation-feed.md) in a thread."""

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
from .http import FetchError, Issuer
from .refused import InvalidToken, Refused, Unavailable

log = logging.getLogger("doorwarden_verify")

JWKS = "/.well-known/jwks.json"
FEED = "/.well-known/revocations"
STREAM = "/.well-known/revocations/stream"

# Seconds. A stream without an event for so long is dead: three heartbeats.
SILENCE = 15.0
# How long the first tokens wait for the issuer.
PATIENCE = 5.0
# Between two statements where there is no stream, and how long to do without one before it is tried again.
POLL = 1.0
WITHOUT_STREAM = 30.0
# Between two fetches of the key set that the feed asks for.
FEED_REFRESH = 0.25
# How old the key set may become if its Cache-Control says nothing.
USUAL_AGE = 300.0

ERRORS = (OSError, http.client.HTTPException, FetchError, Refused, ValueError, KeyError, TypeError)


class Status(NamedTuple):
    """What a verifier knows of its issuer, for health checks and metrics."""

    has_keys: bool
    # How many seconds ago the newest statement came; None: none came yet.
    heard_secs_ago: float | None
    # Whether that is longer than the limit, so that `when_stale` applies.
    is_stale: bool


class Verifier:
    """Verifies access tokens of one issuer. For every thread of a process; its own thread starts with the first token, after a fork
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
        self._follower: Follower | None = None
        self._starting = threading.Lock()
        self._was_stale = False
        os.register_at_fork(after_in_child=_forget_thread(weakref.ref(self)))

    def verify(self, token: str) -> dict[str, Any]:
        """The claims of an access token that counts now; not to be changed. Raises `Refused`.

        If the token names a key that is not known, the key set is fetched again, at most once in each `refresh_interval`.
        """
        follower = self._started()
        try:
            claims = self.checker.verify(token, self._clock())
        except InvalidToken as refused:
            if refused.code != "unknown_key":
                raise
            follower.refresh_keys(self._refresh_interval)
            claims = self.checker.verify(token, self._clock())
        is_stale = self._is_stale()
        if is_stale != self._was_stale:
            self._was_stale = is_stale
            if is_stale:
                log.warning("nothing is heard from the revocation feed of %s", self._issuer.url)
            else:
                log.info("the revocation feed of %s is heard again", self._issuer.url)
        if is_stale and self._when_stale == "refuse":
            raise Unavailable("stale")
        return claims

    def ready(self, timeout: float = 5.0) -> bool:
        """Waits until the keys and a first statement have come."""
        return self._follow().ready.wait(timeout)

    def status(self) -> Status:
        """What is known of the issuer at this moment."""
        self._follow()
        return Status(self.checker.has_keys, self.checker.silence(self._clock()), self._is_stale())

    def close(self) -> None:
        """Ends the thread. What was heard still counts, until it is stale."""
        if self._follower is not None:
            self._follower.stop()

    def _is_stale(self) -> bool:
        silence = self.checker.silence(self._clock())
        return silence is None or silence > self._stale_limit

    def _started(self) -> "Follower":
        """The first tokens wait a little for the issuer to be heard."""
        follower = self._follower or self._follow()
        if not follower.ready.is_set():
            follower.ready.wait(max(0.0, follower.began + PATIENCE - time.monotonic()))
        return follower

    def _follow(self) -> "Follower":
        with self._starting:
            if self._follower is None:
                self._follower = Follower(self.checker, self._issuer, self._clock)
                self._follower.start()
            return self._follower


def _forget_thread(reference: "weakref.ref[Verifier]") -> Callable[[], None]:
    """Threads do not survive a fork, and locks may be held by one of them."""

    def forget() -> None:
        verifier = reference()
        if verifier is not None:
            verifier._follower = None
            verifier._starting = threading.Lock()
            verifier.checker._changing = threading.Lock()

    return forget


class Follower(threading.Thread):
    """Keeps a checker up to date."""

    def __init__(self, checker: Checker, issuer: Issuer, clock: Callable[[], float]):
        super().__init__(name="doorwarden-verify", daemon=True)
        self.ready = threading.Event()
        self.began = time.monotonic()
        self._checker = checker
        self._issuer = issuer
        self._clock = clock
        self._stopped = threading.Event()
        self._refreshing = threading.Lock()
        self._refreshed: float | None = None
        self._max_age = USUAL_AGE
        self._failures = 0
        self._connection: http.client.HTTPConnection | None = None

    def stop(self) -> None:
        self._stopped.set()
        connection = self._connection
        if connection is not None and connection.sock is not None:
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def refresh_keys(self, interval: float) -> None:
        """Fetches the key set, unless it was fetched within `interval` seconds. Who asks meanwhile waits for the same answer."""
        with self._refreshing:
            now = time.monotonic()
            if self._refreshed is not None and now - self._refreshed < interval:
                return
            self._refreshed = now
            try:
                headers, text = self._issuer.read(JWKS, "application/jwk-set+json, application/json", 256 << 10)
                self._checker.set_keys(json.loads(text or ""))
                found = re.search(r"max-age=(\d{1,9})", headers.get("Cache-Control", ""))
                max_age = float(found[1]) if found else USUAL_AGE
                self._max_age = min(max(max_age, 10.0), 3600.0) * random.uniform(0.5, 1.0)
            except ERRORS as error:
                self._max_age = 5.0
                log.warning("the key set of %s was not fetched: %s", self._issuer.url, error)

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.refresh_keys(self._max_age)
                self._stream()
            except ERRORS as error:
                if self._stopped.is_set():
                    return
                log.warning("the stream of revocations of %s ended: %s", self._issuer.url, error)
                if isinstance(error, FetchError) and error.status is not None:
                    self._poll()
                self._failures += 1
            self._stopped.wait(min(10.0, 0.1 * 2 ** min(self._failures, 7)) * random.uniform(0.5, 1.0))

    def _stream(self) -> None:
        """Listens until the stream ends, which it does now and then."""
        connection, answer = self._issuer.get(STREAM, "text/event-stream", SILENCE)
        self._connection = connection
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
                    has_heard, data = True, ""
                    self.refresh_keys(self._max_age)
        except TimeoutError:
            if not has_heard:
                raise FetchError("nothing came through the stream", answer.status) from None
            raise
        finally:
            self._connection = None
            connection.close()

    def _poll(self) -> None:
        """Fetches the newest statement once a second, where streams do not come through."""
        end = time.monotonic() + WITHOUT_STREAM
        etag = None
        try:
            while time.monotonic() < end and not self._stopped.is_set():
                headers, text = self._issuer.read(FEED, "application/jwt", MAX_STATEMENT_CHARS, etag=etag)
                if text is not None:
                    self._hear(text)
                    etag = headers.get("ETag")
                self.refresh_keys(self._max_age)
                self._stopped.wait(POLL)
        except ERRORS as error:
            log.warning("the revocations of %s were not fetched: %s", self._issuer.url, error)

    def _hear(self, statement: str) -> None:
        """Takes a statement; fetches the keys first if it is signed by a new one, and afterwards if it revokes one."""
        try:
            revokes_key = self._checker.hear(statement, self._clock())
        except Refused as refused:
            if refused.code not in ("unknown_key", "no_keys"):
                raise
            since = time.monotonic() - (self._refreshed or 0.0)
            self._stopped.wait(max(0.0, FEED_REFRESH - since))
            self.refresh_keys(FEED_REFRESH)
            revokes_key = self._checker.hear(statement, self._clock())
        if revokes_key:
            log.warning("a key of %s was revoked", self._issuer.url)
            self.refresh_keys(FEED_REFRESH)
        self._failures = 0
        self.ready.set()

"""Fetches something periodically and on demand."""

import threading
import time
from collections.abc import Callable

# Maximum time that a caller waits for a fetch, in seconds.
WAIT = 2.0


class Fetcher(threading.Thread):
    """Fetches in its own thread, one fetch at a time.

    `fetch` gets whether the fetch is on demand, and returns the seconds until the next periodic fetch. It
    must not raise.
    """

    def __init__(self, name: str, fetch: Callable[[bool], float]):
        super().__init__(name=name, daemon=True)
        self._fetch = fetch
        self._changed = threading.Condition()
        self._next_at = time.monotonic()
        self._on_demand = self._is_stopped = False
        # When the fetch in progress started; whether callers share it (or the next one): true for the first
        # fetch and those on demand. When the last fetch on demand ended, and how many shared fetches have
        # ended.
        self._started_at: float | None = None
        self._is_shared = True
        self._last_on_demand: float | None = None
        self._shared_ended = 0

    def request(self, interval: float, wait: float = WAIT) -> None:
        """Fetches on demand, unless the last such fetch ended less than `interval` seconds ago, and waits at
        most `wait` seconds for it to end. Concurrent callers share the fetch; none waits for one that has
        already taken too long."""
        with self._changed:
            now = time.monotonic()
            # A periodic fetch may have started before the change that the caller needs.
            if not self._is_shared:
                if self._last_on_demand is not None and now - self._last_on_demand < interval:
                    return
                self._on_demand = True
                self._changed.notify_all()
            if self._started_at is not None:
                wait = min(wait, self._started_at + WAIT - now)
            ended = self._shared_ended
            self._changed.wait_for(lambda: self._shared_ended != ended or self._is_stopped, max(0.0, wait))

    def remaining(self, interval: float) -> float:
        """Returns the seconds left of `interval` since the last fetch on demand."""
        last_on_demand = self._last_on_demand
        return 0.0 if last_on_demand is None else max(0.0, last_on_demand + interval - time.monotonic())

    def postpone(self, seconds: float) -> None:
        """Postpones the next periodic fetch by at least this time."""
        self._next_at = max(self._next_at, time.monotonic() + seconds)

    def stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def run(self) -> None:
        while True:
            with self._changed:
                while not self._on_demand and not self._is_stopped and (left := self._next_at - time.monotonic()) > 0:
                    self._changed.wait(left)
                if self._is_stopped:
                    return
                on_demand, self._on_demand = self._on_demand, False
                self._is_shared = self._is_shared or on_demand
                self._started_at = time.monotonic()
            seconds = self._fetch(on_demand)
            with self._changed:
                now = time.monotonic()
                self._started_at = None
                self._next_at = max(self._next_at, now + seconds)
                if on_demand:
                    self._last_on_demand = now
                if self._is_shared:
                    self._is_shared = False
                    self._shared_ended += 1
                self._changed.notify_all()

"""Something that is fetched from time to time, and when somebody cannot do without."""

import threading
import time
from collections.abc import Callable

# How many seconds anybody waits for a fetch at most.
WAIT = 2.0


class Fetcher(threading.Thread):
    """Fetches in a thread of its own, one fetch at a time, whoever asks.

    `fetch` is told whether somebody asked, and returns after how many seconds the next routine fetch is due. It must not raise.
    """

    def __init__(self, name: str, fetch: Callable[[bool], float]):
        super().__init__(name=name, daemon=True)
        self._fetch = fetch
        self._changed = threading.Condition()
        self._due = time.monotonic()
        self._is_asked = self._is_stopped = False
        # When the one that is under way began; whether those who ask may share it, or the next: one that was asked for, or the first.
        # When the last one that was asked for ended, and how many have that were shared.
        self._began: float | None = None
        self._is_shared = True
        self._answered: float | None = None
        self._answers = 0

    def ask(self, interval: float, wait: float = WAIT) -> None:
        """Has it fetched, unless somebody had that less than `interval` seconds ago, and waits for the end at most `wait` seconds. Those
        who ask meanwhile share the fetch; nobody waits for one that has taken too long already."""
        with self._changed:
            now = time.monotonic()
            # A routine fetch may have begun before there was anything to be learned.
            if not self._is_shared:
                if self._answered is not None and now - self._answered < interval:
                    return
                self._is_asked = True
                self._changed.notify_all()
            if self._began is not None:
                wait = min(wait, self._began + WAIT - now)
            answers = self._answers
            self._changed.wait_for(lambda: self._answers != answers or self._is_stopped, max(0.0, wait))

    def rest(self, interval: float) -> float:
        """How many seconds are left of `interval` since the last fetch that was asked for."""
        answered = self._answered
        return 0.0 if answered is None else max(0.0, answered + interval - time.monotonic())

    def put_off(self, seconds: float) -> None:
        """The next routine fetch is not due before."""
        self._due = max(self._due, time.monotonic() + seconds)

    def stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def run(self) -> None:
        while True:
            with self._changed:
                while not self._is_asked and not self._is_stopped and (left := self._due - time.monotonic()) > 0:
                    self._changed.wait(left)
                if self._is_stopped:
                    return
                is_asked, self._is_asked = self._is_asked, False
                self._is_shared = self._is_shared or is_asked
                self._began = time.monotonic()
            seconds = self._fetch(is_asked)
            with self._changed:
                now = time.monotonic()
                self._began = None
                self._due = max(self._due, now + seconds)
                if is_asked:
                    self._answered = now
                if self._is_shared:
                    self._is_shared = False
                    self._answers += 1
                self._changed.notify_all()

"""Long work in the background, done once for all sessions; pages ask how far it is, and never wait for it."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from core.errors import UnitscopeError

T = TypeVar("T")
_log = logging.getLogger("unitscope.jobs")


@dataclass
class Job(Generic[T]):
    """A piece of work: what is being done, the share (0 to 1) that is, and the promise of what it makes."""

    what: str = "waiting"
    share: float = 0.0
    began: float = field(default_factory=time.monotonic)
    made: "Future[T]" = field(default_factory=Future)

    def tell(self, share: float, what: str) -> None:
        """How far it is, said by the work itself."""
        self.share, self.what = min(1.0, share), what

    @property
    def running(self) -> bool:
        return not self.made.done()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def result(self) -> T | None:
        """What it made; None while it runs and if it failed."""
        return None if self.running or self.made.exception() else self.made.result()

    def problem(self, sentence: str) -> str:
        """Why it failed, in words for a visitor: its own where it has some, else `sentence`. "" if it did not fail."""
        error = None if self.running else self.made.exception()
        return "" if error is None else str(error) if isinstance(error, UnitscopeError) else sentence


class Jobs(Generic[T]):
    """Jobs by key, one running at a time, the `most` last asked for remembered. Thread-safe.

    `name` says what they make, for the server's log: "the map".
    """

    def __init__(self, name: str, most: int) -> None:
        self._name, self._most = name, most
        self._jobs: OrderedDict[Hashable, Job[T]] = OrderedDict()
        self._lock, self._working = threading.Lock(), threading.Lock()

    def find(self, key: Hashable) -> Job[T] | None:
        """The last job of this key, whatever has become of it."""
        with self._lock:
            if key in self._jobs:
                self._jobs.move_to_end(key)
            return self._jobs.get(key)

    def ask(self, key: Hashable, work: Callable[[Job[T]], T]) -> Job[T]:
        """The last job of this key; without one, `work` begins."""
        return self.find(key) or self.begin(key, work)

    def begin(self, key: Hashable, work: Callable[[Job[T]], T]) -> Job[T]:
        """The job of this key that runs, else a new one. `work` is given its job, to tell how far it is."""
        with self._lock:
            known = self._jobs.get(key)
            if known is not None and known.running:
                return known
            job = self._jobs[key] = Job()
            self._jobs.move_to_end(key)
            while len(self._jobs) > self._most:
                self._jobs.popitem(last=False)
        # a daemon: stopping the server does not wait for it
        threading.Thread(target=self._run, args=(key, job, work), daemon=True).start()
        return job

    def forget(self, key: Hashable) -> None:
        """Let the next question begin anew."""
        with self._lock:
            self._jobs.pop(key, None)

    def _run(self, key: Hashable, job: Job[T], work: Callable[[Job[T]], T]) -> None:
        with self._working:
            job.began = time.monotonic()
            try:
                job.made.set_result(work(job))
            except BaseException as error:  # noqa: BLE001 # it is told to whoever asks, whatever it is
                _log.error("%s of %s failed", self._name, key, exc_info=error)
                job.made.set_exception(error.with_traceback(None))

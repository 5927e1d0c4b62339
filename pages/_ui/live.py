"""Live models, loaded in the background, once for all sessions, and kept as long as they fit into a share of memory.

What is dropped is only let go of: a session that is using it keeps it until it is done, and if it is asked for again
before that, it is taken back instead of being loaded a second time.
"""

import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakValueDictionary

from core.errors import UnitscopeError

if TYPE_CHECKING:
    from core.explain import Explainer
    from core.explain.rosetta import RosettaExplainer

    Model = Explainer | RosettaExplainer
    Load = Callable[[Mapping[str, Any], Callable[[], None]], Model]
    Weigh = Callable[[Model], tuple[str, int]]

SHARE = 0.5
"""Of the memory of the GPU, or of the machine, that kept models may take together. One is kept whatever it takes."""
MOST = 16
RETRY_SECONDS = 30
"""A model that could not be loaded is not tried again before that, so that a rerun costs nothing."""
_log = logging.getLogger("unitscope.resources")


@dataclass(frozen=True)
class Status:
    """How far a live model is. `reason`: of one that failed, a sentence for the visitor. `seconds`: since it began."""

    state: Literal["loading", "ready", "failed"]
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class _Job:
    future: "Future[Model]"
    began: float

    @property
    def error(self) -> BaseException | None:
        return self.future.exception() if self.future.done() else None


class LiveModels:
    """Models by key, the most recently asked for last. Thread-safe; one model is loaded at a time.

    `load(facts, make_room)` makes one; `weigh` tells the kind of its device and its bytes there, `memory` the bytes a
    kind of device has.
    """

    def __init__(self, load: "Load", weigh: "Weigh", memory: Callable[[str], int]) -> None:
        self._load, self._weigh, self._memory = load, weigh, memory
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._jobs: OrderedDict[Hashable, _Job] = OrderedDict()
        self._alive: WeakValueDictionary[Hashable, Model] = WeakValueDictionary()

    def ask(self, key: Hashable, facts: Mapping[str, Any]) -> "Future[Model]":
        """The model, or its promise; begins to load it if nobody has. Never waits."""
        return self._job(key, facts).future

    def status(self, key: Hashable, facts: Mapping[str, Any]) -> Status:
        """How far the model is; begins to load it if nobody has. Never waits."""
        job = self._job(key, facts)
        seconds = time.monotonic() - job.began
        if not job.future.done():
            return Status("loading", seconds=seconds)
        if job.error is None:
            return Status("ready", seconds=seconds)
        known = isinstance(job.error, UnitscopeError)
        return Status("failed", str(job.error) if known else "The model cannot be loaded; the server's log says why.")

    def kept(self) -> tuple[Hashable, ...]:
        """Keys of what is kept or being loaded, the most recently asked for last."""
        with self._lock:
            return tuple(self._jobs)

    def _job(self, key: Hashable, facts: Mapping[str, Any]) -> _Job:
        with self._lock:
            job = self._jobs.get(key)
            stale = job is not None and job.error is not None and time.monotonic() - job.began > RETRY_SECONDS
            if job is None or stale:
                job = self._jobs[key] = _Job(Future(), time.monotonic())
                if (there := self._alive.get(key)) is not None:
                    job.future.set_result(there)
                else:
                    # a daemon: stopping the server does not wait for a model
                    threading.Thread(target=self._run, args=(key, job, facts), daemon=True).start()
            self._jobs.move_to_end(key)
            return job

    def _run(self, key: Hashable, job: _Job, facts: Mapping[str, Any]) -> None:
        with self._loading:
            try:
                _log.info("loading %s for %s", facts["model"]["name"], facts["id"])  # a test counts these
                model = self._load(facts, lambda: self._trim(most=0))
            except BaseException as error:  # noqa: BLE001 # it is handed to whoever waits, whatever it is
                if not isinstance(error, UnitscopeError):
                    _log.error("the model of bundle %s cannot be loaded", facts["id"], exc_info=error)
                # without its traceback, whose frames would keep half a model
                job.future.set_exception(error.with_traceback(None))
                return
            with self._lock:
                self._alive[key] = model
            job.future.set_result(model)
            del model
            self._trim(most=MOST)

    def _trim(self, most: int) -> None:
        """Let go of the loaded models asked for longest ago, until the others are at most `most` and fit together; the
        last of them stays even if it does not fit. And of failures: links can name no end of them."""
        with self._lock:
            done = [(key, job) for key, job in self._jobs.items() if job.future.done()]
            loaded = {key: self._weigh(job.future.result()) for key, job in done if job.error is None}
            while loaded and (len(loaded) > most or (len(loaded) > 1 and self._over(loaded.values()))):
                oldest = next(iter(loaded))
                del loaded[oldest], self._jobs[oldest]
            for key, _ in [(key, job) for key, job in done if job.error is not None][:-MOST]:
                del self._jobs[key]

    def _over(self, weights: Iterable[tuple[str, int]]) -> bool:
        taken: Counter[str] = Counter()
        for kind, size in weights:
            taken[kind] += size
        return any(size > SHARE * self._memory(kind) for kind, size in taken.items())

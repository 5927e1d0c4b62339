"""Live models: loaded once, in the background, bounded by memory, and never taken from who is using one."""

import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.errors import WeightsError
from pages._ui import live, resources
from pages._ui.live import LiveModels
from tests import bundle_maker

WAIT = 10


class Model:
    def __init__(self, size: int, kind: str) -> None:
        self.size, self.kind = size, kind


class World:
    """Loads models of a given size, as slowly as `gate` says; a device has 100 bytes, of which half may be taken."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.loaded: list[str] = []
        self.rooms: list[Callable[[], None]] = []
        self.broken: Exception | None = None
        self.models = LiveModels(self._load, lambda model: (model.kind, model.size), lambda kind: 100)

    def _load(self, facts: dict, make_room: Callable[[], None]) -> Model:
        self.gate.wait(WAIT)
        self.loaded.append(facts["id"])
        self.rooms.append(make_room)
        if self.broken:
            raise self.broken
        return Model(facts["size"], facts.get("kind", "cpu"))

    def ask(self, name: str, size: int = 10, kind: str = "cpu") -> Model:
        return self.models.ask(name, self.facts(name, size, kind)).result(WAIT)

    def facts(self, name: str, size: int = 10, kind: str = "cpu") -> dict:
        return {"id": name, "size": size, "kind": kind, "model": {"name": name}}

    def kept(self, *expected: str) -> None:
        """What is dropped is dropped a moment after the promise is kept."""
        until = time.monotonic() + WAIT
        while self.models.kept() != expected and time.monotonic() < until:
            time.sleep(0.01)
        assert self.models.kept() == expected


def test_sessions_that_start_at_once_load_it_once() -> None:
    world = World()
    world.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(world.ask, "a") for _ in range(8)]
        world.gate.set()
        assert len({id(each.result()) for each in asked}) == 1
    assert world.loaded == ["a"]


def test_asking_how_far_it_is_never_waits_and_begins_to_load() -> None:
    world = World()
    world.gate.clear()
    assert world.models.status("a", world.facts("a")).state == "loading"
    world.gate.set()
    world.ask("a")
    assert world.models.status("a", world.facts("a")).state == "ready" and world.loaded == ["a"]


def test_small_models_stay_and_what_does_not_fit_goes_the_oldest_first() -> None:
    world = World()
    for name in "abcde":
        world.ask(name)
    world.ask("a")  # used again, so b is the oldest
    world.kept("b", "c", "d", "e", "a")
    world.ask("f")
    world.kept("c", "d", "e", "a", "f")
    world.ask("huge", size=99)  # one is kept whatever it takes
    world.kept("huge")
    world.ask("a", kind="cuda")  # another memory; but the other is still too much there, and older
    world.kept("a")
    for name in ("g1", "g2", "g3", "g4"):
        world.ask(name, kind="cuda")
    for name in ("c1", "c2"):
        world.ask(name)
    world.kept("a", "g1", "g2", "g3", "g4", "c1", "c2")  # 50 bytes there and 20 here


def test_however_small_they_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST", 2)
    world = World()
    for name in "abc":
        world.ask(name, size=0)
    world.kept("b", "c")


def test_a_model_in_use_is_not_freed_and_is_taken_back_instead_of_loaded_again() -> None:
    world = World()
    used = world.ask("a", size=40)
    world.ask("b", size=40)
    world.kept("b")
    assert world.ask("a", size=40) is used and world.loaded == ["a", "b"]
    gone = weakref.ref(used)
    del used
    world.ask("c", size=40)
    world.kept("c")
    gc.collect()
    assert gone() is None  # nobody uses it, so its memory is free


def test_a_full_device_is_emptied_of_all_that_is_not_in_use() -> None:
    world = World()
    world.ask("a")
    world.ask("b")
    world.rooms[-1]()
    world.kept()


def test_a_failure_is_told_and_tried_again_only_later(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.broken = WeightsError("No weights: load some.")
    with pytest.raises(WeightsError):
        world.ask("a")
    status = world.models.status("a", world.facts("a"))
    assert (status.state, status.reason) == ("failed", "No weights: load some.")
    assert world.loaded == ["a"]
    monkeypatch.setattr(live, "RETRY_SECONDS", 0)
    world.broken = ValueError("secret-detail")
    with pytest.raises(ValueError, match="secret"):
        world.ask("a")
    monkeypatch.undo()
    assert "secret" not in world.models.status("a", world.facts("a")).reason
    monkeypatch.setattr(live, "RETRY_SECONDS", 0)
    world.broken = None
    assert world.ask("a").size == 10 and world.loaded == ["a"] * 3


def test_failures_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST", 2)
    world = World()
    world.broken = WeightsError("none")
    for name in "abc":
        with pytest.raises(WeightsError):
            world.ask(name)
    world.broken = None
    world.ask("d")
    world.kept("b", "c", "d")


def _page() -> None:
    import streamlit as st

    from pages._ui import resources, states

    opened = resources.current()
    with states.calm():
        st.write(resources.explainer(opened))
    st.write(resources.explainer_status(opened).state)


def test_a_page_says_why_there_is_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(tmp_path))
    bundle_maker.make(tmp_path / "tiny-0123abcd")  # of a model that is none
    app = AppTest.from_function(_page, default_timeout=60).run()
    assert not app.exception and "There is no model named 'tiny'" in app.warning[0].value
    assert app.markdown[-1].value == "failed"


def test_reruns_do_not_look_through_all_of_torch_for_garbage() -> None:
    """Streamlit collects after each; that took 0.2 s with half a million objects, whatever the page."""
    code = (
        "import gc; from pages._ui import resources\n"
        "try: resources._load({}, lambda: None)\n"
        "except KeyError: print(len(gc.get_objects()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=resources.ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20_000 and "leaked" not in done.stderr

"""Bundles and the live model, opened once for all sessions, in bounded number.

Everything is keyed by a bundle's folder and its stamp (which file bundle.json is), so a bundle that is rebuilt in place
is opened anew, and one that vanished is not found in a cache. Streamlit's cache_resource makes a value once under
concurrent first calls and drops the least recently used beyond `max_entries`; live models have a cache of their own,
bounded by memory (`live`).
"""

import atexit
import gc
import logging
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import streamlit as st

from core.bundle.read import Listing, list_bundles, open_bundle
from core.errors import BundleMissing, ModelError, UnitscopeError
from core.store import Store
from pages._ui import live
from pages._ui.selection import BUNDLE

if TYPE_CHECKING:
    from core.explain import Explainer
    from core.explain.neurons import NeuronExplainer
    from core.explain.pairs import PairExplainer
    from core.explain.semantic import SemanticExplainer

_log = logging.getLogger("unitscope.resources")
BUNDLES_VARIABLE = "UNITSCOPE_BUNDLES"
ROOT = Path(__file__).resolve().parents[2]
MAX_OPEN = 8
"""Bundles open at once. An open one costs memory maps and small tables, so this is generous."""

_GONE = "This bundle is not in the folder of bundles (any more). Choose another, or make it again with precompute."
Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Opened:
    """A bundle that pages may ask. `name` is its folder's name, which URLs carry."""

    name: str
    folder: Path
    stamp: Stamp
    store: Store


def bundles_folder() -> Path:
    """The folder of bundles: $UNITSCOPE_BUNDLES, else `bundles` beside app.py."""
    return Path(os.environ.get(BUNDLES_VARIABLE) or ROOT / "bundles").resolve()


def stamp(folder: Path, manifest: str = "bundle.json") -> Stamp | None:
    """What tells one bundle.json from another that took its place; None where there is none."""
    try:
        found = (folder / manifest).stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def listings() -> tuple[Listing, ...]:
    """The bundles of the folder, the ones that cannot be opened with their reason; read again only when one changed."""
    folder = bundles_folder()
    try:
        children = sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    except OSError:
        children = []
    return _list(folder, tuple((child.name, stamp(child)) for child in children))


@st.cache_resource(max_entries=2, show_spinner=False)
def _list(folder: Path, stamps: tuple[tuple[str, Stamp | None], ...]) -> tuple[Listing, ...]:
    return tuple(list_bundles(folder)) if stamps else ()


def names() -> tuple[str, ...]:
    """Names of the bundles that can be opened; those of trained models first, so that a first look means something."""
    usable = [(listing.facts["model"]["random_weights"], listing.path.name) for listing in listings() if listing.facts]
    return tuple(name for _, name in sorted(usable))


def problems() -> tuple[str, ...]:
    """Why folders that look like bundles cannot be opened."""
    return tuple(listing.problem for listing in listings() if listing.problem)


def open_named(name: str) -> Opened:
    """The bundle `name`, which may come from a URL. Raises BundleMissing, BundleDamaged or BundleVersion."""
    recent = _recent.get(name)
    if recent and recent.folder.parent == bundles_folder() and stamp(recent.folder) == recent.stamp:
        return recent  # every thumbnail comes by here, and looking through the folder is half of what one costs
    if name not in names():
        listed = [listing for listing in listings() if listing.path.name == name and listing.problem]
        raise BundleMissing(listed[0].problem if listed else _GONE)
    folder = bundles_folder() / name
    mark = stamp(folder)
    if mark is None:
        raise BundleMissing(_GONE)
    opened = _open(name, folder, mark)
    if len(_recent) >= MAX_OPEN:
        _recent.clear()
    _recent[name] = opened
    return opened


_recent: dict[str, Opened] = {}


@st.cache_resource(max_entries=MAX_OPEN, show_spinner="Opening the bundle")
def _open(name: str, folder: Path, mark: Stamp) -> Opened:
    return Opened(name, folder, mark, Store(open_bundle(folder)))


def current() -> Opened:
    """The bundle that the URL names, else the one this session looked at last, else the first. For pages.

    Raises BundleMissing. Says so, once, when the bundle was rebuilt since this session last looked.
    """
    usable = names()
    name = st.query_params.get(BUNDLE) or st.session_state.get(BUNDLE) or (usable[0] if usable else "")
    opened = open_named(name)
    seen = st.session_state.setdefault("_stamps", {})
    if seen.get(opened.name, opened.stamp) != opened.stamp:
        st.toast("This bundle was rebuilt while you had it open. You see the new one now.", icon="🔄")
    seen[opened.name] = opened.stamp
    st.session_state[BUNDLE] = opened.name
    return opened


def explainer_status(opened: Opened) -> live.Status:
    """How far the live model of a bundle is: "loading", "ready" or "failed" with a reason. Never waits.

    Asking begins to load it in the background. A page that has something to show meanwhile asks this first, in a
    fragment that runs again by itself (`@st.fragment(run_every=1)`) and ends with `st.rerun()` once it is no longer
    "loading"; when it is "ready", `explainer` returns at once.
    """
    return MODELS.status((opened.folder, opened.stamp), opened.store.bundle.facts)


def explainer(opened: Opened) -> "Explainer":
    """The live model of a bundle, with its one locked inference service; loaded once, however many sessions ask.

    Waits for it, and says so on the page. ModelError if it is not the model that made the bundle, or cannot be loaded.
    Sessions keep it for a run of the script, never in their state: what nobody uses can then be freed.
    """
    promise = MODELS.ask((opened.folder, opened.stamp), opened.store.bundle.facts)
    if not promise.done():
        place, began = st.empty(), time.monotonic()
        while not promise.done():
            # drawing is also where Streamlit lets go of a run that its visitor has left
            place.caption(f":material/hourglass_top: Loading the model, {time.monotonic() - began:.0f} s")
            wait([promise], timeout=1)
        place.empty()
    if promise.exception() is not None:
        raise ModelError(explainer_status(opened).reason)
    return cast("Explainer", promise.result())


def neuron_explainer(opened: Opened) -> "NeuronExplainer":
    """What the live model says of the neurons of a bundle that has some (`opened.store.neurons`); see `explainer`."""
    from core.explain.neurons import NeuronExplainer  # as in `_load`

    model, table = explainer(opened), opened.store.neurons
    if table is None:
        raise BundleMissing("This bundle has no neurons.")
    return model.companion("neurons", lambda: NeuronExplainer(model, table))


def semantic_explainer(opened: Opened) -> "SemanticExplainer":
    """Segments pictures with the live model of a bundle; see `explainer`."""
    from core.explain.semantic import SemanticExplainer  # as in `_load`

    model = explainer(opened)
    return model.companion("semantic", lambda: SemanticExplainer(model, opened.store.bundle))


def pair_explainer(opened: Opened) -> "PairExplainer":
    """What the live model says of the pairs of a bundle that has some (`opened.store.pairs`); see `explainer`."""
    from core.explain.pairs import PairExplainer  # as in `_load`

    neurons, table = neuron_explainer(opened), opened.store.pairs
    if table is None:
        raise BundleMissing("This bundle has no neuron-head pairs.")
    return neurons.explainer.companion("pairs", lambda: PairExplainer(neurons, table))


def warm() -> None:
    """Begin to load the first bundle's model, so that a server's first visitor need not wait for all of it."""
    try:
        for name in names()[:1]:
            folder = bundles_folder() / name
            if mark := stamp(folder):  # past `_open`, which draws a spinner, and there is no page here
                MODELS.status((folder, mark), open_bundle(folder).facts)
    except UnitscopeError as error:  # whoever opens that bundle is told
        _log.warning("no model is loaded ahead: %s", error)


def _load(facts: Mapping[str, Any], make_room: Callable[[], None]) -> "live.Model":
    # imported here: it brings torch, for which pages that only read bundles need not wait
    from core.explain.live import load_explainer, load_zoo_explainer

    if not gc.get_freeze_count():
        # Streamlit collects garbage after every rerun, and torch's 350,000 objects, none of them garbage, make that
        # take 0.2 s in which no session gets on; frozen, they are not looked at
        gc.collect()
        gc.freeze()
        atexit.register(gc.unfreeze)  # at the end libraries complain of what is left
    if "dictionary" in facts:
        return load_zoo_explainer(facts["dictionary"], make_room)
    return load_explainer(facts, make_room)


def _weight(model: "live.Model") -> tuple[str, int]:
    from core.explain.live import weight

    return weight(model)


def _memory(kind: str) -> int:
    from core.explain.live import memory

    return memory(kind)


MODELS = live.LiveModels(_load, _weight, _memory)
"""The live models of this process."""

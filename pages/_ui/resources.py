"""Bundles and the live model, opened once for all sessions, in bounded number.

Everything is keyed by a bundle's folder and its stamp (which file bundle.json is), so a bundle that is rebuilt in place
is opened anew, and one that vanished is not found in a cache. Streamlit's cache_resource makes a value once under
concurrent first calls and drops the least recently used beyond `max_entries`.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core.bundle.read import Listing, list_bundles, open_bundle
from core.errors import BundleMissing
from core.store import Store
from pages._ui.selection import BUNDLE

if TYPE_CHECKING:
    from core.explain import Explainer

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


def stamp(folder: Path) -> Stamp | None:
    """What tells one bundle.json from another that took its place; None where there is none."""
    try:
        found = (folder / "bundle.json").stat()
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
    if name not in names():
        listed = [listing for listing in listings() if listing.path.name == name and listing.problem]
        raise BundleMissing(listed[0].problem if listed else _GONE)
    folder = bundles_folder() / name
    mark = stamp(folder)
    if mark is None:
        raise BundleMissing(_GONE)
    return _open(name, folder, mark)


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


def explainer(opened: Opened) -> "Explainer":
    """The live model of a bundle, with its one locked inference service; loaded once, however many sessions ask.

    Raises ModelError if it is not the model that made the bundle, or cannot be loaded here.
    """
    return _load(opened.folder, opened.stamp)


@st.cache_resource(max_entries=1, show_spinner="Loading the model")
def _load(folder: Path, mark: Stamp) -> "Explainer":
    # imported here: they bring torch, for which pages that only read bundles need not wait
    from core.explain import Explainer
    from core.methods.layernorm import Convention
    from core.models.load import load_model

    facts = open_bundle(folder).facts
    made = facts["model"]
    _log.info("loading %s for %s", made["name"], folder.name)  # the test that sessions share a model counts these
    model = load_model(
        made["name"],
        made["pretrained"],
        precision=made["precision"],
        activation=made["activation"],
        allow_random_weights=made["random_weights"],
    )
    layers = [layer for layer in facts["axes"]["layer"]["labels"] if layer is not None]
    explainer = Explainer(model, Convention(facts["layernorm"]), layers or None)
    explainer.check_bundle(facts)
    return explainer

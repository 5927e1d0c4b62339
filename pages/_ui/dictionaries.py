"""Rosetta dictionaries of the bundles' folder, opened once for all sessions, and the live models that each records.

As with bundles (`resources`): keyed by folder and stamp, so one that is made again in place is opened anew.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import streamlit as st

from core.bundle.dictionary import list_dictionaries, open_dictionary
from core.bundle.schema_rosetta import DICTIONARY, DICTIONARY_PREFIX
from core.errors import AddressError, BundleMissing, UnitscopeError
from core.store.dictionary import Dictionary
from pages._ui import live, resources
from pages._ui.resources import Stamp

if TYPE_CHECKING:
    from core.explain.rosetta import RosettaExplainer

MAKE = "python -m precompute rosetta --models MODEL MODEL --images FOLDER --out bundles"
_GONE = "This dictionary is not in the folder of bundles (any more). Choose another, or make it again with precompute."


@dataclass(frozen=True)
class Opened:
    """A dictionary that pages may ask. `name` is its folder's name, which URLs carry."""

    name: str
    folder: Path
    stamp: Stamp
    store: Dictionary


def names() -> tuple[str, ...]:
    """Names of the finished dictionaries."""
    try:
        folders = sorted(resources.bundles_folder().glob(f"{DICTIONARY_PREFIX}*"))
    except OSError:
        return ()
    return tuple(folder.name for folder in folders if _stamp(folder))


def unfinished() -> bool:
    """Whether one is being made, or was begun and never finished: working state has names that begin with a dot."""
    return any(resources.bundles_folder().glob(f"{DICTIONARY_PREFIX}*/.*/"))


def named(name: str) -> bool:
    """Whether a folder's name is a dictionary's and no bundle's."""
    return name.startswith(DICTIONARY_PREFIX)


def problems() -> tuple[str, ...]:
    """Why folders that look like dictionaries cannot be opened."""
    return tuple(each.problem for each in list_dictionaries(resources.bundles_folder()) if each.problem)


def open_named(name: str) -> Opened:
    """The dictionary `name`, which may come from a URL. Raises BundleMissing, BundleDamaged or BundleVersion."""
    recent = _recent.get(name)
    if recent and recent.folder.parent == resources.bundles_folder() and _stamp(recent.folder) == recent.stamp:
        return recent
    if name not in names():
        raise BundleMissing(_GONE)
    folder = resources.bundles_folder() / name
    mark = _stamp(folder)
    if mark is None:
        raise BundleMissing(_GONE)
    opened = _open(name, folder, mark)
    if len(_recent) >= resources.MAX_OPEN:
        _recent.clear()
    _recent[name] = opened
    return opened


def having(concept: str) -> Opened:
    """The dictionary that has a concept. AddressError."""
    for name in names():
        try:
            found = open_named(name)
        except UnitscopeError:
            continue
        if found.store.concept(concept) is not None:
            return found
    raise AddressError(f"No dictionary here has a concept {concept[:80]!r}.")


_recent: dict[str, Opened] = {}


@st.cache_resource(max_entries=resources.MAX_OPEN, show_spinner="Opening the dictionary")
def _open(name: str, folder: Path, mark: Stamp) -> Opened:
    return Opened(name, folder, mark, Dictionary(open_dictionary(folder)))


def _stamp(folder: Path) -> Stamp | None:
    return resources.stamp(folder, DICTIONARY.manifest)


def explainer_status(opened: Opened) -> live.Status:
    """How far the live models of a dictionary are; see `resources.explainer_status`. Never waits."""
    return resources.MODELS.status(*_promise(opened))


def explainer(opened: Opened) -> "RosettaExplainer":
    """The live models of a dictionary, once they are "ready"; ModelError where none of them can be loaded."""
    return cast("RosettaExplainer", resources.MODELS.ask(*_promise(opened)).result())


def _promise(opened: Opened) -> tuple[tuple[Path, Stamp], dict[str, Any]]:
    """What the live models' cache knows them by, and what they are loaded from."""
    named = {"name": " and ".join(member.name for member in opened.store.members)}
    return (opened.folder, opened.stamp), {"id": opened.name, "model": named, "dictionary": opened.store}

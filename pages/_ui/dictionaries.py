"""Rosetta dictionaries of the bundles' folder, opened once for all sessions, and the live models that each records.

As with bundles (`resources`): keyed by folder and stamp, so one that is made again in place is opened anew.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import streamlit as st

from core.errors import BundleError, BundleMissing
from core.store.dictionary import Dictionary, open_dictionary
from pages._ui import live, resources
from pages._ui.resources import Stamp

if TYPE_CHECKING:
    from core.explain.rosetta import RosettaExplainer

PREFIX = resources.DICTIONARY
MAKE = "python -m precompute rosetta --models MODEL MODEL --images FOLDER --out bundles"
_MANIFEST = "rosetta.json"
_GONE = "This dictionary is not in the folder of bundles (any more). Choose another, or make it again with precompute."


@dataclass(frozen=True)
class Opened:
    """A dictionary that pages may ask. `name` is its folder's name, which URLs carry."""

    name: str
    folder: Path
    stamp: Stamp
    store: Dictionary


def folders() -> tuple[Path, ...]:
    """Every folder that is a dictionary or begins to be one, by name."""
    try:
        found = sorted(resources.bundles_folder().glob(f"{PREFIX}*"))
    except OSError:
        return ()
    return tuple(folder for folder in found if folder.is_dir())


def names() -> tuple[str, ...]:
    """Names of the finished dictionaries."""
    return tuple(folder.name for folder in folders() if resources.stamp(folder, _MANIFEST))


def problems() -> tuple[str, ...]:
    """Why folders that look like dictionaries cannot be opened."""
    told = []
    for folder in folders():
        try:
            open_dictionary(folder)
        except BundleError as error:
            told.append(str(error))
    return tuple(told)


def open_named(name: str) -> Opened:
    """The dictionary `name`, which may come from a URL. Raises BundleMissing, BundleDamaged or BundleVersion."""
    recent = _recent.get(name)
    if recent and recent.folder.parent == resources.bundles_folder():
        if resources.stamp(recent.folder, _MANIFEST) == recent.stamp:
            return recent
    if name not in names():
        raise BundleMissing(_GONE)
    folder = resources.bundles_folder() / name
    mark = resources.stamp(folder, _MANIFEST)
    if mark is None:
        raise BundleMissing(_GONE)
    opened = _open(name, folder, mark)
    if len(_recent) >= resources.MAX_OPEN:
        _recent.clear()
    _recent[name] = opened
    return opened


_recent: dict[str, Opened] = {}


@st.cache_resource(max_entries=resources.MAX_OPEN, show_spinner="Opening the dictionary")
def _open(name: str, folder: Path, mark: Stamp) -> Opened:
    return Opened(name, folder, mark, open_dictionary(folder))


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

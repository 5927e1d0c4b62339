"""Embeddings of labels, by which their meanings are compared: the live model's text tower where it is ready, and
meanwhile the bundle's own for labels that are texts of its pool."""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.errors import UnitscopeError
from core.labels.agreement import Embed
from core.labels.ledger import same
from pages._ui import live, resources
from pages._ui.resources import Opened, Stamp

if TYPE_CHECKING:
    from core.explain import Explainer

_CHUNK = 64  # other sessions wait for a chunk, not for all
_MOST = 50_000  # vectors kept: 100 MB at 512 numbers each
_known: "OrderedDict[tuple[str, str], np.ndarray | None]" = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True)
class Encoder:
    """`embed`, which model that is, and a `key` that tells its answers from another's. `waiting`: the live model is
    being loaded, so that more can be embedded soon; `problem` why it cannot be."""

    embed: Embed
    model: str
    key: str
    waiting: bool = False
    problem: str = ""


def status(opened: Opened) -> live.Status:
    """How far the live model is."""
    return resources.explainer_status(opened)


def encoder(opened: Opened) -> Encoder:
    """What can be embedded now; never waits."""
    found = status(opened)
    name = opened.store.facts().model
    if found.state == "ready":
        return Encoder(lambda texts: _live(opened, texts), name, f"live {opened.store.facts().weights_digest}")
    return Encoder(
        lambda texts: _pool(opened, texts), name, f"pool {opened.name}", found.state == "loading", found.reason
    )


def _live(opened: Opened, texts: Sequence[str]) -> Mapping[str, np.ndarray]:
    """Of every text whose words the tower was trained on, as far as its weights tell."""
    model = resources.explainer(opened)
    with _lock:
        missing = [text for text in texts if (model.digest, text) not in _known]
    for start in range(0, len(missing), _CHUNK):
        chunk = [text for text in missing[start : start + _CHUNK] if _readable(model, text)]
        made = dict(zip(chunk, model.encode_texts(chunk), strict=True)) if chunk else {}
        with _lock:
            for text in missing[start : start + _CHUNK]:
                _known[model.digest, text] = made.get(text)
            while len(_known) > _MOST:
                _known.popitem(last=False)
    with _lock:
        found = {text: _known.get((model.digest, text)) for text in texts}
    return {text: vector for text, vector in found.items() if vector is not None}


def _readable(model: "Explainer", text: str) -> bool:
    try:
        return not model.unseen_words([text])
    except UnitscopeError:  # longer than any prompt, or no valid text
        return False


def _pool(opened: Opened, texts: Sequence[str]) -> Mapping[str, np.ndarray]:
    rows = _rows(opened.name, opened.stamp, opened)
    at = {text: rows[same(text)] for text in texts if same(text) in rows}
    vectors = opened.store.bundle.array("text_embeddings")
    return {text: np.asarray(vectors[row], np.float32) for text, row in at.items()}


@st.cache_resource(max_entries=resources.MAX_OPEN, show_spinner=False)
def _rows(name: str, mark: Stamp, _opened: Opened) -> dict[str, int]:
    """Row of each text of the bundle's pool."""
    return {same(text): row for row, text in enumerate(_opened.store.bundle.table("pool")["text"].to_pylist())}

"""A pool of texts to relabel with: one that comes with the product or the visitor's own, and whether it is kept."""

from collections.abc import Callable
from typing import Any

import numpy as np
import streamlit as st

from core.errors import UnitscopeError
from core.text.pools import TextPool
from pages._ui import pools, states
from pages._ui.resources import Opened
from pages._ui.selection import Chosen
from pages._ui.words import count, plain

_NOTICE = "_pool_notice"


def draw(
    opened: Opened, chosen: Chosen[Any], question: str, result: Callable[[TextPool, np.ndarray], Any]
) -> dict[str, Any]:
    """The pool, and below it what `result` draws of its texts and their embeddings (w, o) and returns, if there is a
    pool; returns both. The view has it in `pool`."""
    name = chosen.view.pool
    st.write(f"{question} The link keeps pool and choice.")
    _choose(chosen)
    if sentence := st.session_state.pop(_NOTICE, None):
        states.problem(sentence)
    drawn: dict[str, Any] = {}
    if name is None:
        states.empty("No pool yet", "Choose one above, or give texts of your own below.")
    else:
        with states.calm():  # the form stays, whatever is wrong with this pool
            drawn = _result(opened, name, result)
    _own(chosen, opened=not drawn)
    return drawn


def _choose(chosen: Chosen[Any]) -> None:
    name, key = chosen.view.pool, "pool-name"
    st.session_state[key] = name if name in pools.BUILT_IN else None
    st.selectbox(
        "A pool that comes with Unitscope",
        list(pools.BUILT_IN),
        index=None,
        key=key,
        format_func=pools.BUILT_IN.__getitem__,
        placeholder="Choose a pool",
        on_change=lambda: chosen.go(pool=st.session_state[key]),
    )


def _own(chosen: Chosen[Any], *, opened: bool) -> None:
    """The form for a visitor's own texts."""
    with (
        st.expander("Texts of your own", expanded=opened, icon=":material/edit_note:"),
        st.form("pool-own", border=False),
    ):
        st.text_area("Texts, one a line", key="pool-pasted", height=140, placeholder="snow\na beach at night\nstripes")
        st.file_uploader(
            "Or a text file", type=["txt"], key="pool-upload", help="UTF-8, one text a line; used if given."
        )
        st.form_submit_button(
            "Use these texts", type="primary", icon=":material/label:", on_click=_take, args=(chosen,)
        )


def _take(chosen: Chosen[Any]) -> None:
    """Texts arrived: into the session, and their name into the link; or a sentence."""
    upload = st.session_state.get("pool-upload")
    content: str | bytes = upload.getvalue() if upload is not None else st.session_state["pool-pasted"]
    if not content:
        st.session_state[_NOTICE] = "There are no texts yet: paste some, one a line, or choose a file."
        return
    try:
        chosen.go(pool=pools.take(content, upload.name if upload is not None else "pasted"))
    except UnitscopeError as error:
        st.session_state[_NOTICE] = str(error)


def _result(opened: Opened, name: str, result: Callable[[TextPool, np.ndarray], Any]) -> dict[str, Any]:
    pool = pools.get(name)
    if pool is None:
        states.empty(
            "These texts are not here",
            "A visitor's texts live in the session of whoever gave them, unless they were kept on the server, which "
            f"ends after {pools.SHELF.keep_days} days. Give the same texts again, and this link shows the same.",
        )
        return {}
    vectors = pools.vectors(opened, name, pool)
    _about(name, pool)
    made = result(pool, vectors)
    return {"pool": {"name": name, "digest": pool.digest, "texts": len(pool)}, "relabelled": made}


def _about(name: str, pool: TextPool) -> None:
    """How many texts, and for the visitor's own whether the server keeps them."""
    st.caption(plain(" ".join([f"{count(len(pool), 'text')} in use.", *pool.notes])))
    if pools.in_session(name):
        st.session_state["pool-keep"] = pools.SHELF.load(name) is not None
        st.checkbox(
            f"Keep these texts on the server for {pools.SHELF.keep_days} days",
            key="pool-keep",
            help="Then this page's link works elsewhere too, for whoever has it. Untick to remove them.",
            on_change=lambda: _keep(name),
        )
    elif name not in pools.BUILT_IN:
        st.caption(f"Kept on the server on their owner's wish, for {pools.SHELF.keep_days} days.")


def _keep(name: str) -> None:
    try:
        if st.session_state["pool-keep"]:
            pools.keep(name)
        else:
            pools.SHELF.forget(name)
    except (UnitscopeError, OSError) as error:
        known = isinstance(error, UnitscopeError)
        st.session_state[_NOTICE] = str(error) if known else "The server could not change what it keeps."

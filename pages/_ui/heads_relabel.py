"""Relabel: the same choice of texts, from another pool, for this head or for all, and what changed."""

from typing import Any

import pandas as pd
import streamlit as st

from core.errors import UnitscopeError
from core.store import Baseline, HeadAnswer, Relabelled
from core.text.pools import TextPool
from pages._ui import figures, heads_pools, states
from pages._ui.resources import Opened
from pages._ui.selection import Chosen
from pages._ui.words import count, plain

SCOPES = {"head": "This head", "all": "All heads"}
PICKS = 10
_NOTICE = "_heads_notice"


def draw(opened: Opened, chosen: Chosen[Any], answer: HeadAnswer, baseline: Baseline) -> dict[str, Any]:
    """The pool, and the result if there is one; returns what it drew."""
    name = chosen.view.pool
    st.write(
        "Which texts would describe this head best if they came from another pool? The link keeps pool and choice."
    )
    _choose(chosen)
    if sentence := st.session_state.pop(_NOTICE, None):
        states.problem(sentence)
    drawn: dict[str, Any] = {}
    if name is None:
        states.empty("No pool yet", "Choose one above, or give texts of your own below.")
    else:
        with states.calm():  # the form stays, whatever is wrong with this pool
            drawn = _result(opened, chosen, answer, baseline, name)
    _own(chosen, opened=not drawn)
    return drawn


def _choose(chosen: Chosen[Any]) -> None:
    name, key = chosen.view.pool, "heads-pool"
    st.session_state[key] = name if name in heads_pools.BUILT_IN else None
    st.selectbox(
        "A pool that comes with Unitscope",
        list(heads_pools.BUILT_IN),
        index=None,
        key=key,
        format_func=heads_pools.BUILT_IN.__getitem__,
        placeholder="Choose a pool",
        on_change=lambda: chosen.go(pool=st.session_state[key]),
    )


def _own(chosen: Chosen[Any], *, opened: bool) -> None:
    """The form for a visitor's own texts."""
    with (
        st.expander("Texts of your own", expanded=opened, icon=":material/edit_note:"),
        st.form("heads-own", border=False),
    ):
        st.text_area("Texts, one a line", key="heads-pasted", height=140, placeholder="snow\na beach at night\nstripes")
        st.file_uploader(
            "Or a text file", type=["txt"], key="heads-upload", help="UTF-8, one text a line; used if given."
        )
        st.form_submit_button(
            "Use these texts", type="primary", icon=":material/label:", on_click=_take, args=(chosen,)
        )


def _take(chosen: Chosen[Any]) -> None:
    """Texts arrived: into the session, and their name into the link; or a sentence."""
    upload = st.session_state.get("heads-upload")
    content: str | bytes = upload.getvalue() if upload is not None else st.session_state["heads-pasted"]
    if not content:
        st.session_state[_NOTICE] = "There are no texts yet: paste some, one a line, or choose a file."
        return
    try:
        chosen.go(pool=heads_pools.take(content, upload.name if upload is not None else "pasted"))
    except UnitscopeError as error:
        st.session_state[_NOTICE] = str(error)


def _result(opened: Opened, chosen: Chosen[Any], answer: HeadAnswer, baseline: Baseline, name: str) -> dict[str, Any]:
    pool = heads_pools.get(name)
    if pool is None:
        states.empty(
            "These texts are not here",
            "A visitor's texts live in the session of whoever gave them, unless they were kept on the server, which "
            f"ends after {heads_pools.SHELF.keep_days} days. Give the same texts again, and this link shows the same.",
        )
        return {}
    vectors = heads_pools.vectors(opened, name, pool)
    _about(name, pool)
    st.segmented_control(
        "Relabel", list(SCOPES), format_func=SCOPES.__getitem__, required=True,
        help="TextSpan from the stored covariances, over all images that could be used.", **chosen.bound("scope"),
    )  # fmt: skip
    address = answer.summary.address if chosen.view.scope == "head" else None
    with st.spinner("Choosing texts"):
        made = opened.store.relabel(pool.texts, vectors, PICKS, address)
    if address:
        one(made[0], baseline)
    else:
        every(made, str(answer.population))
    return {"pool": {"name": name, "digest": pool.digest, "texts": len(pool)}, "relabelled": made}


def _about(name: str, pool: TextPool) -> None:
    """How many texts, and for the visitor's own whether the server keeps them."""
    st.caption(plain(" ".join([f"{count(len(pool), 'text')} in use.", *pool.notes])))
    if heads_pools.in_session(name):
        st.session_state["heads-keep"] = heads_pools.SHELF.load(name) is not None
        st.checkbox(
            f"Keep these texts on the server for {heads_pools.SHELF.keep_days} days",
            key="heads-keep",
            help="Then this page's link works elsewhere too, for whoever has it. Untick to remove them.",
            on_change=lambda: _keep(name),
        )
    elif name not in heads_pools.BUILT_IN:
        st.caption(f"Kept on the server on their owner's wish, for {heads_pools.SHELF.keep_days} days.")


def _keep(name: str) -> None:
    try:
        if st.session_state["heads-keep"]:
            heads_pools.keep(name)
        else:
            heads_pools.SHELF.forget(name)
    except (UnitscopeError, OSError) as error:
        known = isinstance(error, UnitscopeError)
        st.session_state[_NOTICE] = str(error) if known else "The server could not change what it keeps."


def one(made: Relabelled, baseline: Baseline) -> None:
    """New texts beside the stored ones."""
    verdict = "The first text is another one." if made.changed else "The first text is the same."
    n = len(made.texts)
    by_chance = f", as many random ones of its pool {baseline.random_m[n - 1]:.0%}" if 0 < n <= len(made.before) else ""
    st.markdown(
        f"**{plain(verdict)}** The {count(n, 'text')} chosen from this pool explain {made.explained:.0%} of the head's "
        f"variance; as many chosen from the bundle's explain {made.explained_before:.0%}{by_chance} "
        f"({plain(baseline.population)})."
    )
    rows = [
        {
            "no.": m + 1,
            "this pool's": text.text,
            "together": text.cumulative,
            "the bundle's": made.before[m].text if m < len(made.before) else "",
            "together before": made.before[m].cumulative if m < len(made.before) else None,
        }
        for m, text in enumerate(made.texts)
    ]
    _percent(pd.DataFrame(rows), f"relabel-{made.address}", "together", "together before")


def every(made: tuple[Relabelled, ...], population: str) -> None:
    """A line for each head."""
    changed = sum(each.changed for each in made)
    st.markdown(f"**{changed} of {count(len(made), 'head')}** got another first text. Shares {plain(population)}.")
    rows = [
        {
            "head": each.address,
            "this pool's": each.texts[0].text if each.texts else "",
            "the bundle's": each.before[0].text if each.before else "",
            "changed": each.changed,
            "explained": each.explained,
            "explained before": each.explained_before,
        }
        for each in made
    ]
    st.caption(f"Explained: by the first {PICKS} texts together, before by as many of the bundle's.")
    _percent(pd.DataFrame(rows), "relabel-all", "explained", "explained before")


def _percent(rows: pd.DataFrame, name: str, *columns: str) -> None:
    formats: dict[str, Any] = {c: st.column_config.NumberColumn(format="percent", width=70) for c in columns}
    formats |= {c: st.column_config.TextColumn(width=180) for c in ("this pool's", "the bundle's")}
    formats |= {"no.": st.column_config.NumberColumn(width=40), "head": st.column_config.TextColumn(width=60)}
    figures.table(rows, name, columns=formats)

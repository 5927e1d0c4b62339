"""Relabel: the same choice of texts, from a visitor's own pool, for this head or for all, and what changed."""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.errors import InputError
from core.store import HeadAnswer, Relabelled
from core.text.pools import parse_pool
from pages._ui import figures, resources, states
from pages._ui.resources import Opened
from pages._ui.words import count, plain

MOST_TEXTS = 20_000
"""Texts of a visitor's pool: more would keep the model from the other visitors for minutes."""
PICKS = 10
_CHUNK = 128


def draw(opened: Opened, answer: HeadAnswer) -> None:
    """The form, and the result of what it last asked for."""
    st.write("Give texts of your own, one a line. They are embedded once; after that every head is relabelled at once.")
    result = st.container()  # above the form, so that it is seen when it comes
    with st.form("heads-pool", border=False):
        pasted = st.text_area(
            "Texts, one a line", key="heads-pasted", height=140, placeholder="snow\na beach at night\nstripes"
        )
        upload = st.file_uploader(
            "Or a text file", type=["txt"], key="heads-upload", help="UTF-8, one text a line; used if given."
        )
        asked = st.form_submit_button("Use these texts", type="primary", icon=":material/label:")
    if asked:
        content: str | bytes = upload.getvalue() if upload is not None else pasted
        if content:
            with states.calm():
                st.session_state["heads-pool-kept"] = _embed(opened, content, upload.name if upload else "pasted")
        else:
            states.problem("There are no texts yet: paste some, one a line, or choose a file.")
    with result:
        _result(opened, answer)


def _result(opened: Opened, answer: HeadAnswer) -> None:
    kept = st.session_state.get("heads-pool-kept")
    if kept is None or kept["bundle"] != (opened.name, opened.stamp):
        states.empty("No texts yet", "Your texts stay in this session; they are not part of the link.")
        return
    st.caption(plain(f"{count(len(kept['texts']), 'text')} in use. " + " ".join(kept["notes"])))
    scope = st.segmented_control(
        "Relabel", ["This head", "All heads"], default="This head", required=True, key="heads-scope",
        help="TextSpan from the stored covariances, over all images that could be used.",
    )  # fmt: skip
    address = answer.summary.address
    with st.spinner("Choosing texts"):
        made = opened.store.relabel(kept["texts"], kept["vectors"], PICKS, address if scope == "This head" else None)
    if scope == "This head":
        one(made[0], str(answer.population))
    else:
        every(made, str(answer.population))


def _embed(opened: Opened, content: str | bytes, name: str) -> dict[str, Any]:
    pool = parse_pool(content, name)
    if len(pool) > MOST_TEXTS:
        raise InputError(
            f"This pool has {len(pool):,} texts; on this page at most {MOST_TEXTS:,} are embedded at once."
        )
    explainer = resources.explainer(opened)
    bar = st.progress(0.0, text=f"Embedding {count(len(pool), 'text')}")
    parts = []
    for start in range(0, len(pool), _CHUNK):  # other sessions wait for a chunk, not for all; nothing goes to the disk
        parts.append(explainer.encode_texts(pool.texts[start : start + _CHUNK]))
        done = min(start + _CHUNK, len(pool))
        bar.progress(done / len(pool), text=f"Embedded {done:,} of {len(pool):,} texts")
    vectors = np.concatenate(parts)
    bar.empty()
    return {"bundle": (opened.name, opened.stamp), "texts": pool.texts, "vectors": vectors, "notes": pool.notes}


def one(made: Relabelled, population: str) -> None:
    """New texts beside the stored ones."""
    verdict = "The first text is another one." if made.changed else "The first text is the same."
    st.markdown(
        f"**{plain(verdict)}** Your {count(len(made.texts), 'text')} explain {made.explained:.0%} of the head's "
        f"variance; as many of the bundle's explain {made.explained_before:.0%} ({plain(population)})."
    )
    rows = [
        {
            "no.": n + 1,
            "yours": made.texts[n].text if n < len(made.texts) else "",
            "together": made.texts[n].cumulative if n < len(made.texts) else None,
            "the bundle's": made.before[n].text if n < len(made.before) else "",
            "together before": made.before[n].cumulative if n < len(made.before) else None,
        }
        for n in range(min(PICKS, max(len(made.texts), len(made.before))))
    ]
    _percent(pd.DataFrame(rows), f"relabel-{made.address}", "together", "together before")


def every(made: tuple[Relabelled, ...], population: str) -> None:
    """A line for each head."""
    changed = sum(each.changed for each in made)
    st.markdown(f"**{changed} of {count(len(made), 'head')}** got another first text. Shares {plain(population)}.")
    rows = [
        {
            "head": each.address,
            "yours": each.texts[0].text if each.texts else "",
            "the bundle's": each.before[0].text if each.before else "",
            "changed": each.changed,
            "explained": each.explained,
            "explained before": each.explained_before,
        }
        for each in made
    ]
    _percent(pd.DataFrame(rows), "relabel-all", "explained", "explained before")


def _percent(rows: pd.DataFrame, name: str, *columns: str) -> None:
    figures.table(rows, name, columns={c: st.column_config.NumberColumn(format="percent") for c in columns})

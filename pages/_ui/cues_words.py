"""The neurons that write toward the second class, the words they share, and a prompt made of the words."""

from typing import Any

import pandas as pd
import streamlit as st

from core.store.cues import Cues
from pages._ui import figures, linked_table, links, states
from pages._ui.cues_choose import Side
from pages._ui.selection import Chosen
from pages._ui.words import count, plain

COUNTS = (10, 30, 100, 300)
PROMPT_WORDS = 10
_HELP = {
    "neuron": "Opens the neuron's page.",
    "described by": "The first texts of the end that is meant.",
    "product": "⟨r, c2 − c1⟩: what a coefficient of one adds to the difference of the two cosines.",
    "end": "The end of the neuron that writes toward the second class: + where the product is positive, else −.",
}


def words(found: Cues, sides: tuple[Side, Side]) -> None:
    """The words, and where they come from."""
    st.subheader("Words they share", anchor=False)
    c1, c2 = (plain(side.about, 60) for side in sides)
    if not found.words:
        states.empty(
            "No word draws that way", "No text of the pool that these neurons share speaks for the second class."
        )
        return
    figures.table(
        pd.DataFrame(
            [
                {
                    "word": word.text,
                    "weight": word.weight,
                    "neurons behind it": ", ".join(f"{name} {part:+.2f}" for name, part in word.neurons),
                }
                for word in found.words
            ]
        ),
        "cues-words",
        columns={"weight": st.column_config.ProgressColumn(format="%.3f", min_value=0.0, width=110)},
    )
    st.caption(
        f"Weight: the sum of γ ⟨r, c2 − c1⟩ over {count(len(found.neurons), 'neuron')}, γ being the text's coefficient "
        f"in the neuron's decomposition and r its direction, {plain(found.population)}. "
        f"{count(found.left_out, 'text')} of the pool that name {c1} or {c2} are left out."
    )


def neurons(found: Cues, chosen: Chosen[Any]) -> None:
    """The neurons, each a link."""
    st.subheader("Neurons that write toward it", anchor=False)
    st.segmented_control("How many are summed", COUNTS, required=True, **chosen.bound("neurons"))
    rows = [[each.address, each.label, each.product, each.end] for each in found.neurons]
    linked_table.draw(
        pd.DataFrame(rows, columns=list(_HELP)),
        "cues-neurons",
        "Neurons",
        lambda row: links.href("neurons", neuron=row["neuron"]),
        told=_HELP,
        formats={"product": "{:+.3f}"},
    )
    st.caption(
        "By the size of the product. The sign of a neuron's direction is a convention: where the product is negative, "
        "it is the neuron's − end that writes toward the second class, and the texts are those of that end."
    )


def prompt(found: Cues, sides: tuple[Side, Side]) -> None:
    """What to give to a language model."""
    if found.words:
        st.subheader("For a language model", anchor=False)
        st.caption("Its descriptions can go to any generator of images; whether those fool the model is then measured.")
        st.code(written(sides, [word.text for word in found.words[:PROMPT_WORDS]]), language=None, wrap_lines=True)


def written(sides: tuple[Side, Side], texts: list[str]) -> str:
    """The prompt, in plain text."""
    c1, c2 = (side.about for side in sides)
    listed = "\n".join(f"- {text}" for text in texts)
    return (
        f"Describe ten photographs, one sentence each. The main subject of every photograph is: {c1}. It is plain to "
        f"see, and nobody would call it anything else.\n\n"
        f"Around it, put things, places or looks from this list, two or three in each photograph, so that they belong "
        f"to the scene:\n{listed}\n\n"
        f"Never show or mention: {c2}, or a part, picture or word of it. Vary the setting, the light and the distance. "
        "Give the ten sentences and nothing else."
    )

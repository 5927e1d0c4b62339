"""The two classes of the Cues page: of the bundle's, or a visitor's own texts, and what the model makes of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st

from core.errors import InputError
from core.text.mentions import content_words, subject, word_forms
from pages._ui import image_sections, resources
from pages._ui.resources import Opened
from pages._ui.selection import Chosen
from pages._ui.words import plain

MOST_CHARACTERS = 200
SIDES = {"c1": "What the images show", "c2": "What they should be taken for"}


@dataclass(frozen=True)
class Side:
    """One of the two: its `name`, its `position` among the bundle's classes (None: a text of the visitor's), its unit
    text embedding."""

    name: str
    position: int | None
    text_o: np.ndarray

    @property
    def about(self) -> str:
        """The thing itself: of "a photo of a dog", "dog"."""
        return subject(self.name)

    @property
    def forms(self) -> tuple[str, ...]:
        return word_forms(self.name)


def start(opened: Opened) -> dict[str, str]:
    """What an empty address shows: the first class, and the one whose text is most like its own."""
    names = opened.store.class_names()
    class_co = np.asarray(opened.store.bundle.array("class_embeddings"))
    centred_co = class_co - class_co.mean(0)
    alike_c = centred_co @ centred_co[0] / np.linalg.norm(centred_co, axis=1)
    alike_c[0] = -np.inf
    return {"c1": names[0], "c2": names[int(np.argmax(alike_c))]}


def draw(opened: Opened, chosen: Chosen[Any]) -> None:
    """The two fields."""
    names = opened.store.class_names()
    for column, (field, label) in zip(st.columns(2), SIDES.items(), strict=True):
        value, key = getattr(chosen.view, field), f"cues-{field}"
        st.session_state[key] = value

        def changed(field: str = field, key: str = key) -> None:
            given = " ".join(str(st.session_state[key] or "").split())[:MOST_CHARACTERS]
            if given:
                chosen.go(**{field: given})

        with column:
            st.selectbox(
                label,
                names if value in names else (value, *names),
                key=key,
                accept_new_options=True,
                on_change=changed,
                help=f"One of the bundle's {len(names):,} classes, or a text of your own, such as “a photo of a dog”.",
            )


def read(opened: Opened, view: Any) -> tuple[Side, Side] | None:
    """Both sides; None where the model is still being loaded, which is drawn instead. InputError for the same class
    twice, or a text none of whose words the model was trained on."""
    names, given = opened.store.class_names(), (view.c1, view.c2)
    if word_forms(given[0]) == word_forms(given[1]):
        raise InputError(f"Both are “{given[0]}”. Cues lead from one class to another: choose two that differ.")
    own = [text for text in given if text not in names]
    explainer = None
    if own:
        model = resources.explainer_status(opened)
        if model.state != "ready":
            image_sections.wait(opened, model)
            return None
        explainer = resources.explainer(opened)
    made = []
    for text in given:
        if text in names:
            at = names.index(text)
            made.append(Side(text, at, np.array(opened.store.bundle.array("class_embeddings")[at])))
            continue
        assert explainer is not None
        unseen = explainer.unseen_words([text])
        if content_words(text) and content_words(text) <= content_words(" ".join(unseen)):
            raise InputError(
                f"“{text}” is no class of this bundle, and the model was trained on none of its words, so it says "
                "nothing to it. Choose a class, or describe it in other words."
            )
        made.append(Side(text, None, explainer.embed([text])[0]))
        heard = f" It never met {plain(', '.join(unseen), 80)} in its training." if unseen else ""
        st.caption(f"“{plain(text, 80)}” is no class of this bundle; the model reads it as a text.{heard}")
    return made[0], made[1]

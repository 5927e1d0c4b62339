"""The visitor's prompts: a text area whose lines are in the URL, and which of them the page explains."""

from typing import TYPE_CHECKING, Any

import streamlit as st

from core.errors import InputError
from pages._ui import states
from pages._ui.resources import Opened
from pages._ui.selection import Chosen
from pages._ui.words import plain

if TYPE_CHECKING:
    from core.explain import Explainer

MAX_LINES = 40
MAX_CHARACTERS = 1_000
MAX_TOTAL = 8_000
"""Characters of all prompts together: they are in the address, and proxies cut addresses that are longer."""
_NOTICE = "_prompts_notice"
_NOTHING = "nothing"
_WORDS_SHOWN = 12


def start(opened: Opened, image: int | None) -> tuple[str, ...]:
    """Prompts to begin with: the image's own class and others of the bundle, spread over the alphabet."""
    names = opened.store.class_names()
    if not names:
        return ("a photo of a dog", "a photo of a cat", "a photo of a car", "a landscape", "a face")
    chosen = [names[i] for i in range(len(names) // 16, len(names), max(1, len(names) // 6))][:6]
    label = opened.store.image(image).label if image is not None else None
    own = (label or "").replace("_", " ")
    return tuple(f"a picture of {name}" for name in dict.fromkeys([own, *chosen] if own in names else chosen))


def lines(text: str, one: str = "prompt", many: str = "prompts", total: int = MAX_TOTAL) -> tuple[str, ...]:
    """One prompt (or class, ...) a line. InputError for none, too many, too long ones, or text that is no text."""
    found = tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
    if not found:
        raise InputError(f"There is no {one}. Write what the image might show, one {one} a line.")
    if len(found) > MAX_LINES:
        raise InputError(f"These are {len(found):,} {many}; at most {MAX_LINES} are scored together.")
    longest = max(map(len, found))
    if longest > MAX_CHARACTERS:
        raise InputError(
            f"One {one} has {longest:,} characters; at most {MAX_CHARACTERS:,} are allowed, and CLIP reads about the "
            "first 300."
        )
    if (length := sum(map(len, found))) > total:
        raise InputError(f"The {many} have {length:,} characters together; at most {total:,} fit into a link.")
    if "\0" in text or any(0xD800 <= ord(c) < 0xE000 for c in text):
        raise InputError(f"A {one} holds characters that are no text. Write it as plain text.")
    return found


def area(chosen: Chosen[Any], prompts: tuple[str, ...]) -> None:
    """The text area. What cannot be used gets a sentence, and the prompts before it stay."""

    def changed() -> None:
        try:
            chosen.go(prompts=lines(st.session_state["prompts-search"]))
        except InputError as error:
            st.session_state[_NOTICE] = f"{error} The prompts from before are still shown."

    st.session_state["prompts-search"] = "\n".join(prompts)
    st.text_area(
        "Prompts, one a line",
        key="prompts-search",
        height=190,
        on_change=changed,
        help=f"Up to {MAX_LINES}, in any script. Press Ctrl+Enter to score them.",
    )
    if sentence := st.session_state.pop(_NOTICE, None):
        states.problem(sentence)


def unseen(explainer: "Explainer", prompts: tuple[str, ...]) -> None:
    """A sentence under the prompts if the model's own weights tell that it was never trained on some of their words."""
    words = explainer.unseen_words(prompts)
    if words:
        shown = ", ".join(f"“{plain(word, 40)}”" for word in words[:_WORDS_SHOWN])
        more = f" and {len(words) - _WORDS_SHOWN:,} more" if len(words) > _WORDS_SHOWN else ""
        say = "this word says" if len(words) == 1 else "these words say"
        st.caption(
            f":material/info: {plain(explainer.model.name)} never met {shown}{more} in its training: {say} nothing to "
            "it, and what stands here comes from the rest of the prompt."
        )


def unread(explainer: "Explainer", prompts: tuple[str, ...]) -> None:
    """A sentence under the prompts for each that is longer than the model reads."""
    for prompt in prompts:
        if left := explainer.unread(prompt):
            st.caption(
                f":material/content_cut: {plain(explainer.model.name)} reads the prompt “{plain(prompt, 40)}” only up "
                f"to “{plain(left, 60)}”: its context is full there."
            )


def explained(chosen: Chosen[Any], prompts: tuple[str, ...], contrast: bool) -> tuple[str, str | None]:
    """The prompt that is explained, and the one it is contrasted with (None: nothing), by two select boxes."""
    text = chosen.view.text if chosen.view.text in prompts else prompts[0]
    others = [prompt for prompt in prompts if prompt != text]
    against = chosen.view.against if contrast and chosen.view.against in others else None
    columns = st.columns(2) if contrast else [st.container()]
    cut = lambda prompt: prompt if len(prompt) <= 80 else prompt[:79] + "…"
    with columns[0]:
        st.session_state["image-text"] = text
        st.selectbox(
            "Text explained",
            prompts,
            format_func=cut,
            key="image-text",
            help="One of your prompts; its cosine with the image is what adds up here.",
            on_change=lambda: chosen.go(text=st.session_state["image-text"]),
        )
    if contrast:
        with columns[1]:
            st.session_state["image-against"] = against or _NOTHING
            st.selectbox(
                "Contrast with",
                [_NOTHING, *others],
                format_func=cut,
                key="image-against",
                help="The map of the difference: where the image is more like the first text than like this one.",
                on_change=lambda: chosen.go(
                    against="" if st.session_state["image-against"] == _NOTHING else st.session_state["image-against"]
                ),
            )
    return text, against

"""The Image page's section on neurons: which stand out, where they are active, and the concepts they spell."""

from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import grid, linked_table, links, neurons_none, resources
from pages._ui import image_figures as drawing
from pages._ui.image_prompts import explained
from pages._ui.image_source import Shown
from pages._ui.selection import Chosen
from pages._ui.words import count, plain

SHOWN = 18
CONCEPTS = 12
BY = {"norm": "Length of effect", "prompt": "Effect on the prompt"}
TOLD = {
    "neuron": "Opens the neuron's page.",
    "label": "The first texts of its direction; − marks those it writes against.",
    "over threshold": "Length of its effect here, less its mean, over its own threshold: above 1 it counts as active.",
    "length": "‖φ − b‖, length of its second-order effect here less its mean.",
    "coefficient": "x, how far it moves this image along its direction.",
    "activation": "Its largest activation over the image's tokens.",
    "adds": "⟨φ, t⟩, what it adds to the prompt's cosine through later heads.",
    "less mean": "⟨φ − b, t⟩, the part of that which is this image's own; they are ranked by its size.",
}


def neurons(opened: resources.Opened, shown: Shown | None, chosen: Chosen[Any], prompts: tuple[str, ...]) -> Any:
    """The section; returns what it drew."""
    if opened.store.neurons is None or shown is None:
        neurons_none.draw()
        return None
    live = resources.neuron_explainer(opened)
    st.segmented_control(
        "Ranked by", list(BY), format_func=BY.__getitem__, required=True,
        help="Length: how much longer a neuron's effect is here than its own threshold. Prompt: how much of the "
        "prompt's cosine is due to it in this image rather than in any.", **chosen.bound("by"),
    )  # fmt: skip
    text = explained(chosen, prompts, contrast=False)[0] if chosen.view.by == "prompt" else None
    ranked = live.ranked(shown.trace, SHOWN, text)
    maps = {each.address: live.activation_map(shown.trace, each.address) for each in ranked}
    st.toggle(
        "Each map on its own scale",
        help="Off: one scale for all, so that strong and weak activations differ.",
        **chosen.bound("own"),
    )
    top = max(float(abs(found.value_yx).max()) for found in maps.values())
    if not chosen.view.own:
        st.html(drawing.legend(top))
    small = drawing.picture(shown.trace.view_yx3, 160)
    values = [f"×{each.over_threshold:.1f}" if each.less_mean is None else f"{each.less_mean:+.4f}" for each in ranked]
    image = shown.source.image
    address = lambda name: links.href(
        "neurons", neuron=name, **({"image": image, "tab": "effects"} if image is not None else {})
    )
    rows = [
        {
            "id": i,
            "src": small,
            "caption": f"{each.address} {value}\n{each.label}",
            "alt": f"{each.address}: {each.label}",
        }
        | {"overlay": drawing.overlay(maps[each.address].value_yx, 0.8, None if chosen.view.own else top)}
        | {"href": address(each.address)}
        for i, (each, value) in enumerate(zip(ranked, values, strict=True))
    ]
    grid.draw(rows, key="image-neurons", size=128, label="Neurons by what they do here")
    under = "what it adds to the cosine less its mean" if text else "how many times its threshold its effect is long"
    st.caption(
        f"The first {len(ranked)} of {len(opened.store.neurons.columns().address):,} neurons; under each {under}, and "
        "its label. The maps show its activation patch by patch, blue above zero. Choose one for its page."
    )
    data = pd.DataFrame(
        {
            "neuron": [each.address for each in ranked],
            "label": [each.label for each in ranked],
        }
        | ({"less mean": [each.less_mean for each in ranked], "adds": [each.effect for each in ranked]} if text else {})
        | {
            "over threshold": [each.over_threshold for each in ranked],
            "length": [each.norm for each in ranked],
            "coefficient": [each.coefficient for each in ranked],
            "activation": [each.activation for each in ranked],
        }
    )
    formats = {"over threshold": "{:.2f}", "length": "{:.4f}", "coefficient": "{:+.4f}", "activation": "{:.3f}"}
    formats |= {"adds": "{:+.5f}", "less mean": "{:+.5f}"} if text else {}
    name = "image-neurons-table"
    href = lambda row: address(row["neuron"])
    linked_table.draw(data, name, "Neurons in this image", href, told=TOLD, formats=formats, height="18rem")
    return {"by": chosen.view.by, "prompt": text, "neurons": ranked, "concepts": _concepts(live, shown)}


def _concepts(live: Any, shown: Shown) -> Any:
    """The words that the active neurons spell together, with the neurons behind each."""
    st.markdown("**Concepts its neurons spell**")
    found = live.concepts(shown.trace, CONCEPTS)
    if not found:
        st.caption("No neuron is active in this image, so they spell nothing.")
        return found
    behind = {each.text: [(name, links.href("neurons", neuron=name)) for name, _ in each.neurons] for each in found}
    data = pd.DataFrame(
        {
            "text": [each.text for each in found],
            "weight": [each.weight for each in found],
            "neurons": [" ".join(f"{name} {value:+.4f}" for name, value in each.neurons) for each in found],
        }
    )
    linked_table.draw(
        data, "image-concepts", "Concepts of this image", lambda row: "", formats={"weight": "{:.4f}"},
        links={"neurons": lambda row: behind[row["text"]]}, told={"neurons": "Those that add most to it."},
    )  # fmt: skip
    st.caption(
        plain(
            f"A text's weight: over the {count(live.active(shown.trace), 'neuron')} active here, the "
            "text's coefficient in the neuron's decomposition times "
            "the length of its effect, signed by the side of its direction. No prompt is asked, and no text is "
            "compared with the image."
        )
    )
    return found

"""Characterise: what second-order effects of neurons are worth to zero-shot accuracy, taken away or replaced."""

from dataclasses import dataclass

import streamlit as st

from core.store import Characterised
from pages._ui import characterise_figures as drawn
from pages._ui import characterise_pools, characterise_sparsity, figures, resources, selection, states
from pages._ui.resources import Opened
from pages._ui.words import count

TOGETHER = "all"
MAKE = "python -m precompute run --model MODEL --pretrained TAG --images FOLDER_OF_CLASS_FOLDERS --out bundles"


@dataclass(frozen=True)
class CharacteriseView:
    """`layer`: whose neurons are rebuilt from texts; its number, or "all" of them together."""

    layer: str = TOGETHER


def main() -> None:
    opened = resources.current()
    rows = opened.store.characterisation()
    layers = [TOGETHER, *drawn.layers_of(rows)]
    chosen = selection.read(CharacteriseView, layer=selection.one_of(*layers))
    st.title("Characterise")
    st.write(
        "A neuron's second-order effect is what it adds to the representation through every later attention head. "
        "Here these effects are taken away from all neurons of a layer at once, or replaced by something simpler; what "
        "that does to zero-shot accuracy says how much they matter and how simple they are."
    )
    if not rows:
        missing(opened)
        return
    population(opened, rows[0])
    ablated(rows)
    components(rows)
    texts(opened, rows, layers, chosen)
    characterise_sparsity.draw(opened, chosen.view.layer)
    st.subheader("All numbers")
    figures.table(drawn.table(rows), "characterise", columns=drawn.COLUMNS)
    added, sparsity = characterise_pools.kept(opened), opened.store.sparsity()
    figures.page_data(lambda: {"view": chosen.view, "rows": rows, "added": added, "sparsity": sparsity}, "characterise")


def missing(opened: Opened) -> None:
    """Why there is nothing to show, and what would give it."""
    facts = opened.store.facts()
    if opened.store.neurons is None:
        title = "This bundle has no neurons"
        advice = "It was made without them. A bundle has them unless it is told otherwise:"
    elif not facts.zero_shot:
        title = "The images of this bundle have no classes"
        advice = "So there is no accuracy to compare. Make a bundle of a folder with a subfolder for each class:"
    else:
        title = "This bundle was made before this was computed, or no image whose neurons were measured has a class"
        advice = "Make it again; the same command gives the same numbers and these besides:"
    states.empty(title, advice)
    st.code(MAKE, language="bash")


def population(opened: Opened, base: Characterised) -> None:
    neurons, classes = opened.store.neurons, len(opened.store.class_names())
    over = f", of the {neurons.population.looked_at:,} whose neurons were measured" if neurons else ""
    st.caption(
        f"Every number is top-1 accuracy over {count(base.images, 'image')} with a class{over}, among "
        f"{count(classes, 'class', 'classes')}: {base.top1:.1%} ± {base.error:.1%} with nothing changed, "
        f"{1 / max(1, classes):.1%} at random. Bars and ± are one standard error, √(p (1 − p) / n). All rows are over "
        "the same images, so two of them differ by less chance than their errors suggest. Means are over all measured "
        "images."
    )


def ablated(rows: tuple[Characterised, ...]) -> None:
    st.subheader("Without the effects")
    st.caption(
        "How to read it: the further a bar is below the dotted line, the more the representation owes to these "
        "effects. Each effect is replaced by its mean: for every image, only where it is large (a neuron's 2 % of "
        "images of largest effect), or everywhere else. Where taking the few large ones costs as much as taking all, "
        "neurons matter in few images."
    )
    figures.show(drawn.ablation_chart(rows), "characterise-ablation", height=380)


def components(rows: tuple[Characterised, ...]) -> None:
    st.subheader("Only the first component")
    st.caption(
        "How to read it: each neuron's effect is replaced by its mean and its coefficient times one direction, its "
        "first principal component. A bar near the dotted line says that one direction a neuron is enough; the bar "
        "beside it is what is lost without the effects."
    )
    figures.show(drawn.component_chart(rows), "characterise-component", height=380)


def texts(
    opened: Opened, rows: tuple[Characterised, ...], layers: list[str], chosen: "selection.Chosen[CharacteriseView]"
) -> None:
    st.subheader("Directions rebuilt from texts")
    if len(layers) > 1:  # a ResNet has one layer of neurons
        st.selectbox("Layer", layers, format_func=drawn.layer_name, **chosen.bound("layer"))
    st.caption(
        "How to read it: each neuron's direction is replaced by what its first texts make of it, with norm one and the "
        "neuron's own coefficient. The sooner a line reaches the first components (dashed), the fewer texts say what "
        "these neurons write; it starts to mean something above the line where the effects are ablated."
    )
    added = characterise_pools.kept(opened)
    figures.show(drawn.texts_chart([*rows, *added], chosen.view.layer), "characterise-texts", height=400)
    characterise_pools.draw(opened, rows[0])

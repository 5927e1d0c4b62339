"""Scenes of the demo world, composed on the spot with the cues and with simpler ones, and what they are taken for."""

import io
from collections import OrderedDict
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from core.images import decode
from core.stats.wilson import wilson
from core.store.cue_images import members
from core.store.cues import CueFinder, Cues, CueWord
from demo.compose import drawable
from demo.cues import INDIRECT_IMAGES, METHODS, Outcome, forms, outcome, picture, rivals, stage
from pages._ui import figures, grid, image_sections, resources, thumbs
from pages._ui.cues_choose import Side
from pages._ui.image_figures import PLUS, WHOLE
from pages._ui.resources import Opened
from pages._ui.selection import Chosen
from pages._ui.words import count, plain

__all__ = ["MEASURES", "METHODS", "NUMBERS", "draw", "forms"]

NUMBERS = (8, 16, 32, 64, 128)
MEASURES = {"c2": "taken for the second class", "c1": "not taken for the first", "nearer": "second nearer than first"}
_INTERVAL = "#b8860b"  # seen on the bars and beside them, on a light page as on a dark one
_KEPT = 64
_made: OrderedDict[tuple, Any] = OrderedDict()
_lock = Lock()


def draw(
    opened: Opened, finder: CueFinder, chosen: Chosen[Any], sides: tuple[Side, Side], found: Cues
) -> Mapping[str, Outcome] | None:
    """The section; returns the outcomes by method."""
    view, (c1, c2) = chosen.view, sides
    st.subheader("Scenes made of the cues", anchor=False)
    st.write(
        f"The demo world can draw {plain(c1.about)} among the cues. Every method gives the same number of texts; up to "
        "three of the first eight things in them that can be drawn stand in a scene, never more than what it is about."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox("Scenes of each", NUMBERS, width=140, **chosen.bound("scenes"))
        st.number_input("Seed", 0, 10**9, step=1, width=140, **chosen.bound("seed"))
        st.toggle(
            "Indirect effects too",
            help=f"Cues of the neurons with the largest indirect effect on {INDIRECT_IMAGES} images of the first. "
            f"The model runs for each of {len(finder.table.layers) * finder.table.neurons:,} neurons: a minute or two.",
            **chosen.bound("indirect"),
        )
    model = resources.explainer_status(opened)
    if model.state != "ready":
        image_sections.wait(opened, model)
        return None
    words = rivals(finder, c1.text_o, c2.text_o, forms(c1.name, c2.name), view.seed) | {"neurons": found.words}
    if view.indirect:
        words["indirect"] = _indirect(opened, finder, sides, view)
    made = _measured(opened, view, sides, {method: words[method] for method in METHODS if method in words})
    _bars(chosen, made, sides)
    by = view.by if view.by in made else "neurons"
    st.session_state["cues-by"] = by
    st.segmented_control(
        "Scenes with", list(made), format_func=METHODS.__getitem__, key="cues-by", required=True,
        on_change=lambda: chosen.go(by=st.session_state["cues-by"]),
    )  # fmt: skip
    _told(words[by], made[by], by)
    _grid(opened, made[by], sides)
    return made


def _indirect(opened: Opened, finder: CueFinder, sides: tuple[Side, Side], view: Any) -> tuple[CueWord, ...]:
    from core.explain.cues import indirect  # here: it brings torch

    store, first = opened.store, sides[0].position or 0
    ids = np.random.default_rng((view.seed, first)).permutation(members(store, first))[:INDIRECT_IMAGES]

    def compute(progress: Callable[[int, int], None]) -> np.ndarray:
        images = [decode(store.thumbnail(int(i))) for i in ids]
        return indirect(resources.explainer(opened), finder.table, images, progress)

    effect_no = _kept((opened.folder, opened.stamp, "indirect", *ids.tolist()), "Ablating neurons", compute)
    v_o = finder.check(sides[0].text_o, sides[1].text_o)
    return finder.ranked(effect_no @ v_o, v_o, forms(*(side.name for side in sides)), view.neurons).words


def _measured(
    opened: Opened, view: Any, sides: tuple[Side, Side], words: Mapping[str, tuple[CueWord, ...]]
) -> dict[str, Outcome]:
    """Every method's scenes through the live model; what was measured before is not measured again."""
    from core.explain.cues import represent  # here: it brings torch

    class_co, names = opened.store.bundle.array("class_embeddings"), opened.store.class_names()
    c1, c2 = (int(side.position or 0) for side in sides)
    made = {}
    for method, chosen in words.items():

        def compute(progress: Callable[[int, int], None], chosen: tuple[CueWord, ...] = chosen) -> Outcome:
            staged = stage(names, c1, c2, chosen, view.scenes, view.seed)
            pictures = [picture(scene, n) for n, scene in enumerate(staged[1])]
            units_no = represent(resources.explainer(opened), pictures, progress)
            return outcome(units_no, class_co, c1, c2, staged)

        texts = tuple((word.text, word.weight) for word in chosen)
        key = (opened.folder, opened.stamp, c1, c2, view.scenes, view.seed, texts)
        made[method] = _kept(key, f"Scenes with {METHODS[method]}", compute)
    return made


def _kept(key: tuple, told: str, compute: Callable[[Callable[[int, int], None]], Any]) -> Any:
    """A result from memory, or made under a progress bar. Bounded, shared by all sessions."""
    with _lock:
        if key in _made:
            _made.move_to_end(key)
            return _made[key]
    place = st.empty()
    bar = place.progress(0.0, text=told)

    def progress(done: int, total: int) -> None:
        bar.progress(done / total, text=f"{told}, {done:,} of {total:,}")

    result = compute(progress)
    place.empty()
    with _lock:
        _made[key] = result
        while len(_made) > _KEPT:
            _made.popitem(last=False)
    return result


def _bars(chosen: Chosen[Any], made: Mapping[str, Outcome], sides: tuple[Side, Side]) -> None:
    of, total = chosen.view.of, chosen.view.scenes
    st.segmented_control(
        "Counted", list(MEASURES), format_func=MEASURES.__getitem__, label_visibility="collapsed", required=True,
        **chosen.bound("of"),
    )  # fmt: skip
    hits = {method: round(each.shares[list(MEASURES).index(of)] * total) for method, each in made.items()}
    bounds = {method: wilson(k, total) for method, k in hits.items()}
    share = [hits[method] / total for method in made]
    figure = go.Figure(
        go.Bar(
            y=[METHODS[method] for method in made],
            x=share,
            orientation="h",
            marker_color=[PLUS if method == "neurons" else WHOLE for method in made],
            error_x={
                "color": _INTERVAL,
                "array": [bounds[m][1] - s for m, s in zip(made, share, strict=True)],
                "arrayminus": [s - bounds[m][0] for m, s in zip(made, share, strict=True)],
            },
            customdata=[f"{hits[m]} of {total}, 95 % {bounds[m][0]:.0%} to {bounds[m][1]:.0%}" for m in made],
            hovertemplate="%{y}: %{customdata}<extra></extra>",
        )
    )
    for method in made:
        figure.add_annotation(
            x=bounds[method][1], y=METHODS[method], text=f"{hits[method]} of {total}", showarrow=False, xanchor="left",
            xshift=8,
        )  # fmt: skip
    figure.update_xaxes(range=[0, 1.2 * max(high for _, high in bounds.values())], tickformat=".0%")
    figure.update_yaxes(autorange="reversed")
    figures.show(figure, "cues-scenes", height=70 + 44 * len(made))
    c1, c2 = (plain(side.about, 60) for side in sides)
    told = {
        "c2": f"{c2} is the nearest of all the bundle's classes",
        "c1": f"another class than {c1} is the nearest, {c2} or, mostly, one of the things put beside it",
        "nearer": f"{c2} is nearer than {c1}, whatever else is nearer still",
    }
    st.caption(
        f"Scenes in which {told[of]}, of {total:,} scenes each; Wilson's 95 % interval, for scenes composed by this "
        "rule from these cues of this pair of classes. “No cues” is how often it happens anyway."
    )


def _told(words: tuple[CueWord, ...], made: Outcome, by: str) -> None:
    """Which of the words are drawn."""
    if by == "none":
        st.caption("One to four of the first class alone, in any place and style.")
        return
    cannot = [word.text for word in words if not drawable(word.text)]
    drawn = ", ".join(f"{each} {weight:.2f}" for each, weight in made.cues.items())
    rest = f" It cannot draw: {plain(', '.join(cannot), 240)}." if cannot else " It can draw something of every text."
    st.caption(f"Drawn, with their weight in {count(len(words), 'text')}: {plain(drawn, 400)}.{rest}")


def _grid(opened: Opened, made: Outcome, sides: tuple[Side, Side]) -> None:
    names = opened.store.class_names()
    mark = {made.c1: "", made.c2: "★ "}
    rows = []
    for n, (scene, taken) in enumerate(zip(made.scenes, made.predicted, strict=True)):
        out = io.BytesIO()
        picture(scene, n).save(out, "WEBP", quality=85)
        rows.append(
            {"id": n, "src": thumbs.data_uri(out.getvalue(), "image/webp"), "overlay": ""}
            | {"caption": f"{mark.get(taken, '✗ ')}{names[taken]}", "alt": f"{scene.caption}, taken for {names[taken]}"}
        )
    grid.draw(rows, key="cues-grid", size=96, label="Scenes")
    st.caption(
        f"Under each scene, what it is taken for among {len(names):,} classes: ★ {plain(sides[1].about, 60)}, "
        f"✗ another class, no mark {plain(sides[0].about, 60)}."
    )

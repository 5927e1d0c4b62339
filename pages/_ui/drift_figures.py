"""Charts and tables of the Drift page. What users wrote is cut and escaped: Plotly reads some HTML."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from plotly.subplots import make_subplots

from core.store.drift import DriftTable
from core.store.drift_answers import FollowedText
from pages._ui import figures
from pages._ui.image_figures import PLUS, short
from pages._ui.words import count, plain

INTERVAL = 1.96
"""Standard errors on either side: 95 % of a mean's error, if it is normal."""
TRUE = "#d9730e"
COLUMNS = {
    "images": st.column_config.NumberColumn(format="localized"),
    "share": st.column_config.NumberColumn(format="percent"),
    "share error": st.column_config.NumberColumn(format="percent"),
    "true": st.column_config.NumberColumn(format="percent"),
    "true error": st.column_config.NumberColumn(format="percent"),
}
SUMMARY = {
    "images": st.column_config.NumberColumn(format="localized"),
    "showing it": st.column_config.NumberColumn(format="localized"),
    "left out": st.column_config.NumberColumn(format="localized"),
    "point-biserial": st.column_config.NumberColumn(format="%.3f"),
    "over groups": st.column_config.NumberColumn(format="%.3f"),
}


def draw(followed: Mapping[str, FollowedText], table: DriftTable) -> None:
    """A chart a concept, two beside each other, and the numbers."""
    first = next(iter(followed.values()))
    column = plain(first.grouping.column, 60)
    st.subheader(f"Over {column}", anchor=False)
    st.caption(
        f"How to read it: blue is what the concept's {count(len(first.scores.pairs), 'pair')} write together in an "
        "image, as a share of the representation's norm, mean over the group; orange, on the right-hand scale, is the "
        "share of the group's images that show the concept, by the manifest. Where both rise and fall together, the "
        f"pairs see the drift. Bars are 95 % intervals, ± {INTERVAL} standard errors of the mean. Numbers are "
        f"{first.scores.population}; pairs are chosen among the {table.pairs:,} described ones of {table.all_pairs:,}."
    )
    if first.groups == 1:
        st.info("All these images are in one group, so there is nothing to compare: group by another column.")
    for pair in _by_two(list(followed.items())):
        for place, (at, concept, found) in zip(st.columns(2, gap="medium"), pair, strict=False):
            with place, st.container(border=True):
                st.markdown(f"**{plain(concept, 80)}**")
                figures.show(chart(found), f"drift-{at}", height=280)
                st.caption(told(found))
    st.subheader("All numbers", anchor=False)
    figures.table(summary(followed), "drift", columns=SUMMARY)
    with st.expander("By group"):
        figures.table(by_group(followed), "drift-groups", columns=COLUMNS)


def told(found: FollowedText) -> str:
    """The correlations in a sentence, with their population, and what was left out."""
    column, truth = plain(found.grouping.column, 60), found.truth
    left = f" {_left_out(found)}" if found.left_out else ""
    if truth is None:
        return f"Not compared with the manifest. Of {count(found.images, 'image')}.{left}"
    over = f"{plain(str(truth), 80)}, in {found.showing:,} of {count(found.images, 'image')}"
    if np.isnan(found.point_biserial):
        return f"{over}: where all or none of the images show it, there is no correlation.{left}"
    groups = (
        f"the groups' means correlate by **{found.by_group:+.2f}** over {count(found.groups, 'group')} of {column}"
        if found.groups > 2 and not np.isnan(found.by_group)
        else f"{count(found.groups, 'group')} of {column} are too few for a correlation of their means"
    )
    return f"{over}: point-biserial correlation **{found.point_biserial:+.2f}** image by image; {groups}.{left}"


def chart(found: FollowedText) -> go.Figure:
    """Share and truth over the groups; a line where their order means something."""
    grouping, share, true = found.grouping, found.share, found.true
    shown = np.flatnonzero(share.count_g > 0)
    names = [short(grouping.names[g]) for g in shown]
    mode = "lines+markers" if grouping.ordered else "markers"
    figure = make_subplots(specs=[[{"secondary_y": True}]])
    rows = [("pairs' share", share.mean_g, share.error_g, PLUS, "solid", False)]
    if true is not None:
        rows.append(("images showing it", true.mean_g, true.error_g, TRUE, "dot", True))
    for name, mean_g, error_g, colour, dash, right in rows:
        figure.add_scatter(
            x=names,
            y=mean_g[shown],
            error_y={"type": "data", "array": INTERVAL * np.nan_to_num(error_g[shown]), "thickness": 1, "width": 2},
            customdata=share.count_g[shown],
            name=name,
            mode=mode,
            line={"color": colour, "dash": dash, "width": 2},
            marker={"color": colour, "size": 6, "symbol": "diamond" if right else "circle"},
            hovertemplate="%{y:.2%} of %{customdata:,} images",
            secondary_y=right,
        )
    figure.update_layout(legend={"orientation": "h", "y": -0.3, "x": 0}, hovermode="x unified")
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=names)
    figure.update_yaxes(domain=[0, 0.92])  # the camera button stays clear of the right-hand scale
    figure.update_yaxes(tickformat=".2~%", nticks=5, secondary_y=False)
    figure.update_yaxes(
        tickformat=".0%", nticks=5, tickmode="auto", showgrid=False, rangemode="tozero", secondary_y=True
    )
    return figure


def summary(followed: Mapping[str, FollowedText]) -> pd.DataFrame:
    """A row a concept."""
    return pd.DataFrame(
        [
            {
                "concept": concept,
                "compared with": "" if found.truth is None else str(found.truth),
                "images": found.images,
                "showing it": found.showing if found.truth is not None else None,
                "left out": found.left_out,
                "point-biserial": found.point_biserial,
                "over groups": found.by_group,
                "groups": found.groups,
                "pairs": "; ".join(pair.address for pair in found.scores.pairs),
            }
            for concept, found in followed.items()
        ]
    )


def by_group(followed: Mapping[str, FollowedText]) -> pd.DataFrame:
    """A row a concept and group; errors are standard errors."""
    rows = []
    for concept, found in followed.items():
        for g, name in enumerate(found.grouping.names):
            row = {
                "concept": concept,
                found.grouping.column: name,
                "images": int(found.share.count_g[g]),
                "share": found.share.mean_g[g],
                "share error": found.share.error_g[g],
            }
            if found.true is not None:
                row |= {"true": found.true.mean_g[g], "true error": found.true.error_g[g]}
            rows.append(row)
    return pd.DataFrame(rows)


def _left_out(found: FollowedText) -> str:
    without = f"no {plain(found.grouping.column, 60)}"
    if found.truth is not None and found.truth.missing:
        without += f" or no {plain(found.truth.column, 60)}"
    verbs = ("has", "is") if found.left_out == 1 else ("have", "are")
    return f"{count(found.left_out, 'image')} {verbs[0]} {without} in the manifest and {verbs[1]} left out."


def _by_two(rows: list[tuple[str, FollowedText]]) -> list[list[tuple[int, str, FollowedText]]]:
    numbered = [(at, concept, found) for at, (concept, found) in enumerate(rows)]
    return [numbered[at : at + 2] for at in range(0, len(numbered), 2)]

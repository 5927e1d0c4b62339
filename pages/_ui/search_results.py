"""The list of results: filters, order, cards, and what can be done with them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.errors import UnitscopeError
from core.ids import Pair, parse
from core.store.search import Match
from pages._ui import links, search_cards, search_scores, states
from pages._ui.search_ask import Answer, Asked
from pages._ui.search_view import CONCEPT, LABELLED, MOST_SHOWN, PAGE, SORTS, SearchView, layers_of
from pages._ui.selection import Chosen
from pages._ui.thumbs import source
from pages._ui.words import count

IMAGES = 5
_PLURALS = {"head": "heads", "neuron": "neurons", "pair": "pairs", CONCEPT: "concepts"}


@dataclass(frozen=True)
class Result:
    """One unit of the list. `hand` its labels by hand; `sign` the end that the question is about."""

    address: str
    kind: str
    layer: int | None
    label: str
    hand: tuple[str, ...]
    importance: float
    score: str
    why: str
    sign: int
    by: str


def draw(asked: Asked, chosen: Chosen[SearchView], answer: Answer) -> dict[str, Any]:
    """All of it; returns what is listed."""
    matches = _passing(asked, chosen.view, answer)
    _filters(asked, chosen, answer)
    view = chosen.view
    shown = [_result(asked, match) for match in matches[: view.shown]]
    if answer.matches:
        passing = f" that pass the filters, of {len(answer.matches):,}" if len(matches) < len(answer.matches) else ""
        some = f", the first {len(shown):,} shown" if len(shown) < len(matches) else ""
        st.caption(f"**{count(len(matches), 'result')}**{passing}{some}. {answer.told}")
    for note in answer.notes:
        st.caption(f":material/info: {note}")
    if not matches:
        if answer.matches:
            states.empty("No result passes the filters", "Take one of them away.")
        elif not answer.needs_model:
            states.empty("Nothing was found", "No label has all these words. Take a word away, or ask by meaning.")
        return {"results": []}
    everything = [match[0].address for match in matches]
    ticked = search_cards.draw(
        [_card(asked, result, answer.text_o) for result in shown], f"{view.q}{view.unit}{view.image}"
    )
    ticked = [address for address in ticked if address in set(everything)]
    search_scores.caption(asked.opened, {result.kind for result in shown if result.score})
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        if len(shown) < min(len(matches), MOST_SHOWN):
            more = min(PAGE, len(matches) - len(shown), MOST_SHOWN - len(shown))
            st.button(
                f"Show {more} more", icon=":material/expand_more:", on_click=chosen.go,
                kwargs={"shown": min(len(shown) + PAGE, MOST_SHOWN)},
            )  # fmt: skip
        end = {match[0].address: _end(match[0]) for match in matches}  # the one that the question is about
        listed = [f"{address}{end[address]}" for address in ticked or everything]
        search_scores.send(listed, view.q[:60] or "search", bool(ticked))
        _csv(lambda: [_result(asked, match) for match in matches])
    return {"results": shown}


def _passing(asked: Asked, view: SearchView, answer: Answer) -> list[tuple[Match, ...]]:
    """The units that pass the filters, in the order asked for."""
    keep = [match for match in answer.matches if not view.kind or match[0].kind in view.kind]
    if view.layer:
        keep = [match for match in keep if layer_of(match[0].address, match[0].kind) in view.layer]
    if view.labelled != "any":
        test: dict[str, Callable[[Match], bool]] = {
            "hand": lambda m: bool(_hand(asked, m)),
            "none": lambda m: not _hand(asked, m),
            "auto": lambda m: bool(_label(asked, m)),
        }
        keep = [match for match in keep if test[view.labelled](match[0])]
    kinds = list(_PLURALS)
    if view.sort == "kind":
        keep.sort(key=lambda match: kinds.index(match[0].kind))
    elif view.sort == "layer":
        keep.sort(key=lambda match: -1 if (layer := layer_of(match[0].address, match[0].kind)) is None else layer)
    elif view.sort == "importance":
        keep.sort(key=lambda match: (kinds.index(match[0].kind), -_importance(asked, match[0])))
    return keep


def layer_of(address: str, kind: str) -> int | None:
    """The layer of a unit; of a pair its neuron's; None of a concept and of a ResNet's."""
    if kind == CONCEPT:
        return None
    unit = parse(address)
    return unit.neuron.layer if isinstance(unit, Pair) else unit.layer


def href(asked_dictionary: Any, address: str, kind: str) -> str:
    """The page of a unit or concept."""
    if kind == CONCEPT and asked_dictionary is not None:
        return links.href("rosetta", dictionary=asked_dictionary.name, concept=address)
    return links.href(f"{kind}s", **{kind: address})


def _filters(asked: Asked, chosen: Chosen[SearchView], answer: Answer) -> None:
    kinds = [kind for kind in _PLURALS if any(match[0].kind == kind for match in answer.matches)]
    layers = [layer for layer in layers_of(asked.opened.store) if layer is not None]
    view = chosen.view
    active = sum((bool(view.kind), bool(view.layer), view.labelled != "any"))
    name = f"Filter and sort ({active})" if active else "Filter and sort"
    with st.popover(name, icon=":material/filter_alt:"):
        _pills(chosen, "kind", "Kinds", kinds, lambda kind: _PLURALS[kind])
        _pills(chosen, "layer", "Layers", layers, str)
        st.selectbox("Labels", list(LABELLED), format_func=LABELLED.__getitem__, width=220, **chosen.bound("labelled"))
        st.selectbox("Sort by", list(SORTS), format_func=SORTS.__getitem__, width=220, **chosen.bound("sort"))
        st.button(
            "Clear filters", icon=":material/filter_alt_off:", on_click=chosen.go,
            kwargs={"kind": (), "layer": (), "labelled": "any", "sort": "turn"},
        )  # fmt: skip


def _pills(
    chosen: Chosen[SearchView], name: str, title: str, options: Sequence[Any], shown: Callable[[Any], str]
) -> None:
    """What narrows the list down; nothing where there is nothing to choose from."""
    wanted = getattr(chosen.view, name)
    offered = [*options, *(value for value in wanted if value not in options)]
    if len(offered) < 2 and not wanted:
        return
    key = f"SearchView.{name}"
    st.session_state[key] = list(wanted)
    st.pills(
        title, offered, selection_mode="multi", key=key, format_func=shown, width="content", help="None chosen: all.",
        on_change=lambda: chosen.go(**{name: tuple(st.session_state[key]), "shown": PAGE}),
    )  # fmt: skip


def _result(asked: Asked, matches: Sequence[Match]) -> Result:
    first = matches[0]
    return Result(
        first.address, first.kind, layer_of(first.address, first.kind), _label(asked, first), _hand(asked, first),
        _importance(asked, first), search_scores.told(asked.opened, first.address, first.kind),
        " · ".join(map(_why, matches)), first.sign, first.by,
    )  # fmt: skip


def _why(match: Match) -> str:
    """In plain words why a unit is there."""
    if match.by == "words" or match.told:
        return match.told
    if match.by == "image":
        return f"z {match.value:+.1f}".replace("-", "−")
    if match.by == "address":
        return "the address asked for"
    if match.by == "meaning" and match.kind == "head":
        return f"varies by {match.value:.4f} along the text"
    return f"cosine {match.value:+.3f}".replace("-", "−")


def _label(asked: Asked, match: Match) -> str:
    if match.kind == CONCEPT:
        found = asked.dictionary and asked.dictionary.store.concept(match.address)
        return found.label.text if found and found.label else ""
    units = asked.opened.store.units
    return units.label(units.kind(match.address), units.row(match.address))


def _hand(asked: Asked, match: Match) -> tuple[str, ...]:
    of = asked.concepts if match.kind == CONCEPT else asked.indexed
    said = of.hand(match.address) if of is not None else ()
    return tuple(f"{each.end.replace('-', '−')} {each.text} ({each.by})".strip() for each in said)


def _importance(asked: Asked, match: Match) -> float:
    if match.kind == CONCEPT:
        found = asked.dictionary and asked.dictionary.store.concept(match.address)
        return found.strength if found else 0.0
    units = asked.opened.store.units
    return float(units.importance(units.kind(match.address))[units.row(match.address)])


def _card(asked: Asked, result: Result, text_o: np.ndarray | None) -> dict[str, Any]:
    along = text_o if result.by == "meaning" and result.kind == "head" else None
    opened: Any = asked.dictionary if result.kind == CONCEPT else asked.opened
    return {
        "address": result.address,
        "href": href(asked.dictionary, result.address, result.kind),
        "kind": result.kind,
        "layer": "" if result.layer is None else f"layer {result.layer}",
        "label": result.label or ("not described: its page does" if result.kind == "pair" else "no label"),
        "hand": list(result.hand),
        "score": result.score,
        "why": result.why,
        "images of": _whose(result, along is not None),
        "similar": "" if result.kind == CONCEPT else links.href("search", unit=result.address),
        "images": [{"id": image, "src": source(opened, image)} for image in _images(asked, result, along)],
    }


def _end(match: Match) -> str:
    """As the desk reads it behind an address: the end that matches, if one does rather than the unit."""
    if match.kind == CONCEPT or match.by == "address":
        return ""
    return "+" if match.sign > 0 else "-"


def _whose(result: Result, along: bool) -> str:
    """What a card's images are."""
    if result.kind == CONCEPT:
        return ""
    return "images along the text" if along else f"images of its {'+' if result.sign > 0 else '−'} end"


def _images(asked: Asked, result: Result, along: np.ndarray | None) -> Sequence[int]:
    """The images at the end that the question is about, of a head the largest `along` a text that was asked for; none
    of a unit whose images cannot be read."""
    try:
        if result.kind == CONCEPT:
            found = asked.dictionary and asked.dictionary.store.concept(result.address)
            return found.images[:IMAGES] if found else ()
        if along is not None:
            return [hit.image_id for hit in asked.opened.store.ends(result.address, along, IMAGES).plus]
        ends = asked.opened.store.units.ends(result.address, IMAGES)
    except UnitscopeError:
        return ()
    return [hit.image_id for hit in (ends.plus if result.sign > 0 else ends.minus)[:IMAGES]]


def frame(results: Sequence[Result]) -> pd.DataFrame:
    """Results as a table."""
    return pd.DataFrame(
        [
            [r.address, r.kind, r.layer, r.label, "; ".join(r.hand), r.importance, r.score, r.why, r.sign]
            for r in results
        ],
        columns=["unit", "kind", "layer", "label", "by hand", "importance", "score", "why", "end"],
    )


def _csv(results: Callable[[], Sequence[Result]]) -> None:
    """All results, made when asked for."""
    st.download_button(
        "CSV",
        data=lambda: frame(results()).to_csv(index=False).encode(),
        file_name="unitscope-search.csv",
        mime="text/csv",
        key="csv-search",
        type="tertiary",
        icon=":material/download:",
        on_click="ignore",
    )

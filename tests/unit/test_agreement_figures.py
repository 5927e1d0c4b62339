"""The heat map and sentences of the Agreement page."""

import math

import pytest

from core.labels.agreement import Agreement, Meaning, agreement
from core.labels.events import Event, new_key
from core.labels.ledger import Standing
from pages._ui import agreement_figures
from tests.unit.test_agreement import figures

NAMES = ("<b>Anna</b><br>", "Bob", "a very long name of somebody indeed")


def found() -> Agreement:
    """Three annotators; the first and the third share no end."""
    said = {f"L0.N{u}": {NAMES[0]: "xy"[u % 2], NAMES[1]: "xy"[u // 3 % 2]} for u in range(12)}
    return figures(said | {f"L1.N{u}": {NAMES[1]: "x", NAMES[2]: "x"} for u in range(3)})


def test_the_heat_map_has_every_two_with_their_numbers() -> None:
    made = found()
    heat = agreement_figures.heat_map(made, sorted(NAMES)).data[0]
    names = sorted(NAMES)
    by_pair = {(pair.one, pair.other): pair for pair in made.pairs}
    for i, one in enumerate(names):
        for j, other in enumerate(names):
            pair = by_pair.get((one, other)) or by_pair.get((other, one))
            if pair is None:
                assert heat.z[i][j] is None and heat.text[i][j] == ""
            elif math.isnan(pair.kappa):
                assert heat.z[i][j] is None and heat.text[i][j].endswith(f"n {pair.units}")
            else:
                assert heat.z[i][j] == pair.kappa and heat.text[i][j] == f"{pair.kappa:.2f}<br>n {pair.units}"
    assert len(by_pair) == 2 and sum(math.isnan(pair.kappa) for pair in made.pairs) == 1


def test_names_in_the_heat_map_are_cut_escaped_and_told_apart() -> None:
    ticks = agreement_figures.heat_map(found(), sorted(NAMES)).data[0].x
    assert ticks[0] == "1 &lt;b&gt;Anna&lt;/b&gt;&lt;br&gt;" and "<" not in "".join(ticks)
    assert len(set(ticks)) == 3 and all(len(tick) < 50 for tick in ticks)


def test_what_is_not_defined_is_left_empty_in_the_table() -> None:
    made = agreement_figures.pairs(found())
    assert made["kappa"].isna().sum() == 1 and made["cosine"].isna().all()
    assert "nan" not in made.to_csv().lower()


@pytest.mark.parametrize("units", [1, 12])
def test_sentences_without_numbers_that_are_none(units: int) -> None:
    made = figures({f"L0.N{u}": {"a": "x", "b": "x"} for u in range(units)})
    told = agreement_figures.alpha_told(made) + agreement_figures.meaning_told(made.meaning, made.compared)
    assert "one and the same answer" in told and "nan" not in told.lower()
    assert agreement_figures.number(made.alpha) == "not defined"
    single = agreement_figures.meaning_told(Meaning(1, 0.5, float("nan")), 1)
    assert "of a single end" in single and "nan" not in single


def test_few_ends_have_no_interval_and_many_have_one() -> None:
    few, many = ({f"L0.N{u}": {"a": "xy"[u % 2], "b": "xy"[u // 3 % 2]} for u in range(n)} for n in (6, 30))
    assert "No interval: fewer than 10 ends" in agreement_figures.alpha_told(figures(few))
    low, high = figures(many).interval
    assert f"95 % interval {low:.3f} to {high:.3f}" in agreement_figures.alpha_told(figures(many))


def test_events_in_other_hands_change_no_figure() -> None:
    """Who is in no pair is in no figure, and is named among the annotators."""
    event = Event(new_key(), "Zoe", "b", "L9.N1", "+", "label", "x")
    both = {"a": Event(new_key(), "a", "b", "L0.N0", "+", "label", "x"), "b": event}
    alone = agreement({("L0.N0", "+"): Standing(both), ("L9.N1", "+"): Standing({"Zoe": event})})
    assert alone.units == 1 and alone.annotators == ("Zoe", "a", "b") and len(alone.pairs) == 1

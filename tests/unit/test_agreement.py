"""Agreement figures against plain loops, the packages, and numbers from the literature."""

import krippendorff
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from core.labels import agreement as module
from core.labels.agreement import LEAST_UNITS, NOTHING, Agreement, agreement, answers, differ
from core.labels.events import Event, new_key
from core.labels.ledger import Standing, same
from tests.reference.plain_agreement import Said, plain_alpha, plain_alphas, plain_kappa, plain_meaning

EXACT = 1e-12  # sums of at most a few hundred terms near one, in double precision
BANNED = "!"


def event(name: str, text: str, unit: str = "L0.N0", blind: bool = False) -> Event:
    """An answer; "?" is unsure, "-" skipped, BANNED that the unit is uninterpretable."""
    kind = {"?": "unsure", "-": "skip", BANNED: "uninterpretable"}.get(text, "label")
    return Event(new_key(), name, "b", unit, "+", kind, text if kind == "label" else "", blind=blind)


def standings(said: Said) -> dict[tuple[str, str], Standing]:
    return {
        (unit, "+"): Standing({name: event(name, text, unit) for name, text in words.items()})
        for unit, words in said.items()
    }


def figures(said: Said, **more: object) -> Agreement:
    return agreement(standings(said), **more)


def table(*rows: str) -> Said:
    """A row for each annotator, a sign for each unit, a dot where nothing was said."""
    return {f"L0.N{u}": {f"a{n}": row[u] for n, row in enumerate(rows) if row[u] != "."} for u in range(len(rows[0]))}


def random_said(seed: int, units: int = 30, names: int = 4, kinds: int = 5) -> Said:
    """Judgments with gaps, some of them uninterpretable, that agree more often than by chance."""
    rng = np.random.default_rng(seed)
    words = [*(f"word {i}" for i in range(kinds - 1)), BANNED]
    return {
        f"L0.N{u}": {
            f"a{n}": words[truth if rng.random() < 0.5 else int(rng.integers(kinds))]
            for n in range(names)
            if rng.random() < 0.7
        }
        for u in range(units)
        for truth in [int(rng.integers(kinds))]
    }


def test_alpha_of_the_literature() -> None:
    """Krippendorff 2011, section C: four observers, twelve units, missing data; and Wikipedia's three coders."""
    four = table("123321412...", "123322412 5.3".replace(" ", ""), ".33323422 51.".replace(" ", ""), "12332441251.")
    assert figures(four).alpha == pytest.approx(0.743, abs=5e-4)  # as printed, to three digits
    three = table(".....34121133.3", "1.2133 43.......".replace(" ", ""), "..2134 4.21133.4".replace(" ", ""))
    assert figures(three).alpha == pytest.approx(0.691358, abs=5e-7)  # as the package's documentation prints it


def test_kappa_of_the_literature() -> None:
    """Cohen's usual example: of 50 proposals both say yes to 20 and no to 15, one says yes alone to 5, the other to 10:
    kappa 0.4."""
    said = table("y" * 25 + "n" * 25, "y" * 20 + "n" * 5 + "y" * 10 + "n" * 15)
    (pair,) = figures(said).pairs
    assert pair.kappa == pytest.approx(0.4, abs=EXACT)
    assert (pair.units, pair.same) == (50, 35)


@pytest.mark.parametrize("seed", range(6))
def test_figures_are_the_plain_ones(seed: int) -> None:
    said = random_said(seed)
    names = [f"a{n}" for n in range(4)]
    rng = np.random.default_rng(seed)
    vectors = {f"word {i}": v / np.linalg.norm(v) for i, v in enumerate(rng.normal(size=(3, 8)))}  # not of all words
    found = figures(said, embed=lambda texts: {text: vectors[text] for text in texts if text in vectors}, draws=50)
    assert found.units == sum(len(words) > 1 for words in said.values())
    assert found.judgments == sum(len(words) for words in said.values() if len(words) > 1)
    assert found.alpha == pytest.approx(plain_alpha(said), abs=EXACT)
    alphas = plain_alphas(said, 50, 0)
    assert found.interval == pytest.approx(np.quantile(alphas, [0.025, 0.975]), abs=EXACT)
    assert found.interval[0] < found.alpha < found.interval[1]
    for pair in found.pairs:
        assert pair.kappa == pytest.approx(plain_kappa(said, pair.one, pair.other), abs=EXACT)
    units, cosine, by_chance = plain_meaning(said, names, vectors)
    assert (found.meaning.units, found.meaning.cosine) == (units, pytest.approx(cosine, abs=EXACT))
    assert found.meaning.by_chance == pytest.approx(by_chance, abs=EXACT)
    assert (found.texts, found.embedded) == (4, 3)
    assert found.compared == sum(len(words) * (len(words) - 1) // 2 for words in said.values())


def test_alpha_and_kappa_are_the_packages_on_what_they_are_given() -> None:
    """Against the packages called as their documentation says, with their own way to write what is missing."""
    said = random_said(11)
    code = {word: i for i, word in enumerate(sorted({w for words in said.values() for w in words.values()}))}
    rows = [[code[words[n]] if n in words else np.nan for words in said.values()] for n in ("a0", "a1", "a2", "a3")]
    found = figures(said)
    expected = krippendorff.alpha(reliability_data=np.array(rows), level_of_measurement="nominal")
    assert found.alpha == pytest.approx(expected, abs=EXACT)
    both = [(words["a0"], words["a1"]) for words in said.values() if {"a0", "a1"} <= words.keys()]
    assert found.pairs[0].kappa == pytest.approx(cohen_kappa_score(*zip(*both, strict=True)), abs=EXACT)


def test_many_labels_are_summed_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's arrays grow with units times labels squared; above a bound the same number comes another way."""
    said = random_said(3, units=40, kinds=12)
    expected = figures(said).alpha
    monkeypatch.setattr(module, "TABLE", 0)
    monkeypatch.setattr(krippendorff, "alpha", lambda **_: pytest.fail("the package was asked"))
    assert figures(said).alpha == pytest.approx(expected, abs=EXACT)


def test_five_thousand_labels_take_no_memory_to_speak_of() -> None:
    said = {f"L0.N{u}": {"a": f"word {u}", "b": f"word {u + u % 2}"} for u in range(5_000)}
    found = figures(said, draws=2)  # the package would need 10^12 numbers, scikit-learn 5,000 squared
    assert found.alpha == pytest.approx(0.5, abs=1e-3)  # hardly any answer comes twice, so chance is next to nothing
    assert found.pairs[0].kappa == pytest.approx(0.5, abs=1e-3)
    assert found.pairs[0].same == 2_500


def test_unsure_and_skipped_are_missing_and_uninterpretable_is_an_answer() -> None:
    said = {
        "L0.N0": {"a": "snow", "b": "?", "c": "-"},  # one answer: nothing to compare
        "L0.N1": {"a": "snow", "b": "snow", "c": "?"},
        "L0.N2": {"a": BANNED, "b": BANNED},
        "L0.N3": {"a": BANNED, "b": "uninterpretable"},  # a label of that very word is a label
    }
    found = figures(said)
    assert found.units == 3 and found.judgments == 6 and found.answers == 3
    assert [(pair.one, pair.other, pair.units, pair.same) for pair in found.pairs] == [("a", "b", 3, 2)]
    assert found.annotators == ("a", "b", "c")
    expected = {u: {n: w for n, w in words.items() if w not in "?-"} for u, words in said.items()}
    expected["L0.N3"]["b"] = "the label"
    assert found.alpha == pytest.approx(plain_alpha(expected), abs=EXACT)
    assert answers(standings(said)["L0.N3", "+"]) == {"a": NOTHING, "b": "uninterpretable"}


@pytest.mark.parametrize(
    ("one", "other"),
    [("dogs | stripes", "Stripes |  dogs"), ("snow", " SNOW "), ("dogs|dogs", "dogs"), ("cafe\u0301", "caf\u00e9"),
     ("a b", "a\u00a0b"), ("Straße", "STRASSE")],
)  # fmt: skip
def test_the_same_in_other_letters_or_order(one: str, other: str) -> None:
    assert same(one) == same(other)
    standing = standings({"L0.N0": {"a": one, "b": other}})["L0.N0", "+"]
    assert standing.state == "labelled" and not differ(standing)
    assert figures({"L0.N0": {"a": one, "b": other}}).pairs[0].same == 1


@pytest.mark.parametrize(("one", "other"), [("dogs | stripes", "dogs"), ("a b", "a | b"), ("dog", "dogs")])
def test_other_labels(one: str, other: str) -> None:
    standing = standings({"L0.N0": {"a": one, "b": other}})["L0.N0", "+"]
    assert differ(standing) and standing.state == "disputed"
    assert figures({"L0.N0": {"a": one, "b": other}}).disputed == (("L0.N0", "+"),)


@pytest.mark.parametrize("seed", range(3))
def test_disputed_is_where_answers_differ(seed: int) -> None:
    made = standings(random_said(seed))
    assert [about for about, each in made.items() if differ(each)] == list(agreement(made).disputed)


def test_a_decision_ends_the_dispute_and_changes_no_figure() -> None:
    said = random_said(2)
    before = standings(said)
    at = agreement(before).disputed[0]
    decided = Event(new_key(), "a0", "b", at[0], "+", "adjudicate", "the right one", reason="why not")
    after = agreement(before | {at: Standing(before[at].by, decided)})
    assert at not in after.disputed
    assert after.alpha == agreement(before).alpha and after.same == agreement(before).same
    assert differ(Standing(before[at].by, decided))


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"L0.N0": {"a": "snow"}, "L0.N1": {"b": "sky"}},  # nobody overlaps
        {f"L0.N{u}": {"a": "snow", "b": "snow"} for u in range(20)},  # nothing varies
        {f"L0.N{u}": {"a": BANNED, "b": BANNED} for u in range(20)},
        {f"L0.N{u}": {"a": "?", "b": "-"} for u in range(20)},
    ],
)
def test_undefined_figures_are_nan_and_never_an_exception(said: Said) -> None:
    found = figures(said, embed=lambda texts: {})
    assert np.isnan(found.alpha) and found.interval is None
    assert all(np.isnan(pair.kappa) for pair in found.pairs)
    assert np.isnan(found.meaning.cosine) and np.isnan(found.meaning.by_chance) and found.meaning.units == 0


def test_few_units_have_no_interval() -> None:
    assert figures(random_said(1, units=LEAST_UNITS - 1)).interval is None
    assert figures({f"L0.N{u}": {"a": "xy"[u % 2], "b": "xy"[u // 4 % 2]} for u in range(LEAST_UNITS)}).interval


def test_a_perfect_agreement_is_one_with_an_interval_of_one() -> None:
    found = figures({f"L0.N{u}": {"a": f"w{u % 3}", "b": f"w{u % 3}"} for u in range(12)})
    assert found.alpha == 1 and found.interval == (1.0, 1.0) and found.pairs[0].kappa == 1


def test_senses_are_embedded_one_by_one_and_averaged() -> None:
    vectors = {"dogs": np.array([1.0, 0]), "stripes": np.array([0, 1.0])}
    asked: list[str] = []

    def embed(texts: list[str]) -> dict[str, np.ndarray]:
        asked.extend(texts)
        return {text: vectors[text] for text in texts if text in vectors}

    found = figures(
        {"L0.N0": {"a": "dogs | stripes", "b": "dogs"}, "L0.N1": {"a": "dogs | sky", "b": "dogs"}}, embed=embed
    )
    assert sorted(asked) == ["dogs", "sky", "stripes"]
    assert found.meaning.units == 1 and found.meaning.cosine == pytest.approx(np.sqrt(0.5), abs=EXACT)
    assert np.isnan(found.meaning.by_chance)  # of one unit there is no other
    assert (found.texts, found.embedded) == (3, 2)


def test_blind_judgments_are_counted() -> None:
    by = {"a": event("a", "snow", blind=True), "b": event("b", "sky")}
    assert agreement({("L0.N0", "+"): Standing(by)}).blind == 1

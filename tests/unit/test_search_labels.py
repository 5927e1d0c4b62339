"""Full text over labels, against every label read; and that no query is too strange."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from core.store.search_labels import HAND, LabelIndex, Said, as_match, merged
from tests.reference import plain_search

LABELS = (
    "a dog on a beach; −snow",
    "Snow, and a café",
    "a black-and-white dog",
    "dogs; a hot dog",
    "the beach at night",
    "",
    "no AND or OR NOT",
)


def index(labels: tuple[str, ...] = LABELS) -> LabelIndex:
    return LabelIndex(Said(f"L0.N{at}", "neuron", label) for at, label in enumerate(labels))


def found(labels: LabelIndex, query: str, kind: str = "neuron") -> set[str]:
    return {said.text for said in labels.search(query, 100).get(kind, [])}


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("dog", {LABELS[0], LABELS[2], LABELS[3]}),
        ("DOG beach", {LABELS[0]}),
        ("bea", {LABELS[0], LABELS[4]}),
        ("cafe", {LABELS[1]}),
        ("CAFÉ", {LABELS[1]}),
        ('"a dog"', {LABELS[0]}),
        ('"hot dog"', {LABELS[3]}),
        ('"dog hot"', set()),
        ("black-and", {LABELS[2]}),
        ("OR", {LABELS[6]}),
        ("NOT AND", {LABELS[6]}),
        ("zebra", set()),
        ("dog )", {LABELS[0], LABELS[2], LABELS[3]}),
        ('beach "', {LABELS[0], LABELS[4]}),
    ],
)
def test_words_beginnings_and_phrases(query: str, wanted: set[str]) -> None:
    assert found(index(), query) == wanted


@given(
    some.lists(some.text(string.ascii_letters + "éü -,;−0", max_size=30), max_size=12),
    some.lists(some.text(string.ascii_lowercase + "0", min_size=1, max_size=3), min_size=1, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_as_every_label_read(labels: list[str], asked: list[str]) -> None:
    wanted = {label for label in labels if plain_search.has(label, asked)}
    assert found(index(tuple(labels)), " ".join(asked)) == wanted


HOSTILE = (
    "", " ", '"', '""', '"""', "*", "a*b", "NEAR(a b, 2)", "text:dog", "{text} : dog", "-dog", "^dog", "a AND", "(",
    "'; DROP TABLE labels; --", "dog' OR '1'='1", "\0", "\0dog", "\ud800", "😀", "雪", "снег", "کلب", "a" * 10_000,
    "dog " * 5_000, '"' * 999, "%", "_", "\\", "\n\t", "\u202e dog", "+ dog", "d o g . . .",
)  # fmt: skip


@pytest.mark.parametrize("query", HOSTILE)
def test_no_query_is_too_strange(query: str) -> None:
    labels = index()
    labels.search(query, 10)
    assert found(labels, "dog") == {LABELS[0], LABELS[2], LABELS[3]}


@given(some.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_nothing_raises(query: str) -> None:
    _SHARED.search(query, 3)


_SHARED = index()


def test_a_query_without_a_word_is_none() -> None:
    for query in ("", "😀 !", '"', "* - ()"):
        assert as_match(query) is None, query
    assert as_match('a "b c" d') == '"a" * "b c" "d" *'


def test_labels_in_other_scripts_are_found() -> None:
    labels = index(("снег на горе", "雪 と 山", "άσπρο χιόνι"))
    assert found(labels, "снег") == {"снег на горе"} and found(labels, "雪") == {"雪 と 山"}
    assert found(labels, "ΧΙΌΝΙ") == {"άσπρο χιόνι"}


def test_labels_by_hand_come_first_and_take_the_place_of_earlier_ones() -> None:
    labels = index()
    first = Said("L0.N4", "neuron", "<b>dogs</b> by the sea", "ann", "+")
    labels.replace("L0.N4", "+", "neuron", [first, Said("L0.N4", "neuron", "sea", "bob", "+")])
    both = merged(labels.search("dog", 10))["neuron"]
    assert both[0] == first
    assert {said.text for said in both[1:]} == {LABELS[0], LABELS[2], LABELS[3]}
    assert {said.by for said in labels.search("sea", 10)[f"neuron{HAND}"]} == {"ann", "bob"}
    labels.replace("L0.N4", "+", "neuron", [Said("L0.N4", "neuron", "waves", "ann", "+")])
    assert f"neuron{HAND}" not in labels.search("sea", 10)
    assert [said.text for said in labels.search("wave", 10)[f"neuron{HAND}"]] == ["waves"]
    labels.replace("L0.N4", "-", "neuron", [Said("L0.N4", "neuron", "waves of sand", "ann", "-")])
    assert len(labels.search("wave", 10)[f"neuron{HAND}"]) == 2  # the other end is another label
    labels.replace("L0.N4", "+", "neuron", [])
    assert [said.end for said in labels.search("wave", 10)[f"neuron{HAND}"]] == ["-"]


def test_each_kind_is_ranked_by_itself() -> None:
    every = [Said(f"L0.N{at}", "neuron", f"dog {at}") for at in range(50)] + [Said("L1.H0", "head", "a long dog label")]
    got = LabelIndex(every).search("dog", 5)
    assert len(got["neuron"]) == 5 and [said.address for said in got["head"]] == ["L1.H0"]
    assert [said.address for said in got["neuron"]] == [f"L0.N{at}" for at in range(5)]  # equal ones in their order

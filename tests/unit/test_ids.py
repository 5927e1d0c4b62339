import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import AddressError
from core.ids import Head, Neuron, Pair, Unit, order, parse

layers, heads, neurons = st.integers(0, 9_999), st.integers(0, 9_999), st.integers(0, 9_999_999)
vit_pairs = st.tuples(layers, neurons, layers, heads).filter(lambda t: t[0] < t[2])
units = st.one_of(
    st.builds(Head, st.none() | layers, heads),
    st.builds(Neuron, st.none() | layers, neurons),
    vit_pairs.map(lambda t: Pair(Neuron(t[0], t[1]), Head(t[2], t[3]))),
    st.builds(lambda n, h: Pair(Neuron(None, n), Head(None, h)), neurons, heads),
)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("L22.H8", Head(22, 8)),
        ("H12", Head(None, 12)),
        ("L9.N1234", Neuron(9, 1234)),
        ("N624", Neuron(None, 624)),
        ("L9.N1234>L11.H3", Pair(Neuron(9, 1234), Head(11, 3))),
        ("N624.H12", Pair(Neuron(None, 624), Head(None, 12))),
    ],
)
def test_the_addresses_of_the_design(text: str, unit: Unit) -> None:
    assert parse(text) == unit and str(unit) == text


@given(units)
def test_every_unit_is_its_address(unit: Unit) -> None:
    assert parse(str(unit)) == unit
    assert parse(f"  {unit}\n") == unit


hostile = st.one_of(
    st.text(max_size=80),
    st.text(alphabet="LHN.>0123456789 -+_²٣\n\0", max_size=80),
    units.map(str).flatmap(lambda s: st.integers(0, len(s)).map(lambda i: s[:i] + "9" * 5 + s[i:])),
)


@given(hostile)
def test_any_text_is_a_unit_or_a_sentence(text: str) -> None:
    try:
        unit = parse(text)
    except AddressError as error:
        assert len(str(error)) < 400 and str(error).endswith(".")
    else:
        assert str(unit) == text.strip()


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "a head is L22.H8"),
        ("l22.h8", "a head is L22.H8"),
        ("L22", "a head is L22.H8"),
        ("L22.H8; DROP TABLE labels", "a head is L22.H8"),
        ("<script>", "a head is L22.H8"),
        ("H٣", "a head is L22.H8"),
        ("L007.H1", "a head is L22.H8"),
        ("x" * 10_000, "…"),
        ("L9.N5>L9.H0", "must lie in a later layer"),
        ("L9.N5>L3.H0", "must lie in a later layer"),
        ("N5>L3.H0", "must lie in a later layer"),
        ("L9.N5.H3", "write L9.N5>L(later).H3"),
    ],
)
def test_what_is_no_address_is_told_with_examples(text: str, hint: str) -> None:
    with pytest.raises(AddressError, match=hint.replace("(", r"\(").replace(")", r"\)")):
        parse(text)


@given(st.lists(units))
def test_order_is_by_layer_then_kind_then_number(found: list[Unit]) -> None:
    ranked = sorted(found, key=order)
    layer = lambda unit: unit.neuron.layer if isinstance(unit, Pair) else unit.layer
    numbers = [-1 if layer(unit) is None else layer(unit) for unit in ranked]
    assert numbers == sorted(numbers)
    assert all((a == b) == (order(a) == order(b)) for a in found for b in found)


def test_order_reads_as_one_expects() -> None:
    names = ["H2", "H10", "N3", "N3.H0", "N3.H11", "N20", "L0.H1", "L2.H9", "L2.N0", "L2.N0>L3.H4", "L2.N1", "L10.H0"]
    units = [parse(name) for name in names]
    expected = [
        "H2",
        "H10",
        "N3",
        "N20",
        "N3.H0",
        "N3.H11",
        "L0.H1",
        "L2.H9",
        "L2.N0",
        "L2.N1",
        "L2.N0>L3.H4",
        "L10.H0",
    ]
    assert [str(unit) for unit in sorted(units, key=order)] == expected

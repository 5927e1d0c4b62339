"""What the Universality page says of its numbers: what they are over, what bounds them, and what two seeds of one
architecture reach."""

from collections.abc import Mapping, Sequence

from core.store.dictionary import Dictionary
from core.store.dictionary_answers import LayerShare, MemberInfo
from pages._ui import rosetta_frame
from pages._ui.dictionaries import Opened
from pages._ui.rosetta_figures import whole
from pages._ui.words import count, plain


def start(store: Dictionary) -> dict[str, str]:
    """The pair that is shown first: two seeds of one architecture where there are some, else the first two models."""
    twins = seeds(store)
    a = next(iter(twins), store.members[0].name)
    return {"a": a, "b": twins[a][0] if a in twins else store.members[1].name}


def seeds(store: Dictionary) -> dict[str, list[str]]:
    """Of each model those of the same family and training whose layers have the same names, units and grids but whose
    weights are others."""

    def shape(member: MemberInfo) -> tuple[object, ...]:
        layers = tuple((layer.name, layer.units, layer.height, layer.width) for layer in member.layers)
        return member.family, layers

    found: dict[str, list[str]] = {}
    for a in store.members:
        alike = [b.name for b in store.members if shape(a) == shape(b) and a.weights_digest != b.weights_digest]
        if alike:
            found[a.name] = alike
    return found


def population(found: Opened) -> str:
    """What the shares are over, in Markdown."""
    units = ", ".join(f"{member.name} {member.alive:,} of {member.units:,}" for member in found.store.members)
    levels = [found.store.level(a.name, b.name) for a in found.store.members for b in found.store.members if a != b]
    known = sorted(level for level in levels if level == level)  # NaN where no unit lives
    span = f"{known[0]:.3f} to {known[-1]:.3f}" if known else "unknown"
    return plain(
        f"Units that vary: {units}; over {count(found.store.images, 'image')} of the data set "
        f"{found.store.facts['images']['source']}. Null levels: {span}; a level is {rosetta_frame.null_told(found)}.",
        1_500,
    )


def most(store: Dictionary, a: str, b: str) -> float:
    """The largest share of a's living units that can have a partner in b: each unit has at most K partners in a model,
    so b's units can partner K times as many of a's."""
    own, other = store.member(a), store.member(b)
    return min(1.0, store.k * other.alive / own.alive) if own.alive else 0.0


def bound(store: Dictionary) -> str:
    """What stands below some shares of all models, and what a share depends on; Markdown."""
    return (
        f"≤: the most that a share can be, if not all. A unit has at most {store.k} partners in a model, so a model of "
        "few units cannot partner all those of a larger one. Shares are of all living units of a model, and tend to "
        "rise with the number of units in the other: compare pairs of as many units."
    )


def reference(store: Dictionary, shares: Mapping[tuple[str, str], Sequence[LayerShare]]) -> str:
    """What two seeds of one architecture reach, to compare other pairs of as many units with; Markdown."""
    twins = seeds(store)
    if not twins:
        return (
            "No two of these models are one architecture from two seeds, so there is no reference: how many units even "
            "the same training would find again is not known here."
        )
    pairs = [(a, b) for a, others in twins.items() for b in others]
    told = "; ".join(
        f"{a} in {b} {whole(shares[a, b]) or 0:.1%} ({store.member(a).alive:,} units in {store.member(b).alive:,})"
        for a, b in pairs
    )
    rest = [whole(layers) or 0 for pair, layers in shares.items() if pair not in pairs]
    span = f" Between different models it is {min(rest):.1%} to {max(rest):.1%}: " if rest else ""
    across = f"{span}more than the reference is no wonder where the other model has more units." if rest else ""
    return plain(
        f"A reference for models of as many units is one architecture trained twice from different seeds: {told} of "
        "the living units have a partner. What even these do not share is chance of training, not difference of "
        f"models.{across}",
        900,
    )

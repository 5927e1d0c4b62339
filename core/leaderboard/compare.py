"""What each method of labelling calls a sample of units, and how well that predicts them; see `leaderboard`."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from core.bundle.read import Bundle
from core.errors import InputError
from core.leaderboard.board import Board, Hand, Labelled, Row, digest
from core.leaderboard.units import Heads, Neurons, Pairs
from core.methods import label_leaderboard as method
from core.methods.label_leaderboard import Choice, Pool
from core.methods.label_scores import NAMES

UNITS = 200
"""Units of a kind."""
LEAST = 10
"""Fewest images of half B that a unit is scored on."""
Progress = Callable[[float, str], None]
"""Told the share that is done, and what is being done."""
Embed = Callable[[Sequence[str]], np.ndarray]


def leaderboard(
    bundle: Bundle,
    units: int = UNITS,
    seed: int = 0,
    hand: Sequence[Hand] = (),
    embed: Embed | None = None,
    progress: Progress | None = None,
) -> Board:
    """Compare the methods on at most `units` units of every kind. `embed` gives unit embeddings of texts of labels by
    hand that are not in the pool; without it such labels are left out and counted. InputError for no unit at all."""
    if units < 2:
        raise InputError("At least two units of a kind are needed: intervals are over units.")
    tell = progress or (lambda share, what: None)
    readers: dict[str, type[Heads] | type[Neurons] | type[Pairs]] = {"head": Heads}
    if bundle.has("neuron_coef"):
        readers["neuron"] = Neurons
    if bundle.has("pair_text_scores"):
        readers["pair"] = Pairs
    rows: list[Row] = []
    labels: list[Labelled] = []
    counts: dict[str, tuple[int, int]] = {}
    images, unread = dict[str, int](), 0
    for at, (kind, reader) in enumerate(readers.items()):
        told = lambda share, what, at=at: tell((at + share) / len(readers), what)
        source = reader(bundle)
        drawn = method.sample_rows(source.importance, units, seed)
        counts[kind] = len(drawn), int((source.importance > 0).sum())
        images[kind] = len(source.half_b)
        if len(source.half_b) < LEAST or not len(drawn):
            continue
        found = _Kind(source, seed)
        said: list[Labelled] = []
        compared = found.compare(drawn, told, said)
        if not any(row.units for row in compared):  # of so few images none is left that no direction was made from
            continue
        rows, labels = rows + compared, labels + said
        by_hand = [one for one in hand if source.has(one.address)]
        own, missed = found.by_hand(by_hand, embed, labels)
        rows, unread = rows + own, unread + missed
    if not rows:
        raise InputError(f"Bundle {bundle.id} has too few images, or no unit that varies: there is nothing to compare.")
    tell(1.0, "done")
    return Board(bundle.id, units, seed, images, counts, tuple(rows), tuple(labels), digest(hand), unread)


class _Kind:
    """The methods over units of one kind."""

    def __init__(self, source: Heads | Neurons | Pairs, seed: int) -> None:
        self._source, self._seed = source, seed
        bundle = source.bundle
        self._pool = Pool(bundle.table("pool")["text"].to_pylist(), np.asarray(bundle.array("text_embeddings")))
        self._unit_a, self._unit_b = source.units(source.half_a), source.units(source.half_b)

    def compare(self, rows: np.ndarray, tell: Progress, labels: list[Labelled]) -> list[Row]:
        """Every method that needs nobody's hand; adds what they call the units to `labels`."""
        source = self._source
        tell(0.0, f"{source.kind}s: reading")
        direction_uo, a_un, b_un, own_un = source.read(rows)
        kept_un = _enough(~own_un)
        choices = dict(self._choices(direction_uo, a_un, tell))
        embedding_uko = np.stack([choice.embedding_uo for choice in choices.values()], axis=1)
        steps = lambda done, total: tell(0.5 + 0.3 * done / total, f"{source.kind}s: scoring labels")
        found = method.scored(embedding_uko, b_un, kept_un, self._unit_b, steps)
        steps = lambda done, total: tell(0.8 + 0.2 * done / total, f"{source.kind}s: scoring random texts")
        random = self._by_chance(b_un, kept_un, steps)
        made = []
        for k, (name, choice) in enumerate(choices.items()):
            made.append(self._row(name, {figure: found[figure][:, k] for figure in NAMES}, random))
            labels += [
                Labelled(source.kind, source.address(row), "+", name, text, float(r))
                for row, text, r in zip(rows, choice.text_u, found["pearson"][:, k], strict=True)
            ]
        return [*made, self._row(method.RANDOM, random, random)]

    def by_hand(self, hand: Sequence[Hand], embed: Embed | None, labels: list[Labelled]) -> tuple[list[Row], int]:
        """The row of labels by hand, if there are any, and how many could not be embedded."""
        source, known = self._source, {text: row for row, text in enumerate(self._pool.texts)}
        usable = [one for one in hand if one.texts and (embed or all(text in known for text in one.texts))]
        if not usable:
            return [], len(hand)
        foreign = sorted({text for one in usable for text in one.texts if text not in known})
        given = dict(zip(foreign, embed(foreign), strict=True)) if foreign and embed else {}
        vector = lambda text: given[text] if text in given else self._pool.embedding_wo[known[text]]
        embedding_uko = np.stack([np.mean([vector(text) for text in one.texts], axis=0) for one in usable])[:, None]
        rows = np.array([source.row(one.address) for one in usable])
        _, _, b_un, own_un = source.read(rows)
        sign_u = np.array([1 if one.end == "+" else -1 for one in usable]) * source.turned(rows)
        b_un = b_un * sign_u[:, None].astype(np.float32)
        shown_un = np.stack([np.isin(source.image_ids[source.half_b], one.shown) for one in usable])
        kept_un = _enough(~(own_un | shown_un))
        found = method.scored(embedding_uko.astype(np.float32), b_un, kept_un, self._unit_b)
        own = {figure: found[figure][:, 0] for figure in NAMES}
        labels += [
            Labelled(source.kind, one.address, one.end, method.HAND, " | ".join(one.texts), float(r))
            for one, r in zip(usable, own["pearson"], strict=True)
        ]
        return [self._row(method.HAND, own, self._by_chance(b_un, kept_un))], len(hand) - len(usable)

    def _choices(self, direction_uo: np.ndarray, a_un: np.ndarray, tell: Progress) -> Iterator[tuple[str, Choice]]:
        source, pool, bundle = self._source, self._pool, self._source.bundle
        if isinstance(source, Heads):
            found = source.components
            yield method.TEXTSPAN, pool.choose(np.array([one.closest for one in found]))
            signs = np.array([one.sign for one in found])
            yield method.TEXTSPAN_FIRST, pool.choose(np.array([one.first for one in found]), signs)
        for at, (one, several, paper) in enumerate(
            ((method.UNIT, method.UNIT_SUM, False), (method.PAPER, method.PAPER_SUM, True))
        ):
            steps = lambda done, total, at=at: tell((0.05 + 0.2 * (at + done / total)), f"{source.kind}s: sparse texts")
            first, summed = method.pursued(direction_uo, pool, paper, steps)
            yield one, first
            yield several, summed
        yield method.NEAREST, pool.choose(method.nearest(direction_uo, pool.embedding_wo))
        if bundle.has("classes") and bundle.has("class_embeddings"):
            table = bundle.table("classes")
            classes = Pool(table["name"].to_pylist(), np.asarray(bundle.array("class_embeddings")))
            yield method.CLASS_NEAR, classes.choose(method.nearest(direction_uo, classes.embedding_wo))
            number = {label: c for c, label in enumerate(table["class"].to_pylist())}
            labels = bundle.table("images")["class"].take(source.image_ids[source.half_a]).to_pylist()
            class_h = np.array([number.get(label, -1) for label in labels])
            chosen_u = method.class_of_largest_mean(a_un, class_h, len(number))
            yield method.CLASS_MEAN, classes.choose(chosen_u)
        tell(0.47, f"{source.kind}s: fitting texts")
        yield method.FITTED, pool.choose(method.best_correlated(a_un, self._unit_a, pool.embedding_wo))

    def _by_chance(
        self, b_un: np.ndarray, kept_un: np.ndarray, tell: Callable[[int, int], None] | None = None
    ) -> dict[str, np.ndarray]:
        """Mean figures (u,) of random texts, others for every unit."""
        rng = np.random.default_rng(self._seed + 1)
        drawn_uk = rng.integers(0, len(self._pool.texts), (len(b_un), method.RANDOM_TEXTS))
        found = method.scored(self._pool.embedding_wo[drawn_uk], b_un, kept_un, self._unit_b, tell)
        return {figure: value_uk.mean(1) for figure, value_uk in found.items()}

    def _row(self, name: str, found: Mapping[str, np.ndarray], random: Mapping[str, np.ndarray]) -> Row:
        means, over = method.summary(found, random, self._seed)
        scored = int((~np.isnan(found["pearson"])).sum())
        return Row(self._source.kind, name, scored, over_random=over, **means)


def _enough(kept_un: np.ndarray) -> np.ndarray:
    """A unit that too few images are left of keeps none, so that it has no figures."""
    return kept_un & (kept_un.sum(1, keepdims=True) >= LEAST)

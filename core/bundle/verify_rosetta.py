"""What the arrays and tables of a Rosetta dictionary must say of each other; part of `core.bundle.verify`."""

from collections.abc import Iterator

import numpy as np

from core.bundle.read import Bundle
from core.stats.followed import CHOSEN_BY, activation, deviations, labels, standardised
from core.stats.partners import mutual, null_of

_FP16_STEP = 2.0**-11
_FP16_LEAST = 2.0**-24  # the smallest step between half-precision numbers
_FP32_STEP = 2.0**-24
_ROUNDING = 1e-5  # of correlations of thousands of float32 numbers


def dictionary_problems(dictionary: Bundle) -> Iterator[str]:
    """A sentence for each contradiction. What is shown of units has to follow from what is nearest to what."""
    found = [*_layers(dictionary)] or [*_rows(dictionary)]
    yield from found
    if not found:  # rows that are not there cannot be looked up
        for check in (_neighbours, _levels, _described, _concepts, _members, _shown, _texts):
            yield from check(dictionary)


def _owners(dictionary: Bundle) -> np.ndarray:
    """Each unit's member."""
    layers = dictionary.table("layers")
    return np.repeat(layers["member"].to_numpy(), layers["units"].to_numpy())


def _layers(dictionary: Bundle) -> Iterator[str]:
    layers = dictionary.table("layers")
    member, units, first = (layers[name].to_numpy() for name in ("member", "units", "first"))
    names = [facts.get("name") if isinstance(facts, dict) else None for facts in dictionary.facts["members"]]
    if names != dictionary.axes["member"].labels:
        yield "rosetta.json names other members than its axis does."
    ends = np.cumsum(units)
    right = not len(units) or (units.min() > 0 and ends[-1] == dictionary.axes["unit"].size)
    if not (right and np.array_equal(first, ends - units)):
        yield "layers.parquet does not count the units from 0 to the last."
    if (np.diff(member) < 0).any() or not np.array_equal(np.unique(member), np.arange(len(names))):
        yield "layers.parquet does not go through the members in order."


def _rows(dictionary: Bundle) -> Iterator[str]:
    units, members = dictionary.axes["unit"].size, dictionary.table("concept_members")
    near = np.asarray(dictionary.array("neighbours"))
    if near.size and not (near.min() >= -1 and near.max() < units):
        yield "neighbours.npy points at units that do not exist."
    named = np.concatenate([members["unit"].to_numpy(), members["partner"].to_numpy().clip(0)])
    if not np.isin(named, np.arange(units)).all() or (members["partner"].to_numpy() < -1).any():
        yield "concept_members.parquet names units that do not exist."
    concepts = dictionary.table("concepts")
    count, first, hub = (concepts[name].to_numpy() for name in ("members", "first", "hub"))
    ends = np.cumsum(count)
    if not np.array_equal(first, ends - count) or (ends[-1] if len(ends) else 0) != members.num_rows:
        yield "concepts.parquet does not divide concept_members.parquet."
    elif not np.array_equal(members["concept"].to_numpy(), np.repeat(np.arange(len(count)), count)):
        yield "concept_members.parquet is not in the order of concepts.parquet."
    if (np.diff(hub) < 0).any() or not np.isin(hub, np.arange(dictionary.axes["member"].size)).all():
        yield "concepts.parquet does not go through the hubs in order."


def _neighbours(dictionary: Bundle) -> Iterator[str]:
    near, owner = np.asarray(dictionary.array("neighbours")), _owners(dictionary)
    r, shuffled = np.asarray(dictionary.array("neighbour_r")), np.asarray(dictionary.array("neighbour_shuffled"))
    members = np.arange(near.shape[1])
    rows = np.arange(len(near))[:, None, None]
    if ((near >= 0) & ((owner[near.clip(0)] != members[:, None]) | (near == rows))).any():
        yield "neighbours.npy names units of another member, or a unit as its own neighbour."
    if (np.isnan(r) != (near < 0)).any() or (np.abs(r) > 1).any():
        yield "neighbour_r.npy is not a correlation exactly where neighbours.npy has a unit."
    sunk = np.where(np.isnan(r), -np.inf, r)
    with np.errstate(invalid="ignore"):  # -inf less -inf
        if (np.diff(sunk, axis=-1) > 0).any():
            yield "neighbour_r.npy is not sorted from the nearest unit on."
    own = (owner[:, None] == members)[..., None] | (near < 0)
    if (np.isnan(shuffled) != own).any() or (np.abs(shuffled) > 1).any():
        yield "neighbour_shuffled.npy is not a correlation exactly where another member has a neighbour."
    # the same pair has one correlation, whichever unit it is asked of
    i, m, k = np.nonzero((near >= 0) & (owner[:, None] != members)[..., None])
    j = near[i, m, k]
    back = near[j, owner[i]] == i[:, None]
    has = back.any(1)
    if (r[j, owner[i], back.argmax(1)] != r[i, m, k])[has].any():
        yield "neighbour_r.npy gives a pair of units two correlations."


def _levels(dictionary: Bundle) -> Iterator[str]:
    levels, best, owner = (
        np.asarray(dictionary.array("levels")),
        np.asarray(dictionary.array("null_best")),
        _owners(dictionary),
    )
    quantile = dictionary.facts["null"]["quantile"]
    if (np.abs(best) > 1).any():
        yield "null_best.npy holds numbers that are no correlations."
    for a, b in np.ndindex(levels.shape):
        if a == b:
            expected = np.nan
        else:
            sides = (best[owner == a, b], best[owner == b, a])
            known = [side[~np.isnan(side)] for side in sides]
            expected = max((float(np.quantile(side, quantile)) for side in known if len(side)), default=np.nan)
        # interpolation in float32 or float64
        if not np.isclose(levels[a, b], expected, rtol=0, atol=4 * _FP32_STEP, equal_nan=True):
            yield f"levels.npy: the level of members {a} and {b} is not the quantile of null_best.npy."


def _described(dictionary: Bundle) -> Iterator[str]:
    rows, peak = np.asarray(dictionary.array("described")), np.asarray(dictionary.array("peak"), np.float64)
    units = np.unique(dictionary.table("concept_members")["unit"].to_numpy())
    if not np.array_equal(rows, units):
        yield "described/rows.npy is not the units of all concepts, in ascending order."
    if not np.isfinite(peak).all():
        yield "described/peak.npy is not finite."
    elif peak.shape[1]:
        size = np.abs(peak).max(1, initial=0)
        for name, value in (("mean", peak.mean(1)), ("std", peak.std(1))):
            stored = np.asarray(dictionary.array(f"peak_{name}"))
            if (np.abs(stored - value) > 2 * _FP32_STEP * (size + _FP16_LEAST)).any():
                yield f"described/peak_{name}.npy is not that of described/peak.npy."


def _concepts(dictionary: Bundle) -> Iterator[str]:
    concepts, owner = dictionary.table("concepts"), _owners(dictionary)
    members = dictionary.table("concept_members")
    hub, first, count, corr = (concepts[name].to_numpy() for name in ("hub", "first", "members", "corr"))
    ends = np.cumsum(count)
    squares = np.cumsum(count**2)
    if (
        not np.array_equal(corr, squares - count**2)
        or (squares[-1] if len(count) else 0) != dictionary.axes["corr_value"].size
    ):
        yield "concepts.parquet does not divide concepts/corr.npy."
    strength = concepts["strength"].to_numpy()
    if ((np.diff(strength) > 0) & (np.diff(hub) == 0)).any() or (strength <= 0).any():
        yield "concepts.parquet is not sorted from the strongest concept of each hub on."
    units = members["unit"].to_numpy()
    models = [len(np.unique(owner[units[a:b]])) for a, b in zip(first, ends, strict=True)]
    if not np.array_equal(concepts["models"].to_numpy(), models):
        yield "concepts.parquet counts other models than its concepts have."
    if len(first) and not np.array_equal(concepts["anchor"].to_numpy(), units[first]):
        yield "concepts.parquet names a concept by another unit than its first."
    matrix = np.asarray(dictionary.array("concept_corr"))
    if (np.abs(matrix) > 1).any():
        yield "concepts/corr.npy holds numbers that are no correlations."
    whole = (matrix[a : a + n * n].reshape(n, n) for a, n in zip(corr, count, strict=True))
    if not all(np.array_equal(one, one.T, equal_nan=True) for one in whole):
        yield "concepts/corr.npy holds a matrix that is not symmetric."


def _members(dictionary: Bundle) -> Iterator[str]:
    """Every unit of a concept that is not the hub's is a partner of the hub unit it names, above the null."""
    members, owner = dictionary.table("concept_members"), _owners(dictionary)
    unit, partner, concept = (members[name].to_numpy() for name in ("unit", "partner", "concept"))
    r, null = (members[name].to_numpy() for name in ("r", "null"))
    hub = dictionary.table("concepts")["hub"].to_numpy()
    own = owner[unit] == hub[concept]
    if (own != (partner < 0)).any() or (np.isnan(null) != own).any() or (np.abs(r) > 1).any():
        yield "concept_members.parquet has partners of the hub's own units, or none of another model's."
        return
    near, near_r = dictionary.array("neighbours"), dictionary.array("neighbour_r")
    shuffled, levels = dictionary.array("neighbour_shuffled"), np.asarray(dictionary.array("levels"))
    for a, b in np.ndindex(levels.shape):
        here = np.flatnonzero(~own & (hub[concept] == a) & (owner[unit] == b))
        if not len(here):
            continue
        if (owner[partner[here]] != a).any():
            yield "concept_members.parquet matches units with units that are not the hub's."
            continue
        hits = np.asarray(near[partner[here], b]) == unit[here, None]
        place = hits.argmax(1)
        chosen = lambda table: np.asarray(table[partner[here], b])[np.arange(len(here)), place]  # noqa: B023
        both = (mutual(near, partner[here], owner, b) & hits).any(1)
        chance = null_of(float(levels[a, b]), chosen(shuffled))
        if not both.all():
            yield "concept_members.parquet has matches that are not mutual nearest neighbours."
        elif (np.abs(r[here] - chosen(near_r)) > _FP32_STEP).any() or (np.abs(null[here] - chance) > _FP32_STEP).any():
            yield "concept_members.parquet does not repeat what neighbours.npy says of its matches."
        if (r[here] <= null[here]).any():
            yield "concept_members.parquet has matches that are not above the null."


def _shown(dictionary: Bundle) -> Iterator[str]:
    images, ranks = dictionary.axes["image"].size, dictionary.axes["concept_rank"].size
    shown = np.asarray(dictionary.array("concept_images"))
    if shown.size and not (shown.min() >= -1 and shown.max() < images):
        yield "concepts/images.npy names images that were not used."
    members = dictionary.table("concept_members")
    start, height, width = (members[name].to_numpy().astype(np.int64) for name in ("maps", "height", "width"))
    size = ranks * height * width
    ends = np.cumsum(size)
    if not np.array_equal(start, ends - size) or (ends[-1] if len(ends) else 0) != dictionary.axes["map_value"].size:
        yield "concept_members.parquet does not divide concepts/maps.npy."
    if not np.isfinite(dictionary.array("maps")).all():
        yield "concepts/maps.npy is not finite."
    if not np.array_equal(dictionary.table("images")["image"].to_numpy(), np.arange(images)):
        yield "images.parquet does not number its images 0, 1, 2, …."
    path = dictionary.path("thumbs/offsets.npy")
    offsets, data = np.load(path, allow_pickle=False), dictionary.path("thumbs/thumbs.bin").stat().st_size
    if offsets.shape != (images + 1,) or offsets[0] != 0 or offsets[-1] != data or (np.diff(offsets) < 0).any():
        yield f"thumbs/offsets.npy does not rise from 0 to the {data} bytes of thumbs/thumbs.bin."


def _texts(dictionary: Bundle) -> Iterator[str]:
    texts, concepts = dictionary.table("unit_texts"), dictionary.table("concepts")
    unit, rank, value = (texts[name].to_numpy() for name in ("unit", "rank", "value"))
    if not np.isin(unit, np.asarray(dictionary.array("described"))).all():
        yield "unit_texts.parquet describes units that are in no concept."
    # a cosine or correlation; rounding of unit vectors
    if (np.abs(value) > 1 + 1e-6).any():
        yield "unit_texts.parquet holds values that are no cosines or correlations."
    follows = (np.diff(unit) == 0) & (np.diff(rank) == 1)
    if not (follows | (rank[1:] == 0)).all() or (np.diff(value) > 0)[follows].any():
        yield "unit_texts.parquet is not in order: unit by unit, the best text first."
    like_wi = dictionary.array("text_cosine")
    label_c, r_c = (concepts[name].to_numpy() for name in ("label", "label_r"))
    if not np.isfinite(np.asarray(like_wi, np.float32)).all():
        yield "texts/cosine.npy is not finite."
        return
    if not np.isfinite(dictionary.array("peak")).all():  # which is said already
        return
    if label_c.size and not (label_c.min() >= -1 and label_c.max() < len(like_wi)):
        yield "concepts.parquet has labels that are no row of texts.parquet."
        return
    number_ci = _activation(dictionary)
    best_c, best_r_c = labels(like_wi, number_ci)
    # of texts that follow it as closely but for float32 rounding another may be the first
    for c in np.flatnonzero(best_c != label_c).tolist():
        two = standardised(np.asarray(like_wi[[best_c[c], label_c[c]]])[:, CHOSEN_BY])
        r_2 = two @ standardised(number_ci[c : c + 1, CHOSEN_BY])[0] / two.shape[1]
        if min(best_c[c], label_c[c]) < 0 or abs(r_2[0] - r_2[1]) > _ROUNDING:
            yield "concepts.parquet has a label that its concept does not follow most closely."
            return
    same = best_c == label_c
    if not np.allclose(r_c[same], best_r_c[same], rtol=0, atol=_ROUNDING, equal_nan=True):
        yield "concepts.parquet has a label whose correlation is another."


def _activation(dictionary: Bundle) -> np.ndarray:
    """(concept, image), from the peaks of the best unit of each member."""
    names = ("peak", "peak_mean", "peak_std")
    z_di = deviations(*(np.asarray(dictionary.array(name), np.float64) for name in names))
    members, owner_u = dictionary.table("concept_members"), _owners(dictionary)
    at_m = np.searchsorted(np.asarray(dictionary.array("described")), members["unit"].to_numpy())
    best: list[dict[int, tuple[float, int]]] = [{} for _ in range(dictionary.axes["concept"].size)]
    columns = (members[name].to_pylist() for name in ("concept", "unit", "r", "null"))
    for concept, unit, r, null, at in zip(*columns, at_m.tolist(), strict=True):
        known = best[concept].get(owner_u[unit])
        if known is None or r - null > known[0]:  # a hub's units have no null, and the first of them names it
            best[concept][owner_u[unit]] = (r - null, at)
    return activation(z_di, [[at for _, at in units.values()] for units in best])

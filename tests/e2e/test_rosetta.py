"""`python -m precompute rosetta` from end to end, against plain passes and the rule unit by unit."""

from pathlib import Path

import numpy as np
import pytest
import torch

from core.bundle.dictionary import open_dictionary
from core.bundle.read import Bundle
from core.images import DecodePolicy, decode
from core.methods.first_order import FirstOrder
from core.methods.heatmaps import text_heatmaps
from core.methods.rosetta import SELF_R
from core.models.zoo import load_zoo
from core.store.dictionary import Dictionary
from core.text.embed import embed_pool
from core.text.pools import load_pool
from precompute.plan import choose_layers
from tests.e2e.rosetta_case import NUMBER
from tests.e2e.world import World
from tests.reference.plain_rosetta import plain_clusters, plain_label, to_larger

ROOT = Path(__file__).parents[2]


class Plain:
    """Every map of every member in the images used, by itself; correlations of whole tables at the larger size."""

    def __init__(self, world: World, rosetta_cnn: Path, dictionary: Bundle) -> None:
        self.members = load_zoo([str(world.model("vit")), str(world.model("resnet")), str(rosetta_cnn)], device="cpu")
        paths = dictionary.table("images")["path"].to_pylist()
        self.pictures = [decode((world.images / path).read_bytes(), DecodePolicy()) for path in paths]
        self.inputs = {m.name: torch.stack([m.prepare(picture) for picture in self.pictures]) for m in self.members}
        self.maps: list[torch.Tensor] = []
        self.owner: list[int] = []
        for i, member in enumerate(self.members):
            for maps_bcyx in member.maps(self.inputs[member.name]).values():
                self.maps.append(maps_bcyx.double())
                self.owner += [i] * maps_bcyx.shape[1]

    def table(self, order: list[int] | None = None) -> np.ndarray:
        """(unit, unit); `order` of the images of the second. 0 of units that are dead."""
        rows = []
        for a in self.maps:
            row = []
            for b in self.maps:
                x, y = to_larger(a, b if order is None else b[order])
                x, y = (m.transpose(0, 1).flatten(1).numpy() for m in (x, y))
                x, y = (m - m.mean(1, keepdims=True) for m in (x, y))
                scale = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(y, axis=1)
                row.append(np.where(scale > 1e-9, x @ y.T / np.where(scale > 0, scale, 1), 0))
            rows.append(row)
        return np.block(rows)


@pytest.fixture(scope="module")
def plain(world: World, rosetta_cnn: Path, rosetta_whole: Path) -> Plain:
    return Plain(world, rosetta_cnn, open_dictionary(rosetta_whole))


def test_neighbours_and_null_are_those_of_whole_tables(rosetta_whole: Path, plain: Plain) -> None:
    dictionary, owner = open_dictionary(rosetta_whole), np.array(plain.owner)
    near, r = np.asarray(dictionary.array("neighbours")), np.asarray(dictionary.array("neighbour_r"))
    shuffled, best = np.asarray(dictionary.array("neighbour_shuffled")), np.asarray(dictionary.array("null_best"))
    next_one = [i + 1 if (i + 1) % 16 and i + 1 < NUMBER else i // 16 * 16 for i in range(NUMBER)]
    table, chance = plain.table(), plain.table(next_one)
    order = {"vit": 0, "resnet": 1, "cnn": 2}
    assert dictionary.axes["member"].labels == list(order) and near.shape == (len(owner), 3, 5)
    # of two members, the one whose name comes first is the one whose images stay
    first = np.array([sorted(order).index(name) for name in order])[owner]
    stays = first[:, None] <= first[None, :]
    chance = np.where(stays, chance, chance.T)
    np.fill_diagonal(table, -2)
    alive = np.asarray(dictionary.array("unit_std")) > 0
    assert np.array_equal(~alive, ~plain.table().any(1)) and (~alive).any()  # a dead unit is nobody's neighbour
    assert (near[~alive] == -1).all() and np.isnan(r[~alive]).all() and np.isnan(best[~alive]).all()
    for m in range(3):
        there = np.flatnonzero((owner == m) & alive)
        expected = -np.sort(-table[np.ix_(alive, there)], axis=1)[:, :5]
        # float32 maps in batches of other sizes; ties within that come in either order
        assert np.allclose(r[alive, m], expected, rtol=0, atol=2e-5)
        assert np.allclose(np.take_along_axis(table[alive], near[alive, m], 1), r[alive, m], rtol=0, atol=2e-5)
        assert np.isin(near[alive, m], there).all()
        others = (owner != m) & alive
        taken = np.take_along_axis(chance[others], near[others, m], 1)
        assert np.allclose(shuffled[others, m], taken, rtol=0, atol=2e-5)
        assert np.allclose(best[others, m], chance[np.ix_(others, there)].max(1), rtol=0, atol=2e-5)
    levels = np.asarray(dictionary.array("levels"))
    for a in range(3):
        for b in set(range(3)) - {a}:
            sides = (best[owner == a, b], best[owner == b, a])
            assert levels[a, b] == pytest.approx(
                max(np.nanquantile(side.astype(float), 0.99) for side in sides), abs=1e-6
            )


def test_concepts_follow_from_neighbours(rosetta_whole: Path, plain: Plain) -> None:
    """Unit by unit, by the rule."""
    dictionary, owner = open_dictionary(rosetta_whole), plain.owner
    near, r = np.asarray(dictionary.array("neighbours")), np.asarray(dictionary.array("neighbour_r"), float)
    shuffled, levels = np.asarray(dictionary.array("neighbour_shuffled")), np.asarray(dictionary.array("levels"))
    stored = dictionary.table("concepts").to_pylist()
    rows = dictionary.table("concept_members").to_pylist()
    assert len(stored) > 10
    for hub in range(3):
        units = [u for u in range(len(owner)) if owner[u] == hub]
        excess: dict[int, dict[int, float]] = {}
        matched: dict[int, set[int]] = {}
        for u in units:
            for m in set(range(3)) - {hub}:
                for j, value, chance in zip(near[u, m], r[u, m], shuffled[u, m], strict=True):
                    null = max(float(levels[hub, m]), float(chance))
                    if j >= 0 and u in near[j, hub] and value > null:
                        excess.setdefault(u, {})[m] = max(excess.get(u, {}).get(m, 0.0), value - null)
                        matched.setdefault(u, set()).add(int(j))
        anchors = sorted(excess)
        alike = [
            (u, int(j)) for u in anchors for j, value in zip(near[u, hub], r[u, hub], strict=True)
            if value >= SELF_R and int(j) in excess and u in near[j, hub]
        ]  # fmt: skip
        labels = plain_clusters(anchors, alike)
        expected = {}
        for label in set(labels):
            own = [u for u, of in zip(anchors, labels, strict=True) if of == label]
            by_model = {m: max(excess[u].get(m, 0.0) for u in own) for m in set(range(3)) - {hub}}
            members = frozenset(own) | {j for u in own for j in matched[u]}
            expected[members] = (sum(by_model.values()) / 2, 1 + sum(value > 0 for value in by_model.values()))
        found = {}
        for one in (one for one in stored if one["hub"] == hub):
            units_of = rows[one["first"] : one["first"] + one["members"]]
            found[frozenset(row["unit"] for row in units_of)] = (one["strength"], one["models"])
        assert found.keys() == expected.keys()
        for members, (strength, models) in expected.items():
            assert found[members][1] == models and found[members][0] == pytest.approx(strength, abs=1e-9)


def test_what_is_shown_of_concepts(rosetta_whole: Path, plain: Plain) -> None:
    """Peaks, images, maps and correlations are those of the plain maps."""
    dictionary = open_dictionary(rosetta_whole)
    described = np.asarray(dictionary.array("described"))
    by_unit = [maps_bcyx[:, c].float().numpy() for maps_bcyx in plain.maps for c in range(maps_bcyx.shape[1])]
    peak = np.array([by_unit[row].max((1, 2)) for row in described])
    assert np.allclose(dictionary.array("peak"), peak, rtol=1e-3, atol=1e-5)  # half precision
    table, values = plain.table(), np.asarray(dictionary.array("maps"), np.float32)
    corr, shown = np.asarray(dictionary.array("concept_corr")), np.asarray(dictionary.array("concept_images"))
    rows = dictionary.table("concept_members").to_pylist()
    for c, one in enumerate(dictionary.table("concepts").to_pylist()):
        own = rows[one["first"] : one["first"] + one["members"]]
        units = [row["unit"] for row in own]
        n = len(units)
        matrix = corr[one["corr"] : one["corr"] + n * n].reshape(n, n)
        assert np.allclose(matrix, table[np.ix_(units, units)], rtol=0, atol=2e-5)
        assert len(set(shown[c])) == 8
        for row in own:
            expected = by_unit[row["unit"]][shown[c]]
            assert (row["height"], row["width"]) == expected.shape[1:]
            stored = values[row["maps"] : row["maps"] + expected.size].reshape(expected.shape)
            assert np.allclose(stored, expected, rtol=1e-3, atol=1e-5)


def test_texts_by_map_are_those_whose_heatmap_it_follows_best(world: World, rosetta_whole: Path, plain: Plain) -> None:
    """Of the last layer of the ViT, whose neurons no head reads, and of all but the last of the ResNet."""
    dictionary, pool = open_dictionary(rosetta_whole), load_pool(world.pool)
    texts = dictionary.table("unit_texts").to_pylist()
    hows = {(plain.owner[row["unit"]], row["how"]) for row in texts}
    assert hows == {(0, "second-order direction"), (0, "map"), (1, "pool direction"), (1, "map")}
    first = {row["layer"]: row["first"] for row in dictionary.table("layers").to_pylist() if row["member"] < 2}
    for m, last in ((0, "L3"), (1, "layer3")):
        member = plain.members[m]
        assert member.clip is not None
        embedded = torch.from_numpy(embed_pool(member.clip, pool))
        lens = FirstOrder(member.clip.tower, choose_layers(member.clip.tower, None))
        trace = member.clip.tower.trace(plain.inputs[member.name], lens.layers)
        heat = text_heatmaps(lens, trace, embedded, average_o=embedded.mean(0)).total().double()
        maps = member.maps(plain.inputs[member.name], [last])[last].double()
        checked = 0
        for unit in range(maps.shape[1]):
            mine = sorted((row for row in texts if row["unit"] == first[last] + unit), key=lambda row: row["rank"])
            if not mine:
                continue
            x, y = to_larger(maps[:, unit : unit + 1], heat)
            every = np.concatenate([x.transpose(0, 1).flatten(1).numpy(), y.transpose(0, 1).flatten(1).numpy()])
            r = np.corrcoef(every)[0, 1:]
            assert [row["how"] for row in mine] == ["map"] * 5
            assert np.allclose([row["value"] for row in mine], -np.sort(-r)[:5], rtol=0, atol=1e-4)
            assert all(abs(r[pool.texts.index(row["text"])] - row["value"]) < 1e-4 for row in mine)
            checked += 1
        assert checked


def test_a_concept_is_named_by_the_text_its_activation_follows(world: World, rosetta_whole: Path, plain: Plain) -> None:
    """As both CLIP members read the images, from their inputs on; half of the images choose, the others tell."""
    dictionary, pool = open_dictionary(rosetta_whole), load_pool(world.pool)
    assert dictionary.table("texts")["text"].to_pylist() == list(pool.texts)
    read = []
    for member in plain.members:
        if member.clip is not None:
            made = member.clip.tower.trace(plain.inputs[member.name], ()).representation_bo.double()
            unit_io = made / made.norm(dim=1, keepdim=True)
            cosine_wi = (torch.from_numpy(embed_pool(member.clip, pool)).double() @ unit_io.T).numpy()
            read.append((cosine_wi - cosine_wi.mean(1, keepdims=True)) / cosine_wi.std(1, keepdims=True))
    assert len(read) == 2
    like_wi = np.asarray(dictionary.array("text_cosine"), np.float64)
    # half precision, of numbers whose deviation fp32 passes of other batches move by 1e-4
    assert np.allclose(like_wi, np.mean(read, axis=0), rtol=2**-10, atol=2e-3)
    store, table = Dictionary(dictionary), dictionary.table("concepts")
    label_c, r_c = table["label"].to_pylist(), table["label_r"].to_pylist()
    assert len(label_c) > 20
    for concept in (each for member in store.members for each in store.concepts(member.name)):
        assert concept.best[concept.hub].address == concept.address
        above = [unit.r - unit.null for name, unit in concept.best.items() if name != concept.hub]
        assert concept.strength == pytest.approx(sum(above) / (len(plain.members) - 1), abs=1e-9)
        number_i = np.mean([z_of(dictionary, unit.row) for unit in concept.best.values()], axis=0)
        text, r = plain_label(like_wi, number_i)
        assert label_c[concept.row] == text
        assert r_c[concept.row] == pytest.approx(r, abs=1e-5, nan_ok=True)  # of float32 numbers


def z_of(dictionary: Bundle, row: int) -> np.ndarray:
    """A unit's peaks in deviations from their mean."""
    at = int(np.flatnonzero(np.asarray(dictionary.array("described")) == row)[0])
    peak_i = np.asarray(dictionary.array("peak")[at], np.float64)
    return (peak_i - peak_i.mean()) / (peak_i.std() or np.inf)

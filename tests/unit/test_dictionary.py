"""Dictionaries of Rosetta concepts: what is written is read again, pages get what it says, and damage is found."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.bundle.dictionary import DictionaryWriter, list_dictionaries, open_dictionary
from core.bundle.read import list_bundles, open_bundle
from core.bundle.verify import verify
from core.errors import AddressError, BundleDamaged, BundleError, BundleMissing, BundleVersion
from core.stats.partners import mutual, partners
from core.store.dictionary import Dictionary
from tests import bundle_maker, dictionary_maker
from tests.dictionary_maker import DEAD, IMAGES, MEMBERS, RANKS
from tests.unit.test_bundle_verify import reseal


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dictionary_maker.make(tmp_path_factory.mktemp("out") / "rosetta-0123abcd")


@pytest.fixture(scope="module")
def store(whole: Path) -> Dictionary:
    return Dictionary(open_dictionary(whole))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dictionary_maker.make(tmp_path_factory.mktemp("out") / "rosetta-empty", empty=True)


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "rosetta-0123abcd")


# --- the folder -----------------------------------------------------------------------------------------------------


def test_what_was_written_is_read(whole: Path) -> None:
    dictionary, made = open_dictionary(whole), dictionary_maker.arrays()
    assert dictionary.id == "rosetta-0123abcd" and dictionary.form.kind == "dictionary"
    for name in ("neighbours", "neighbour_r", "levels", "unit_std"):
        assert np.array_equal(dictionary.array(name), made[name], equal_nan=True)
    assert dictionary.table("images")["year"].to_pylist()[:2] == [2000, 2001]
    with pytest.raises(BundleError, match="a finished dictionary is never changed"):
        DictionaryWriter(whole)


def test_bundles_and_dictionaries_lie_side_by_side(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "rosetta-0123abcd")
    bundle_maker.make(tmp_path / "a-bundle")
    (tmp_path / "rosetta-begun" / ".work").mkdir(parents=True)
    assert [one.path.name for one in list_bundles(tmp_path)] == ["a-bundle"]
    done, begun = list_dictionaries(tmp_path)
    assert done.problem is None and done.facts is not None
    assert begun.facts is None and "dictionary at" in str(begun.problem) and "is unfinished" in str(begun.problem)
    with pytest.raises(BundleMissing, match="is a folder of dictionaries"):
        open_dictionary(tmp_path)
    with pytest.raises(BundleMissing):
        open_bundle(whole)
    with pytest.raises(BundleMissing, match="precompute rosetta"):
        open_dictionary(tmp_path / "nowhere")


def change(folder: Path, **fields: object) -> None:
    path = folder / "rosetta.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | fields), "utf-8")


def test_a_dictionary_that_cannot_be_opened_says_why(folder: Path) -> None:
    change(folder, format_version=7)
    with pytest.raises(BundleVersion, match="version 7, and this program reads version 2"):
        open_dictionary(folder)
    change(folder, format_version=2, k="five")
    with pytest.raises(BundleDamaged, match="k should be of kind int"):
        open_dictionary(folder)
    change(folder, k=3, files={"../x": {"bytes": 1, "sha256": "00"}})
    with pytest.raises(BundleDamaged, match=r"leads out of the bundle"):
        open_dictionary(folder)


# --- what pages ask -------------------------------------------------------------------------------------------------


def test_members_and_addresses(store: Dictionary) -> None:
    assert [member.name for member in store.members] == list(MEMBERS)
    vit = store.member("demo-vit")
    assert (vit.units, vit.alive, vit.clip, vit.licence) == (13, 12, True, "MIT")
    assert [(layer.name, layer.first, layer.units, layer.depth) for layer in vit.layers] == [
        ("L0", 0, 6, 0.5),
        ("L1", 6, 7, 1.0),
    ]
    rows = sum(member.units for member in store.members)
    assert [store.row(store.address(row)) for row in range(rows)] == list(range(rows))
    assert store.address(13) == "demo-cnn:layer1.N0"
    for wrong in ("demo-vit:L0.N6", "demo-vit:L2.N0", "other:L0.N0", "L0.N0", "demo-vit:L0.N00", "x" * 999, ""):
        with pytest.raises(AddressError):
            store.row(wrong)
    assert store.level("demo-vit", "demo-cnn") == store.level("demo-cnn", "demo-vit") > 0
    assert np.isnan(store.level("demo-vit", "demo-vit"))


def test_concepts_are_those_of_the_neighbours(store: Dictionary) -> None:
    made = dictionary_maker.concepts(dictionary_maker.arrays())
    for hub, name in enumerate(MEMBERS):
        wanted = [one for one in made if one["hub"] == hub]
        found = store.concepts(name)
        assert [concept.address for concept in found] == [store.address(one["anchor"]) for one in wanted]
        strengths = [concept.strength for concept in found]
        assert strengths == [one["strength"] for one in wanted] == sorted(strengths, reverse=True)
        for concept, one in zip(found, wanted, strict=True):
            assert [unit.row for unit in concept.members] == [of["unit"] for of in one["of"]]
            assert concept.models == len({unit.member for unit in concept.members})
            assert store.concept(concept.address) is concept
            for unit in concept.members:
                assert (unit.partner is None) == (unit.member == name) == bool(np.isnan(unit.null))
                assert unit.partner is None or unit.r > unit.null
                assert concept in store.concepts_of_unit(unit.address)
        assert sum(store.sharing(name).values()) == len(found) > 0
    assert store.concept(f"demo-vit:L0.N{DEAD}") is None and store.concept("nonsense") is None
    assert store.concepts_of_unit(f"demo-vit:L0.N{DEAD}") == []


def test_maps_correlations_and_labels_of_a_concept(store: Dictionary) -> None:
    by_unit = dictionary_maker.maps(0, True)
    r = dictionary_maker.correlations(by_unit)
    for concept in store.concepts("demo-cnn"):
        maps = store.maps(concept)
        assert list(maps) == [unit.address for unit in concept.members]
        for unit in concept.members:
            expected = by_unit[unit.row][list(concept.images)]
            assert maps[unit.address].shape == (RANKS, *expected.shape[1:])
            assert np.allclose(maps[unit.address], expected, rtol=2**-11, atol=2**-24)  # stored in half precision
        rows = [unit.row for unit in concept.members]
        assert np.allclose(store.correlations(concept), r[np.ix_(rows, rows)], rtol=0, atol=2**-24)
    assert store.texts("demo-cnn:layer1.N0") == []
    clip = next(unit for concept in store.concepts("demo-cnn") for unit in concept.members if unit.member == "demo-vit")
    assert [text.text for text in store.texts(clip.address)] == [
        dictionary_maker.text_of(clip.row, k) for k in range(5)
    ]


def test_a_concept_is_named_by_the_text_it_follows_and_scored_on_the_other_images(store: Dictionary) -> None:
    like_wi = dictionary_maker.like(0).astype(float)
    every = [concept for member in store.members for concept in store.concepts(member.name)]
    assert {concept.label.text for concept in every if concept.label} == set(dictionary_maker.POOL)
    for concept in every:
        number_i = store.activation[concept.row].astype(float)
        r_w = [np.corrcoef(text_i[::2], number_i[::2])[0, 1] for text_i in like_wi]
        if max(r_w) <= 0:
            assert concept.label is None
            continue
        text = int(np.argmax(r_w))
        assert concept.label is not None and concept.label.text == dictionary_maker.POOL[text]
        r = np.corrcoef(like_wi[text, 1::2], number_i[1::2])[0, 1]
        assert concept.label.r == pytest.approx(r, abs=1e-5)  # of float32 numbers
        score = store.scores.score(concept, concept.label.text)
        assert score is not None and score.pearson.value == pytest.approx(r, abs=1e-5)
        assert score.pearson.low < r < score.pearson.high and score.images == IMAGES // 2
        assert "without the half" in score.population
        other = dictionary_maker.POOL[text - 1]
        made = store.scores.score(concept, other, excluded=concept.images[:2])
        kept = [i for i in range(IMAGES) if i not in concept.images[:2]]
        expected = np.corrcoef(like_wi[text - 1, kept], number_i[kept])[0, 1]
        assert made is not None and made.pearson.value == pytest.approx(expected, abs=1e-5)
        assert made.images == IMAGES - 2
    assert store.scores.score(every[0], "no text of the pool") is None
    assert "pool" in store.scores.why("no text of the pool") and not store.scores.why(dictionary_maker.POOL[0])


def test_images_of_a_concept_are_those_of_its_peaks(store: Dictionary) -> None:
    """Also `in_image`, whose numbers order them: by definition from the maps."""
    peak = {row: m.max((1, 2)).astype(np.float16).astype(float) for row, m in enumerate(dictionary_maker.maps(0, True))}
    for concept in store.concepts("demo-vit"):
        best: dict[str, tuple[float, int]] = {}
        for unit in concept.members:
            above = np.inf if unit.partner is None else unit.r - unit.null  # one unit of the hub a concept here
            best[unit.member] = max(best.get(unit.member, (-1.0, 0)), (above, unit.row))
        z = np.mean([(peak[row] - peak[row].mean()) / peak[row].std() for _, row in best.values()], axis=0)
        assert list(concept.images) == np.argsort(-z, kind="stable")[:RANKS].tolist()
        for image in (0, IMAGES - 1):
            found = {one.address: value for one, value in store.in_image("demo-vit", image)}
            # peaks are float16, their mean and deviation float32
            assert abs(found[concept.address] - z[image]) < 1e-5
    values = [value for _, value in store.in_image("demo-vit", 3)]
    assert values == sorted(values, reverse=True) and len(values) == len(store.concepts("demo-vit"))
    with pytest.raises(AddressError, match="images 0 to 23"):
        store.in_image("demo-vit", IMAGES)
    assert store.path(4) == "green/4.jpg" and store.image(4).columns == {"year": 2004}
    assert (store.thumbnail(4) or b"").startswith(b"\xff\xd8")


def test_universality_counts_partners_layer_by_layer(store: Dictionary) -> None:
    made = dictionary_maker.arrays()
    near, r, shuffled, owner = (made[name] for name in ("neighbours", "neighbour_r", "neighbour_shuffled", "owner"))
    depth = np.repeat(
        [layer.depth for m in store.members for layer in m.layers],
        [layer.units for m in store.members for layer in m.layers],
    )
    for a, b in ((0, 1), (1, 0), (2, 1)):
        shares = store.universality(store.members[a].name, store.members[b].name)
        assert [share.layer for share in shares] == [layer.name for layer in store.members[a].layers]
        for share, layer in zip(shares, store.members[a].layers, strict=True):
            depths = []
            for row in range(layer.first, layer.first + layer.units):
                for j, value, chance in zip(near[row, b], r[row, b], shuffled[row, b], strict=True):
                    if j >= 0 and row in near[j, a] and value > max(made["levels"][a, b], chance):
                        depths.append(depth[j])
                        break
            assert share.partnered == len(depths) and share.partner_depth.tolist() == depths
            alive = [row for row in range(layer.first, layer.first + layer.units) if row != DEAD]
            assert share.alive == len(alive) and share.share == len(depths) / len(alive)
            assert share.median_r == float(np.median(r[alive, b, 0].astype(float)))
    with pytest.raises(ValueError, match="different"):
        store.universality("demo-vit", "demo-vit")
    assert owner.max() == 2


def test_models_that_share_nothing(empty: Path) -> None:
    nothing = Dictionary(open_dictionary(empty))
    assert verify(empty).ok
    for name in MEMBERS:
        assert nothing.concepts(name) == () and nothing.in_image(name, 0) == []
        assert set(nothing.sharing(name).values()) == {0}
    assert nothing.level("demo-vit", "demo-mae") == pytest.approx(0.99, abs=1e-6)
    assert [share.partnered for share in nothing.universality("demo-vit", "demo-cnn")] == [0, 0]


def test_mutual_neighbours_above_a_null() -> None:
    """Two members of two units: 0 and 2 are each other's nearest, 1 and 3 likewise but no better than chance."""
    near = np.array([[[-1], [2]], [[-1], [3]], [[0], [-1]], [[1], [-1]]])
    r = np.where(near < 0, np.nan, np.array([0.9, 0.5, 0.9, 0.5])[:, None, None])
    shuffled, levels = np.where(near < 0, np.nan, 0.1), np.array([[np.nan, 0.5], [0.5, np.nan]])
    owner, rows = np.array([0, 0, 1, 1]), np.array([0, 1])
    assert mutual(near, rows, owner, 1).tolist() == [[True], [True]]
    found, null = partners(near, r, shuffled, levels, rows, owner, 1)
    assert found.tolist() == [[True], [False]] and null.tolist() == [[0.5], [0.5]]
    shuffled[0, 1] = 0.95  # the very pair correlates more by chance
    assert partners(near, r, shuffled, levels, rows, owner, 1)[0].tolist() == [[False], [False]]
    near[2, 0] = 1
    assert mutual(near, rows, owner, 1).tolist() == [[False], [True]]


# --- damage ---------------------------------------------------------------------------------------------------------


def array(name: str, edit: Callable[[np.ndarray], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        values = np.load(folder / f"{name}.npy")
        edit(values)
        np.save(folder / f"{name}.npy", values)

    return damage


def table(name: str, edit: Callable[[dict[str, list]], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / f"{name}.parquet"
        stored = pq.read_table(path)
        columns = stored.to_pydict()
        edit(columns)
        pq.write_table(pa.table(columns, schema=stored.schema), path)

    return damage


def put(at: tuple, value: object) -> Callable[[np.ndarray], None]:
    return lambda values: values.__setitem__(at, value)


def swap(column: str, i: int, j: int) -> Callable[[dict[str, list]], None]:
    def edit(columns: dict[str, list]) -> None:
        columns[column][i], columns[column][j] = columns[column][j], columns[column][i]

    return edit


def set_(column: str, i: int, value: object) -> Callable[[dict[str, list]], None]:
    return lambda columns: columns[column].__setitem__(i, value)


DAMAGES = [
    (array("neighbours", put((0, 1, 0), 99)), "neighbours.npy points at units that do not exist"),
    (array("neighbours", put((0, 1, 0), 1)), "units of another member"),
    (array("neighbours", put((0, 0, 0), 0)), "own neighbour"),
    (array("neighbour_r", put((0, 1, 0), 1.5)), "neighbour_r.npy is not a correlation"),
    (array("neighbour_r", put((0, 1, 2), 0.99)), "not sorted"),
    (array("neighbour_r", put((0, 1, 0), 0.999)), "two correlations"),
    (array("neighbour_shuffled", put((0, 1, 0), np.nan)), "neighbour_shuffled.npy is not a correlation"),
    (array("neighbour_shuffled", put((0, 1, 0), 0.99)), "does not repeat what neighbours.npy says"),
    (table("concept_members", set_("null", 1, 0.999)), "above the null"),
    (array("null_best", put((0, 1), 2.0)), "null_best.npy holds numbers"),
    (array("levels", put((0, 1), 0.0)), "levels.npy: the level of members 0 and 1"),
    (array("described/rows", put((0,), 3)), "described/rows.npy is not"),
    (array("described/peak", put((0, 0), np.inf)), "peak.npy is not finite"),
    (array("described/peak_mean", put((0,), 9.0)), "peak_mean.npy is not that of"),
    (array("described/peak_std", put((0,), 9.0)), "peak_std.npy is not that of"),
    (array("concepts/images", put((0, 0), IMAGES)), "images.npy names images"),
    (array("concepts/maps", put((0,), np.nan)), "maps.npy is not finite"),
    (array("concepts/corr", put((1,), 0.0)), "not symmetric"),
    (array("concepts/corr", put((0,), 3.0)), "no correlations"),
    (array("thumbs/offsets", put((1,), 10**6)), "thumbs/offsets.npy does not rise"),
    (table("layers", swap("first", 0, 1)), "layers.parquet does not count"),
    (table("layers", swap("member", 0, 4)), "does not go through the members"),
    (table("concepts", set_("first", 1, 0)), "does not divide concept_members.parquet"),
    (table("concepts", set_("corr", 1, 0)), "does not divide concepts/corr.npy"),
    (table("concepts", set_("hub", 0, 2)), "through the hubs in order"),
    (table("concepts", set_("strength", 1, 9.0)), "not sorted from the strongest"),
    (table("concepts", set_("models", 0, 1)), "counts other models"),
    (table("concepts", set_("anchor", 0, 0)), "by another unit than its first"),
    (table("concepts", lambda c: c["label"].__setitem__(0, (c["label"][0] + 1) % 5)), "does not follow most closely"),
    (table("concepts", set_("label", 0, 99)), "no row of texts.parquet"),
    (table("concepts", lambda c: c["label_r"].__setitem__(0, c["label_r"][0] + 0.01)), "correlation is another"),
    (array("texts/cosine", put((0, 0), np.nan)), "cosine.npy is not finite"),
    (table("concept_members", set_("unit", 1, 99)), "units that do not exist"),
    (table("concept_members", set_("partner", 1, -1)), "partners of the hub's own units"),
    (table("concept_members", set_("partner", 1, 0)), "not mutual nearest neighbours"),
    (table("concept_members", set_("r", 1, 0.5)), "does not repeat what neighbours.npy says"),
    (table("concept_members", set_("null", 1, 0.0)), "does not repeat what neighbours.npy says"),
    (table("concept_members", set_("maps", 1, 0)), "does not divide concepts/maps.npy"),
    (table("images", set_("image", 0, 1)), "does not number its images"),
    (table("unit_texts", set_("value", 0, 2.0)), "no cosines or correlations"),
    (table("unit_texts", set_("rank", 1, 3)), "not in order"),
    (table("unit_texts", set_("unit", 0, 3)), "in no concept"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "words"), DAMAGES, ids=[words[:50] for _, words in DAMAGES])
def test_numbers_that_contradict_each_other_are_found(folder: Path, damage: Callable[[Path], None], words: str) -> None:
    damage(folder)
    assert not verify(folder).ok  # its checksum
    reseal(folder, name="rosetta.json")
    assert any(words in problem for problem in verify(folder).problems), verify(folder).problems


def test_a_whole_dictionary_has_no_problem(whole: Path, folder: Path) -> None:
    assert verify(whole).problems == ()
    (folder / "more.npy").touch()
    assert verify(folder).problems == ("more.npy is not listed in rosetta.json.",)

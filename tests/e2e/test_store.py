"""The store over real little bundles, against brute force, and from many threads at once."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from core.bundle.read import open_bundle
from core.store import Store
from core.text.pools import load_pool
from tests.e2e.world import PICKS, TEXTS, TOP, World
from tests.reference import plain_store
from tests.reference.plain_stats import plain_quantile
from tests.reference.plain_textspan import plain_textspan

HALF = 2.0**-11 / 10  # the moments are of r before it was rounded to fp16; it is below 0.1 here
FP32 = 2e-6  # scores are sums of at most 24 fp32 products of numbers below 1


@pytest.fixture(scope="module", params=["vit", "resnet"])
def store(request: pytest.FixtureRequest) -> Store:
    return Store(open_bundle(request.getfixturevalue(f"{request.param}_bundle")))


def some_heads(store: Store) -> list[tuple[str, int, int]]:
    return [(h.address, h.row, h.head) for h in store.heads()[::5]]


def text_of(store: Store, row: int) -> np.ndarray:
    return np.array(store.bundle.array("text_embeddings")[row], np.float64)


def test_facts_and_heads(store: Store) -> None:
    facts, resnet = store.facts(), store.facts().tower == "resnet"
    assert (facts.images, facts.ok, facts.quarantined, facts.pool_texts) == (63, 58, 5, TEXTS)
    assert facts.layers == ((None,) if resnet else (0, 1, 2, 3)) and facts.weights == "own weights"
    assert facts.worst_residual <= facts.residual_tolerance and len(facts.probe) == 8
    assert [h.address for h in store.heads()][:2] == (["H0", "H1"] if resnet else ["L0.H0", "L0.H1"])
    assert len(store.heads()) == len(facts.layers) * facts.heads
    assert all(h.label and len(h.label) <= 60 for h in store.heads())
    assert sum(p.share for p in store.parts()) == pytest.approx(1, abs=1e-5)


def test_a_heads_texts(store: Store) -> None:
    for address, i, h in some_heads(store):
        answer = store.head(address)
        assert [t.pick for t in answer.texts] == list(range(PICKS))
        assert answer.texts[-1].cumulative == pytest.approx(answer.summary.explained)
        for label in answer.texts:
            x = np.array(list(plain_store.scores(store.bundle, i, h, text_of(store, label.row)).values()))
            assert (label.mean, label.std) == (pytest.approx(x.mean(), abs=FP32), pytest.approx(x.std(), abs=FP32))
            assert dict(label.quantiles)[0.5] == pytest.approx(plain_quantile(x, 0.5), rel=0.005, abs=1e-5)
        np.testing.assert_allclose(np.cumsum([t.explained for t in answer.texts]), [t.cumulative for t in answer.texts])


def test_both_ends_of_a_pick_and_of_any_text(store: Store) -> None:
    for address, i, h in some_heads(store):
        label = store.head(address).texts[1]
        for direction, row, k in ((label.pick, label.row, TOP), (text_of(store, 3), 3, 9)):
            plain = plain_store.scores(store.bundle, i, h, text_of(store, row))
            found = store.ends(address, direction, k, fold=False)
            for hits, sign in ((found.plus, 1), (found.minus, -1)):
                best = sorted((sign * x for x in plain.values()), reverse=True)[:k]
                np.testing.assert_allclose([sign * hit.score for hit in hits], best, rtol=0, atol=FP32)
                for hit in hits:
                    assert hit.score == pytest.approx(plain[hit.image_id], abs=FP32)
            assert str(found.population) == "of 58 images"


def test_folding(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.store.store.FOLD_ABOVE", 0.6)  # the world has no near-duplicates
    together = 0
    for address, _, _ in some_heads(store):
        loose = store.ends(address, text_of(store, 0), 20, fold=False)
        found = store.ends(address, text_of(store, 0), 20)
        for hits, every in ((found.plus, loose.plus), (found.minus, loose.minus)):
            plain = plain_store.folded(store.bundle, [hit.image_id for hit in every], 0.6)
            assert {hit.image_id: list(hit.folded) for hit in hits} == plain
            together += len(every) - len(hits)
    assert together > 0


def test_intervals_hold_every_image_once(store: Store) -> None:
    for address, i, h in some_heads(store):
        label = store.head(address).texts[0]
        for direction, row in ((0, label.row), (text_of(store, 3), 3)):
            plain = plain_store.scores(store.bundle, i, h, text_of(store, row))
            found = store.intervals(address, direction, per_row=100)
            ids = [hit.image_id for interval in found.rows for hit in interval.hits]
            assert sorted(ids) == sorted(plain) and found.population.looked_at == 58
            values = [hit.score for interval in found.rows for hit in interval.hits]
            np.testing.assert_allclose(values, [plain[n] for n in ids], rtol=0, atol=FP32)
            assert values == sorted(values, reverse=True)
            for interval in found.rows:
                assert interval.count == len(interval.hits)
                assert all(interval.low <= hit.score <= interval.high for hit in interval.hits)
                share = interval.high_level - interval.low_level
                assert interval.count == pytest.approx(58 * share, abs=1.5)  # a level falls between two images
            few = store.intervals(address, direction, per_row=2)
            assert few == store.intervals(address, direction, per_row=2)
            assert [interval.count for interval in few.rows] == [interval.count for interval in found.rows]
            assert few.sentence(few.rows[0]).startswith("of 58 images, ")


def test_histogram(store: Store) -> None:
    address, i, h = some_heads(store)[0]
    x = np.array(list(plain_store.scores(store.bundle, i, h, text_of(store, 3)).values()))
    found = store.histogram(address, text_of(store, 3), bins=5)
    assert found.count_b.sum() == 58 and len(found.edge_b) == 6
    assert (found.mean, found.std) == (pytest.approx(x.mean(), abs=FP32), pytest.approx(x.std(), abs=FP32))
    assert (found.edge_b[0], found.edge_b[-1]) == (pytest.approx(x.min(), abs=FP32), pytest.approx(x.max(), abs=FP32))


def test_neighbours(store: Store) -> None:
    ok = np.flatnonzero(store.bundle.array("ok"))
    units = np.array(store.bundle.array("representations"), np.float64)
    to = int(ok[4])
    others = ok[ok != to]
    cosine = units[others] @ units[to]
    found = store.similar(to, 6)
    # units are rounded to fp16, so their norms, by which the query alone is divided, are off by up to 2⁻¹¹
    np.testing.assert_allclose([hit.score for hit in found.hits], np.sort(cosine)[::-1][:6], rtol=0, atol=6e-4)
    assert [hit.image_id for hit in found.hits] == others[np.argsort(-cosine, kind="stable")][:6].tolist()
    nearest = next(int(n) for n in ok[np.argsort(-units[ok] @ units[to], kind="stable")])
    assert store.similar(units[to] * 7, 7).hits[0].image_id == nearest
    for address, i, h in some_heads(store):
        r = np.array(store.bundle.array("r")[i, h], np.float64)
        distance = np.linalg.norm(r[others] - r[to], axis=1)
        found = store.similar_in_head(address, to, 6)
        np.testing.assert_allclose([hit.score for hit in found.hits], np.sort(distance)[:6], rtol=1e-4, atol=1e-6)
        c = np.array(store.bundle.array("basis")[i, h], np.float64) @ r[to]
        assert store.similar_in_head(address, store.coords(address, c), 1).hits[0].image_id == to


def test_heads_for_a_text(store: Store) -> None:
    text = text_of(store, 11)
    plain = {}
    for head in store.heads():
        x = np.array(list(plain_store.scores(store.bundle, head.row, head.head, text).values()))
        plain[head.address] = x.mean(), x.std()
    for by, column in (("mean", 0), ("std", 1)):
        found = store.heads_for_text(text, 5, by)
        best = sorted(plain, key=lambda address: -plain[address][column])[:5]
        assert [score.address for score in found] == best
        for score in found:
            assert (score.mean, score.std) == pytest.approx(plain[score.address], abs=HALF)


def test_relabelling_is_textspan_on_the_data(store: Store) -> None:
    rows = np.arange(TEXTS)[::-2]
    pool = np.array(store.bundle.array("text_embeddings"))[rows]
    texts = [f"my {row}" for row in rows]
    every = store.relabel(texts, pool, 3)
    assert [relabelled.address for relabelled in every] == [head.address for head in store.heads()]
    ok = np.flatnonzero(store.bundle.array("ok"))
    for address, i, h in some_heads(store):
        basis = np.array(store.bundle.array("basis")[i, h], np.float64)
        c_no = np.array(store.bundle.array("r")[i, h], np.float64)[ok] @ basis.T
        index, explained = plain_textspan(c_no, pool.astype(np.float64) @ basis @ basis.T, 3)
        (found,) = store.relabel(texts, pool, 3, address)
        assert [label.row for label in found.texts] == index
        assert [label.text for label in found.texts] == [texts[row] for row in index]
        np.testing.assert_allclose([label.explained for label in found.texts], explained, atol=2e-3)  # r is fp16
        x = c_no @ pool[index[0]]
        assert (found.texts[0].mean, found.texts[0].std) == (
            pytest.approx(x.mean(), abs=1e-5),
            pytest.approx(x.std(), abs=1e-4),
        )
        assert found == next(r for r in every if r.address == address) and found.changed


def test_the_same_pool_changes_nothing(store: Store, world: World) -> None:
    pool = load_pool(world.pool)
    for found in store.relabel(pool.texts, np.array(store.bundle.array("text_embeddings")), PICKS):
        assert not found.changed
        assert [label.text for label in found.texts] == [label.text for label in found.before]
        assert found.explained == pytest.approx(found.explained_before, abs=1e-9)


def test_grids(store: Store) -> None:
    measures = store.measures()
    assert list(measures) == ["share", "variance", "explained", "norm", "column:class"]
    names = store.bundle.table("images")["class"].to_pylist()
    ok = np.flatnonzero(store.bundle.array("ok"))
    for measure in measures:
        grid = store.grid(measure)
        assert grid.value_lh.shape == (len(store.facts().layers), store.facts().heads) and grid.description
    for _, i, h in some_heads(store):
        r = np.array(store.bundle.array("r")[i, h], np.float64)[ok]
        eta = plain_store.correlation_ratio(r, [names[n] for n in ok])
        assert store.grid("column:class").value_lh[i, h] == pytest.approx(eta, abs=1e-6)
        assert store.grid("norm").value_lh[i, h] == pytest.approx(np.median(np.linalg.norm(r, axis=1)), rel=0.1)
        assert store.grid("variance").value_lh[i, h] == pytest.approx(r.var(0).sum(), rel=2e-3)
    assert store.grid("column:class").note_lh[0][0] in set(names)


def test_sixteen_threads_get_what_one_gets(store: Store) -> None:
    def ask(seed: int) -> tuple:
        store_ = fresh if seed % 2 else store
        head = store_.heads()[seed % len(store_.heads())]
        text, image = text_of(store_, seed % TEXTS), store_.random(seed)[0]
        return (
            store_.head(head.address),
            store_.ends(head.address, text, 5),
            store_.intervals(head.address, text, 3),
            store_.similar_in_head(head.address, image, 5),
            store_.similar(image, 5),
            store_.image(image),
            store_.grid("column:class").note_lh,
            store_.search_images({"class": "stripes"}, 5),
        )

    fresh = Store(open_bundle(store.bundle.folder))  # so that lazy loading is raced too
    with ThreadPoolExecutor(16) as pool:
        at_once = list(pool.map(ask, range(64)))
    assert at_once == [ask(seed) for seed in range(64)]


def test_no_torch_behind_the_store(vit_bundle: Path) -> None:
    code = f"""
import sys
from core.bundle.read import open_bundle
from core.store import Store
store = Store(open_bundle({str(vit_bundle)!r}))
store.ends(store.heads()[0].address), store.similar(1), store.grid("column:class")
assert not {{"torch", "open_clip", "streamlit"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

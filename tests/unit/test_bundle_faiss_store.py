"""Index searches against brute force over the same half-precision rows: metrics, ties, exclusion, damage."""

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.bundle import faiss_store
from core.bundle.atomic import digest_file
from core.errors import BundleDamaged


def brute(rows, queries, k, excluded, metric):
    """Slow plain twin: all scores, rows excluded, sorted by (score, id)."""
    rows, queries = rows.astype(np.float64), queries.astype(np.float64)
    differences = queries[:, None] - rows[None]
    costs = -queries @ rows.T if metric == "ip" else (differences**2).sum(-1)
    left = np.array([i for i in range(len(rows)) if i not in set(excluded)], dtype=np.int64)
    order = np.array([sorted(left, key=lambda i, c=c: (c[i], i))[:k] for c in costs]).reshape(len(queries), -1)
    order = order.astype(np.int64)
    costs = np.take_along_axis(costs, order, 1)
    return -costs if metric == "ip" else costs, order


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("indexes")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_search_is_brute_force_with_ties_by_id(folder, data):
    # Small integers are exact in fp16 and fp32, so equal scores are equal and frequent.
    n, d, q = data.draw(st.integers(1, 70)), data.draw(st.integers(1, 5)), data.draw(st.integers(1, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    rows, queries = rng.integers(-1, 2, (n, d)).astype(np.float16), rng.integers(-1, 2, (q, d))
    k, excluded = data.draw(st.integers(0, n + 3)), data.draw(st.lists(st.integers(-2, n + 2), max_size=n + 5))
    faiss_store.write_index(folder / "a", faiss_store.build_flat_fp16(rows))
    index = faiss_store.read_index(folder / "a", digest_file(folder / "a"))
    for metric in ("ip", "l2"):
        scores, ids = faiss_store.search(index, queries, k, excluded, metric)
        expected_scores, expected_ids = brute(rows, queries, k, excluded, metric)
        np.testing.assert_array_equal(ids, expected_ids.reshape(ids.shape))
        np.testing.assert_array_equal(scores, expected_scores.reshape(scores.shape))


def test_one_file_serves_both_metrics_on_real_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(faiss_store, "_BLOCK", 1000)  # several blocks
    rng = np.random.default_rng(0)
    rows = np.lib.format.open_memmap(tmp_path / "rows.npy", "w+", np.float16, (5000, 64))
    rows[:] = rng.standard_normal((5000, 64)) * np.geomspace(1, 0.01, 64)
    queries = rows[:4].astype(np.float32)
    faiss_store.write_index(tmp_path / "a", faiss_store.build_flat_fp16(rows))
    index = faiss_store.read_index(tmp_path / "a")
    assert (index.n, index.d, index.kind) == (5000, 64, "fp16")
    answers = {metric: faiss_store.search(index, queries, 20, metric=metric) for metric in ("ip", "l2")}
    for metric, (scores, ids) in answers.items():
        expected_scores, expected_ids = brute(rows, queries, 20, [], metric)
        np.testing.assert_array_equal(ids, expected_ids)
        # 64 roundings in fp32 of sums of terms of size up to about 10
        np.testing.assert_allclose(scores, expected_scores, rtol=0, atol=64 * 10 * 2**-24)
    assert (answers["l2"][1][:, 0] == np.arange(4)).all() and (answers["ip"][1] != answers["l2"][1]).any()


def test_a_bare_index_refuses_the_other_metric():
    index = faiss_store.build_flat_fp16(np.eye(3))
    assert faiss_store.search(index, np.eye(3), 1)[1].tolist() == [[0], [1], [2]]
    with pytest.raises(ValueError, match="another metric"):
        faiss_store.search(index, np.eye(3), 1, metric="l2")


@pytest.mark.parametrize("bad", [np.nan, np.inf, 70_000.0])
def test_numbers_that_half_precision_cannot_hold_are_refused(bad):
    rows = np.zeros((3, 2))
    rows[1, 1] = bad
    with pytest.raises(ValueError, match="half precision"):
        faiss_store.build_flat_fp16(rows)


@pytest.mark.parametrize("queries", [np.zeros(3), np.zeros((1, 4)), np.full((1, 3), np.nan)])
def test_queries_of_the_wrong_shape_or_not_finite_are_refused(queries):
    with pytest.raises(ValueError, match=r"finite and of shape \(q, 3\)"):
        faiss_store.search(faiss_store.build_flat_fp16(np.eye(3)), queries, 1)


def test_the_quantised_index_tells_its_recall(tmp_path):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((3000, 16)).astype(np.float32)
    quantised = faiss_store.build_quantised(rows, rows[:50])
    exact = [set(brute(rows.astype(np.float16), rows[i : i + 1], 10, [], "ip")[1][0]) for i in range(50)]
    found = faiss_store.search(quantised.index, rows[:50], 10)[1]
    hits = [len(a & set(b.tolist())) / 10 for a, b in zip(exact, found, strict=True)]
    assert quantised.recall_at_10 == pytest.approx(np.mean(hits)) and 0.8 < quantised.recall_at_10 <= 1
    faiss_store.write_index(tmp_path / "a", quantised.index)
    assert faiss_store.read_index(tmp_path / "a").kind == "sq8"
    with pytest.raises(ValueError, match="sq8"):
        faiss_store.build_quantised(rows, rows, kind="pq")


def test_an_altered_or_missing_index_is_not_read(tmp_path):
    faiss_store.write_index(tmp_path / "a", faiss_store.build_flat_fp16(np.eye(8)))
    digest, data = digest_file(tmp_path / "a"), bytearray((tmp_path / "a").read_bytes())
    data[-20] ^= 1
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(BundleDamaged, match="sha256"):
        faiss_store.read_index(tmp_path / "a", digest)
    with pytest.raises(BundleDamaged, match="missing"):
        faiss_store.read_index(tmp_path / "b")


def test_a_hostile_index_is_refused_or_harmless(tmp_path):
    # Every byte of the file in turn, with the digest of the altered file, as someone who makes bundles could.
    rng = np.random.default_rng(0)
    faiss_store.write_index(tmp_path / "a", faiss_store.build_flat_fp16(rng.standard_normal((20, 4))))
    whole = (tmp_path / "a").read_bytes()
    refused = 0
    for at in range(len(whole)):
        data = bytearray(whole)
        data[at] ^= int(rng.integers(1, 256))
        (tmp_path / "a").write_bytes(data)
        try:
            index = faiss_store.read_index(tmp_path / "a", digest_file(tmp_path / "a"))
            _, ids = faiss_store.search(index, rng.standard_normal((1, index.d)), 5)
            assert ((ids >= 0) & (ids < 20)).all()
        except BundleDamaged:
            refused += 1
    assert refused >= 81  # every byte of the header counts; the rest are codes, and a few of those become infinite
    for keep in (0, 4, 30, 60, len(whole) - 1):
        (tmp_path / "a").write_bytes(whole[:keep])
        with pytest.raises(BundleDamaged):
            faiss_store.read_index(tmp_path / "a")


@pytest.mark.parametrize("other", [faiss.IndexFlatIP(4), faiss.IndexHNSWFlat(4, 4)])
def test_indexes_of_other_kinds_are_refused(tmp_path, other):
    other.add(np.eye(4, dtype=np.float32))
    faiss.write_index(other, str(tmp_path / "a"))
    with pytest.raises(BundleDamaged, match="not an index as bundles hold them"):
        faiss_store.read_index(tmp_path / "a")


def test_halfway_numbers_are_rounded_as_numpy_rounds_them() -> None:
    step = 2.0**-11  # between 0.5 and 1 half-precision numbers are this far apart
    rows = np.array([[0.5 + step / 2, 0.5 + 3 * step / 2]], np.float32)
    scores, _ = faiss_store.search(faiss_store.build_flat_fp16(rows), np.eye(2, dtype=np.float32), 1)
    assert scores[:, 0].tolist() == rows.astype(np.float16)[0].astype(np.float32).tolist() == [0.5, 0.5 + 2 * step]

"""Every array of a finished bundle against a slow, plain recomputation on the same images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from core.bundle.read import Bundle, open_bundle
from core.bundle.thumbs import ThumbPack, encode_thumb
from core.images import decode
from core.stats.quantiles import Quantiles
from core.text.classes import load_templates
from tests.e2e.world import CLASSES, PICKS, World
from tests.reference.plain_run import PlainRun, PlainTexts, plain_run
from tests.reference.plain_stats import plain_quantile
from tests.reference.plain_text import plain_class_embeddings, plain_zero_shot
from tests.reference.plain_textspan import plain_textspan

# Entries are at most 1 and come from sums of ~100 fp32 terms, measured against float64 (see tests/towers).
FP32 = 2e-6
HALF = 2.0**-11  # relative rounding of fp16


@dataclass(frozen=True)
class Case:
    """A bundle and what it should hold; `ok_n` ids of the images measured."""

    bundle: Bundle
    plain: PlainRun
    ok_n: np.ndarray
    texts: PlainTexts


@pytest.fixture(scope="module", params=["vit", "resnet"])
def case(request: pytest.FixtureRequest, world: World) -> Case:
    bundle = open_bundle(request.getfixturevalue(f"{request.param}_bundle"))
    images = bundle.table("images").to_pylist()
    ok = [image for image in images if image["status"] == "ok"]
    plain = plain_run(world.model(request.param), [world.images / image["path"] for image in ok])
    return Case(bundle, plain, np.array([i["image_id"] for i in ok]), PlainTexts(world.model(request.param)))


def heads_nlho(case: Case) -> np.ndarray:
    return np.einsum("lhoc,lhnc->nlho", case.bundle.array("basis"), case.bundle.array("r")[:, :, case.ok_n])


def test_representations(case: Case) -> None:
    np.testing.assert_allclose(
        case.bundle.array("representations")[case.ok_n], case.plain.unit_no, rtol=HALF, atol=FP32
    )
    norms = case.bundle.array("representation_norm")
    np.testing.assert_allclose(norms[case.ok_n], case.plain.norm_n, rtol=1e-5)


def test_r_is_each_heads_contribution_to_half_precision(case: Case) -> None:
    basis = np.asarray(case.bundle.array("basis"), np.float64)
    exact_lhnc = np.einsum("lhoc,nlho->lhnc", basis, case.plain.heads_nlho)
    np.testing.assert_allclose(case.bundle.array("r")[:, :, case.ok_n], exact_lhnc, rtol=HALF, atol=FP32)
    np.testing.assert_allclose(
        heads_nlho(case), case.plain.heads_nlho, rtol=0, atol=4 * HALF * np.abs(exact_lhnc).max()
    )


def test_moments(case: Case) -> None:
    basis = np.asarray(case.bundle.array("basis"), np.float64)
    r_lhnc = np.einsum("lhoc,nlho->lhnc", basis, case.plain.heads_nlho)
    np.testing.assert_allclose(case.bundle.array("mean"), r_lhnc.mean(2), rtol=0, atol=FP32)
    centred = r_lhnc - r_lhnc.mean(2, keepdims=True)
    cov = np.einsum("lhni,lhnj->lhij", centred, centred) / r_lhnc.shape[2]
    np.testing.assert_allclose(case.bundle.array("cov"), cov, rtol=0, atol=FP32)
    np.testing.assert_allclose(case.bundle.array("variance"), np.trace(cov, axis1=2, axis2=3), rtol=1e-4)


def covariance_share(part_no: np.ndarray, unit_no: np.ndarray) -> float:
    unit = unit_no - unit_no.mean(0)
    return float(((part_no - part_no.mean(0)) * unit).sum() / (unit**2).sum())


def test_shares_of_heads_and_parts(case: Case) -> None:
    plain, share_lh = case.plain, case.bundle.array("share")
    for layer, head in np.ndindex(share_lh.shape):
        expected = covariance_share(plain.heads_nlho[:, layer, head], plain.unit_no)
        assert share_lh[layer, head] == pytest.approx(expected, abs=1e-4)
    parts = case.bundle.table("parts").to_pylist()
    assert [part["name"] for part in parts] == list(plain.parts)
    for i, part in enumerate(parts):
        expected_no = plain.parts[part["name"]]
        assert part["share"] == pytest.approx(covariance_share(expected_no, plain.unit_no), abs=1e-4)
        assert part["mean_norm"] == pytest.approx(np.linalg.norm(expected_no, axis=1).mean(), rel=1e-4)
        np.testing.assert_allclose(case.bundle.array("parts_mean")[i], expected_no.mean(0), rtol=0, atol=FP32)
    assert sum(part["share"] for part in parts) == pytest.approx(1, abs=1e-6)


def test_parts_close(case: Case, world: World) -> None:
    np.testing.assert_allclose(sum(case.plain.parts.values()), case.plain.unit_no, rtol=0, atol=1e-12)
    assert 0 < case.bundle.facts["worst_residual"] < case.bundle.facts["residual_tolerance"] == 1e-5


def test_text_embeddings(case: Case, world: World) -> None:
    texts = world.pool.read_text().splitlines()
    assert case.bundle.table("pool")["text"].to_pylist() == texts
    np.testing.assert_allclose(case.bundle.array("text_embeddings"), case.texts.encode_texts(texts), rtol=0, atol=FP32)


def test_textspan_picks(case: Case) -> None:
    texts = np.asarray(case.bundle.array("text_embeddings"), np.float64)
    index, explained = case.bundle.array("text_index"), case.bundle.array("text_explained")
    for layer, head in np.ndindex(index.shape[:2]):
        basis = np.asarray(case.bundle.array("basis")[layer, head], np.float64)
        picks, fractions = plain_textspan(case.plain.heads_nlho[:, layer, head], texts @ basis @ basis.T, PICKS)
        assert index[layer, head].tolist() == picks
        # a fraction of the variance, whose covariance carries the rounding of fp32 coordinates
        np.testing.assert_allclose(explained[layer, head], fractions, rtol=0, atol=1e-4)


def scores_lhmn(case: Case, exact: bool) -> np.ndarray:
    """⟨c, t⟩ of every head's texts over the images measured, from exact contributions or from the stored r."""
    texts_lhmo = np.asarray(case.bundle.array("text_embeddings"), np.float64)[case.bundle.array("text_index")]
    return np.einsum("lhmo,nlho->lhmn", texts_lhmo, case.plain.heads_nlho if exact else heads_nlho(case))


def test_scores_mean_spread_and_quantiles(case: Case) -> None:
    exact = scores_lhmn(case, exact=True)
    size = np.linalg.norm(case.plain.heads_nlho, axis=-1).max()  # of a contribution; texts are of norm one
    close = {"rtol": 0, "atol": HALF * size}
    np.testing.assert_allclose(case.bundle.array("text_mean"), exact.mean(-1), **close)
    np.testing.assert_allclose(case.bundle.array("text_std"), exact.std(-1), **close)
    levels = case.bundle.axes["quantile"].labels
    assert levels is not None
    stored = scores_lhmn(case, exact=False)
    norms = np.linalg.norm(np.asarray(case.bundle.array("r")[:, :, case.ok_n], np.float64), axis=-1)
    for values, name in ((stored, "text_quantiles"), (norms, "norm_quantiles")):
        found = case.bundle.array(name)
        for cell in np.ndindex(values.shape[:-1]):
            plain = np.array([plain_quantile(values[cell], str(q)) for q in levels])
            # the sketch's promise, and that one of two almost equal values may come first; norms are of r before fp16
            bound = Quantiles((1,)).relative_error * np.abs(plain) + Quantiles.floor + 2 * HALF * np.abs(plain)
            assert (np.abs(found[cell] - plain) <= bound).all(), (name, cell)


def test_top_images_at_both_ends(case: Case) -> None:
    stored, exact = scores_lhmn(case, exact=False), scores_lhmn(case, exact=True)
    ids, scores = case.bundle.array("text_top_ids"), case.bundle.array("text_top_scores")
    position = {int(image_id): i for i, image_id in enumerate(case.ok_n)}
    rank = ids.shape[-1]
    for cell in np.ndindex(stored.shape[:-1]):
        for end, sign in ((0, -1), (1, 1)):
            by_score = np.argsort(sign * stored[cell], kind="stable")[:rank]
            assert ids[cell][end].tolist() == case.ok_n[by_score].tolist(), (cell, end)
            np.testing.assert_allclose(scores[cell][end], stored[cell][by_score], rtol=0, atol=FP32)
            named = [exact[cell][position[int(image_id)]] for image_id in ids[cell][end]]
            best = sign * np.sort(sign * exact[cell])[:rank]
            np.testing.assert_allclose(named, best, rtol=0, atol=4 * HALF * np.abs(exact[cell]).max() + FP32)


def test_zero_shot(case: Case) -> None:
    table = case.bundle.table("classes").to_pylist()
    assert [row["class"] for row in table] == list(CLASSES)
    names = [row["name"] for row in table]
    assert names == ["blue sea", "red brick", "stripes"]
    embeddings = plain_class_embeddings(case.texts, names, list(load_templates("simple")))
    np.testing.assert_allclose(case.bundle.array("class_embeddings"), embeddings, rtol=0, atol=FP32)
    by_id = case.bundle.table("images")["class"].to_pylist()
    labels = np.array([CLASSES.index(by_id[i]) for i in case.ok_n])
    top1, top5, by_class = plain_zero_shot(case.plain.unit_no, labels, embeddings)
    assert case.bundle.facts["zero_shot"] == {
        "top1": pytest.approx(top1),
        "top5": pytest.approx(top5),
        "images": len(case.ok_n),
        "classes": 3,
        "templates": 7,
    }
    assert [row["accuracy"] for row in table] == pytest.approx(by_class)
    assert [row["count"] for row in table] == np.bincount(labels).tolist()


def test_thumbnails_are_of_their_images(case: Case, world: World) -> None:
    pack = ThumbPack(case.bundle.folder / "thumbs")
    for image in case.bundle.table("images").to_pylist():
        expected = b""
        if image["status"] == "ok":
            picture = decode(Path(world.images / image["path"]).read_bytes())
            expected = encode_thumb(picture, 128)
            assert (image["width"], image["height"]) == picture.size
        assert pack.get(image["image_id"]) == expected

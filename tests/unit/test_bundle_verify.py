"""`verify` finds each kind of damage, also where checksums were made to fit."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.bundle.atomic import digest_file
from core.bundle.faiss_store import build_flat_fp16, write_index
from core.bundle.verify import verify
from core.errors import BundleDamaged, BundleMissing
from tests import bundle_maker


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return bundle_maker.make(tmp_path_factory.mktemp("out") / "b")


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "b")


def reseal(folder, name="bundle.json", **changes):
    """Make the manifest fit the files as they are now, so that only their content can be wrong."""
    path = folder / name
    document = json.loads(path.read_text(encoding="utf-8")) | changes
    for relative, entry in document["files"].items():
        entry |= {"bytes": (folder / relative).stat().st_size, "sha256": digest_file(folder / relative)}
    path.write_text(json.dumps(document), encoding="utf-8")


def test_a_whole_bundle_has_no_problem_and_progress_reaches_its_end(folder):
    steps: list[tuple[int, int, str]] = []
    report = verify(folder, lambda *step: steps.append(step))
    assert report.ok and report.problems == () and report.files == 94 and report.size > 10_000
    done, totals = [step[0] for step in steps], {step[1] for step in steps}
    assert done == sorted(done) and len(totals) == 1 and done[-1] == totals.pop()


def test_each_altered_missing_or_foreign_file_is_named(folder):
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "bundle.json"):
        relative = path.relative_to(folder).as_posix()
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        assert verify(folder).problems == (f"{relative} was altered: its sha256 is not the one in bundle.json.",)
        path.unlink()
        assert verify(folder).problems == (f"{relative} is missing.",)
        path.write_bytes(data)
    (folder / "heads" / "more.npy").touch()
    (folder / ".lock").touch()
    assert verify(folder).problems == ("heads/more.npy is not listed in bundle.json.",)


def test_an_unusable_manifest_is_an_error(folder):
    (folder / "bundle.json").write_text("{", encoding="utf-8")
    with pytest.raises(BundleDamaged):
        verify(folder)
    (folder / "bundle.json").unlink()
    with pytest.raises(BundleMissing):
        verify(folder)


def _add(name, where, amount):
    def change(folder):
        array = np.load(folder / name)
        array[where] = ~array[where] if array.dtype == bool else array[where] + np.asarray(amount, array.dtype)
        np.save(folder / name, array)

    return change


def _scaled(name, factor):
    def change(folder):
        np.save(folder / name, np.load(folder / name) * np.float16(factor))

    return change


def _swap_images(folder):
    table = pq.read_table(folder / "images.parquet")
    pq.write_table(table.take([1, 0, *range(2, 40)]), folder / "images.parquet")


def _index_of_another_head(folder):
    shutil.copy(folder / "index/heads/L2.H0.faiss", folder / "index/heads/L3.H1.faiss")


def _shifted_index(folder):
    write_index(folder / "index/images.faiss", build_flat_fp16(np.roll(bundle_maker.arrays()["representations"], 1, 0)))


def _swapped_pairs(folder):
    rows = bundle_maker.arrays()["pair_text_rows"]
    np.save(folder / "pairs/text_rows.npy", rows[::-1])


def _shifted_pairs(folder):
    rows = bundle_maker.arrays()["pair_coords"][:, :, 2].reshape(-1, 4)
    write_index(folder / "index/pairs/L3.H0.faiss", build_flat_fp16(np.roll(rows, 1, 0)))


def _shifted_neurons(folder):
    rows = bundle_maker.arrays()["neuron_direction"].reshape(-1, 16)
    write_index(folder / "index/neurons.faiss", build_flat_fp16(np.roll(rows, 1, 0)))


def _short_index(folder):
    write_index(folder / "index/text.faiss", build_flat_fp16(bundle_maker.arrays()["text_embeddings"][:5]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_add("ok.npy", 3, 0), "ok.npy counts"),
        (_swap_images, "does not number its images"),
        (_add("representations.npy", (3, 0), 0.2), "representations.npy holds rows that are not of norm one"),
        (_add("representations.npy", (7, 0), 1), "representations.npy is not zero for quarantined images"),
        (_add("text/embeddings.npy", (3, 0), 0.2), "text/embeddings.npy holds rows"),
        (_add("heads/r.npy", (0, 1, 7, 0), 1), "heads/r.npy at layer 2, head 1 is not finite, or not zero"),
        (_add("heads/r.npy", (1, 1, 3, 0), np.nan), "heads/r.npy at layer 3, head 1 is not finite"),
        (_add("heads/r.npy", (1, 0, 3, 0), 0.5), "heads/mean.npy at layer 3, head 0 is not the mean"),
        (_add("heads/basis.npy", (1, 0, 3, 0), 0.01), "columns that are not orthonormal"),
        (_add("heads/cov.npy", (1, 0, 0, 0), 0.01), "heads/variance.npy at layer 3, head 0 is not the trace"),
        (_add("heads/text_index.npy", (1, 0, 0), 12), "heads/text_index.npy points at rows that do not exist"),
        (_add("heads/text_top_ids.npy", (1, 0, 0, 0, 0), 40), "heads/text_top_ids.npy points at rows"),
        (_add("heads/text_top_scores.npy", (0, 0, 0, 0, 1), 9), "not sorted"),
        (_add("heads/text_top_scores.npy", (0, 0, 0, 1, 1), -9), "not sorted"),
        (_add("heads/text_top_scores.npy", (0, 0, 0, 0, 0), np.nan), "not NaN exactly where"),
        (_add("thumbs/offsets.npy", 3, 9), "thumbs/offsets.npy does not rise"),
        (_add("thumbs/offsets.npy", -1, 9), "thumbs/offsets.npy does not rise"),
        (_add("thumbs/offsets.npy", slice(bundle_maker.QUARANTINED[0] + 1, 9), 1), "thumbnails of quarantined images"),
        (_add("neurons/image_ids.npy", 6, 1), "neurons/image_ids.npy does not name usable images"),
        (_add("neurons/direction.npy", (0, 3, 0), 0.2), "neurons/direction.npy holds directions"),
        (_add("neurons/later_share.npy", (0, 3, 0), 0.2), "neurons/later_share.npy does not sum to one"),
        (_add("neurons/coef.npy", (0, 3, 0), np.nan), "is not finite"),
        (_add("neurons/norm.npy", (1, 3), -1), "neurons/coef.npy at layer 2 exceeds neurons/norm.npy"),
        (_add("neurons/coef_std.npy", (1, 3), 0.1), "neurons/coef_std.npy at layer 2 is not the deviation"),
        (_add("neurons/total.npy", (0, 3, 1), np.nan), "total_active.npy at layer 1 is not finite"),
        (_add("neurons/total_active.npy", (0, 3, 1), np.inf), "total_active.npy at layer 1 is not finite"),
        (_add("neurons/total.npy", (1, 3, 1), 0.5), "neurons/total.npy at layer 2 does not have mean zero"),
        (_scaled("neurons/total.npy", 100), "larger than its neurons' effects together"),
        (_add("neurons/total_active.npy", (1, 3, 1), 20), "larger than its neurons' effects together"),
        (_add("neurons/top_ids.npy", (1, 3, 0, 0), 100), "neurons/top_ids.npy names images that were not measured"),
        (_add("neurons/top_scores.npy", (1, 3, 0, 1), 9), "neurons/top_scores.npy is not sorted"),
        (_add("neurons/top_scores.npy", (1, 3, 1, 1), -9), "neurons/top_scores.npy is not sorted"),
        (_add("neurons/top_scores.npy", (1, 3, 1, 1), np.nan), "is not NaN exactly where neurons/top_ids.npy"),
        (_add("neurons/text_index.npy", (1, 3, 1), 12), "neurons/text_index.npy points at rows"),
        (_add("neurons/text_error.npy", (1, 3, 1), 9), "neurons/text_error.npy rises"),
        (_add("neurons/active_units.npy", 2, 12), "neurons/active_units.npy names neurons"),
        (_add("neurons/active_offsets.npy", -1, 1), "neurons/active_offsets.npy does not divide"),
        (_index_of_another_head, "index/heads/L3.H1.faiss does not answer as heads/r.npy does"),
        (_shifted_index, "index/images.faiss does not answer as representations.npy does"),
        (_short_index, "index/text.faiss is 5 × 16"),
        (_add("pairs/basis.npy", (0, 0, 0), 0.2), "pairs/basis.npy has columns that are not orthonormal"),
        (_add("pairs/coords.npy", (0, 3, 0, 0), 0.2), "pairs/coords.npy holds directions that are not of norm one"),
        (_add("pairs/length.npy", (1, 3, 0), 0.2), "pairs/length.npy is not zero where"),
        (_add("pairs/std.npy", (0, 3, 0), np.nan), "pairs/std.npy or score.npy is not finite"),
        (_add("pairs/share.npy", (0, 3, 0), 0.2), "pairs/share.npy does not sum to one"),
        (_add("pairs/quantiles.npy", (0, 3, 0, 0), 9), "pairs/quantiles.npy does not rise"),
        (_add("pairs/top_ids.npy", (0, 3, 0, 0, 0), 100), "pairs/top_ids.npy names images that were not measured"),
        (_add("pairs/top_scores.npy", (0, 3, 0, 0, 1), 9), "pairs/top_scores.npy is not sorted"),
        (_add("pairs/top_scores.npy", (0, 3, 0, 1, 1), -9), "pairs/top_scores.npy is not sorted"),
        (_add("pairs/interval_scores.npy", (0, 3, 0, 1, 1), np.nan), "pairs/interval_scores.npy is not NaN exactly"),
        (_add("pairs/text_rows.npy", 3, 100), "pairs/text_rows.npy names pairs that do not exist"),
        (_swapped_pairs, "pairs/text_rows.npy is not in the order of pairs/score.npy"),
        (_add("pairs/text_index.npy", (1, 1), 12), "pairs/text_index.npy points at rows"),
        (_add("pairs/text_scores.npy", (2, 3), np.nan), "pairs/text_scores.npy or text_scale.npy is not finite"),
        (_add("pairs/text_scores.npy", (2, 3), 0.3), "pairs/text_scores.npy does not have mean zero"),
        (_add("pairs/text_scale.npy", 2, 0.3), "pairs/text_scores.npy does not have the deviation in pairs/std.npy"),
        (_add("sink/attention.npy", (1, 2), 0.1), "sink/attention.npy does not sum to one"),
        (_add("sink/most.npy", 2, 1), "sink/most.npy does not count each image once"),
        (_add("sink/signed.npy", 2, 9), "sink/signed.npy is larger than sink/change.npy"),
        (_add("sink/register_order.npy", 2, 1), "sink/register_order.npy does not order the neurons"),
        (_shifted_pairs, "index/pairs/L3.H0.faiss does not answer as pairs/coords.npy does"),
        (_shifted_neurons, "index/neurons.faiss does not answer as neurons/direction.npy does"),
    ],
)
def test_numbers_that_contradict_each_other_are_found(folder, change, words):
    change(folder)
    reseal(folder)
    problems = verify(folder).problems
    assert any(words in problem for problem in problems), problems


def test_quarantined_images_at_the_top_are_found(folder):
    ids = np.load(folder / "heads/text_top_ids.npy")
    ids[0, 0, 0, 0, 0] = bundle_maker.QUARANTINED[0]
    np.save(folder / "heads/text_top_ids.npy", ids)
    reseal(folder)
    assert verify(folder).problems == ("heads/text_top_ids.npy names quarantined images.",)


def test_parts_that_do_not_close_are_found(folder):
    reseal(folder, worst_residual=2e-5)
    (problem,) = verify(folder).problems
    assert "2.00e-05, more than the 1.00e-05 allowed" in problem


def test_a_missing_entry_of_an_index_is_found(folder):
    document = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    del document["indexes"]["heads/L3.H1"]
    reseal(folder, indexes=document["indexes"])
    (problem,) = verify(folder).problems
    assert problem.startswith("bundle.json does not list an index for every head")


def test_pairs_are_there_whole_or_not_at_all(folder):
    document = json.loads((folder / "bundle.json").read_text())
    (folder / "pairs/std.npy").unlink()
    del document["files"]["pairs/std.npy"], document["arrays"]["pair_std"]
    (folder / "bundle.json").write_text(json.dumps(document))
    assert verify(folder).problems == ("pairs/ lacks pairs/std.npy: pairs are there whole or not at all.",)


@pytest.mark.parametrize(
    ("name", "lost"),
    [("pair_text_scale", "pairs/ lacks pairs/text_scale.npy"), ("sink_change", "sink/ lacks sink/change.npy")],
)
def test_sink_and_kept_coefficients_are_there_whole_or_not_at_all(folder, name, lost):
    document = json.loads((folder / "bundle.json").read_text())
    path = document["arrays"].pop(name)["path"]
    (folder / path).unlink()
    del document["files"][path]
    (folder / "bundle.json").write_text(json.dumps(document))
    (problem,) = verify(folder).problems
    assert problem.startswith(lost) and "whole or not at all" in problem


def test_another_sink_than_the_counts_say_is_found(folder):
    document = json.loads((folder / "bundle.json").read_text())
    document["sink"]["token"] = 3
    (folder / "bundle.json").write_text(json.dumps(document))
    assert verify(folder).problems == ("bundle.json calls another token the sink than sink/most.npy does.",)


def test_neurons_are_there_whole_or_not_at_all(folder):
    document = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    (folder / "neurons/coef.npy").unlink()
    del document["files"]["neurons/coef.npy"], document["arrays"]["neuron_coef"]
    reseal(folder, files=document["files"], arrays=document["arrays"])
    assert verify(folder).problems == ("neurons/ lacks neurons/coef.npy: neurons are there whole or not at all.",)

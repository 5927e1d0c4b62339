"""A bundle written, read and refused: unfinished, altered, missing, foreign, of another version, hostile."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.bundle import schema, schema_docs
from core.bundle.faiss_store import build_flat_fp16, build_quantised, search
from core.bundle.read import list_bundles, open_bundle
from core.bundle.write import BundleWriter
from core.errors import BundleDamaged, BundleError, BundleMissing, BundleVersion
from tests import bundle_maker

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return bundle_maker.make(tmp_path_factory.mktemp("whole") / "b")


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "out" / "0123abcd")


def change(folder, edit):
    """Apply `edit` to the parsed bundle.json."""
    path = folder / "bundle.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    edit(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def test_what_was_written_is_read(folder):
    bundle = open_bundle(folder)
    assert bundle.id == "0123abcd" and bundle.facts["model"]["name"] == "tiny"
    assert bundle.axes["layer"].labels == [2, 3] and bundle.axes["image"].size == 40
    for name, array in bundle_maker.arrays().items():
        read = bundle.array(name)
        assert isinstance(read, np.memmap) and not read.flags.writeable and read.dtype == array.dtype
        np.testing.assert_array_equal(read, array)
    for name, table in bundle_maker.tables().items():
        read = bundle.table(name)
        assert read.num_rows == table.num_rows and set(read.column_names) == set(table.column_names)
        assert read.column(0).to_pylist() == table[read.column_names[0]].to_pylist()
    assert bundle.table("images")["caption"].to_pylist()[3] == "image 3"
    r = bundle_maker.arrays()["r"][1, 0].astype(np.float32)
    _, ids = search(bundle.index("heads/L3.H0"), r[5:6], 3, exclude_ids=bundle_maker.QUARANTINED, metric="l2")
    assert ids[0, 0] == 5 and bundle.index("images").n == 40 and bundle.index("text").d == 16
    assert bundle.index("images") is bundle.index("images")


def test_optional_items_may_be_left_out_and_others_not(tmp_path):
    writer = bundle_maker.fill(tmp_path / "b")
    for path in ("classes.parquet", "class_embeddings.npy"):
        (tmp_path / "b" / path).unlink()
    axes = {name: value for name, value in bundle_maker.AXES.items() if name != "class"}
    writer.finish(bundle_maker.facts(), axes)
    bundle = open_bundle(tmp_path / "b")
    assert not bundle.has("classes") and bundle.has("images")
    for ask in (lambda: bundle.table("classes"), lambda: bundle.array("class_embeddings")):
        with pytest.raises(BundleMissing, match="class"):
            ask()
    for path in ("ok.npy", "images.parquet", "index/heads/L3.H1.faiss"):
        writer = bundle_maker.fill(tmp_path / path)
        (tmp_path / path / path).unlink()
        with pytest.raises(BundleMissing, match=path):
            writer.finish(bundle_maker.facts(), bundle_maker.AXES)
        assert not (tmp_path / path / "bundle.json").exists()


def test_the_writer_refuses_what_the_schema_does_not_say(tmp_path):
    writer = BundleWriter(tmp_path / "b")
    with pytest.raises(ValueError, match="float16"):
        writer.array("representations", np.zeros((3, 4), np.float32))
    with pytest.raises(ValueError, match="shape"):
        writer.array("ok", np.zeros((3, 4), bool))
    writer.array("ok", np.zeros(3, bool))
    with pytest.raises(ValueError, match="axis image has size 4"):
        writer.array("representation_norm", np.zeros(4, np.float32))
    with pytest.raises(ValueError, match="axis coord"):
        writer.array("cov", np.zeros((1, 1, 2, 3)))
    with pytest.raises(ValueError, match=r"unknown.*more"):
        writer.table("quarantine", pa.table({n: ["1"] for n in ("image_id", "path", "code", "message", "more")}))
    with pytest.raises(ValueError, match=r"missing.*code"):
        writer.table("quarantine", pa.table({"image_id": [1], "path": ["a"]}))
    with pytest.raises(ValueError, match="inner product"):
        writer.index("text", build_flat_fp16(np.eye(2), "l2"))
    for key in ("heads", "heads/L1", "heads/L01.H1", "../x", "other", "heads/../text", "heads/L1.N3"):
        with pytest.raises(KeyError):
            writer.index(key, build_flat_fp16(np.eye(2)))
    for name in ("thumbs/../../x", "other/x", "/thumbs/x"):
        with pytest.raises(ValueError, match="no file"), writer.file(name):
            pass


def test_finish_refuses_wrong_facts_axes_and_files(tmp_path):
    writer = bundle_maker.fill(tmp_path / "b")
    facts, axes = bundle_maker.facts(), bundle_maker.AXES
    for wrong, words in (
        (facts | {"extra": 1}, "extra is unknown"),
        (facts | {"layernorm": None}, "layernorm should be of kind str"),
        (facts | {"worst_residual": float("nan")}, "not finite"),
        (facts | {"pool": {"name": "a", "digest": "b", "texts": True}}, r"pool.texts should be .* not bool"),
        (facts | {"model": facts["model"] | {"colour": 1}}, "model.colour is unknown"),
        ({k: v for k, v in facts.items() if k != "id"}, "id is missing"),
    ):
        with pytest.raises(ValueError, match=words):
            writer.finish(wrong, axes)
    for wrong, words in (
        (axes | {"image": 41}, "40 in .*, but 41 was declared"),
        (axes | {"layer": 2}, "needs labels"),
        ({k: v for k, v in axes.items() if k != "pick"}, "pick .* not among"),
    ):
        with pytest.raises(ValueError, match=words):
            writer.finish(facts, wrong)
    (tmp_path / "b" / "notes.txt").touch()
    with pytest.raises(BundleError, match=r"notes\.txt"):
        writer.finish(facts, axes)
    (tmp_path / "b" / "notes.txt").rename(tmp_path / "b" / ".notes")  # working state is not part of a bundle
    writer.finish(facts, axes)
    assert ".notes" not in open_bundle(tmp_path / "b").facts["files"]
    with pytest.raises(BundleError, match="never changed"):
        BundleWriter(tmp_path / "b")


def test_a_lossy_index_needs_its_recall(tmp_path):
    writer = bundle_maker.fill(tmp_path / "b")
    texts = bundle_maker.arrays()["text_embeddings"]
    made = build_quantised(texts, texts)
    writer.index("text", made.index)
    with pytest.raises(ValueError, match="needs its recall"):
        writer.finish(bundle_maker.facts(), bundle_maker.AXES)
    writer.index("text", made.index, made.recall_at_10)
    writer.finish(bundle_maker.facts(), bundle_maker.AXES)
    entry = open_bundle(tmp_path / "b").facts["indexes"]["text"]
    assert entry["kind"] == "sq8" and entry["recall_at_10"] == made.recall_at_10 > 0.5


def test_an_index_that_does_not_fit_its_array_is_refused(tmp_path):
    writer = bundle_maker.fill(tmp_path / "b")
    writer.index("text", build_flat_fp16(np.eye(16)))
    with pytest.raises(ValueError, match=r"16 × 16 numbers, but its source text_embeddings 12 × 16"):
        writer.finish(bundle_maker.facts(), bundle_maker.AXES)


def test_a_map_left_open_leaves_nothing(tmp_path):
    with BundleWriter(tmp_path / "b") as writer:
        writer.memmap("r", (1, 1, 2, 3))[:] = 1
        assert len(list((tmp_path / "b" / "heads").iterdir())) == 1
    assert list((tmp_path / "b" / "heads").iterdir()) == []


def test_the_blocks_of_a_map_are_reserved(tmp_path):
    with BundleWriter(tmp_path / "b") as writer:
        writer.memmap("r", (1, 1, 4096, 64))
        (file,) = (tmp_path / "b" / "heads").iterdir()
        assert file.stat().st_blocks * 512 >= 4096 * 64 * 2


def test_nothing_there_unfinished_and_a_folder_of_bundles(tmp_path, folder):
    with pytest.raises(BundleMissing, match="python -m precompute run"):
        open_bundle(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleMissing, match="empty"):
        open_bundle(tmp_path / "empty")
    bundle_maker.fill(folder.parent / "half")
    with pytest.raises(BundleMissing, match=r"unfinished.*same command again to resume"):
        open_bundle(folder.parent / "half")
    with pytest.raises(BundleMissing, match="Choose one of them: 0123abcd"):
        open_bundle(folder.parent)
    (folder.parent / "file").touch()
    whole, half = list_bundles(folder.parent)
    assert whole.path == folder and whole.facts is not None and whole.problem is None
    assert half.facts is None and half.problem is not None and "unfinished" in half.problem
    assert list_bundles(tmp_path / "nowhere") == []


def test_another_version_is_named(folder):
    change(folder, lambda document: document.update(format_version=2))
    with pytest.raises(BundleVersion, match=r"version 2, and this program reads version 1"):
        open_bundle(folder)


@pytest.mark.parametrize("path", ["ok.npy", "heads/r.npy", "images.parquet", "index/text.faiss"])
def test_a_missing_or_shortened_file_is_named(folder, path):
    data = (folder / path).read_bytes()
    (folder / path).write_bytes(data[:-1])
    with pytest.raises(BundleDamaged, match=rf"{path} has {len(data) - 1} bytes instead of {len(data)}"):
        open_bundle(folder)
    (folder / path).unlink()
    with pytest.raises(BundleDamaged, match=f"{path} is missing"):
        open_bundle(folder)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"[" * 100_000, b"\xff", b"{}", b"null", b'{"format_version": 1}'])
def test_a_damaged_manifest(folder, text):
    (folder / "bundle.json").write_bytes(text)
    with pytest.raises(BundleDamaged, match=r"bundle\.json"):
        open_bundle(folder)


def test_a_manifest_beyond_all_measure_is_not_parsed(folder, monkeypatch):
    monkeypatch.setattr(schema, "MAX_MANIFEST_BYTES", 1000)
    with pytest.raises(BundleDamaged, match="larger than any"):
        open_bundle(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "heads/../../secret", "a\0b", "", "link"])
def test_paths_that_lead_out_are_refused(folder, name):
    (folder.parent / "secret").write_bytes(b"secret")
    (folder / "link").symlink_to(folder.parent / "secret")
    change(folder, lambda document: document["files"].update({name: {"bytes": 6, "sha256": "00"}}))
    with pytest.raises(BundleDamaged, match="leads out of the bundle"):
        open_bundle(folder)


@pytest.mark.parametrize("section", ["axes", "arrays", "tables", "indexes", "files", "model"])
@pytest.mark.parametrize(
    "value", [None, 3, [], {}, {"x": 1}, {"ok": None}, {"image": {"size": -1}}, {"text": {"n": 1}}]
)
def test_malformed_sections_are_damage_not_a_traceback(folder, section, value):
    change(folder, lambda document: document.update({section: value}))
    with pytest.raises(BundleDamaged):
        bundle = open_bundle(folder)
        assert section in ("indexes", "files")
        bundle.index("text")
        raise AssertionError("read without an entry")


def replace(folder, path, data):
    """Put other bytes in place of a file, its entry in bundle.json included, as a hostile bundle would."""
    (folder / path).write_bytes(data)
    change(folder, lambda document: document["files"][path].update(bytes=len(data)))


def test_arrays_with_objects_or_another_shape_are_refused(folder, tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}] * 40), allow_pickle=True)
    np.save(tmp_path / "short.npy", np.zeros(39, bool))
    np.save(tmp_path / "wide.npy", np.zeros(40, np.int64))
    np.savez(tmp_path / "zip.npy", np.zeros(40))
    (tmp_path / "huge.npy").write_bytes((folder / "ok.npy").read_bytes().replace(b"(40,), }    ", b"(10**9,), } "))
    for name in ("objects.npy", "short.npy", "wide.npy", "zip.npy.npz", "huge.npy"):
        replace(folder, "ok.npy", (tmp_path / name).read_bytes())
        with pytest.raises(BundleDamaged, match=r"ok\.npy"):
            open_bundle(folder).array("ok")


def test_tables_of_another_kind_are_refused(folder, tmp_path):
    pool = bundle_maker.tables()["pool"]
    wrong = {"rows": pool.slice(1), "type": pa.table({"text": range(12)}), "column": pool.rename_columns(["words"])}
    for name, table in wrong.items():
        pq.write_table(table, tmp_path / name)
        replace(folder, "text/pool.parquet", (tmp_path / name).read_bytes())
        with pytest.raises(BundleDamaged, match=r"pool\.parquet"):
            open_bundle(folder).table("pool")
    for data in (b"", b"PAR1" * 10):
        replace(folder, "text/pool.parquet", data)
        with pytest.raises(BundleDamaged, match=r"pool\.parquet"):
            open_bundle(folder).table("pool")


def test_an_index_with_another_digest_is_refused(folder):
    data = bytearray((folder / "index/text.faiss").read_bytes())
    data[-30] ^= 1
    (folder / "index/text.faiss").write_bytes(data)
    with pytest.raises(BundleDamaged, match="sha256"):
        open_bundle(folder).index("text")


def test_the_document_is_current_and_its_example_runs(folder):
    assert schema_docs.TARGET.read_text(encoding="utf-8") == schema_docs.render(), "run make docs"
    code = schema_docs.render().split("```python\n")[1].split("```")[0].replace("head = 0, 5", "head = 0, 1")
    assert "head = 0, 1" in code
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "text 0" in done.stdout, done.stderr


def test_check_tells_an_old_document(tmp_path, monkeypatch, capsys):
    assert schema_docs.main(["--check"]) == 0
    monkeypatch.setattr(schema_docs, "TARGET", tmp_path / "bundle.md")
    assert schema_docs.main(["--check"]) == 1 and "not current" in capsys.readouterr().err
    assert schema_docs.main(["--other"]) == 2
    done = subprocess.run([sys.executable, "-m", "core.bundle.schema"], cwd=ROOT, capture_output=True, timeout=60)
    assert done.stdout.decode() == schema_docs.render()


def test_every_item_of_the_schema_names_known_axes_and_no_path_twice():
    axes = [axis for spec in schema.ARRAYS for axis in spec.axes] + [s.axis for s in schema.TABLES if s.axis]
    assert set(axes) == set(schema.AXES)
    paths = [spec.path for spec in (*schema.ARRAYS, *schema.TABLES)]
    assert len(set(paths)) == len(paths) == len(schema.ARRAY) + len(schema.TABLE)
    assert all(spec.source in schema.ARRAY for spec in schema.INDEXES)
    assert schema.index_path(schema.head_key(3, 5)) == "index/heads/L3.H5.faiss"
    assert schema.index_path(schema.head_key(None, 5)) == "index/heads/H5.faiss"

"""Manifests: which files, in which order, under which digest; and a sentence for everything that cannot be."""

import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ManifestError
from precompute.manifest import Manifest, build_manifest
from precompute.paths import normalise, to_name, to_text
from precompute.reader import read_images
from tests import hostile

REPO = Path(__file__).parents[2]
SAMPLE = REPO.parent / "shared" / "imagenet-sample"


def tree(root: Path, *files: str, content: bytes = b"x") -> Path:
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def paths(manifest: Manifest) -> list[str]:
    return manifest.table["path"].to_pylist()


def column(manifest: Manifest, name: str) -> list:
    return manifest.table[name].to_pylist()


def csv(folder: Path, text: str, name: str = "list.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def refused(source: Path, *words: str, **options: object) -> None:
    with pytest.raises(ManifestError) as caught:
        build_manifest(source, **options)
    for word in words:
        assert word in str(caught.value)


def test_folder_of_folders(tmp_path: Path) -> None:
    tree(tmp_path, "dog/b.JPEG", "cat/deep/er/a.png", "cat/z.webp", "top.jpg", "dog/notes.txt", "dog/.hidden.jpg")
    tree(tmp_path, ".cache/a.jpg")
    manifest = build_manifest(tmp_path)
    assert paths(manifest) == ["cat/deep/er/a.png", "cat/z.webp", "dog/b.JPEG", "top.jpg"]
    assert column(manifest, "class") == ["cat", "cat", "dog", None]
    assert column(manifest, "image_id") == [0, 1, 2, 3]
    assert column(manifest, "bytes") == [1, 1, 1, 1]
    assert manifest.classes == ("cat", "dog")
    assert manifest.root == tmp_path and manifest.source_name == tmp_path.name
    assert manifest.table.schema.types == [pa.int64(), pa.string(), pa.int64(), pa.string()]
    assert [note[:2] for note in manifest.notes] == ["1 ", "2 "]  # notes.txt; .hidden.jpg and .cache


def test_flat_folder_has_no_classes(tmp_path: Path) -> None:
    manifest = build_manifest(tree(tmp_path, "b.jpg", "a.jpg"))
    assert paths(manifest) == ["a.jpg", "b.jpg"] and manifest.classes == ()


def test_digest_names_the_data_not_the_place(tmp_path: Path) -> None:
    first = tree(tmp_path / "one", "cat/a.jpg", "dog/b.jpg")
    again = shutil.copytree(first, tmp_path / "two")
    os.utime(again / "cat/a.jpg", (1, 1))
    digest = build_manifest(first).digest
    assert build_manifest(again).digest == digest
    (again / "cat/a.jpg").write_bytes(b"longer")
    longer = build_manifest(again).digest
    (first / "cat/a.jpg").rename(first / "cat/c.jpg")
    assert len({digest, longer, build_manifest(first).digest}) == 3


def test_digest_covers_classes_and_user_columns(tmp_path: Path) -> None:
    tree(tmp_path, "a.jpg")
    texts = ["path,caption\na.jpg,red", "path,caption\na.jpg,blue", "path,title\na.jpg,red", "path,class\na.jpg,red"]
    assert len({build_manifest(csv(tmp_path, text)).digest for text in texts}) == 4


def test_order_does_not_depend_on_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, *(f"{c}/{i}.jpg" for c in "cab" for i in range(5)))
    plain, listdir = build_manifest(tmp_path), os.scandir

    class Reversed(list):
        __enter__ = lambda self: self
        __exit__ = lambda self, *error: None

    monkeypatch.setattr(os, "scandir", lambda path: Reversed(sorted(listdir(path), key=lambda e: e.name, reverse=True)))
    assert build_manifest(tmp_path).table == plain.table


def test_unusual_names_survive_to_the_file(tmp_path: Path) -> None:
    picture = hostile.encode(hostile.quadrants(), "PNG")
    names = ["sp ace/ü ☃.png", "back\\slash/\\xff.png", "line\nbreak/a\nb.png", "-dash/%41.png", "cafe\u0301/e.png"]
    tree(tmp_path, *names, content=picture)
    raw = os.fsencode(tmp_path) + b"/bad\xff\xfe"
    os.mkdir(raw)
    with open(raw + b"/\xe9.png", "wb") as file:
        file.write(picture)
    manifest = build_manifest(tmp_path)
    assert "bad\\xff\\xfe/\\xe9.png" in paths(manifest) and "sp ace/ü ☃.png" in paths(manifest)
    assert "line\nbreak" in manifest.classes and len(manifest.classes) == 6
    from core.images import DecodePolicy

    assert [read.code for read in read_images(tmp_path, manifest.table, DecodePolicy())] == [None] * 6


@given(st.binary(min_size=1).filter(lambda raw: b"\0" not in raw and b"/" not in raw))
def test_names_and_texts_undo_each_other(raw: bytes) -> None:
    name = os.fsdecode(raw)
    to_text(name).encode("utf-8")
    assert to_name(to_text(name)) == name


def test_links(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", "cat/a.jpg")
    tree(tmp_path / "elsewhere", "secret.jpg")
    (root / "cat/inside.jpg").symlink_to(root / "cat/a.jpg")
    (root / "cat/leaves.jpg").symlink_to(tmp_path / "elsewhere/secret.jpg")
    (root / "cat/broken.jpg").symlink_to(root / "nothing.jpg")
    (root / "loop").symlink_to(root)
    manifest = build_manifest(root)
    sizes = dict(zip(paths(manifest), column(manifest, "bytes"), strict=True))
    assert sizes == {"cat/a.jpg": 1, "cat/inside.jpg": 1, "cat/leaves.jpg": -1, "cat/broken.jpg": -1}
    assert any("links to folders inside" in note for note in manifest.notes)
    (root / "more").symlink_to(tmp_path / "elsewhere")
    refused(root, "more", "outside")


def test_csv_keeps_columns_and_types(tmp_path: Path) -> None:
    tree(tmp_path, "x/b.jpg", "x/a.jpg")
    text = 'path,class,caption,label,width\n./x//b.jpg,007,"two\nlines, ☃",3,9\nx/a.jpg,,plain,4,8\n'
    manifest = build_manifest(csv(tmp_path, "\ufeff" + text))
    assert manifest.table.column_names == ["image_id", "path", "bytes", "class", "caption", "label", "given_width"]
    assert paths(manifest) == ["x/a.jpg", "x/b.jpg"]
    assert column(manifest, "class") == [None, "007"] and manifest.classes == ("007",)
    assert column(manifest, "caption") == ["plain", "two\nlines, ☃"] and column(manifest, "label") == [4, 3]
    assert manifest.source_name == "list.csv"
    assert any("given_width" in note for note in manifest.notes)


def test_csv_types_are_guessed_from_the_whole_file(tmp_path: Path) -> None:
    rows = [f"{i}.jpg,{i},{'x' * 90}" for i in range(20_000)] + ["last.jpg,word,x"]  # 2 MB: beyond the first block
    manifest = build_manifest(csv(tmp_path, "\n".join(["path,tag,filler", *rows])))
    assert "word" in column(manifest, "tag")


def test_parquet_and_root_and_missing_files(tmp_path: Path) -> None:
    tree(tmp_path / "images", "cat/a.jpg", "dog/b.jpg")
    listing = tmp_path / "list.parquet"
    pq.write_table(pa.table({"path": ["dog/b.jpg", "gone/c.jpg", "cat/a.jpg"], "tags": [["x"], [], None]}), listing)
    manifest = build_manifest(listing, root=tmp_path / "images")
    assert column(manifest, "bytes") == [1, 1, -1] and column(manifest, "tags") == [None, ["x"], []]
    assert manifest.classes == ("cat", "dog", "gone")
    assert any("1 of 3 files" in note for note in manifest.notes)


@pytest.mark.parametrize("kind", ["manifest.csv", "manifest.parquet"])
def test_a_manifest_inside_a_folder_is_used(kind: str, tmp_path: Path) -> None:
    tree(tmp_path, "cat/a.jpg", "cat/unlisted.jpg")
    if kind == "manifest.csv":
        csv(tmp_path, "path,object\ncat/a.jpg,cat\n", kind)
    else:
        pq.write_table(pa.table({"path": ["cat/a.jpg"], "object": ["cat"]}), tmp_path / kind)
    manifest = build_manifest(tmp_path)
    assert paths(manifest) == ["cat/a.jpg"] and manifest.classes == ("cat",)
    assert column(manifest, "object") == ["cat"] and manifest.source_name == tmp_path.name


def test_listed_links_out_of_the_root_are_quarantined(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", "a.jpg")
    tree(tmp_path / "elsewhere", "b.jpg")
    (root / "out").symlink_to(tmp_path / "elsewhere")
    (root / "c.jpg").symlink_to(tmp_path / "elsewhere/b.jpg")
    manifest = build_manifest(csv(root, "path\na.jpg\nout/b.jpg\nc.jpg\n"))
    assert column(manifest, "bytes") == [1, -1, -1]
    assert any("2 files" in note and "out of the root" in note for note in manifest.notes)


@pytest.mark.parametrize(
    "bad, word",
    [
        ("/etc/passwd", "absolute"),
        ("C:\\a.jpg", "absolute"),
        ("a/../../b.jpg", "'..'"),
        ("https://example.org/a.jpg", "URL"),
        ("folder/", "no file"),
        ('""', "no file"),
    ],
)
def test_paths_that_leave_are_refused_by_row(bad: str, word: str, tmp_path: Path) -> None:
    refused(csv(tmp_path, f"path,n\nok.jpg,1\n{bad},2\n"), "Row 2", word)


def test_normalise_refuses_zero_bytes() -> None:
    with pytest.raises(ValueError, match="zero byte"):
        normalise("a\0.jpg")


def test_sentences_for_sources_that_cannot_be(tmp_path: Path) -> None:
    refused(tmp_path / "nothing", "does not exist")
    refused(tmp_path, "is empty")
    refused(tree(tmp_path / "words", "a.txt", ".b.jpg"), "1 other", "1 hidden", ".jpeg")
    refused(tree(tmp_path, "picture.jpg") / "picture.jpg", "neither a folder nor a manifest")
    refused(csv(tmp_path, "file,class\na.jpg,x\n"), "no column 'path'", "file, class")
    refused(csv(tmp_path, "path,class\n"), "no rows")
    refused(csv(tmp_path, ""), "cannot be read as a table")
    refused(csv(tmp_path, "path,a,a\nx.jpg,1,2\n"), "several columns named 'a'")
    refused(csv(tmp_path, "path\na.jpg\n./a.jpg\n"), "Rows 1 and 2", "a.jpg")
    refused(csv(tmp_path, "path,width,given_width\na.jpg,1,2\n"), "given_")
    (tmp_path / "latin.csv").write_bytes(b"path,caption\na.jpg,caf\xe9\n")
    refused(tmp_path / "latin.csv", "'caption' is not UTF-8")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not really PAR1")
    refused(tmp_path / "broken.parquet", "cannot be read as a table")
    refused(tmp_path / "words", "leave --root away", root=tmp_path)
    refused(csv(tmp_path, "path\na.jpg\n"), "root folder", root=tmp_path / "nothing")
    pq.write_table(pa.table({"path": [[1]]}), tmp_path / "list.parquet")
    refused(tmp_path / "list.parquet", "not text")


def test_parquet_text_that_is_no_unicode(tmp_path: Path) -> None:
    bad = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff.jpg"]).buffers())
    pq.write_table(pa.table({"path": bad}), tmp_path / "list.parquet")
    refused(tmp_path / "list.parquet", "cannot be read as a table")


def test_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "open/a.jpg", "locked/b.jpg")
    allowed = os.scandir

    def scandir(path: str) -> object:
        if str(path).rstrip("/").endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return allowed(path)

    monkeypatch.setattr(os, "scandir", scandir)  # chmod does not stop a test that runs as root
    refused(tmp_path, "locked", "permission is denied")


def test_progress_ends_at_the_number_of_files(tmp_path: Path) -> None:
    told: list[int] = []
    build_manifest(tree(tmp_path, "a.jpg", "b.jpg"), progress=told.append)
    build_manifest(csv(tmp_path, "path\na.jpg\n"), progress=told.append)
    assert told == [2, 1]


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the ImageNet sample is not beside this checkout")
def test_real_sample() -> None:
    manifest = build_manifest(SAMPLE)
    assert manifest.table.num_rows == 600 and len(manifest.classes) == 600 and min(column(manifest, "bytes")) > 0

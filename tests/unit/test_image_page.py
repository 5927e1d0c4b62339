"""The Image page without a browser: prompts as visitors write them, uploads and how long they stay."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.errors import ImageRejected, InputError, StorageError
from pages._ui import image_address, image_figures, image_prompts, resources, uploads
from pages._ui.image_address import Place
from tests import bundle_maker
from tests.hostile import encode, hostile_files, noise, quadrants


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNITSCOPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "uploads"


@pytest.mark.parametrize("text", ["", " \n\t\n", "a" * 10_000, "\n".join(map(str, range(41))), "a\0b", "\ud800"])
def test_prompts_that_cannot_be_asked_get_a_sentence(text: str) -> None:
    with pytest.raises(InputError):
        image_prompts.lines(text)


def test_prompts_in_any_script_stay_as_they_are() -> None:
    text = "  <b>a dog</b> \n\n\u05db\u05dc\u05d1 \u05dc\u05d1\u05df\n\u200fقطة\n<b>a dog</b>"
    assert image_prompts.lines(text) == ("<b>a dog</b>", "\u05db\u05dc\u05d1 \u05dc\u05d1\u05df", "\u200fقطة")
    assert "<" not in image_figures.short("<a href=x>")


def test_a_kept_upload_is_itself_and_expires(cache: Path) -> None:
    data = encode(quadrants(), "PNG")
    name, picture = uploads.check(data)
    assert picture.size == (48, 32) and image_address.upload(name) == name
    uploads.keep(name, data)
    assert uploads.load(name) == data and os.listdir(cache) == [name]
    (cache / name).write_bytes(data[:-1])  # damaged on disk
    assert uploads.load(name) is None
    uploads.keep(name, data)
    old = time.time() - (uploads.KEEP_DAYS + 1) * 86_400
    os.utime(cache / name, (old, old))
    assert uploads.load(name) is None
    uploads.expire()
    assert os.listdir(cache) == []


def test_the_room_for_kept_uploads_is_bounded(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_KEPT_FILES", 1)
    first, second = (encode(noise(seed=seed), "PNG") for seed in (0, 1))
    uploads.keep(uploads.check(first)[0], first)
    with pytest.raises(StorageError):
        uploads.keep(uploads.check(second)[0], second)
    uploads.forget(uploads.check(first)[0])
    uploads.keep(uploads.check(second)[0], second)


@pytest.mark.parametrize("name", ["../../etc/passwd", "a" * 31, "A" * 32, "a" * 64, ""])
def test_no_other_name_becomes_a_path(cache: Path, name: str) -> None:
    with pytest.raises(InputError):
        uploads.load(name)
    with pytest.raises(ValueError):
        image_address.upload(name)


OWN = "https://lab.example/lens/image?bundle=demo&image=3"
UPLOAD = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("https://lab.example/lens/image?bundle=demo&image=12&tab=where&prompts=a+b&prompts=c", Place("demo", 12)),
        ("https://LAB.example:443/lens/heads?bundle=demo&head=L3.H5&image=12", Place("demo", 12)),
        ("  /image?image=12 ", Place(None, 12)),
        ("heads?image=0", Place(None, 0)),
        ("https://lab.example/lens/b/demo-vit-0123/t/7", Place("demo-vit-0123", 7)),
        ("/b/d%C3%A9mo/t/7", Place("démo", 7)),
        (f"https://lab.example/image?bundle=demo&upload={UPLOAD}", Place("demo", None, UPLOAD)),
        ("https://lab.example/image?image=1&image=2", Place(None, 2)),  # as Streamlit reads it
    ],
)
def test_an_address_of_the_app_names_its_image(text: str, place: Place) -> None:
    assert image_address.read(text, OWN) == place


@pytest.mark.parametrize(
    "text",
    [
        "https://elsewhere.example/image?bundle=demo&image=12",
        "https://lab.example:8501/image?image=12",
        "https://lab.example@elsewhere.example/image?image=12",
        "//elsewhere.example/b/demo/t/7",
        "elsewhere.example:80/image?image=12",
        "https://elsewhere.example/cat.jpg",
        "file:///etc/passwd",
        "javascript:alert(1)//image?image=12",
        "data:image/png;base64,AAAA",
        "https://lab.example/image?bundle=demo",
        "https://lab.example/overview?image=12",
        "https://lab.example/image?image=-1",
        "https://lab.example/image?image=١٢",
        "https://lab.example/image?image=12.5",
        "https://lab.example/image?upload=../../etc/passwd",
        "https://lab.example/b/demo/t/x",
        "https://lab.example/b/a/b/t/../7",
        "https://lab.example:port/image?image=1",
        "https://[lab.example/image?image=1",
        "a banana",
        "<script>alert(1)</script>",
        "/image?image=1" + "&a=1" * 501,
        "/image?image=1&a=" + "a" * 20_000,
    ],
)
def test_any_other_address_gets_a_sentence_that_says_what_can_be_pasted(text: str) -> None:
    with pytest.raises(InputError, match="Nothing is fetched"):
        image_address.read(text, OWN)


def test_this_machine_has_several_names() -> None:
    for text in ("http://127.0.0.1:8501/image?image=4", "localhost:8501/image?image=4", "http://[::1]:8501/b/demo/t/4"):
        assert image_address.read(text, "http://localhost:8501/image").image == 4
    with pytest.raises(InputError):
        image_address.read("http://127.0.0.1:8502/image?image=4", "http://localhost:8501/image")
    assert image_address.read("http://anywhere:8501/image?image=4", None).image == 4


def test_hostile_files_are_rejected() -> None:
    for data, code in hostile_files().values():
        if code is not None:
            with pytest.raises(ImageRejected):
                uploads.check(data)


def test_an_overlay_is_strongest_where_the_map_is() -> None:
    import base64
    import io

    from PIL import Image

    source = image_figures.overlay(np.array([[1.0, -0.5], [0.0, 0.25]]), 0.8)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))
    corner = pixels[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corner[:, 3].tolist() == [204, 102, 0, 51]
    assert corner[0, 2] > corner[0, 0] and corner[1, 0] > corner[1, 2]  # blue adds, red takes away


def _page() -> None:
    from core.errors import UnitscopeError
    from pages import image
    from pages._ui import states

    with states.calm():
        try:
            image.main()
        except UnitscopeError as error:
            states.problem(error)


def _run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **query: str) -> tuple[AppTest, str]:
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(tmp_path / "bundles"))
    bundle_maker.make(tmp_path / "bundles" / "tiny-0123abcd")
    app = AppTest.from_function(_page, default_timeout=60)
    app.query_params.update(query)
    app.run()
    assert not app.exception
    kinds = (app.title, app.markdown, app.warning, app.caption)
    return app, "\n".join(str(each.value) for kind in kinds for each in kind)


def test_bad_images_and_prompts_get_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app, said = _run(tmp_path, monkeypatch, image="7")  # in quarantine
    assert "could not be decoded" in said and not app.error
    app.text_area[0].set_value("x" * 10_000).run()
    assert not app.exception and any("10,000 characters" in each.value for each in app.warning)


def test_a_link_to_an_upload_that_is_gone(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app, said = _run(tmp_path, monkeypatch, upload="a" * 32)
    assert "This upload is not here" in said and not app.error

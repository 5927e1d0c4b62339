"""The Image page without a browser: prompts as visitors write them, uploads and how long they stay."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.errors import ImageRejected, InputError, StorageError
from pages import image
from pages._ui import image_figures, image_prompts, resources, uploads
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
    assert picture.size == (48, 32) and image.upload(name) == name
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
        image.upload(name)


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

"""The decoder: faithful pixels, or a rejection with the right code, in little memory and with nothing else raised."""

import io
import json
import struct
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from core import images
from core.errors import ImageRejected
from core.images import CODES, DecodePolicy, decode
from tests import hostile
from tests.hostile import BLUE, GREEN, RED, WHITE, encode

FILES = hostile.hostile_files()
REPO = Path(__file__).parents[2]
SAMPLE = REPO.parent / "shared" / "imagenet-sample"


def close(found: tuple[int, ...], wanted: tuple[int, ...], tolerance: int = 12) -> bool:
    """JPEG at quality 95 moves flat colours by a few of 255 levels; the colours told apart here differ by 255."""
    return max(abs(a - b) for a, b in zip(found, wanted, strict=True)) <= tolerance


def rejection(data: bytes, policy: DecodePolicy | None = None) -> str:
    with pytest.raises(ImageRejected) as caught:
        decode(data, policy)
    assert caught.value.message.endswith(".") and len(caught.value.message) > 40
    return caught.value.code


@pytest.mark.parametrize("name", FILES)
def test_every_hostile_file_is_rejected_by_its_code_or_decoded(name: str) -> None:
    data, code = FILES[name]
    if code is None:
        image = decode(data)
        assert image.mode == "RGB" and image.info == {}
    else:
        assert code in CODES
        assert rejection(data) == code


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    image = decode(hostile.rotated(orientation, kind))
    assert image.size == (48, 32)
    corners = [image.getpixel(at) for at in ((5, 5), (42, 5), (5, 26), (42, 26))]
    # Lossy WebP halves the colour resolution and quantises harder than JPEG at 95.
    assert all(close(*pair, tolerance=60) for pair in zip(corners, (RED, GREEN, BLUE, WHITE), strict=True))


def test_broken_exif_leaves_the_picture() -> None:
    data = encode(hostile.quadrants(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert close(decode(data).getpixel((5, 5)), RED, 60)
    words = PngInfo()
    words.add_text("Raw profile type exif", "\n\n\nno hexadecimal digits")  # Pillow raises ValueError
    assert decode(encode(hostile.quadrants(), "PNG", pnginfo=words)).getpixel((5, 5)) == RED


def test_sixteen_bit_grey_keeps_its_tones() -> None:
    grey = hostile.grey_ramp_16()
    for kind in ("PNG", "TIFF"):
        found = np.asarray(decode(encode(Image.fromarray(grey), kind)))
        np.testing.assert_array_equal(found, np.repeat((grey >> 8).astype(np.uint8)[..., None], 3, axis=2))


def test_big_endian_and_white_is_zero_tiff() -> None:
    grey = hostile.grey_ramp_16()
    big = encode(Image.fromarray(grey.astype(">u2")), "TIFF")
    assert np.asarray(decode(big))[..., 0].tolist() == (grey >> 8).tolist()
    inverted = encode(Image.fromarray(grey), "TIFF", tiffinfo={262: 0})
    assert np.asarray(decode(inverted))[..., 0].tolist() == (255 - (grey >> 8)).tolist()


def test_sixteen_bit_transparent_level_and_colour() -> None:
    rows = b"\0" + bytes.fromhex("12340000") + b"\0" + bytes.fromhex("8000ffff")
    grey = hostile.png(2, 2, 16, 0, rows, hostile.png_chunk(b"tRNS", bytes.fromhex("1234")))
    assert np.asarray(decode(grey))[..., 0].tolist() == [[255, 0], [128, 255]]
    pixels = b"\0" + bytes.fromhex("1234 5678 9abc 0000 0000 0000")
    colour = hostile.png(2, 1, 16, 2, pixels, hostile.png_chunk(b"tRNS", bytes.fromhex("123456789abc")))
    assert np.asarray(decode(colour)).tolist() == [[[255, 255, 255], [0, 0, 0]]]


def test_cmyk_red_is_red() -> None:
    assert close(decode(FILES["cmyk.jpg"][0]).getpixel((8, 8)), RED)


def test_first_frame_of_animations() -> None:
    for name in ("animated.gif", "animated.webp"):
        assert decode(FILES[name][0]).getpixel((3, 3)) == RED


def test_transparency_lies_on_the_stated_background() -> None:
    blue = DecodePolicy(background=BLUE)
    halves = decode(FILES["palette.png"][0], blue)
    assert halves.getpixel((2, 2)) == RED and halves.getpixel((12, 2)) == BLUE
    assert decode(FILES["grey-alpha.png"][0], blue).getpixel((0, 0)) == BLUE
    assert decode(FILES["grey-alpha.png"][0]).getpixel((0, 0)) == WHITE
    half = encode(Image.new("RGBA", (2, 2), (255, 0, 0, 51)), "PNG")  # 51 / 255 = one fifth red
    assert decode(half, blue).getpixel((0, 0)) == (51, 0, 204)
    keyed = Image.new("RGB", (2, 1), RED)
    keyed.putpixel((1, 0), GREEN)
    assert decode(encode(keyed, "PNG", transparency=GREEN), blue).getpixel((1, 0)) == BLUE


@pytest.mark.parametrize(
    "mode, pixel, wanted", [("RGBA", (51, 0, 0, 51), (51, 0, 204)), ("LA", (51, 51), (51, 51, 255))]
)
def test_premultiplied_alpha(mode: str, pixel: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    straight, premultiplied = (struct.pack("<HHIHH", 338, 3, 1, kind, 0) for kind in (2, 1))
    stored = encode(Image.new(mode, (2, 2), pixel), "TIFF")
    assert stored.count(straight) == 1  # the tag ExtraSamples, which Pillow writes for straight alpha only
    # One fifth of red, and of white, over blue; undoing the multiplication at 8 bits may cost a level.
    found = decode(stored.replace(straight, premultiplied), DecodePolicy(background=BLUE)).getpixel((0, 0))
    assert close(found, wanted, 1)


def test_one_bit_white_is_white() -> None:
    assert decode(FILES["one-bit.png"][0]).getpixel((0, 0)) == WHITE


def test_plain_jpeg_is_exactly_pillows_own() -> None:
    data = encode(hostile.noise(), "JPEG")
    np.testing.assert_array_equal(np.asarray(decode(data)), np.asarray(Image.open(io.BytesIO(data))))


def test_each_limit_has_its_code() -> None:
    data = encode(Image.new("RGB", (40, 20)), "PNG")
    assert rejection(data, DecodePolicy(max_bytes=10)) == "too-many-bytes"
    assert rejection(data, DecodePolicy(max_pixels=799)) == "too-many-pixels"
    assert rejection(data, DecodePolicy(max_side=39)) == "too-long-side"
    assert rejection(data, DecodePolicy(min_side=21)) == "too-small"
    assert rejection(data, DecodePolicy(max_aspect=1.9)) == "too-narrow"
    assert rejection(data, DecodePolicy(formats=("JPEG",))) == "unsupported-format"
    exactly = DecodePolicy(max_bytes=len(data), max_pixels=800, max_side=40, min_side=20, max_aspect=2.0)
    assert decode(data, exactly).size == (40, 20)


def test_limits_are_checked_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    data = FILES["bomb.png"][0]
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("pixels were decoded"))
    assert rejection(data) == "too-many-pixels"


@pytest.mark.parametrize("name", ["bomb.png", "bomb-canvas.webp", "bomb-tile.tif"])
def test_a_bomb_takes_little_memory(name: str, tmp_path: Path) -> None:
    # The plain decoder takes 324 MB for the PNG and 890 MB for the TIFF; ours reads a header: 32 MB over the imports.
    code = (
        "import resource, sys\n"
        "from core.errors import ImageRejected\n"
        "from core.images import decode\n"
        "from PIL import Image; Image.init()\n"
        "data = open(sys.argv[1], 'rb').read()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: decode(data)\n"
        "except ImageRejected as error: print(error.code)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    file = tmp_path / name
    file.write_bytes(FILES[name][0])
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)], cwd=REPO, capture_output=True, text=True, check=True, timeout=60
    )
    found, kilobytes = done.stdout.split()
    assert found == "too-many-pixels"
    assert int(kilobytes) < 32 * 1024


def test_pillows_global_limit_plays_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert rejection(FILES["bomb.png"][0]) == "too-many-pixels"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow itself raises DecompressionBombError
    assert rejection(encode(hostile.noise(), "PNG")) == "too-many-pixels"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3000)  # 64 x 64 only warns, which may have been made an error
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rejection(encode(hostile.noise(), "PNG")) == "too-many-pixels"


def test_no_memory_has_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(images, "_upright_rgb", full)
    assert rejection(encode(hostile.noise(), "PNG")) == "no-memory"


def test_postscript_never_reaches_an_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *a, **k: pytest.fail("Ghostscript was called"))
    assert rejection(hostile.eps()) == "unsupported-format"


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_whatever_the_bytes_nothing_but_a_rejection_is_raised(name: str, data: st.DataObject) -> None:
    content = bytearray(FILES[name][0])
    if len(content) > 20_000:
        return
    for _ in range(data.draw(st.integers(0, 4))):
        if content:
            content[data.draw(st.integers(0, min(len(content) - 1, 400)))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            assert decode(bytes(content[:cut]), DecodePolicy(max_pixels=10**6)).mode == "RGB"
        except ImageRejected as error:
            assert error.code in CODES


def test_threads_agree_with_one_thread() -> None:
    jobs = [data for data, _ in FILES.values()] * 3

    def outcome(data: bytes) -> bytes | str:
        try:
            return decode(data).tobytes()
        except ImageRejected as error:
            return error.code

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(outcome, jobs)) == [outcome(data) for data in jobs]


def test_policy_is_json_and_comes_back() -> None:
    policy = DecodePolicy(max_pixels=7, background=RED)
    raw = json.loads(json.dumps(policy.to_dict()))
    assert DecodePolicy(**{k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}) == policy


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the ImageNet sample is not beside this checkout")
def test_real_photographs_equal_pillow_unless_turned() -> None:
    files = sorted(SAMPLE.rglob("*.JPEG"))[::20]
    assert len(files) == 30
    for file in files:
        with Image.open(file) as plain:
            if plain.getexif().get(274, 1) == 1:
                assert decode(file.read_bytes()).tobytes() == plain.convert("RGB").tobytes(), file.name

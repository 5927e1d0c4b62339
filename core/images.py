"""The one decoder: bytes to RGB, or a rejection with a code. Precompute, upload and thumbnails all use it.

Left to itself Pillow turns a 16-bit PNG white and a float TIFF black, ignores EXIF rotation, spends 800 MB on a 9 kB
PNG, and hands an EPS named .jpg to Ghostscript. Here every such choice is explicit, and stands in `DecodePolicy`,
whose `to_dict` belongs in a bundle's manifest because it changes features:

- formats are told by content, from a whitelist; the file's name plays no part;
- limits on bytes, pixels, sides and aspect are checked on the header, before any pixel is decoded;
- the first frame of an animation; EXIF (or XMP) orientation applied; embedded colour profiles ignored;
- CMYK and YCCK by Adobe's inverted convention, converted to RGB without a profile, as browsers without one do;
- 9 to 16 bit grey is scaled to 8 by dropping the low bits, which is what Pillow does for 16-bit colour;
- deeper integers and floats are rejected, since nothing in the file says what is white;
- transparency of any kind is composited on `background`.

What no decoder can tell: garbage inside the compressed data of a JPEG decodes to garbage pixels without an error.
"""

import dataclasses
import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from core.errors import ImageRejected

#: Every rejection code of this decoder and what it means; the codes are stable, quarantine tables keep them.
CODES = {
    "empty": "the file has no bytes",
    "too-many-bytes": "the file is larger than the policy allows",
    "not-an-image": "the content is not an image of any known format",
    "unsupported-format": "the content is of a known format that is not accepted",
    "truncated": "the file ends before the image does",
    "damaged": "the file is inconsistent and cannot be decoded",
    "too-many-pixels": "the header declares more pixels than the policy allows",
    "too-long-side": "a side is longer than the policy allows",
    "too-small": "a side is shorter than the policy allows",
    "too-narrow": "one side is too many times the other",
    "unsupported-depth": "more than 16 bits a channel, or floating point: nothing says what is white",
    "no-memory": "there was not enough memory to decode it",
}

_ACCEPTED = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
# The first bytes that tell a format, for the sentence a rejection carries; whether to decode is Pillow's finding.
_SIGNATURES = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (8, b"WEBP", "WEBP"),
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "TIFF"),
    (0, b"MM\x00+", "TIFF"),
    (0, b"%!PS", "EPS"),
    (0, b"\xc5\xd0\xd3\xc6", "EPS"),
    (0, b"%PDF", "PDF"),
    (4, b"ftyp", "HEIF or AVIF"),
    (0, b"\x00\x00\x01\x00", "ICO"),
    (0, b"8BPS", "Photoshop"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"<svg", "SVG"),
)
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# TIFF and EXIF tag numbers
_ORIENTATION, _BITS, _PHOTOMETRIC, _TILE_WIDTH, _TILE_LENGTH = 274, 258, 262, 322, 323


# Sizes are checked here, before any pixel is decoded; Pillow's own warning about them would only puzzle the user.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


@dataclass(frozen=True)
class DecodePolicy:
    """What is decoded, how, and up to which size. Equal policies on equal bytes give equal pixels.

    `max_pixels` bounds memory: Pillow holds 4 bytes a pixel, and compositing or converting holds that twice.
    Lengths are in pixels, `background` is 8-bit RGB. `version` rises when the meaning of a file's pixels changes.
    """

    formats: tuple[str, ...] = _ACCEPTED
    max_bytes: int = 64 * 2**20
    max_pixels: int = 64_000_000
    max_side: int = 30_000
    min_side: int = 1
    max_aspect: float = 100.0
    background: tuple[int, int, int] = (255, 255, 255)
    version: int = 1

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values, tuples as lists."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}


def decode(data: bytes, policy: DecodePolicy | None = None) -> Image.Image:
    """The image in `data` as 8-bit RGB, upright, loaded, with no metadata; (width, height) is its `size`.

    Thread-safe: reads and changes no global setting. Raises ImageRejected, and nothing else, for any content.
    """
    policy = policy or DecodePolicy()
    if not data:
        raise ImageRejected("empty", "The file has no bytes: it was probably never written; copy it again.")
    if len(data) > policy.max_bytes:
        found, limit = f"{len(data):,} bytes", f"{policy.max_bytes:,}"
        raise ImageRejected("too-many-bytes", f"The file has {found}, the limit is {limit}: save it smaller.")
    try:
        image = _open(data, policy)
        _check_size(image.width, image.height, policy)
        _check_tile(image, policy)
        image.load()
        return _upright_rgb(image, data, policy)
    except ImageRejected:
        raise
    except MemoryError as error:
        advice = "There was not enough memory to decode this image: free some, or save it smaller."
        raise ImageRejected("no-memory", advice) from error
    except Exception as error:  # Pillow's parsers raise whatever a hostile file makes them stumble on
        raise _damaged(error) from error


def sniff(data: bytes) -> str | None:
    """The name of the format whose signature `data` begins with, or None. Says nothing about the rest."""
    return next((name for at, mark, name in _SIGNATURES if data[at : at + len(mark)] == mark), None)


def _open(data: bytes, policy: DecodePolicy) -> Image.Image:
    """The image with its header parsed and no pixel decoded."""
    try:
        return Image.open(io.BytesIO(data), formats=policy.formats)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # a warning raised under -W error
        advice = f"The header declares more than the limit of {policy.max_pixels:,} pixels: save it smaller."
        raise ImageRejected("too-many-pixels", advice) from error
    except UnidentifiedImageError as error:
        accepted, name = ", ".join(policy.formats), sniff(data)
        if name is None:
            advice = f"The content is not an image, whatever the file is called: expected {accepted}."
            raise ImageRejected("not-an-image", advice) from error
        if name not in policy.formats:
            advice = f"The content is {name}, which is not accepted: save it as one of {accepted}."
            raise ImageRejected("unsupported-format", advice) from error
        # Pillow gives up on a header that ends early and on one that makes no sense in the same way.
        advice = f"The file begins as {name} but its header is incomplete or inconsistent: copy it again."
        raise ImageRejected("truncated" if len(data) < 1024 else "damaged", advice) from error


def _check_size(width: int, height: int, policy: DecodePolicy) -> None:
    size, short, long = f"{width:,} x {height:,} pixels", min(width, height), max(width, height)
    if width * height > policy.max_pixels:
        limit = f"{policy.max_pixels:,}"
        raise ImageRejected("too-many-pixels", f"The header declares {size}, the limit is {limit}: save it smaller.")
    if short < policy.min_side:
        raise ImageRejected("too-small", f"The image is {size}, each side must have at least {policy.min_side}.")
    if long > policy.max_side:
        limit = f"{policy.max_side:,}"
        raise ImageRejected(
            "too-long-side", f"The image is {size}, the longest side allowed is {limit}: save it smaller."
        )
    if long > policy.max_aspect * short:
        limit = f"{policy.max_aspect:g}"
        raise ImageRejected(
            "too-narrow", f"The image is {size}, one side may be at most {limit} times the other: crop it."
        )


def _check_tile(image: Image.Image, policy: DecodePolicy) -> None:
    """A TIFF's tiles may be larger than the image, and are decoded whole."""
    tags = getattr(image, "tag_v2", {})
    width, height = tags.get(_TILE_WIDTH, 0), tags.get(_TILE_LENGTH, 0)
    if width * height > policy.max_pixels:
        advice = f"Its tiles are {width:,} x {height:,} pixels, the limit is {policy.max_pixels:,}: save it untiled."
        raise ImageRejected("too-many-pixels", advice)


def _upright_rgb(image: Image.Image, data: bytes, policy: DecodePolicy) -> Image.Image:
    orientation = _orientation(image)  # while the metadata are there
    if image.mode.startswith("I;16") or image.mode == "I":
        image = _grey_16_to_8(image)
    elif image.mode == "F":
        raise _too_deep("32-bit floating point")
    if image.has_transparency_data:
        image = _flatten(image, data, policy.background)
    elif image.mode != "RGB":
        image = image.convert("RGB")
    if orientation in _TRANSPOSE:
        image = image.transpose(_TRANSPOSE[orientation])
    image.info = {}  # Pillow's savers would carry a colour profile or EXIF block along into every thumbnail
    return image


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1 to 8; 1 where it is absent or cannot be parsed (broken EXIF does not make pixels wrong).

    Pillow turns TIFFs upright by itself while loading, and then drops the tag.
    """
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - EXIF is parsed from untrusted bytes; any failure means the same
        return 1


def _grey_16_to_8(image: Image.Image) -> Image.Image:
    """Grey of 9 to 16 bits as L, the low bits dropped; L with alpha where a grey level is declared transparent."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS, (16,))[0]
    values = np.asarray(image)
    if bits > 16 or values.min() < 0 or values.max() > 0xFFFF:
        raise _too_deep(f"{bits}-bit signed" if bits <= 16 else f"{bits}-bit")
    grey = (values >> (bits - 8)).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero: Pillow inverts 8-bit greys of this kind, but not 16-bit ones
        grey = 255 - grey
    scaled = Image.fromarray(grey)
    hidden = image.info.get("transparency")
    if hidden is not None:
        scaled.putalpha(Image.fromarray(np.where(values == hidden, 0, 255).astype(np.uint8)))
    return scaled


def _flatten(image: Image.Image, data: bytes, background: tuple[int, int, int]) -> Image.Image:
    """Composite every kind of transparency (alpha, premultiplied, palette, one colour) on the background."""
    key = image.info.get("transparency")
    if isinstance(key, tuple) and data[:4] == b"\x89PNG" and data[24] == 16:
        # The transparent colour of a 16-bit PNG has 16 bits, the pixels as Pillow loads them have the high 8.
        image.info["transparency"] = tuple(value >> 8 for value in key)
    if image.mode == "La":  # straight to RGBA Pillow would lose the alpha
        image = image.convert("LA")
    layer = image.convert("RGBA")
    canvas = Image.new("RGB", layer.size, background)
    canvas.paste(layer, mask=layer.getchannel("A"))
    return canvas


def _too_deep(found: str) -> ImageRejected:
    advice = f"Pixels are {found}, and nothing in the file says which value is white: save it with 8 or 16 bits."
    return ImageRejected("unsupported-depth", advice)


def _damaged(error: Exception) -> ImageRejected:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    if isinstance(error, EOFError) or "truncated" in reason.lower():
        return ImageRejected("truncated", f"The file ends before the image does ({reason}): copy it again.")
    return ImageRejected("damaged", f"The file cannot be decoded ({reason}): copy it again, or save it anew.")

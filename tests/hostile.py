"""Images that break decoders, each made on the spot and named by what is wrong with it.

`hostile_files()` maps a file name to (bytes, code): the code a decoder must reject it with, or None where it must
give a faithful picture. Other tests write them into a folder with `write_hostile(folder)`.
"""

import functools
import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    """`image` as bytes in one of Pillow's formats."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def quadrants(width: int = 48, height: int = 32) -> Image.Image:
    """Red, green / blue, white: a picture whose orientation shows, RGB of (width, height)."""
    pixels = np.zeros((height, width, 3), np.uint8)
    h, w = height // 2, width // 2
    pixels[:h, :w], pixels[:h, w:], pixels[h:, :w], pixels[h:, w:] = RED, GREEN, BLUE, WHITE
    return Image.fromarray(pixels)


def noise(width: int = 64, height: int = 64, seed: int = 0) -> Image.Image:
    """Uniform noise, which compresses badly, so that a cut falls inside the pixel data."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def rotated(orientation: int, kind: str = "JPEG") -> bytes:
    """`quadrants` stored so that only a reader of EXIF orientation 1 to 8 sees it upright."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = quadrants().transpose(undo[orientation]) if orientation in undo else quadrants()
    exif = Image.Exif()
    exif[274] = orientation
    return encode(stored, kind, exif=exif, **({"quality": 95, "subsampling": 0} if kind == "JPEG" else {}))


def png_chunk(name: bytes, body: bytes) -> bytes:
    """One PNG chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    """A PNG written by hand: kinds that Pillow cannot save. `rows` holds the scanlines with their filter bytes."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(rows, 9))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + body + png_chunk(b"IEND", b"")


@functools.cache
def bomb_png(side: int = 9_000) -> bytes:
    """A few kB that declare, and really hold, side² black pixels of 3 bytes."""
    packer = zlib.compressobj(9)
    row = bytes(1 + 3 * side)
    body = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")


def lying_webp(side: int = 13_000) -> bytes:
    """An animated WebP whose canvas is declared far larger than its small frames: its decoder would allocate it."""
    data = bytearray(animation("WEBP"))
    assert data[12:16] == b"VP8X"
    data[24:30] = struct.pack("<I", side - 1)[:3] * 2
    return bytes(data)


def tiled_tiff(tile: int = 30_000, content: bytes = bytes(10_000)) -> bytes:
    """A TIFF of 10 x 10 pixels in one grey tile of tile x tile: a decoder unpacks the whole tile."""
    body = zlib.compress(content, 9)
    at = 8 + 2 + 12 * 10 + 4  # header, entry count, ten entries, end of directories
    entries = [(256, 10), (257, 10), (258, 8), (259, 8), (262, 1), (277, 1), (322, tile), (323, tile)]
    entries += [(324, at), (325, len(body))]
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\x00" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4) + body


def animation(kind: str) -> bytes:
    """Three frames, the first red: GIF or WEBP."""
    frames = [Image.new("RGB", (20, 10), colour) for colour in (RED, GREEN, BLUE)]
    options = {"lossless": True} if kind == "WEBP" else {}
    return encode(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **options)


def grey_ramp_16() -> np.ndarray:
    """uint16 [16, 16]: 0 to 65,535 in equal steps."""
    return np.linspace(0, 0xFFFF, 256).round().astype(np.uint16).reshape(16, 16)


def cmyk_jpeg() -> bytes:
    """An Adobe CMYK JPEG (inverted, as Photoshop writes it) of pure red."""
    return encode(Image.new("RGB", (16, 16), RED).convert("CMYK"), "JPEG", quality=95)


def palette_png() -> bytes:
    """Palette PNG, left half red, right half transparent."""
    image = Image.new("P", (16, 16), 0)
    image.putpalette([*RED, *GREEN])
    image.paste(1, (8, 0, 16, 16))
    return encode(image, "PNG", transparency=b"\xff\x00")


def eps() -> bytes:
    """PostScript that would write a file, were it ever run."""
    return (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n"
        b"(ghostscript-was-here) (w) file closefile\nshowpage\n%%EOF\n"
    )


def hostile_files() -> dict[str, tuple[bytes, str | None]]:
    """File name -> (content, rejection code or None)."""
    jpeg, lossless = encode(noise(), "JPEG"), encode(noise(), "PNG")
    alpha = Image.new("LA", (16, 16), (0, 0))
    return {
        "truncated.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "truncated-header.jpg": (jpeg[:40], "truncated"),
        "truncated.png": (lossless[: len(lossless) // 2], "truncated"),
        "zero-bytes.jpg": (b"", "empty"),
        "text.jpg": (b"Just words. " * 99, "not-an-image"),
        "postscript.jpg": (eps(), "unsupported-format"),
        "bomb.png": (bomb_png(), "too-many-pixels"),
        "bomb-canvas.webp": (lying_webp(), "too-many-pixels"),
        "bomb-tile.tif": (tiled_tiff(), "too-many-pixels"),
        "float.tif": (encode(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF"), "unsupported-depth"),
        "int32.tif": (encode(Image.fromarray(np.full((8, 8), 200, np.int32)), "TIFF"), "unsupported-depth"),
        "strip.png": (encode(Image.new("RGB", (1, 4000), RED), "PNG"), "too-narrow"),
        "long.png": (encode(Image.new("1", (40_000, 500)), "PNG"), "too-long-side"),
        "cmyk.jpg": (cmyk_jpeg(), None),
        "sixteen-bit.png": (encode(Image.fromarray(grey_ramp_16()), "PNG"), None),
        "palette.png": (palette_png(), None),
        "animated.gif": (animation("GIF"), None),
        "animated.webp": (animation("WEBP"), None),
        "grey-alpha.png": (encode(alpha, "PNG"), None),
        "one-bit.png": (encode(Image.new("1", (16, 16), 1), "PNG"), None),
        "png-named.jpg": (encode(quadrants(), "PNG"), None),
        **{f"turned-{turn}.jpg": (rotated(turn), None) for turn in range(1, 9)},
    }


def write_hostile(folder: Path) -> dict[str, str | None]:
    """Write every hostile file into `folder`; name -> expected code."""
    files = hostile_files()
    for name, (data, _) in files.items():
        (folder / name).write_bytes(data)
    return {name: code for name, (_, code) in files.items()}

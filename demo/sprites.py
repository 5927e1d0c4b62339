"""The sprite atlas: one RGBA tile a glyph, cut from the Noto Color Emoji font once and shipped.

    python -m demo.sprites        # draws demo/assets/atlas.webp anew; needs the font (Debian fonts-noto-color-emoji)

Drawing scenes needs the atlas only. The glyphs are under the SIL Open Font License (demo/assets/OFL.txt).
"""

import argparse
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from core.errors import InputError
from demo.vocabulary import OBJECT_NAMES, OBJECTS

ATLAS = Path(__file__).parent / "assets" / "atlas.webp"
FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
TILE = 128  # pixels a side
COLUMNS = 12
STRIKE = 109  # the only bitmap size in the font


def draw_glyph(glyph: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """One glyph, trimmed to its ink and fitted in the middle of a TILE x TILE transparent RGBA square."""
    canvas = Image.new("RGBA", (2 * TILE, 2 * TILE))
    ImageDraw.Draw(canvas).text((32, 32), glyph, font=font, embedded_color=True)
    box = canvas.getbbox()
    if box is None:
        raise InputError(f"the font has no colour glyph U+{ord(glyph):X}; take another glyph in demo/vocabulary.py")
    ink = canvas.crop(box)
    scale = (TILE - 2) / max(ink.size)
    width, height = (max(1, round(side * scale)) for side in ink.size)
    tile = Image.new("RGBA", (TILE, TILE))
    tile.paste(ink.resize((width, height), Image.Resampling.LANCZOS), ((TILE - width) // 2, (TILE - height) // 2))
    return tile


def build_atlas(font_path: Path = FONT) -> Image.Image:
    """All glyphs of the vocabulary, row by row, COLUMNS a row, in vocabulary order."""
    if not font_path.exists():
        raise InputError(f"no font at {font_path}; install Debian's fonts-noto-color-emoji or pass --font")
    font = ImageFont.truetype(str(font_path), STRIKE)
    rows = -(-len(OBJECTS) // COLUMNS)
    atlas = Image.new("RGBA", (COLUMNS * TILE, rows * TILE))
    for index, kind in enumerate(OBJECTS):
        atlas.paste(draw_glyph(kind.glyph, font), (index % COLUMNS * TILE, index // COLUMNS * TILE))
    return atlas


@lru_cache(maxsize=1)
def _atlas() -> Image.Image:
    if not ATLAS.exists():
        raise InputError(f"no sprite atlas at {ATLAS}; restore it from the repository or run python -m demo.sprites")
    return Image.open(ATLAS).convert("RGBA")


@lru_cache(maxsize=2048)
def sprite(name: str, side: int = TILE) -> Image.Image:
    """The object's RGBA tile, box-filtered from TILE to `side` pixels (a divisor of TILE: 128, 64, 32, 16)."""
    if name not in OBJECT_NAMES:
        raise InputError(f"the demo world has no object {name!r}; its names are in demo/vocabulary.py")
    index = OBJECT_NAMES.index(name)
    left, top = index % COLUMNS * TILE, index // COLUMNS * TILE
    tile = _atlas().crop((left, top, left + TILE, top + TILE))
    return tile if side == TILE else tile.reduce(TILE // side)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--font", type=Path, default=FONT)
    parser.add_argument("--out", type=Path, default=ATLAS)
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    build_atlas(args.font).save(args.out, lossless=True, method=6)
    print(f"{args.out}: {len(OBJECTS)} glyphs, {args.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()

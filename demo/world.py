"""Scenes with ground truth: which objects, where, over which place, in which style, how many.

`sample_scene` draws a Scene from a random generator, any factor fixed on demand; `render` draws its pixels and the
instance mask at any size. A Scene is the whole truth: rendering it twice gives the same pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from core.errors import InputError
from demo.places import paint_place
from demo.sprites import TILE, sprite
from demo.styles import apply_style
from demo.vocabulary import CATEGORY_OF, COUNTS, OBJECT_NAMES, PLACE_PHRASES, PLACES, STYLE_PHRASES, STYLES, counted

MIXED_SHARE = 0.15  # of the scenes with two objects or more, those that show two kinds
SINGLE_SIZE = (0.42, 0.85)  # side of a lone object, as a share of the image
GROUP_SIZE = (0.36, 0.48)  # of each of two to four; at most half, so that quadrants hold them apart
MAX_TILT = 25.0  # degrees either way


@dataclass(frozen=True)
class Placed:
    """One object in a scene. x, y: centre; size: side of its box; all as shares of the image. tilt: degrees."""

    name: str
    x: float
    y: float
    size: float
    tilt: float

    @property
    def category(self) -> str:
        """The category of the object's kind."""
        return CATEGORY_OF[self.name]


@dataclass(frozen=True)
class Scene:
    """The ground truth of one image. `paint_seed` fixes the colours and texture of the place."""

    objects: tuple[Placed, ...]
    place: str
    style: str
    paint_seed: int

    @property
    def count(self) -> int:
        """How many objects stand in the scene, 1 to 4."""
        return len(self.objects)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The distinct object names, the main one first."""
        return tuple(dict.fromkeys(placed.name for placed in self.objects))

    @property
    def mixed(self) -> bool:
        """True when two kinds share the scene."""
        return len(self.kinds) > 1

    @property
    def caption(self) -> str:
        """The plain caption, such as "a sepia picture of two keys on a beach"."""
        names = [placed.name for placed in self.objects]
        things = " and ".join(counted(kind, names.count(kind)) for kind in self.kinds)
        return f"{STYLE_PHRASES[self.style][0]} of {things} {PLACE_PHRASES[self.place][0]}"


def _check(value: Any, allowed: Sequence[Any], what: str) -> None:
    if value is not None and value not in allowed:
        raise InputError(f"the demo world has no {what} {value!r}; it has: {', '.join(map(str, allowed))}")


def _positions(rng: np.random.Generator, sizes: np.ndarray) -> list[tuple[float, float]]:
    """Centres of the boxes: anywhere for one object, a jittered quadrant each for more."""
    slack = rng.uniform(size=(len(sizes), 2))
    if len(sizes) == 1:
        half = sizes[0] / 2
        x, y = half + slack[0] * (1 - 2 * half)
        return [(float(x), float(y))]
    quadrants = rng.permutation(4)[: len(sizes)]
    corners = np.stack([quadrants % 2, quadrants // 2], axis=1) * 0.5
    centres = corners + sizes[:, None] / 2 + slack * (0.5 - sizes[:, None])
    return [(float(x), float(y)) for x, y in centres]


def sample_scene(
    rng: np.random.Generator,
    *,
    objects: Sequence[str] | None = None,
    main: str | None = None,
    place: str | None = None,
    style: str | None = None,
    count: int | None = None,
    size: tuple[float, float] | None = None,
    tilt: float = MAX_TILT,
    mixed_share: float = MIXED_SHARE,
) -> Scene:
    """A random scene; every factor that is given is kept, every other is drawn uniformly.

    objects: one name (repeated `count` times) or one name an object (then `count` follows from it, two names or
    more giving a mixed scene); main: the first object only, another kind may join it; size: range of the box sides
    as shares of the image; tilt: largest tilt in degrees; mixed_share: chance that another kind joins.
    Raises InputError, with the names that exist, for a factor the demo world does not have.
    """
    for name in (*(objects or ()), main):
        _check(name, OBJECT_NAMES, "object")
    _check(place, PLACES, "place")
    _check(style, STYLES, "style")
    _check(count, COUNTS, "count")
    if objects is not None and len(objects) > 1:
        if len(objects) > max(COUNTS) or count not in (None, len(objects)):
            raise InputError(f"{len(objects)} objects were named, but the count is {count}; name one, or count of them")
        names, number = list(objects), len(objects)
    else:
        number = count or int(rng.choice(COUNTS))
        first, other = (OBJECT_NAMES[i] for i in rng.choice(len(OBJECT_NAMES), size=2, replace=False))
        first = objects[0] if objects else main or first
        others = 0
        if not objects and number > 1 and other != first and rng.uniform() < mixed_share:
            others = int(rng.integers(1, number // 2 + 1))  # the main kind is never outnumbered
        names = [first] * (number - others) + [other] * others
    low, high = size or (SINGLE_SIZE if number == 1 else GROUP_SIZE)
    if number > 1:
        low, high = min(low, 0.5), min(high, 0.5)
    sizes = rng.uniform(low, high) * rng.uniform(0.93, 1.0, size=number)  # one scale a scene, slight variation
    tilts = rng.uniform(-tilt, tilt, size=number)
    centres = _positions(rng, sizes)
    return Scene(
        objects=tuple(
            Placed(name, x, y, float(side), float(angle))
            for name, (x, y), side, angle in zip(names, centres, sizes, tilts, strict=True)
        ),
        place=place or PLACES[int(rng.integers(len(PLACES)))],
        style=style or STYLES[int(rng.integers(len(STYLES)))],
        paint_seed=int(rng.integers(2**31)),
    )


def _stamp(placed: Placed, pixels: int) -> tuple[Image.Image, int, int]:
    """The object's RGBA tile scaled and tilted about its centre, and where its top left corner goes."""
    side = placed.size * pixels
    source = TILE
    while source > 16 and source >= 1.6 * side:  # a mip level near the target keeps bilinear sampling free of aliasing
        source //= 2
    box = int(np.ceil(side * 1.2)) + 2  # a tilted tile's ink rarely passes 1.2 of its side; corners are empty
    left, top = round(placed.x * pixels - box / 2), round(placed.y * pixels - box / 2)
    centre_x, centre_y = placed.x * pixels - left, placed.y * pixels - top
    scale, angle = source / side, np.deg2rad(placed.tilt)
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    matrix = (a, b, source / 2 - a * centre_x - b * centre_y, -b, a, source / 2 + b * centre_x - a * centre_y)
    tile = sprite(placed.name, source)
    return tile.transform((box, box), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR), left, top


def render(scene: Scene, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a scene on a square of `pixels`.

    Returns the image, uint8 [pixels, pixels, 3] RGB, and the instance mask, uint8 [pixels, pixels]: 0 where the
    place shows, i + 1 where `scene.objects[i]` covers at least half of the pixel.
    """
    rng = np.random.default_rng(scene.paint_seed)
    image = Image.fromarray(paint_place(scene.place, pixels, rng))
    mask = Image.new("L", (pixels, pixels))
    for index, placed in enumerate(scene.objects):
        stamp, left, top = _stamp(placed, pixels)
        alpha = stamp.getchannel("A")
        image.paste(stamp, (left, top), alpha)
        mask.paste(index + 1, (left, top), alpha.point(lambda value: 255 if value >= 128 else 0))
    return apply_style(scene.style, image, rng), np.asarray(mask)

"""The places and patterns that scenes are set in, painted with numpy.

Each painter takes the side in pixels and a random generator and returns float32 RGB in 0..255, [p, p, 3] (or a
shape that broadcasts to it). Colours always differ from grey: a black and white picture must stay decidable.
"""

import colorsys
from collections.abc import Callable

import numpy as np

Painter = Callable[[int, np.random.Generator], np.ndarray]


def _jitter(rng: np.random.Generator, rgb: tuple[int, int, int], spread: float = 12.0) -> np.ndarray:
    """A colour near `rgb`."""
    return np.asarray(rgb, np.float32) + rng.uniform(-spread, spread, 3).astype(np.float32)


def _vivid(rng: np.random.Generator) -> np.ndarray:
    """A random colour with at least 0.4 saturation."""
    rgb = colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0.4, 1.0), rng.uniform(0.35, 1.0))
    return np.asarray(rgb, np.float32) * 255


def _rows(p: int) -> np.ndarray:
    """Height of each pixel row, 0 at the top to 1 at the bottom, [p, 1, 1]."""
    return ((np.arange(p, dtype=np.float32) + 0.5) / p)[:, None, None]


def _gradient(p: int, top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.broadcast_to(top + (bottom - top) * _rows(p), (p, p, 3)).copy()


def _noise(p: int, rng: np.random.Generator, amount: float) -> np.ndarray:
    """Grey noise in -amount..amount, [p, p, 1]."""
    return (rng.random((p, p, 1), dtype=np.float32) - 0.5) * (2 * amount)


def _specks(canvas: np.ndarray, rng: np.random.Generator, number: int, radius: float, colour: np.ndarray) -> None:
    """Small squares of one colour at random positions; radius as a share of the side."""
    p = len(canvas)
    side = max(1, round(2 * radius * p))
    for y, x in (rng.random((number, 2)) * (p - side + 1)).astype(int):
        canvas[y : y + side, x : x + side] = colour


def beach(p: int, rng: np.random.Generator) -> np.ndarray:
    """Sky, a band of sea, sand."""
    canvas = _gradient(p, _jitter(rng, (95, 165, 235)), _jitter(rng, (150, 205, 250)))
    sea, sand = rng.uniform(0.25, 0.38), rng.uniform(0.42, 0.52)
    canvas[int(sea * p) : int(sand * p)] = _jitter(rng, (30, 110, 185))
    shore = canvas[int(sand * p) :]
    shore[:] = _jitter(rng, (228, 200, 145)) + _noise(p, rng, 14)[: len(shore)]
    return canvas


def snow(p: int, rng: np.random.Generator) -> np.ndarray:
    """Bluish haze above white ground, with flakes."""
    canvas = _gradient(p, _jitter(rng, (165, 190, 228), 8), _jitter(rng, (232, 242, 255), 5))
    _specks(canvas, rng, int(rng.integers(30, 45)), 0.015, np.array([255, 255, 255], np.float32))
    return canvas


def grass(p: int, rng: np.random.Generator) -> np.ndarray:
    """Green blades: noise stretched upwards."""
    blades = rng.random((p // 4 + 1, p, 1), dtype=np.float32).repeat(4, axis=0)[:p] - 0.5
    return _jitter(rng, (70, 150, 45)) + (blades + _noise(p, rng, 0.3)) * np.array([34, 50, 26], np.float32)


def desert(p: int, rng: np.random.Generator) -> np.ndarray:
    """Pale hot sky over two dunes that slope either way."""
    canvas = _gradient(p, _jitter(rng, (255, 222, 150)), _jitter(rng, (245, 175, 95)))
    columns = (np.arange(p, dtype=np.float32) / p)[None, :, None]
    for level, colour in ((0.45, (218, 150, 80)), (0.68, (190, 118, 55))):
        slope = rng.uniform(0.12, 0.3) * rng.choice((-1, 1))
        ridge = level + slope * (columns - 0.5) + 0.03 * np.sin(columns * 9 + rng.uniform(0, 6))
        np.copyto(canvas, _jitter(rng, colour), where=_rows(p) > ridge)
    return canvas


def ocean(p: int, rng: np.random.Generator) -> np.ndarray:
    """Deep blue with rows of light wave crests."""
    canvas = _gradient(p, _jitter(rng, (35, 125, 195)), _jitter(rng, (8, 50, 115)))
    columns, rows = np.arange(p, dtype=np.float32)[None, :] / p, _rows(p)[:, :, 0]
    waves, lines = rng.uniform(4, 6), rng.uniform(5, 7)
    height = rows * lines + 0.3 * np.abs(np.sin(np.pi * (columns * waves + rng.uniform())))
    crest = ((height + rng.uniform()) % 1.0) < 0.16
    canvas[crest] += np.array([50, 55, 45], np.float32)
    return canvas


def night_sky(p: int, rng: np.random.Generator) -> np.ndarray:
    """Dark blue with small stars."""
    canvas = _gradient(p, _jitter(rng, (6, 8, 40), 5), _jitter(rng, (28, 26, 85), 8))
    _specks(canvas, rng, int(rng.integers(35, 55)), 0.008, np.array([255, 250, 215], np.float32))
    return canvas


def city_at_night(p: int, rng: np.random.Generator) -> np.ndarray:
    """Dark towers with lit windows under a violet sky."""
    canvas = _gradient(p, _jitter(rng, (18, 10, 50), 5), _jitter(rng, (70, 30, 105), 8))
    unit = max(1, p // 32)  # side of a window
    towers = int(rng.integers(4, 6))
    for index in range(towers):
        left, right = index * p // towers, (index + 1) * p // towers - (p // 64)
        top = int(rng.uniform(0.15, 0.5) * p)
        canvas[top:, left:right] = _jitter(rng, (22, 22, 34), 5)
        lit = rng.random((32, 32)) < 0.55
        for y in range(top + unit, p - unit, 2 * unit):
            for x in range(left + unit, right - unit, 2 * unit):
                if lit[(y // (2 * unit)) % 32, (x // (2 * unit)) % 32]:
                    canvas[y : y + unit, x : x + unit] = (255, 210, 95)
    return canvas


def sunset(p: int, rng: np.random.Generator) -> np.ndarray:
    """Violet to orange, with bars of cloud."""
    canvas = _gradient(p, _jitter(rng, (85, 35, 110)), _jitter(rng, (255, 140, 35)))
    radius, x, y = rng.uniform(0.1, 0.16), rng.uniform(0.2, 0.8), rng.uniform(0.5, 0.8)
    columns = (np.arange(p, dtype=np.float32) / p)[None, :, None]
    np.copyto(canvas, np.array([255, 232, 120], np.float32), where=(columns - x) ** 2 + (_rows(p) - y) ** 2 < radius**2)
    for height in rng.uniform(0.1, 0.6, 3):
        canvas[int(height * p) : int((height + 0.035) * p)] += np.array([45, 15, 5], np.float32)
    return canvas


def forest(p: int, rng: np.random.Generator) -> np.ndarray:
    """Dark green firs, one behind another."""
    canvas = _gradient(p, _jitter(rng, (105, 150, 115)), _jitter(rng, (35, 70, 35)))
    columns = (np.arange(p, dtype=np.float32) / p)[None, :, None]
    for index in range(8):
        top, centre = rng.uniform(-0.05, 0.4), (index + rng.uniform()) / 8
        tree = np.abs(columns - centre) < (_rows(p) - top) * 0.16
        np.copyto(canvas, _jitter(rng, (12, 65, 28), 14) * rng.uniform(0.7, 1.5), where=tree)
    return canvas


def brick_wall(p: int, rng: np.random.Generator) -> np.ndarray:
    """Red bricks with pale joints, every other course shifted by half a brick."""
    course, length = p / rng.uniform(7, 9), p / rng.uniform(3.5, 4.5)
    joint = max(1.0, p / 64)
    rows, columns = np.arange(p, dtype=np.float32)[:, None], np.arange(p, dtype=np.float32)[None, :]
    shift = (rows // course) % 2 * length / 2
    gap = (rows % course < joint) | ((columns + shift) % length < joint)
    tones = rng.uniform(0.85, 1.1, 12).astype(np.float32)
    brick = ((rows // course) * 5 + (columns + shift) // length * 7).astype(int) % 12
    canvas = _jitter(rng, (165, 65, 45)) * tones[brick][:, :, None] + _noise(p, rng, 10)
    canvas[gap] = _jitter(rng, (205, 190, 175))
    return canvas


def _two_colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two vivid colours that differ in lightness too, so that the pattern survives black and white."""
    while True:
        first, second = _vivid(rng), _vivid(rng)
        if abs(float((first - second) @ np.array([0.299, 0.587, 0.114], np.float32))) > 45:
            return first, second


def stripes(p: int, rng: np.random.Generator) -> np.ndarray:
    """Straight stripes in two colours, upright, level or slanted."""
    first, second = _two_colours(rng)
    angle, period = rng.choice((0.0, np.pi / 2, np.pi / 4)), 1 / rng.uniform(5, 8)
    along = np.arange(p, dtype=np.float32) / p
    phase = along[None, :] * np.cos(angle) + along[:, None] * np.sin(angle) + rng.uniform()
    return np.where((phase % period < period / 2)[:, :, None], first, second)


def dots(p: int, rng: np.random.Generator) -> np.ndarray:
    """A grid of round dots."""
    first, second = _two_colours(rng)
    period, radius = 1 / rng.uniform(4.5, 6.5), rng.uniform(0.25, 0.34)
    along = np.arange(p, dtype=np.float32) / p / period
    x, y = (along + rng.uniform()) % 1.0 - 0.5, (along + rng.uniform()) % 1.0 - 0.5
    return np.where((x[None, :] ** 2 + y[:, None] ** 2 < radius**2)[:, :, None], second, first)


def plain(p: int, rng: np.random.Generator) -> np.ndarray:
    """One colour."""
    return np.broadcast_to(_vivid(rng), (p, p, 3))


PAINTERS: dict[str, Painter] = {
    "beach": beach,
    "snow": snow,
    "grass": grass,
    "desert": desert,
    "ocean": ocean,
    "night sky": night_sky,
    "city at night": city_at_night,
    "sunset": sunset,
    "forest": forest,
    "brick wall": brick_wall,
    "stripes": stripes,
    "dots": dots,
    "plain": plain,
}


def paint_place(place: str, pixels: int, rng: np.random.Generator) -> np.ndarray:
    """The place by name on a square of `pixels`, uint8 RGB [pixels, pixels, 3]."""
    return PAINTERS[place](pixels, rng).clip(0, 255).astype(np.uint8)

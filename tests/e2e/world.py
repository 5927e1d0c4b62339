"""What the end-to-end tests run on: tiny models, a folder of images with broken ones among them, a small pool."""

import contextlib
import io
import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from precompute.cli import main
from tests.hostile import hostile_files
from tests.towers.saved import save_model

CLASSES = ("blue_sea", "red_brick", "stripes")
BROKEN = ("truncated.jpg", "zero-bytes.jpg", "text.jpg", "float.tif", "strip.png")
ODD = ("cmyk.jpg", "sixteen-bit.png", "palette.png", "turned-6.jpg")  # unusual, but images
SHARD, BATCH, PICKS, TOP, TEXTS = 8, 4, 6, 5, 40
LARGEST, ATOMS = 12, 4  # of neurons
_NOBODY = 65534


@dataclass(frozen=True)
class World:
    """Folders made once for all tests; none of them may change any."""

    root: Path

    @property
    def images(self) -> Path:
        return self.root / "images"

    def model(self, kind: str = "vit") -> Path:
        return self.root / kind

    @property
    def pool(self) -> Path:
        return self.root / "pool.txt"

    def run(self, out: Path, *more: object, kind: str = "vit", images: Path | None = None, verb: str = "run") -> list:
        """The words of a command on this world; later options win over these."""
        words = [verb, "--model", self.model(kind), "--images", images or self.images, "--out", out]
        words += ["--pool", self.pool, "--shard", SHARD, "--batch", BATCH, "--picks", PICKS, "--top-images", TOP]
        words += ["--neuron-largest", LARGEST, "--neuron-texts", ATOMS]
        return [str(word) for word in [*words, "--torch-threads", 1, "--quiet", *more]]


def make_world(root: Path) -> World:
    """54 pictures in three classes; among them, and in the order of their names, 5 broken and 4 odd ones."""
    rng = np.random.default_rng(0)
    for c, name in enumerate(CLASSES):
        folder = root / "images" / name
        folder.mkdir(parents=True)
        for i in range(18):
            suffix = ("jpg", "png", "webp")[i % 3]
            picture(rng, c).save(folder / f"{i:02d}.{suffix}", quality=90)
    hostile = hostile_files()
    for i, name in enumerate((*BROKEN, *ODD)):
        stem, suffix = name.rsplit(".", 1)
        (root / "images" / CLASSES[i % 3] / f"{5 + i:02d}-{stem}.{suffix}").write_bytes(hostile[name][0])
    save_model(root / "vit")
    save_model(root / "resnet", "resnet")
    colours, things = ("red", "green", "blue", "grey", "bright"), ("sea", "wall", "dog", "line", "sky", "dot", "x", "7")
    texts = [f"{colour} {thing}" for colour in colours for thing in things]
    assert len(texts) == TEXTS
    (root / "pool.txt").write_text("\n".join(texts) + "\n")
    return World(root)


def picture(rng: np.random.Generator, kind: int) -> Image.Image:
    """Noise over one of three grounds; 32 to 60 pixels a side."""
    height, width = rng.integers(32, 60, 2)
    ground = [(20, 60, 200), (190, 60, 40), (120, 120, 120)][kind]
    pixels = np.full((height, width, 3), ground, float) + rng.normal(0, 40, (height, width, 3))
    if kind == 2:
        pixels[:: int(rng.integers(2, 6))] += 100
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@dataclass(frozen=True)
class Called:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def bundle(self) -> Path:
        """The bundle's folder: the path that a run prints last."""
        assert self.code == 0, self.err
        return Path(self.out.strip().rsplit("\n", 1)[-1].removeprefix("bundle").strip())


def call(words: list[str]) -> Called:
    """`python -m precompute WORDS`, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    return Called(code, out.getvalue(), err.getvalue())


def facts(bundle: Path) -> dict:
    return json.loads((bundle / "bundle.json").read_text())


def contents(bundle: Path) -> dict[str, object]:
    """Every file of a bundle by its relative path: bytes, or for bundle.json its fields but when and how it was made.

    Hidden names are working state; a finished bundle has none (`leftovers`).
    """
    found: dict[str, object] = {}
    for path in sorted(path for path in bundle.rglob("*") if path.is_file()):
        relative = path.relative_to(bundle)
        if not any(part.startswith(".") for part in relative.parts):
            found[relative.as_posix()] = path.read_bytes()
    found["bundle.json"] = {k: v for k, v in facts(bundle).items() if k not in ("created", "command")}
    return found


def assert_same(a: Path, b: Path) -> None:
    """The same files with the same bytes."""
    first, second = contents(a), contents(b)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def leftovers(bundle: Path) -> list[str]:
    """Working state in a bundle's folder."""
    return sorted(os.path.relpath(path, bundle) for path in bundle.rglob(".*"))


def refused(words: list[str], *expected: str) -> str:
    """Run a command that must be refused with a sentence holding all of `expected`; returns it."""
    done = call(words)
    assert done.code == 1, done
    sentence = done.err.strip().split("\n")[-1]  # above it, there may be notes
    assert sentence.startswith("error: ") and done.err.count("error: ") == 1, done.err
    assert "Traceback" not in done.err and done.out == ""
    for part in expected:
        assert part in sentence, sentence
    return sentence


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read anything; for these tests it becomes an ordinary user for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes; SIGXFSZ is ignored by Python, so writes fail."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

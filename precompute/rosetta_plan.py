"""What a dictionary is to be made of, fixed before anything is made: its images, its models, its id and folder."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from core.bundle.schema_rosetta import DICTIONARY, DICTIONARY_PREFIX
from core.errors import InputError
from core.images import DecodePolicy
from core.methods.rosetta import MIN_IMAGES, K
from core.models.zoo import Member
from core.text.pools import load_pool
from precompute.manifest import Manifest
from precompute.plan import WORK
from precompute.progress import Seen
from precompute.reader import Read, read_images


@dataclass(frozen=True)
class RosettaSettings:
    """Everything beside models and images that decides what stands in a dictionary.

    `number` most images (1,600 as in paper R), drawn with `seed`; `k` neighbours; `pool` of texts; `batch` images a
    forward pass, a multiple of the null's block; `thumb` longest side of a thumbnail, px.
    """

    number: int = 1_600
    k: int = K
    seed: int = 0
    pool: str = "general"
    batch: int = 64
    thumb: int = 128
    policy: DecodePolicy = field(default_factory=DecodePolicy)

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return asdict(self) | {"policy": self.policy.to_dict(), "pool": Path(self.pool).name}


@dataclass(frozen=True)
class Chosen:
    """The images used: rows of the manifest in order of use, what reading each found, and why others could not be."""

    rows: pa.Table
    reads: tuple[Read, ...]
    unusable: tuple[str, ...]

    @property
    def digest(self) -> str:
        """sha256 over paths and contents, in order."""
        digest = hashlib.sha256()
        for path, read in zip(self.rows["path"].to_pylist(), self.reads, strict=True):
            digest.update(json.dumps([path, read.sha256]).encode() + b"\n")
        return digest.hexdigest()


@dataclass(frozen=True)
class RosettaPlan:
    """One dictionary to make."""

    id: str
    folder: Path
    root: Path
    source: str
    images: Chosen
    settings: RosettaSettings

    @property
    def work(self) -> Path:
        return self.folder / WORK

    @property
    def finished(self) -> bool:
        """Whether it is complete; a finished dictionary is never touched again."""
        return (self.folder / DICTIONARY.manifest).exists()


def choose_images(manifest: Manifest, settings: RosettaSettings, threads: int, seen: Seen = lambda n: None) -> Chosen:
    """The first `settings.number` usable images by the sha256 of seed and path: not in the manifest's order, where
    classes come one after another, yet the same images of the same folder wherever it lies.

    Raises InputError with fewer than a null needs.
    """
    paths = manifest.table["path"].to_pylist()
    rank = lambda i: hashlib.sha256(f"{settings.seed}\n{paths[i]}".encode("utf-8", "surrogatepass")).digest()
    order = sorted(range(len(paths)), key=rank)
    reads: list[Read] = []
    unusable: list[str] = []
    found = read_images(manifest.root, manifest.table.take(order), settings.policy, threads=threads)
    for read in found:
        if read.code is None:
            reads.append(read.without_pixels())
            seen(1)
        else:
            unusable.append(str(read.message))
        if len(reads) == settings.number:
            break
    found.close()  # what was read ahead is dropped
    if len(reads) < MIN_IMAGES:
        raise InputError(
            f"{len(reads)} images can be used{f' and {len(unusable)} cannot' if unusable else ''}; a match is told "
            f"from chance by exchanging images, which takes at least {MIN_IMAGES}, and some hundred make a good "
            "dictionary. Give more images, or a larger --number."
        )
    rows = manifest.table.take([read.image_id for read in reads])
    numbered = rows.set_column(rows.column_names.index("image_id"), "image_id", pa.array(np.arange(len(reads))))
    return Chosen(numbered, tuple(replace(r, image_id=i) for i, r in enumerate(reads)), tuple(unusable))


def make_plan(
    out: Path, members: Sequence[Member], manifest: Manifest, images: Chosen, settings: RosettaSettings
) -> RosettaPlan:
    """Name the work. The same models, images and settings give the same id, on any machine, from any folder."""
    made_of = ("name", "weights_digest", "preprocessing", "layers")
    facts = {
        "format": DICTIONARY.version,
        "members": [{name: value for name, value in member.facts().items() if name in made_of} for member in members],
        "images": [images.digest, [str(field) for field in images.rows.schema], images.rows.drop("bytes").to_pydict()],
        "settings": settings.to_dict() | {"pool": load_pool(settings.pool).digest},
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:12]
    name = f"{DICTIONARY_PREFIX}{digest}"
    return RosettaPlan(name, out / name, manifest.root, manifest.source_name, images, settings)

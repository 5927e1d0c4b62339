"""A folder in PASCAL-Context's layout: images, a label map for each, and a list of classes.

A label map is a PNG with a class id a pixel (grey or palette, 8 or 16 bits), called like its image, with or without
the image's own suffix. The class list has a line for each id: `id<TAB>name`, `id: name` or `id,name`.
"""

import io
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from core.errors import InputError
from core.methods.semantic_scores import IGNORE
from precompute.paths import to_name

_MODES = ("1", "L", "P", "I", "I;16")
_LINE = re.compile(r"\s*(\d{1,5})\s*[\t:,]\s*(\S.*?)\s*")
_MAX_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Folder:
    """Where images, label maps and the class list are."""

    images: Path
    labels: Path
    classes: Path


def find(images: Path, labels: Path | None, classes: Path | None) -> Folder:
    """What was named; what was not is looked for beside the images: `images` may be a folder that holds images/,
    labels/ and classes.txt, or its images/. InputError for what is not there."""
    inner = images / "images"
    if inner.is_dir():
        images = inner
    folder = Folder(images, labels or images.parent / "labels", classes or images.parent / "classes.txt")
    if not folder.labels.is_dir():
        raise InputError(f"There is no folder of label maps at {folder.labels}. Name it with --labels.")
    if not folder.classes.is_file():
        raise InputError(
            f"There is no list of classes at {folder.classes}. Name it with --classes: lines `id<TAB>name`."
        )
    return folder


def read_classes(path: Path, ignore: Collection[int] = ()) -> dict[int, str]:
    """Names by id, in the file's order; ids that are ignored are left out. InputError for a file that is no such list,
    an id or a name that comes twice, or fewer than two classes."""
    try:
        text = path.read_bytes()[: _MAX_BYTES + 1].decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The list of classes {path} cannot be read ({error}). Save it as UTF-8 text.") from error
    found: dict[int, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise InputError(f"Line {number} of {path} is not `id<TAB>name`, such as `3<TAB>bicycle`.")
        key, name = int(match[1]), " ".join(match[2].split())
        if key in found or name in found.values():
            raise InputError(f"Line {number} of {path} repeats {key} or {name[:60]!r}. Give each class one line.")
        found[key] = name
    found = {key: name for key, name in found.items() if key not in ignore}
    if len(found) < 2:
        one = f": {next(iter(found.values()))[:60]}" if found else ""
        raise InputError(
            f"{path} lists {len(found)} class{'es' if not found else ''}{one}. Every pixel is given to one of the "
            "classes, so there must be two or more; what surrounds an object is a class as well. For a single class "
            "against the rest use `python -m precompute segment`."
        )
    return found


class LabelMaps:
    """The label maps of a folder. `classes` names by id; pixels of an id in `ignore` count nowhere."""

    def __init__(self, folder: Path, classes: Mapping[int, str], ignore: Collection[int] = ()) -> None:
        self.folder, self.ignore = folder, frozenset(ignore)
        self._position = np.full(2**16, IGNORE - 1, np.int64)
        self._position[list(self.ignore)] = IGNORE
        self._position[list(classes)] = np.arange(len(classes))

    def has(self, path: str) -> bool:
        """Whether there is a label map for the image at `path`, as in a manifest."""
        return self._file(path) is not None

    def read(self, path: str, size: tuple[int, int]) -> np.ndarray:
        """Positions of the classes, or IGNORE, (rows, columns) of an image of `size` (width, height). InputError."""
        file = self._file(path)
        assert file is not None  # whoever reads has asked `has`
        try:
            labels = Image.open(io.BytesIO(file.read_bytes()), formats=["PNG"])
            if labels.size != size:  # seen in the header: nothing too large is decoded
                raise InputError(
                    f"{file} does not match its image {path}: the label map has {labels.width} × {labels.height} "
                    f"pixels, the image {size[0]} × {size[1]}. Give each image a label map of its own size, upright."
                )
            if labels.mode not in _MODES:
                raise InputError(f"{file} has colours (mode {labels.mode}). A label map has one class id a pixel.")
            id_yx = np.array(labels, np.int64)
        except InputError:
            raise
        except Exception as error:  # Pillow's parsers raise whatever a damaged file makes them stumble on
            raise InputError(f"{file}, the label map of {path}, is no PNG that can be read: make it anew.") from error
        position_yx = self._position[id_yx.clip(0, 2**16 - 1)]
        if (position_yx < IGNORE).any():
            unknown = np.unique(id_yx[position_yx < IGNORE])
            shown = ", ".join(map(str, unknown[:8].tolist())) + (", …" if len(unknown) > 8 else "")
            raise InputError(
                f"{file} holds ids that the list of classes does not have: {shown}. Add them to the list, or leave "
                f"these pixels out with --ignore {unknown[0]}."
            )
        return position_yx

    def _file(self, path: str) -> Path | None:
        name = self.folder / to_name(path)
        return next((file for file in (name.with_suffix(".png"), Path(f"{name}.png")) if file.is_file()), None)

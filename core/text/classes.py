"""Class folders -> readable names, and the prompt templates that names are put into.

Folder names that are all WordNet ids (ImageNet's layout, n01440764) become the names curated in open_clip; other
folder names are read as words. A user's file overrides either, name by name.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.errors import PoolError

_WORDNET_ID = re.compile(r"n\d{8}")
_MAX_FILE_BYTES = 16 * 2**20


def imagenet_names() -> tuple[str, ...]:
    """open_clip's names of the 1,000 ImageNet classes, in class order (two names come twice)."""
    from open_clip import IMAGENET_CLASSNAMES  # here, since it imports torch

    return tuple(IMAGENET_CLASSNAMES)


def class_names(folders: Sequence[str], overrides: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """A readable name for each class folder, in the order given.

    `overrides` (see `read_class_file`) go first. PoolError if the folders are WordNet ids and one is unknown.
    """
    given = overrides or {}
    rest = [folder for folder in folders if folder not in given]
    if rest and all(_WORDNET_ID.fullmatch(folder) for folder in folders):
        known = {**_wordnet_names(rest), **given}
    else:
        known = {**{folder: _as_words(folder) for folder in rest}, **given}
    return tuple(known[folder] for folder in folders)


def _as_words(folder: str) -> str:
    return " ".join(re.sub(r"[_\-]+", " ", folder).split()) or folder


def _wordnet_names(ids: Sequence[str]) -> dict[str, str]:
    from timm.data import ImageNetInfo

    curated = dict(zip(ImageNetInfo("imagenet-1k").label_names(), imagenet_names(), strict=True))
    missing = [wnid for wnid in ids if wnid not in curated]
    if missing:
        full = ImageNetInfo("imagenet-22k")
        described = set(full.label_names())
        unknown = [wnid for wnid in missing if wnid not in described]
        if unknown:
            raise PoolError(
                f"{len(unknown)} class folders look like WordNet ids but are unknown, such as {unknown[0]}. "
                "Give their names in a class file, one line each: the folder, a tab, the name."
            )
        # "person, individual, someone": the first synonym is the usual one
        curated |= {wnid: full.label_name_to_description(wnid).split(",")[0].strip() for wnid in missing}
    return {wnid: curated[wnid] for wnid in ids}


def read_class_file(path: Path) -> dict[str, str]:
    """A user's class file: lines `folder<TAB>name`, or `folder,name` (split at the first), blank lines left out.

    PoolError if it cannot be read, or a line is neither or names a folder again.
    """
    names: dict[str, str] = {}
    for number, line in _lines(path, "class file"):
        folder, separator, name = line.partition("\t") if "\t" in line else line.partition(",")
        folder, name = folder.strip(), " ".join(name.split())
        if not (separator and folder and name):
            raise PoolError(f"Line {number} of class file {str(path)!r} is not 'folder<TAB>name' or 'folder,name'.")
        if folder in names:
            raise PoolError(f"Line {number} of class file {str(path)!r} names folder {folder!r} again. Keep one line.")
        names[folder] = name
    return names


def load_templates(spec: str = "openai") -> tuple[str, ...]:
    """Prompt templates with one `{}` each: "openai" (80), "simple" (7), or a UTF-8 file with one a line.

    PoolError if there is no such file or a line does not hold `{}` exactly once.
    """
    if spec in ("openai", "simple"):
        from open_clip import OPENAI_IMAGENET_TEMPLATES, SIMPLE_IMAGENET_TEMPLATES

        chosen = OPENAI_IMAGENET_TEMPLATES if spec == "openai" else SIMPLE_IMAGENET_TEMPLATES
        return tuple(template("{}") for template in chosen)
    templates = []
    for number, line in _lines(Path(spec), "template file"):
        if line.count("{}") != 1:
            raise PoolError(
                f"Line {number} of template file {spec!r} must hold {{}} exactly once, where the class name goes: "
                "for example 'a photo of a {}.'"
            )
        templates.append(line.strip())
    return tuple(dict.fromkeys(templates))


def fill_template(template: str, name: str) -> str:
    """The prompt for a class. (Not str.format: braces in a name or template stay what they are.)"""
    return template.replace("{}", name)


def _lines(path: Path, kind: str) -> list[tuple[int, str]]:
    """Numbered lines of a UTF-8 file that are not blank. PoolError if there are none or it cannot be read."""
    try:
        if not path.is_file():
            raise PoolError(f"There is no {kind} {str(path)!r}. Give the path of a UTF-8 text file.")
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PoolError(f"The {kind} {str(path)!r} is not UTF-8 text. Save it as UTF-8.") from error
    except (OSError, ValueError) as error:
        raise PoolError(f"The {kind} {str(path)!r} cannot be read: {error}. Check the path and permissions.") from error
    if len(content) > _MAX_FILE_BYTES or "\0" in text:
        raise PoolError(f"The {kind} {str(path)!r} is binary or over {_MAX_FILE_BYTES // 2**20} MB. Give a text file.")
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if not lines:
        raise PoolError(f"The {kind} {str(path)!r} is empty.")
    return lines

"""Which files a folder holds, and how large they are: a million of them in seconds, links kept inside the root."""

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import ManifestError
from precompute.paths import is_inside, to_name, to_text

#: File name endings taken for images when a folder is scanned, in any case.
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_TELL_EVERY = 4096


@dataclass(frozen=True)
class Found:
    """Files in no particular order: relative paths as text, sizes in bytes (-1 out of bounds), notes for the user."""

    paths: list[str]
    sizes: list[int]
    notes: tuple[str, ...]


def scan_folder(root: Path, progress: Callable[[int], None] | None = None) -> Found:
    """Every image file below `root`, told by the ending of its name; hidden files and folders are left out.

    A link to a file outside the root keeps its row with size -1; a link to a folder outside is an error, because a
    whole class would be lost; a link to a folder inside is passed over, its files are found where they are.
    Raises ManifestError, also when there is no image.
    """
    real_root = os.path.realpath(root)
    paths: list[str] = []
    sizes: list[int] = []
    other = hidden = inner_links = outside = 0
    pending = [""]  # relative folders still to read, "" or ending in a slash, as the operating system names them
    while pending:
        folder = pending.pop()
        for entry in _entries(os.path.join(root, folder)):
            name = entry.name
            if name.startswith("."):
                hidden += 1
            elif entry.is_dir():
                if not entry.is_symlink():
                    pending.append(f"{folder}{name}/")
                elif is_inside(os.path.realpath(entry.path), real_root):
                    inner_links += 1
                else:
                    raise _leaves(root, folder + name, os.path.realpath(entry.path))
            elif name.lower().endswith(SUFFIXES):
                size = _size(entry, real_root)
                outside += size < 0
                paths.append(to_text(folder + name))
                sizes.append(size)
                if progress and len(paths) % _TELL_EVERY == 0:
                    progress(len(paths))
            else:
                other += 1
    if not paths:
        raise ManifestError(_nothing_found(root, other, hidden))
    if progress:
        progress(len(paths))
    notes = [
        f"{count:,} {what}"
        for count, what in (
            (other, "files whose names do not end like an image's were left out."),
            (hidden, "hidden files or folders were left out."),
            (inner_links, "links to folders inside were passed over; their files are found where they are."),
            (outside, "files are broken links or links out of the folder; they will be quarantined."),
        )
        if count
    ]
    return Found(paths, sizes, tuple(notes))


def stat_files(
    root: Path, paths: Sequence[str], progress: Callable[[int], None] | None = None
) -> tuple[list[int], int]:
    """Sizes in bytes of the files at relative `paths`, -1 for those missing or outside; and how many are outside."""
    real_root = os.path.realpath(root)
    folder_inside: dict[str, bool] = {}
    sizes, outside = [], 0
    for index, path in enumerate(paths, 1):
        full = os.path.join(real_root, to_name(path))
        folder = os.path.dirname(full)
        if folder not in folder_inside:  # resolving links is slow, and a folder has many files
            folder_inside[folder] = is_inside(os.path.realpath(folder), real_root)
        inside = folder_inside[folder]
        try:
            status = os.lstat(full)
            if stat.S_ISLNK(status.st_mode):
                inside = inside and is_inside(os.path.realpath(full), real_root)
                status = os.stat(full)
            sizes.append(status.st_size if inside and stat.S_ISREG(status.st_mode) else -1)
        except (OSError, ValueError):  # missing, a loop of links, a name too long: told when the file is read
            sizes.append(-1)
        outside += not inside
        if progress and (index % _TELL_EVERY == 0 or index == len(paths)):
            progress(index)
    return sizes, outside


def describe_missing(sizes: Sequence[int], outside: int) -> tuple[str, ...]:
    """Notes on what `stat_files` could not find."""
    missing = sum(size < 0 for size in sizes) - outside
    notes = []
    if missing:
        notes.append(f"{missing:,} of {len(sizes):,} files in the manifest are missing; they will be quarantined.")
    if outside:
        notes.append(
            f"{outside:,} files in the manifest are reached by links out of the root; they will be quarantined."
        )
    return tuple(notes)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except PermissionError as error:
        raise ManifestError(f"The folder {folder} cannot be read: permission is denied. Ask for access.") from error
    except OSError as error:
        raise ManifestError(f"The folder {folder} cannot be read ({error.strerror}): check the disk.") from error


def _size(entry: os.DirEntry[str], real_root: str) -> int:
    """A regular file's size; -1 if it is gone, not a regular file, or a link that leaves the root."""
    try:
        if entry.is_symlink() and not is_inside(os.path.realpath(entry.path), real_root):
            return -1
        status = entry.stat()
    except OSError:
        return -1
    return status.st_size if stat.S_ISREG(status.st_mode) else -1


def _leaves(root: Path, link: str, target: str) -> ManifestError:
    return ManifestError(
        f"The folder {to_text(link)} in {root} is a link to {to_text(target)}, which lies outside. "
        "A run reads nothing outside its folder: copy or move the images in, or mount that folder there."
    )


def _nothing_found(root: Path, other: int, hidden: int) -> str:
    if other + hidden == 0:
        return f"The folder {root} is empty: give a folder with images, or with one folder a class."
    endings = " ".join(SUFFIXES)
    return f"The folder {root} holds no image, but {other:,} other and {hidden:,} hidden files. Expected: {endings}"

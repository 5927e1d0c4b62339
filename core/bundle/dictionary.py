"""Writes, opens and lists dictionaries of Rosetta concepts: folders of another format than a bundle's, by its code."""

from pathlib import Path

from core.bundle.read import Bundle, Listing, is_dictionary, listing, open_bundle
from core.bundle.schema_rosetta import DICTIONARY
from core.bundle.write import BundleWriter


class DictionaryWriter(BundleWriter):
    """As `BundleWriter`, with the names of core/bundle/schema_rosetta.py; `finish` writes rosetta.json last."""

    def __init__(self, folder: Path | str) -> None:
        super().__init__(folder, DICTIONARY)


def open_dictionary(path: Path | str) -> Bundle:
    """Open a finished dictionary after cheap checks: its fields, presence and size of every file.

    Raises BundleMissing (none there, or unfinished), BundleVersion, BundleDamaged (naming the file). Checksums are
    left to `core.bundle.verify.verify`.
    """
    return open_bundle(path, DICTIONARY)


def list_dictionaries(out_folder: Path | str) -> list[Listing]:
    """The dictionaries in a folder of bundles, by name; unfinished and damaged ones with the reason."""
    return listing(out_folder, DICTIONARY, is_dictionary)

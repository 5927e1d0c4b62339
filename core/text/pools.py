"""Text pools: the texts among which labels are chosen.

Whatever a pool is made from, its texts are Unicode NFC with single spaces, none is empty, none comes twice, and the
digest names exactly these texts in this order.
"""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from core.errors import PoolError

MAX_TEXTS = 500_000
"""Most lines of text in a pool."""
MAX_CHARACTERS = 1_000
"""Longest text; CLIP's tokenizer reads about 300 characters of one."""
MAX_BYTES = 256 * 2**20
"""Largest pool file that is read at all."""
SLOW_TEXTS = 50_000
"""From here on a pool carries a note that embedding it takes long."""
ENGLISH_WORDS = 10_000
# C0 controls other than tab, newlines and form feeds: never in text, and soon found in any binary file
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f]")
_DEMO_POOL = Path(__file__).parents[2] / "demo" / "pool.txt"
_NAMES = ("english", "general", "imagenet", "demo")


@dataclass(frozen=True)
class TextPool:
    """Texts to choose labels from: see the module for what holds of them.

    `digest` is the sha256 of the texts, `source` a sentence on where they come from, `notes` what the user should know
    (duplicates dropped, a long wait).
    """

    name: str
    texts: tuple[str, ...]
    digest: str
    source: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.texts)


def pool_names() -> tuple[str, ...]:
    """The pools that come with the product, as `load_pool` knows them."""
    return _NAMES


def load_pool(spec: str | Path) -> TextPool:
    """A built-in pool by name, or a UTF-8 text file with one text a line by path (`./english` for a file so named).

    PoolError, with what to do, if there is no such pool or file or it cannot be used.
    """
    if spec in _NAMES:
        return _built_in(str(spec))
    return _from_file(Path(spec))


def make_pool(name: str, texts: list[str] | tuple[str, ...], source: str) -> TextPool:
    """A pool of given texts, cleaned like a file's. PoolError as in `parse_pool`."""
    pool = parse_pool("\n".join(texts), name)
    return TextPool(name, pool.texts, pool.digest, source, pool.notes)


def parse_pool(content: str | bytes, name: str) -> TextPool:
    """A pool from pasted text or a file's bytes (UTF-8, BOM allowed), one text a line; lines end in LF, CRLF or CR.

    Blank lines are left out, spaces are trimmed and runs of them made one, duplicates dropped and counted in `notes`.
    PoolError if it is binary, not UTF-8, empty, or has a text or a number of texts over the limits above.
    """
    lines = _decode(content, name).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    kept: dict[str, None] = {}
    seen = 0
    for number, line in enumerate(lines, start=1):
        text = " ".join(line.split())
        if not any(c.isprintable() and c != " " for c in text):
            continue  # blank, or only marks that do not show
        if len(text) > MAX_CHARACTERS:
            raise PoolError(
                f"Line {number} of text pool {name!r} has {len(text):,} characters; at most {MAX_CHARACTERS:,} are "
                "allowed, and CLIP reads only about the first 300. Put one text on each line."
            )
        seen += 1
        if seen > MAX_TEXTS:
            raise PoolError(
                f"Text pool {name!r} has more than {MAX_TEXTS:,} lines of text. Keep the most useful ones: "
                "labels come out much the same from a few thousand."
            )
        kept[text] = None
    if not kept:
        raise PoolError(f"Text pool {name!r} has no text in it; expected one text a line.")
    texts = tuple(kept)
    return TextPool(name, texts, _digest(texts), f"Texts given by the user as {name!r}.", _notes(len(texts), seen))


def _digest(texts: tuple[str, ...]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()  # no text holds a newline, so this is unambiguous


def _notes(kept: int, seen: int) -> tuple[str, ...]:
    notes = []
    if seen > kept:
        notes.append(f"{seen - kept:,} duplicate lines were dropped.")
    if kept >= SLOW_TEXTS:
        notes.append(f"{kept:,} texts: embedding them takes long the first time (minutes on a GPU, hours on a CPU).")
    return tuple(notes)


def _decode(content: str | bytes, name: str) -> str:
    """NFC text without byte order marks. PoolError if it is no text."""
    try:
        raw = content.encode() if isinstance(content, str) else content
        text = raw.decode("utf-8")
    except UnicodeEncodeError:
        raise PoolError(f"Text pool {name!r} holds characters that are not valid Unicode. Paste plain text.") from None
    except UnicodeDecodeError as error:
        if b"\0" in raw:
            raise _binary(name) from None
        line = raw.count(b"\n", 0, error.start) + 1
        raise PoolError(
            f"Text pool {name!r} is not UTF-8: line {line} holds the byte 0x{raw[error.start]:02x}. "
            "Save it as UTF-8 (in most editors: Save as, Encoding)."
        ) from None
    if _CONTROL.search(text):
        raise _binary(name)
    return unicodedata.normalize("NFC", text.replace("\ufeff", ""))


def _binary(name: str) -> PoolError:
    return PoolError(
        f"Text pool {name!r} is not a text file (it holds control bytes). "
        "Expected plain UTF-8 with one text a line; a file saved as UTF-16 must be saved as UTF-8."
    )


def _from_file(path: Path) -> TextPool:
    try:
        if path.is_dir():
            raise PoolError(f"Text pool {str(path)!r} is a folder. Give a text file with one text a line.")
        if not path.exists():
            raise PoolError(
                f"There is no text pool {str(path)!r}. "
                f"Give one of {', '.join(_NAMES)}, or the path of a text file with one text a line."
            )
        if not path.is_file():  # a pipe or device would block or never end
            raise PoolError(f"Text pool {str(path)!r} is not a regular file. Save the texts to a file first.")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise PoolError(f"Text pool {str(path)!r} cannot be read: {reason}. Check the path and permissions.") from error
    if len(content) > MAX_BYTES:
        raise PoolError(
            f"Text pool {str(path)!r} is over {MAX_BYTES // 2**20} MB; a pool has at most {MAX_TEXTS:,} texts."
        )
    return parse_pool(content, path.stem)


@cache
def _built_in(name: str) -> TextPool:
    if name == "english":
        from wordfreq import top_n_list  # here, since it reads its tables at import

        # half as many again as needed, for what is no word: numbers, contractions, symbols, single letters
        words = [w for w in top_n_list("en", ENGLISH_WORDS * 3 // 2) if w.isascii() and w.isalpha() and len(w) > 1]
        source = f"The {ENGLISH_WORDS:,} most frequent English words of two letters or more, from the wordfreq package."
        return make_pool(name, words[:ENGLISH_WORDS], source)
    if name == "general":
        from core.text.grammar import descriptions

        return make_pool(name, descriptions(), "Image descriptions from Unitscope's own grammar.")
    if name == "imagenet":
        from core.text.classes import imagenet_names

        return make_pool(name, imagenet_names(), "The class names of ImageNet-1k as curated in open_clip.")
    if not _DEMO_POOL.is_file():
        raise PoolError(
            "The demo world's text pool (demo/pool.txt) is missing from this installation. "
            "Restore it from the repository, or use the pool 'general'."
        )
    pool = _from_file(_DEMO_POOL)
    return make_pool(name, pool.texts, "What the demo world can show, from its own vocabulary.")

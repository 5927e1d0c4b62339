r"""File names as text, and files inside a root. A manifest's path is relative, posix, and always valid Unicode.

File names on Linux are bytes. Those that are not UTF-8 reach Python as lone surrogates, which no table or JSON file
can hold, so they are written as `\xNN`, and a backslash of the name itself as `\\`: `to_text` and `to_name` undo
each other for every name.
"""

import os
import posixpath
import re

_ESCAPED = re.compile(r"\\(\\|x[0-9a-f]{2})")


def to_text(name: str) -> str:
    r"""A file name from the operating system as a manifest's text: ordinary names unchanged, other bytes as `\xNN`."""
    if name.isascii() and "\\" not in name:
        return name
    return os.fsencode(name.replace("\\", "\\\\")).decode("utf-8", "backslashreplace")


def to_name(text: str) -> str:
    """The file name that `to_text` made `text` from."""
    if "\\" not in text:
        return text
    return os.fsdecode(_ESCAPED.sub(_unescape, text).encode("utf-8", "surrogateescape"))


def _unescape(match: re.Match[str]) -> str:
    found = match[1]
    return found if found == "\\" else bytes([int(found[1:], 16)]).decode("utf-8", "surrogateescape")


def normalise(path: str) -> str:
    """A relative posix path without `.` or doubled slashes. Raises ValueError with the reason if it is not relative."""
    if not path or path.endswith("/"):
        raise ValueError("it names no file")
    if "\0" in path:
        raise ValueError("it contains a zero byte")
    if path.startswith("/") or re.match(r"[A-Za-z]:[\\/]", path):
        raise ValueError("it is absolute")
    if ".." in path.split("/"):
        raise ValueError("it contains '..'")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path):
        raise ValueError("it is a URL")
    return posixpath.normpath(path)


def is_inside(real_path: str, real_root: str) -> bool:
    """Whether a path lies in a root; both with links already resolved (os.path.realpath)."""
    return real_path == real_root or real_path.startswith(real_root.rstrip("/") + "/")

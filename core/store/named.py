"""Which images a text names: those whose value in a column of the manifest, or whose class, it says."""

from functools import cached_property, lru_cache

import numpy as np

from core.columns import as_text, says, truth
from core.errors import InputError
from core.methods.drift import Truth
from core.store.images import ImageTable
from core.text.mentions import word_forms

_MOST_VALUES = 2_000  # a column of more describes or names images one by one
_KEPT = 256


class NamedImages:
    """Asks the columns of an image table at fixed ascending `ids`. Thread-safe."""

    def __init__(self, images: ImageTable, ids: np.ndarray) -> None:
        self._images, self._ids = images, ids
        self.find = lru_cache(_KEPT)(self._find)

    def _find(self, text: str) -> Truth | None:
        """The images that a text names, by the first column, those of few values first, one of whose values it is, or
        else names: "two dogs on a beach" names the place beach. The longest value that it names; None without one."""
        words = _words(text)
        for exactly in (True, False):
            for column, known in self._forms.items():
                spans = [words] if exactly else [words[i:j] for i in range(len(words)) for j in range(i + 1, i + 9)]
                hits = [" ".join(span) for span in spans if " ".join(span) in known]
                if hits:
                    try:
                        return truth(column, self._images.values(column, self._ids), known[max(hits, key=len)])
                    except InputError:  # the class has no image among these
                        continue
        return None

    @cached_property
    def _forms(self) -> dict[str, dict[str, str]]:
        """Of every column the values, by how they may be spelled: as they are, and in the plural."""
        made = {}
        for name, kind in self._images.columns.items():
            if says(kind):
                values = {v for v in as_text(self._images.values(name, self._ids)) if v is not None and v.strip()}
                called = {value: value for value in values} | (self._readable if name == "class" else {})
                if 2 <= len(values) <= _MOST_VALUES:
                    pairs = ((form, value) for spoken, value in called.items() for form in word_forms(_plain(spoken)))
                    made[name] = {_plain(form): value for form, value in pairs}
        return dict(sorted(made.items(), key=lambda one: len(one[1])))

    @cached_property
    def _readable(self) -> dict[str, str]:
        """Classes by the names that prompts use."""
        bundle = self._images.bundle
        if not bundle.has("classes"):
            return {}
        table = bundle.table("classes")
        return dict(zip(table["name"].to_pylist(), table["class"].to_pylist(), strict=True))


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text.casefold()).split()


def _plain(text: str) -> str:
    return " ".join(_words(text))

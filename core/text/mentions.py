"""Which texts name a thing, and which words of a text say something: for telling cues from the classes themselves."""

import re
from collections.abc import Iterable, Sequence

_LEAD = re.compile(
    r"^((an?|the|one|some)\s+)?((\w+\s+)?(photo|photograph|picture|image|drawing)s?\s+of\s+)?((an?|the|one|some)\s+)?",
    re.IGNORECASE,
)
# function words, and the nouns that say only that something is shown
_SILENT = frozenset(
    re.findall(
        r"\w+",
        "a an the some something of in on at by with and or to from for over under among against front is are it this "
        "that photo photograph picture image drawing scene taken thing object",
    )
)
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def subject(prompt: str) -> str:
    """What a prompt is about: "a photo of a hot dog." is about "hot dog". The prompt itself if that leaves nothing."""
    cleaned = " ".join(prompt.split()).rstrip(".!")
    return _LEAD.sub("", cleaned) or cleaned


def word_forms(name: str) -> tuple[str, ...]:
    """A noun and its regular English plurals, lower case: "cherry" -> "cherry", "cherries"."""
    noun = subject(name).casefold()
    forms = {noun, f"{noun}s", f"{noun}es"}
    if noun.endswith("y"):
        forms.add(f"{noun[:-1]}ies")
    if noun.endswith("f"):
        forms.add(f"{noun[:-1]}ves")
    if noun.endswith("fe"):
        forms.add(f"{noun[:-2]}ves")
    return tuple(sorted(forms))


def naming(texts: Sequence[str], forms: Iterable[str]) -> list[int]:
    """Which of the texts hold one of the forms as whole words, in any case: their positions."""
    spelled = "|".join(re.escape(" ".join(form.split())) for form in sorted(forms, key=len, reverse=True))
    if not spelled:
        return []
    pattern = re.compile(rf"(?<!\w)(?:{spelled})(?!\w)", re.IGNORECASE)
    return [row for row, text in enumerate(texts) if pattern.search(text)]


def content_words(text: str) -> frozenset[str]:
    """The words of a text that say something, lower case and without a plural's s, so that captions can be compared
    with them."""
    words = (word.casefold() for word in _WORD.findall(text))
    stems = (word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in words)
    return frozenset(stem for stem in stems if stem not in _SILENT)

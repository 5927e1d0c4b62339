"""Text from users, files and bundles on its way to a page: always characters, never markup."""

import re

_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|$:~&^=])")
_LOOKED_FOR = re.compile(r"(:(?=[\w+/-])|@(?=\w)|\bwww(?=\.)|[<>~-](?=[-=>]))", re.IGNORECASE)
_JOINER = "\u2060"  # a word joiner: no width, no line break
_UNSEEN = re.compile("[\u200b\u2060\ufeff\0]|(?<![^\0-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\0-\x7f])")
"""Spaces and joiners of no width; those that shape other scripts and emoji only where they stand beside ASCII."""


def plain(text: object, limit: int = 300) -> str:
    """`text` for a place that renders Markdown, so that it shows as it is: no link, image, colour, formula or HTML.

    Escapes are gone by the time Streamlit looks for addresses (http://, www., a@b.org), :emoji:, :material/icons: and
    arrows in what is left, so an invisible character keeps these from being found.
    Cut to `limit` characters; line breaks and control characters become spaces.
    """
    shown = "".join(c if c.isprintable() else " " for c in str(text)[: limit + 1])
    shown = shown if len(shown) <= limit else shown[: limit - 1] + "…"
    return _MARKUP.sub(r"\\\1", _LOOKED_FOR.sub(rf"\1{_JOINER}", shown))


def seen(text: str) -> str:
    """`text` less what cannot be seen, such as what `plain` puts into addresses, which are then copied from a page."""
    return _UNSEEN.sub("", text)


def typed(text: str) -> str:
    """What a visitor typed or pasted into a field, less what cannot be seen and the space around it."""
    return seen(text).strip()


def count(number: int, noun: str, plural: str | None = None) -> str:
    """ "1 image", "2,448 images"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"

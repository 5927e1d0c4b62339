"""Text from users, files and bundles on its way to a page: always characters, never markup."""

import re

_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|$:~&^=])")


def plain(text: object, limit: int = 300) -> str:
    """`text` for a place that renders Markdown, so that it shows as it is: no link, image, colour, formula or HTML.

    Cut to `limit` characters; line breaks and control characters become spaces.
    """
    shown = "".join(c if c.isprintable() else " " for c in str(text)[: limit + 1])
    shown = shown if len(shown) <= limit else shown[: limit - 1] + "…"
    return _MARKUP.sub(r"\\\1", shown)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """ "1 image", "2,448 images"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"

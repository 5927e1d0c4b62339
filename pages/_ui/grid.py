"""The one clickable grid of images: every page's images come through here.

Captions and alt texts reach the browser as data and are set as text, never parsed as HTML. Each image is a button, so
Tab, Enter and the arrow keys work, and a click gives its id back to the page.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import streamlit as st

from pages._ui.thumbs import Pictured, source

_HERE = Path(__file__).parent
_mount = st.components.v2.component(
    "unitscope_grid",
    html='<div class="grid" role="group"></div>',
    css=(_HERE / "grid.css").read_text(),
    js=(_HERE / "grid.js").read_text(),
)


def images(
    opened: Pictured,
    ids: Sequence[int],
    *,
    key: str,
    captions: Sequence[str] | None = None,
    alts: Sequence[str] | None = None,
    overlays: Mapping[int, str] | None = None,
    selected: int | None = None,
    size: int = 112,
    label: str = "Images",
    on_click: Callable[[int], None] | None = None,
    href: Callable[[int], str] | None = None,
) -> int | None:
    """Draw thumbnails of an open bundle or dictionary, `size` px wide; returns the id clicked in this run, else None.

    `captions` (under each image) and `alts` (default: its caption, else "image 17") go with `ids`. `overlays` maps an
    id to the address or data URI of a picture laid over it, such as a heatmap with transparency. `on_click` is called
    with the id before the script runs again: the place to change the selection (`lambda i: chosen.go(image=i)`). With
    `href` the images are links to the address it gives for an id, such as `links.href("image", image=17)`.
    Negative ids (the bundle's -1 for "fewer than that") are left out.
    """
    rows = [
        {
            "id": int(image),
            "src": source(opened, int(image)),
            "caption": captions[i] if captions else "",
            "alt": (alts[i] if alts else captions[i] if captions else "") or f"image {int(image)}",
            "overlay": (overlays or {}).get(int(image), ""),
            "href": href(int(image)) if href else "",
        }
        for i, image in enumerate(ids)
        if image >= 0
    ]
    return draw(rows, key=key, selected=selected, size=size, label=label, on_click=on_click)


def draw(
    rows: Sequence[Mapping[str, object]],
    *,
    key: str,
    selected: int | None = None,
    size: int = 112,
    label: str = "Images",
    on_click: Callable[[int], None] | None = None,
) -> int | None:
    """The same for pictures of any origin: rows of id, src, caption, alt, overlay and, for links, href."""
    known = {row["id"] for row in rows}

    def clicked() -> None:
        value = _clicked(st.session_state.get(key), known)
        if on_click is not None and value is not None:
            on_click(value)

    data = {"rows": list(rows), "selected": selected, "size": size, "label": label}
    return _clicked(_mount(key=key, data=data, on_clicked_change=clicked), known)


def _clicked(result: object, known: set[object]) -> int | None:
    """The id that the browser sent, if it is one that we sent it: a browser can send anything."""
    value = getattr(result, "clicked", None)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value in known else None

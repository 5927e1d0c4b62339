"""Links from one page of the app to another, in HTML of our own: they stay in the tab, and work below a base path.

Streamlit's page_link does so by itself; its switch_page does not quite: it writes the new page's query onto the old
page's address first, which the back button then returns to. So our components draw plain links, marked `data-inside`,
and one listener turns a click on any of them into a step of the browser's history. A click with Ctrl, or with the
middle button, opens a new tab, as with every link.
"""

from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import streamlit as st

from core.ids import Head, Neuron, Pair, parse
from pages._ui import selection

_component = st.components.v2.component("unitscope_links", js=(Path(__file__).parent / "links.js").read_text())


def listen() -> None:
    """Mount the listener; app.py does, once. Goes on to the address that `remember` left in this tab, if any."""
    _component(key="links", data={"remember": False})


def remember() -> None:
    """Keep this page's address in the tab until pages are drawn again, as they are after a login."""
    _component(key="links-remember", data={"remember": True})


def base_path() -> str:
    """Where the app is served: "" at the root of its host, else "/lens" (`server.baseUrlPath`)."""
    path = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{path}" if path else ""


def href(page: str, **values: Any) -> str:
    """The address of a page of this bundle, from the host's root: "/heads?bundle=...&head=L3.H5"."""
    return f"{base_path()}/{page}?{urlencode(selection.query(**values), doseq=True)}"


def pair(neuron: str, head: str) -> list[tuple[str, str]]:
    """The pair of a neuron and a head that reads it, as a column of `linked_table` shows links: (text, address)."""
    unit = Pair(cast(Neuron, parse(neuron)), cast(Head, parse(head)))
    return [("pair", href("pairs", pair=unit))]

"""To the labelling desk from elsewhere: one unit, or a list of units under a name.

A short list stands in the link; a longer one is kept on the server under the hash of its bytes, which the link names.
"""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from core.errors import StorageError
from core.store.dictionary_answers import Concept
from pages._ui import dictionaries, links, resources, rosetta_links, selection
from pages._ui.desk_view import DeskView
from pages._ui.overview_entry import target
from pages._ui.shelf import Shelf, name_of
from pages._ui.words import typed

SHELF = Shelf("queues", "list", max_file_bytes=4 * 2**20, max_bytes=256 * 2**20, max_files=2_000, keep_days=365)
"""Lists outlive most work on them; each costs a few kilobytes."""
SHORT = 1_500
_go = st.components.v2.component(
    "unitscope_desk_go",
    js="""
export default function ({ data, parentElement }) {
  const host = parentElement.host ?? parentElement;
  if (host.dataset.gone) return;
  host.dataset.gone = "1";
  history.pushState({}, "", data.address);
  window.dispatchEvent(new PopStateEvent("popstate", { state: {} }));
}
""",
)
"""A step of the browser's history, as our links take it: after Streamlit's switch_page the way back is another page's
address with the desk's query."""


def send(addresses: Sequence[str], name: str = "") -> None:
    """Go to the desk with these addresses as its queue, from the body of a page. StorageError where a long list cannot
    be kept."""
    _go(key="desk-go", data={"address": href(addresses, name)})


def link(addresses: Sequence[str], name: str = "", label: str = "Label this") -> None:
    """A link to the desk with these addresses as its queue."""
    st.page_link(
        target("label", "Label"), label=label, icon=":material/edit_note:", width="content",
        query_params=selection.query(**asked(addresses, name)),
    )  # fmt: skip


def concept(found: dictionaries.Opened, concept: Concept) -> None:
    """A link to the desk with a Rosetta concept and its units as the queue, of the bundle that is open if it has any,
    else of one that has; nothing where there is no bundle, and so no desk."""
    if not resources.names():
        return
    places = (rosetta_links.page(found.store.member(unit.member), unit.layer, unit.unit) for unit in concept.members)
    having = list(dict.fromkeys(place[0] for place in places if place))
    asked = selection.query(queue="concept", of=concept.address)
    if having and asked.get(selection.BUNDLE) not in having:
        asked[selection.BUNDLE] = having[0]
    st.page_link(
        target("label", "Label"), label="Label this", icon=":material/edit_note:", width="content", query_params=asked
    )


def href(addresses: Sequence[str], name: str = "") -> str:
    """The same as an address, for a link of ours."""
    return links.href("label", **asked(addresses, name))


def asked(addresses: Sequence[str], name: str = "") -> dict[str, Any]:
    """What the desk's URL must hold for this queue."""
    text = ",".join(addresses)
    named = {"name": name[:80]} if name.strip() else {}
    if len(text) <= SHORT:
        return {"queue": "list", "list": text or None, "side": "both" if len(addresses) == 1 else None} | named
    data = text.encode()
    SHELF.keep(name_of(data), data)
    return {"queue": "list", "kept": name_of(data)} | named


def pasted(text: str) -> dict[str, Any]:
    """Changes to the view that show a pasted list."""
    text = " ".join(typed(text).split())
    if len(text) <= SHORT:
        return {"list": text, "kept": None}
    data = text.encode()
    SHELF.keep(name_of(data), data)
    return {"list": "", "kept": name_of(data)}


def text(view: DeskView) -> str:
    """The list that a view names. StorageError where it is not kept any more."""
    if view.kept is None:
        return view.list
    data = SHELF.load(view.kept)
    if data is None:
        raise StorageError(
            f"The list that this link names is not kept here (any more): lists are kept for {SHELF.keep_days} days on "
            "the server that they were sent to. Send it to the desk again."
        )
    return data.decode()

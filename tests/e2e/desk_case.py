"""A browser at the labelling desk, as AppTest has it: what it shows, and what the desk's component would send."""

from typing import Any

from streamlit.testing.v1 import AppTest

from core.labels.database import Labels, default_url
from core.labels.events import Event, new_key
from pages._ui import resources
from tests.e2e.test_neurons_page import component, said

ADA, BO = "Ada", "Bo <b>&</b> 🦉"
DESK = "d" * 32


def _page() -> None:
    """The desk, and two buttons that stand for what a browser sends: a message of the desk, and who is there."""
    import streamlit as st

    from pages import label
    from pages._ui import desk_frame, resources, states

    def message() -> None:
        with states.calm():
            work = st.session_state["desk-work"][1]
            received = st.session_state["test-message"]
            desk_frame.received(resources.current(), work, st.session_state["annotator"], received)

    st.button("message", on_click=message)
    with states.calm():
        label.main()


class Desk:
    """A browser at the desk of one bundle."""

    def __init__(self, bundle: str, me: str | None = ADA, token: str = DESK, **query: Any) -> None:
        self.app = AppTest.from_function(_page, default_timeout=60)
        self.app.query_params.update({"bundle": bundle} | query)
        if me is not None:
            self.app.session_state["annotator"] = me
        self.app.session_state["desk-token"] = token
        self.number = 0
        self.run()

    def run(self) -> None:
        self.app.run()
        assert not self.app.exception and not self.app.error, said(self.app)

    @property
    def data(self) -> dict[str, Any]:
        return component(self.app, "desk")

    @property
    def unit(self) -> dict[str, Any]:
        return self.data["units"][str(self.data["at"])]

    @property
    def about(self) -> tuple[str, str]:
        return self.unit["address"], self.unit["end"]

    def event(self, kind: str = "label", text: str = "", **more: Any) -> dict[str, Any]:
        unit = self.unit
        about = {"address": unit["address"], "end": unit["end"], "at": self.data["at"], "hidden": unit["hidden"]}
        words = {"text": text, "tags": [], "confidence": None, "shown_ms": 1200}
        return {"key": new_key(), "kind": kind} | about | words | more

    def send(self, *events: dict[str, Any], at: int | None = None, **more: Any) -> list[dict[str, Any]]:
        self.number += 1
        place = self.data["at"] if at is None else at
        message = {"number": self.number, "at": place, "queue": self.data["queue"]["id"], "events": list(events)}
        self.app.session_state["test-message"] = message | more
        next(button for button in self.app.button if button.label == "message").click()
        self.run()
        return self.data["acks"]

    def says(self, text: str = "", kind: str = "label", **more: Any) -> dict[str, Any]:
        """As the browser does: the event, and on to the next place."""
        ahead = self.data["ahead"]
        on = {"at": ahead[0]} if ahead else {"next": True}
        (ack,) = self.send(self.event(kind, text, **more), **on)
        return ack


def stored() -> list[Event]:
    """All events of the database beside the folder of bundles."""
    base = Labels(default_url(resources.bundles_folder()))
    try:
        return base.since(0)
    finally:
        base.close()

"""A labelling desk for tests of the Agreement page: a bundle in a folder of its own, with a database of its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.errors import ModelError
from core.labels.database import Labels
from core.labels.events import Event, new_key
from core.store import Store
from pages._ui import labels, live, resources, thumbs
from tests.e2e.test_neurons_page import _page, component, said

HOSTILE = "<img src=x onerror=alert(1)> **bold** [a](http://b.org) $x$ :smile:"


class Desk:
    """A folder with a bundle and a dictionary, and its database."""

    def __init__(self, root: Path, bundle: Path) -> None:
        self.folder = root / "bundles"
        self.folder.mkdir()
        (self.folder / bundle.name).symlink_to(bundle)
        self.name, self.url = bundle.name, f"sqlite:///{root / 'labels.sqlite'}"
        self.file = root / "labels.sqlite"

    @property
    def store(self) -> Store:
        return resources.open_named(self.name).store

    @property
    def database(self) -> Labels:
        return labels._database(self.url)

    def unit(self, rank: int, kind: Any = "neuron") -> str:
        """The address of the unit of this rank, from 0, among those of its kind."""
        units = self.store.units
        return units.address(kind, int(np.argsort(-units.importance(kind), kind="stable")[rank]))

    def say(self, name: str, of: str, text: str = "", end: Any = "+", **more: Any) -> Event:
        kind = more.pop("kind", "label")
        facts = self.store.facts()
        made = {"queue": "by importance", "model": facts.weights_digest, "bundle": facts.bundle} | more
        event = Event(new_key(), name, address=of, end=end, kind=kind, text=text, **made)
        return self.database.add([event])[0]

    def open(self, *, calm: bool = True, who: str | None = "Cleo", **query: Any) -> AppTest:
        app = AppTest.from_function(_page, default_timeout=60, kwargs={"name": "agreement"})
        app.query_params.update({"bundle": self.name} | query)
        if who:
            app.session_state[labels.NAME] = who
        app.run()
        assert not app.exception and not app.error and (not calm or not (app.warning or app.info)), said(app)
        return app


def make(vit_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk that pages find; its live model cannot be loaded."""

    def fails(facts: Mapping[str, Any], make_room: object) -> Any:
        raise ModelError("The weights are gone.")

    made = Desk(tmp_path, vit_bundle)
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(made.folder))
    monkeypatch.delenv(thumbs.ROUTE_VARIABLE, raising=False)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setattr(resources, "MODELS", live.LiveModels(fails, lambda model: ("cpu", 1), lambda kind: 100))
    opened = resources.open_named(made.name)
    with pytest.raises(ModelError):
        resources.explainer(opened)
    return made


def metrics(app: AppTest) -> dict[str, str]:
    return {each.label: each.value for each in app.metric}


def table(app: AppTest, key: str) -> list[dict[str, Any]]:
    """The rows of a linked table."""
    drawn = component(app, key)
    return [{c["name"]: v for c, v in zip(drawn["columns"], r["shown"], strict=True)} | {"href": r["href"]}
            for r in drawn["rows"]]  # fmt: skip


def heading(app: AppTest) -> str:
    return app.subheader[0].value.replace("\\", "").replace("\u2060", "")


def some(desk: Desk, words: Mapping[str, tuple[str, ...]]) -> dict[str, dict[str, str]]:
    """Labels of the first neurons, by annotator, "" where one said nothing; unit -> annotator -> text."""
    found: dict[str, dict[str, str]] = {}
    for name, texts in words.items():
        for rank, text in enumerate(texts):
            if text:
                desk.say(name, desk.unit(rank), text, blind=name == "Bob")
                found.setdefault(desk.unit(rank), {})[name] = text
    return found


WORDS = {
    "Anna": ("red sea", "red wall", "blue dog", "red sea", "grey x", "bright 7", "red sea", "", "red dog",
             "red sky", "blue sky", "nobody knows this", "red dot"),
    "Bob": ("red sea", "blue wall", "Blue  DOG", "red sea", "grey dot", "bright 7", "", "red dot", "red line",
            "red sky", "blue sky", "blue sky", "red dot"),
    "Cem": ("red sea", "", "blue dog", "", "grey x", "", "", "", "red dog", "", "", "", "red dot"),
}  # fmt: skip


def decide(app: AppTest, text: str | None, reason: str) -> AppTest:
    fields = {each.key.split("-")[1]: each for each in app.text_input if (each.key or "").startswith("decide-")}
    if text is not None:
        fields["text"].set_value(text)
    fields["reason"].set_value(reason)
    next(each for each in app.button if (each.key or "").startswith("decide-save")).click()
    return app.run()

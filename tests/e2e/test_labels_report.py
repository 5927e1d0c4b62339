"""The report of a bundle's labels: one file that runs nothing, asks for nothing, and shows what was written as text."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from core.bundle.read import open_bundle
from core.labels import report
from core.labels.__main__ import main
from core.labels.database import Labels
from core.labels.ledger import Ledger
from core.store import Store
from tests.labels_maker import event

WILD = "</style><script>alert(1)</script><img src=x onerror=alert(1)> \"'>&amp; 🐕"


class Page(HTMLParser):
    """What a browser would see."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.styles, self._in = "", "", ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = tag

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in == "style":
            self.styles += data
        else:
            self.text += data


@pytest.fixture(scope="module", params=["vit", "resnet"])
def store(request: pytest.FixtureRequest) -> Store:
    return Store(open_bundle(request.getfixturevalue(f"{request.param}_bundle")))


@pytest.fixture
def ledger(store: Store, tmp_path: Path) -> Ledger:
    bundle = store.facts().bundle
    units = ("H0", "N3", "N3.H1") if store.facts().tower == "resnet" else ("L0.H0", "L1.N3", "L1.N3>L2.H1")
    labels = Labels(f"sqlite:///{tmp_path / 'labels.sqlite'}")
    for unit in units:
        labels.add([event(WILD, by=f"<b>{WILD[:30]}", of=unit, bundle=bundle, tags=(WILD[:40],), confidence=0.5)])
        labels.add([event("dogs", of=unit, bundle=bundle), event("cats", of=unit, end="-", bundle=bundle)])
    labels.add([event("decided", kind="adjudicate", reason=WILD, of=units[0], bundle=bundle)])
    labels.add([event("gone", of="L77.H7", bundle=bundle), event(of="vit:L1.N2", end="", bundle=bundle)])
    made = Ledger(labels, bundle)
    made.refresh()
    return made


def test_it_opens_offline_and_runs_nothing(store: Store, ledger: Ledger) -> None:
    raw = report.html(store, ledger).decode()
    page = Page(raw)
    assert {tag for tag, _ in page.tags} <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "table", "tr", "th", "td", "section", "p",
        "span", "strong", "bdi", "br", "div", "i",
    }  # fmt: skip
    names = {name for _, attributes in page.tags for name in attributes}
    assert not any(name.startswith("on") or name in ("src", "href", "style") for name in names), names
    (policy,) = (a["content"] or "" for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(page.styles.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; img-src data:;") and f"style-src 'sha256-{digest}'" in policy
    assert not re.search(r"url\((?!data:image/jpeg;base64,[A-Za-z0-9+/=]+\))|@import|https?:", page.styles)
    assert page.text.count(WILD) == 4, "three labels and a reason, letter by letter"


def test_what_it_says(store: Store, ledger: Ledger, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    score = lambda address, end, text: f"r of {text} at {address}{end}" if text == "dogs" else None
    page = Page(report.html(store, ledger, out, score).decode())
    assert out.read_text("utf-8") and Page(out.read_text("utf-8")).text == page.text
    facts = store.facts()
    for words in (
        facts.bundle,
        facts.weights_digest,
        facts.model,
        "58 of 63 measured",
        "5 labelled, 2 disputed, 1 decided",
    ):
        assert words in page.text, words
    assert "Reason: " in page.text and "confidence 50%" in page.text and "ann (8)" in page.text
    assert page.text.count("r of dogs at ") == 4 and "This bundle has no such unit" in page.text
    headings = re.findall(r"(?:L77\.H7|vit:L1\.N2|[LNH][0-9.NH>L]+)(?=Automatic|This)", page.text)
    assert headings[-1] == "vit:L1.N2" and len(headings) == 5, "concepts after units"
    assert facts.command not in page.text


def test_its_pictures_are_those_of_the_ends(store: Store, ledger: Ledger) -> None:
    page = Page(report.html(store, ledger).decode())
    shown = [attributes["class"][1:] for tag, attributes in page.tags if tag == "i"]
    address = "N3" if store.facts().tower == "resnet" else "L1.N3"
    ends = store.units.ends(address, report.PER_END)
    wanted = [str(hit.image_id) for hit in (*ends.plus, *ends.minus)]
    assert " ".join(wanted) in " ".join(shown)
    for image in set(shown):
        data = base64.b64encode(store.thumbnail(int(image))).decode()
        assert f".i{image}{{background-image:url(data:image/jpeg;base64,{data})}}" in page.styles
    assert page.styles.count("url(") == len(set(shown)) < len(shown), "a picture is in the file once"


def test_too_many_pictures_and_none(store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_IMAGES", 4)
    page = Page(report.html(store, ledger).decode())
    assert "the pictures end after 4 different ones" in page.text and page.styles.count("url(") <= 4
    nothing = Page(report.html(store, Ledger(ledger.labels, "empty")).decode())
    assert "0 units of which something was said" in nothing.text


def test_command(store: Store, ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "r.html"
    words = ["--database", f"sqlite:///{tmp_path / 'labels.sqlite'}", "report"]
    assert main([*words, str(store.bundle.folder), "--out", str(out)]) == 0 and str(out) in capsys.readouterr().out
    assert "decided" in out.read_text("utf-8")
    assert main([*words, str(tmp_path / "none")]) == 1 and "error: " in capsys.readouterr().err

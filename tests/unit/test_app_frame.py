"""The frame without a browser: pages by AppTest, the URL's readers, the route, the server's refusals."""

import json
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

import pytest
import streamlit as st
from hypothesis import given
from hypothesis import strategies as some
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from core.errors import AddressError, UnitscopeError
from pages._ui import figures, resources, selection, server, states, thumbs
from pages._ui.methods import METHODS, PAPERS
from pages._ui.words import plain, typed
from tests import bundle_maker

APP = str(resources.ROOT / "app.py")


@pytest.fixture
def bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one bundle, which the app shows."""
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(tmp_path))
    monkeypatch.delenv(thumbs.ROUTE_VARIABLE, raising=False)
    bundle_maker.make(tmp_path / "tiny-0123abcd")
    return tmp_path


def _app(path: str) -> None:
    import runpy

    runpy.run_path(path)


def run(**query: str) -> AppTest:
    # from_file would find pages/ beside app.py and run a page by itself, as no server of ours does
    app = AppTest.from_function(_app, kwargs={"path": APP}, default_timeout=30)
    app._page_hash = calc_hash("about")  # Streamlit knows a page by its address; switch_page wants a page's file
    app.query_params.update(query)
    return app.run()


def seen(text: str) -> str:
    """What `plain` made, less what cannot be seen."""
    return plain(text).replace("\u2060", "")


def texts(app: AppTest) -> str:
    return "\n".join(
        each.value for kind in (app.markdown, app.caption, app.warning, app.error, app.info) for each in kind
    )


# --- pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tab", ["methods", "cite", "bundle"])
def test_about(bundles: Path, tab: str) -> None:
    app = run(tab=tab)
    assert not app.exception
    assert "RANDOM WEIGHTS" in texts(app)  # the made-up bundle says so of itself, loudly above and in the footer
    assert app.query_params["bundle"] == "tiny-0123abcd"
    if tab == "methods":
        assert len(app.latex) == sum(len(method.equations) for method in METHODS)
    elif tab == "cite":
        assert [block.value for block in app.code] == [paper.bibtex for paper in PAPERS]
    else:
        assert "the sums close" in texts(app) and "1e-07" in texts(app)


def test_a_bundle_that_does_not_close_is_not_called_good(bundles: Path) -> None:
    path = bundles / "tiny-0123abcd" / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"worst_residual": 0.1}))
    assert "do not trust this bundle" in texts(run(tab="bundle"))


def test_no_bundle_says_which_command_makes_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(folder))
        app = run()
        assert not app.exception
        assert [block.value for block in app.code] == [states.MAKE_DEMO, states.MAKE_OWN]


def test_a_bundle_that_vanishes_gets_a_sentence(bundles: Path) -> None:
    shutil.copytree(bundles / "tiny-0123abcd", bundles / "other")
    app = run(bundle="tiny-0123abcd")
    assert [each.value for each in app.title] == ["About"]
    shutil.rmtree(bundles / "tiny-0123abcd")
    app.run()
    assert not app.exception and "not in the folder of bundles" in texts(app).replace("\\", "") and not app.title
    shutil.rmtree(bundles / "other")
    assert [block.value for block in app.run().code][:1] == [states.MAKE_DEMO]


def test_a_bundle_rebuilt_while_open_is_opened_anew(bundles: Path) -> None:
    app = run(tab="bundle")
    path = bundles / "tiny-0123abcd" / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"worst_residual": 3e-6}))
    app.run()
    assert "3e-06" in texts(app) and len(app.toast) == 1
    assert len(app.run().toast) == 0  # said once


def test_the_pages_are_small_and_import_no_model_code() -> None:
    for path in [*(resources.ROOT / "pages").glob("*.py"), resources.ROOT / "app.py"]:
        text = path.read_text()
        assert len(text.splitlines()) < 120, path
        assert not any(f"import {name}" in text or f"from {name}" in text for name in ("torch", "faiss", "open_clip"))


def test_a_page_by_itself_draws_nothing() -> None:
    for path in (resources.ROOT / "pages").glob("*.py"):
        alone = AppTest.from_file(str(path)).run()
        assert not alone.main.children, path


# --- selection -------------------------------------------------------------------------------------------------------


@given(some.text())
def test_readers_refuse_or_read_back_what_they_wrote(text: str) -> None:
    for reader in (selection.integer(-5, 10**6), selection.unit(["L1.H2", "H3"]), selection.flag, selection.digest):
        try:
            value = reader(text)
        except (ValueError, AddressError):
            continue
        assert reader(str(value)) == value


def test_a_link_says_what_an_empty_one_would_not() -> None:
    @dataclass(frozen=True)
    class View:
        end: str = "+"
        image: int | None = None
        texts: tuple[str, ...] = ()

    plain_start = selection.Chosen(View(), View())
    assert plain_start.query() == {} and plain_start.query(end="-", texts=("a", "b")) == {
        "end": "-",
        "texts": ["a", "b"],
    }
    # an empty link would show "-" here, so "+" must be said although it is the class's default
    other_start = selection.Chosen(View(end="-"), View(end="-"))
    assert other_start.query(end="+", image=0) == {"end": "+", "image": "0"}


@pytest.mark.parametrize("text", ["1_0", " 7", "７", "+7", "7.0", "--7", "", "-", "0x7", "1" * 5000])
def test_integers_have_one_spelling(text: str) -> None:
    with pytest.raises(ValueError):
        selection.integer(-100, 100)(text)


def _two_views() -> None:
    """A page whose view "b" lacks the switch of view "a"."""
    from dataclasses import dataclass

    import streamlit as st

    from pages._ui import selection

    @dataclass(frozen=True)
    class View:
        tab: str = "a"
        on: bool = False

    with selection.run():
        chosen = selection.read(View, tab=selection.one_of("a", "b"), on=selection.flag)
        if chosen.view.tab == "a":
            st.toggle("On", **chosen.bound("on"))
        st.button("b", on_click=chosen.go, kwargs={"tab": "b"})


def test_what_has_left_the_page_does_not_lead_back_to_its_view() -> None:
    app = AppTest.from_function(_two_views).run()
    app.toggle[0].set_value(True).run()
    assert app.query_params == {"on": "True"}
    switch = app.toggle[0]
    app.button[0].click().run()
    assert not app.toggle and app.query_params == {"tab": "b", "on": "True"}
    sent = app._tree.get_widget_states()  # and, as a browser that has not heard yet that it is gone, the switch's
    sent.widgets.append(switch.set_value(True)._widget_state)
    app._run(sent)
    assert app.query_params == {"tab": "b", "on": "True"}


def test_two_changes_in_a_row_are_both_kept() -> None:
    """The second click comes while the page is still that of before the first: its view lacks the first's change."""
    app = AppTest.from_function(_two_views).run()
    app.query_params["on"] = "True"  # as the browser's address has it by now
    app.button[0].click().run()
    assert app.query_params == {"tab": "b", "on": "True"}
    app.query_params.clear()
    app.run()
    app.toggle[0].set_value(True).run()
    app.query_params.clear()  # the first took something away
    app.button[0].click().run()
    assert app.query_params == {"tab": "b"}


# --- words and errors ------------------------------------------------------------------------------------------------


def test_plain_text_has_no_markup_left() -> None:
    assert seen("![x](http://a) <b> $y$ :red[z]\n#") == r"\!\[x\]\(http\://a\) \<b\> \$y\$ \:red\[z\] \#"
    assert len(plain("a" * 1000)) == 300


@pytest.mark.parametrize(
    "text", ["http://a.b", "www.a.b", "WWW.a.b", "a@b.org", ":smile:", ":material/home:", "a -> b"]
)
def test_plain_text_holds_nothing_that_is_looked_for_after_markdown(text: str) -> None:
    shown = plain(text).replace("\\", "")
    assert text not in shown and shown.replace("\u2060", "") == text  # the only change cannot be seen


@pytest.mark.parametrize("text", ["demo-vit:L2.N569", "https://a.b/c?d=e", "a@b.org", "a -> b"])
def test_what_is_copied_from_a_page_and_typed_is_what_was_written(text: str) -> None:
    assert typed(f" {plain(text)}\n".replace("\\", "")) == text
    assert selection.words(100)(plain(text).replace("\\", "")) == text


def test_what_cannot_be_seen_is_left_out_but_for_what_shapes_other_scripts() -> None:
    assert typed("\ufeffL1\u200b.\u200cN\u200d1\u2060\0") == "L1.N1" and not typed("\u2060 \u200b")
    for text in ("\U0001f468\u200d\U0001f680", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"):
        assert typed(text) == text
    with pytest.raises(ValueError):
        selection.words(10)("\u2060")


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("7", 7), ("8", 7), ("99999999", 7)])
def test_a_number_that_is_too_large_is_read_as_the_largest(text: str, number: int) -> None:
    assert selection.at_most(1, 7)(text) == number
    for wrong in ("0", "-1", "x", "9" * 30):
        with pytest.raises(ValueError):
            selection.at_most(1, 7)(wrong)


def test_json_of_everything_a_page_may_hold() -> None:
    import numpy as np

    from core.ids import Head

    data = {"head": Head(1, 2), "x": np.float32(0.5), "nan": float("nan"), "a": np.arange(2), 3: (True, None)}
    assert json.loads(figures.to_json(data)) == {"head": "L1.H2", "x": 0.5, "nan": None, "a": [0, 1], "3": [True, None]}


@pytest.mark.parametrize(
    "error", [UnitscopeError("Do **this**."), ValueError("secret"), MemoryError(), RecursionError()]
)
def test_errors_become_sentences(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    def page(error: Exception) -> None:
        from pages._ui.states import calm

        with calm():
            raise error

    app = AppTest.from_function(page, kwargs={"error": error}).run()
    assert not app.exception and len([*app.error, *app.warning]) == 1
    assert "secret" not in texts(app)
    assert "Traceback" in caplog.text or isinstance(error, UnitscopeError)


# --- the server ------------------------------------------------------------------------------------------------------


def test_the_shipped_config_is_what_the_server_demands(monkeypatch: pytest.MonkeyPatch) -> None:
    server.build()
    assert server.config_problems() == []
    real = st.get_option
    monkeypatch.setattr(st, "get_option", lambda name: "full" if name == "client.showErrorDetails" else real(name))
    assert server.config_problems() == ["client.showErrorDetails = 'full'"]


def test_the_server_refuses_in_sentences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert server.main(["--bundles", str(tmp_path / "none")]) == 1
    assert "make demo" in capsys.readouterr().err
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert server.main(["--bundles", str(tmp_path), "--port", str(other.getsockname()[1])]) == 1
    assert "is in use" in capsys.readouterr().err
    assert server.main(["--bundles", str(tmp_path), "--port", "99999"]) == 1
    assert server.main(["--bundles", str(tmp_path), "--host", "203.0.113.9", "--port", "0"]) == 1
    assert capsys.readouterr().err.count("Cannot listen") == 2

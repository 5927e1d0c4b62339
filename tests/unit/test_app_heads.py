"""The Heads page without a browser; the live model stands in where relabelling needs one."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.bundle.read import open_bundle
from core.store import Store
from pages._ui import heads_maps, resources, thumbs
from tests import bundle_maker

NAME = "tiny-0123abcd"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The one bundle of the folder, which the page shows."""
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(tmp_path))
    monkeypatch.delenv(thumbs.ROUTE_VARIABLE, raising=False)
    bundle_maker.make(tmp_path / NAME)
    return Store(open_bundle(tmp_path / NAME))


def _page() -> None:
    from pages import heads
    from pages._ui import states

    with states.calm():
        heads.main()


def run(**query: str) -> AppTest:
    app = AppTest.from_function(_page, default_timeout=60)
    app.query_params.update(query)
    return app.run()


def texts(app: AppTest) -> str:
    kinds = (app.title, app.subheader, app.markdown, app.caption, app.warning, app.error, app.info)
    return "\n".join(each.value for kind in kinds for each in kind).replace("\\", "")


def said(app: AppTest, name: str) -> str:
    """A parameter of the link: AppTest has a list before a callback writes it, and text after."""
    value = app.query_params[name]
    return value if isinstance(value, str) else value[-1]


@pytest.mark.parametrize("tab", ["ends", "intervals", "alike", "relabel"])
def test_every_tab_shows_the_head_and_its_population(store: Store, tab: str) -> None:
    app = run(head="L3.H1", text="1", tab=tab, image="4")
    assert not app.exception and not app.error and not app.warning, texts(app)
    answer = store.head("L3.H1")
    assert [each.value for each in app.title] == ["L3.H1"]
    assert f"“{answer.texts[1].text}”" in texts(app)
    assert f"{answer.summary.share:.1%} of the output" in texts(app) and "of 38 images" in texts(app)


def test_steps_go_through_heads_and_layers_and_forget_the_text(store: Store) -> None:
    app = run(head="L2.H1", text="1", image="4", tab="alike")
    app.button(key="key-next").click().run()
    assert said(app, "head") == "L3.H0" and "text" not in app.query_params
    assert said(app, "image") == "4" and said(app, "tab") == "alike"
    app.button(key="heads-lower").click().run()
    assert said(app, "head") == "L2.H0"
    assert app.button(key="heads-lower").disabled and app.button(key="key-previous").disabled


@pytest.mark.parametrize(("query", "says"), [({"text": "999"}, "fewer than"), ({"head": "<b>"}, "cannot be shown")])
def test_a_bad_link_gets_a_sentence(store: Store, query: dict[str, str], says: str) -> None:
    app = run(**query)
    assert not app.exception and not app.error
    assert says in texts(app) and [each.value for each in app.title] == [
        str(store.heads()[0].address) if "head" in query else "L2.H0"
    ]


def test_an_image_in_quarantine_costs_only_its_part(store: Store) -> None:
    app = run(tab="alike", image=str(bundle_maker.QUARANTINED[0]))
    assert not app.exception and "could not be used" in texts(app)
    assert len(app.get("download_button")) == 2  # the texts' table and the page's data


def test_relabelling_shows_what_changed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)

    class Model:
        def encode_texts(self, given: tuple[str, ...]) -> np.ndarray:
            rows = rng.standard_normal((len(given), 16)).astype(np.float32)
            return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    monkeypatch.setattr(resources, "explainer", lambda opened: Model())
    app = run(tab="relabel", head="L2.H1")
    assert "No texts yet" in texts(app)
    use = next(button for button in app.button if button.label == "Use these texts")
    use.click().run()
    assert "There are no texts yet" in texts(app)
    app.text_area(key="heads-pasted").set_value("<b>snow</b>\nsea\nsea\nstripes")
    next(button for button in app.button if button.label == "Use these texts").click().run()
    assert not app.exception and not app.error
    assert "3 texts in use" in texts(app) and "1 duplicate" in texts(app)
    shown = app.dataframe[-1].value
    assert set(shown["yours"]) <= {"<b>snow</b>", "sea", "stripes", ""}
    before = [text.text for text in store.head("L2.H1").texts]
    assert shown["the bundle's"].tolist()[: len(before)] == before


def test_a_heatmap_lies_over_the_square_that_the_model_saw() -> None:
    values = np.array([[1.0, 0.0], [0.0, -0.5]])
    picture = np.asarray(Image.open(io.BytesIO(heads_maps.png(values, 60, 40))))
    assert picture.shape == (40, 60, 4)
    assert not picture[:, :10, 3].any() and not picture[:, 50:, 3].any()
    plus, minus = picture[0, 10], picture[-1, 49]
    assert plus[2] > plus[0] and minus[0] > minus[2] and plus[3] > minus[3] > 0

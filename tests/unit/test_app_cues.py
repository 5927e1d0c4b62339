"""The Cues page without a browser; the live model stands in where scenes and visitors' own texts need one."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.bundle.read import Bundle, open_bundle
from core.explain import cues as live_cues
from core.stats.wilson import wilson
from core.store import Store
from core.store.cues import CueFinder
from core.text.mentions import word_forms
from demo.cues import METHODS, Outcome
from pages._ui import cues_scenes, cues_words, figures, live, resources, thumbs
from tests import bundle_maker

NAME = "tiny-0123abcd"
POOL = ["a key in the snow", "three bees", "stripes", "a cat", "dogs", "an animal", "greyscale", "in the desert"]
POOL += ["a lion", "two pianos", "a drum on a beach", "<b>kite</b>"]


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """The one bundle of the folder: classes cat and dog, which the demo world can draw, and texts that it can."""
    monkeypatch.setenv(resources.BUNDLES_VARIABLE, str(tmp_path))
    monkeypatch.delenv(thumbs.ROUTE_VARIABLE, raising=False)
    monkeypatch.setattr(cues_scenes, "_made", type(cues_scenes._made)())
    monkeypatch.setattr(CueFinder, "texts", POOL)
    return open_bundle(bundle_maker.make(tmp_path / NAME))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], Any]]:
    """What gives the page's data, as the download button gets it."""
    seen: list[Callable[[], Any]] = []
    monkeypatch.setattr(figures, "page_data", lambda data, name: seen.append(data))
    return seen


class Model:
    """Stands in for the live model: it knows the word unicorn and no word of Greek."""

    calls = 0

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.stack([np.random.default_rng([ord(c) for c in text]).standard_normal(16) for text in texts])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def unseen_words(self, texts: Sequence[str]) -> tuple[str, ...]:
        return tuple(word for text in texts for word in text.split() if not word.isascii())


@pytest.fixture
def ready(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A live model whose readings of pictures depend on their first pixel, and indirect effects that are the neurons'
    own directions."""
    model = Model()

    def represent(explainer: Model, images: Sequence[Image.Image], progress: Callable[[int, int], None]) -> np.ndarray:
        model.calls += 1
        progress(len(images), len(images))
        rows = np.stack([np.random.default_rng(image.getpixel((0, 0))).standard_normal(16) for image in images])
        return rows.astype(np.float32)

    def indirect(explainer: Model, table: Any, images: Sequence[Image.Image], progress: Callable) -> np.ndarray:
        assert all(image.mode == "RGB" for image in images) and len(images) == 2
        return np.array(table.array("direction")).reshape(12, 16)[::-1]

    monkeypatch.setattr(resources, "explainer_status", lambda opened: live.Status("ready"))
    monkeypatch.setattr(resources, "explainer", lambda opened: model)
    monkeypatch.setattr(live_cues, "represent", represent)
    monkeypatch.setattr(live_cues, "indirect", indirect)
    return model


@pytest.fixture
def absent(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = live.Status("failed", "The model is not here.")
    monkeypatch.setattr(resources, "explainer_status", lambda opened: failed)


def _page() -> None:
    from pages import cues
    from pages._ui import states

    with states.calm():
        cues.main()


def run(**query: str) -> AppTest:
    app = AppTest.from_function(_page, default_timeout=60)
    app.query_params.update(query)
    return app.run()


def texts(app: AppTest) -> str:
    kinds = (app.title, app.subheader, app.markdown, app.caption, app.warning, app.error, app.info, app.code)
    return "\n".join(each.value for kind in kinds for each in kind).replace("\\", "").replace("\u2060", "")


def test_words_neurons_and_prompt_without_a_model(bundle: Bundle, absent: None, told: list) -> None:
    app = run(neurons="10")
    store = Store(bundle)
    assert store.neurons is not None
    finder, class_co = CueFinder(store.neurons), bundle.array("class_embeddings")
    found = finder.find(finder.check(class_co[0], class_co[1]), [*word_forms("cat"), *word_forms("dog")], 10)
    shown = next(each.value for each in app.dataframe if "weight" in each.value)
    assert shown["word"].tolist() == [word.text for word in found.words] and len(shown)
    np.testing.assert_allclose(shown["weight"], [word.weight for word in found.words], rtol=1e-9)
    assert not set(shown["word"]) & {"a cat", "dogs"} and "2 texts of the pool that name cat or dog" in texts(app)
    assert all(f"- {word.text}" in app.code[0].value for word in found.words)  # as it is: a code block is no Markdown
    assert "Never show or mention: dog" in app.code[0].value
    assert told[-1]()["cues"] == found and "The model is not here." in texts(app)
    assert "of the 20 of cat" in texts(app)


def test_scenes_are_counted_with_their_intervals(ready: Model, told: list) -> None:
    app = run(scenes="8", seed="3", of="c1")
    made: dict[str, Outcome] = told[-1]()["scenes"]
    assert list(made) == [method for method in METHODS if method != "indirect"]
    calls = ready.calls
    assert 2 <= calls <= len(made)  # methods that come to the same words share their scenes
    assert all(len(each.scenes) == len(each.predicted) == 8 for each in made.values())
    assert all({"cat"} <= set(scene.kinds) and "dog" not in scene.kinds for scene in made["neurons"].scenes)
    figure = next(iter(app.get("plotly_chart")))
    data = json.loads(figure.proto.spec)["data"][0]
    for at, each in enumerate(made.values()):
        hits = sum(taken != each.c1 for taken in each.predicted)
        low, high = wilson(hits, 8)
        assert f"{hits} of 8, 95 % {low:.0%} to {high:.0%}" == data["customdata"][at]
    assert "of 8 scenes each" in texts(app) and not app.exception
    run(scenes="8", seed="3", of="c2")
    assert ready.calls == calls  # kept


def test_indirect_effects_are_asked_for(ready: Model, told: list, monkeypatch: pytest.MonkeyPatch) -> None:
    png = io.BytesIO()
    Image.new("RGB", (8, 8)).save(png, "PNG")
    monkeypatch.setattr(Store, "thumbnail", lambda self, image: png.getvalue())
    app = run(scenes="8", indirect="True", by="indirect")
    assert list(told[-1]()["scenes"]) == list(METHODS) and not app.exception


def test_a_text_of_ones_own(ready: Model) -> None:
    app = run(c1="cat", c2="a photo of a <b>unicorn</b>")
    assert "is no class of this bundle; the model reads it as a text" in texts(app)
    assert "Scenes are composed for two of the bundle's 2 classes" in texts(app) and not app.warning


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"c1": "dog", "c2": "a photo of a dog"}, "Both are “dog”"),
        ({"c1": "dog", "c2": "μονόκερως"}, "the model was trained on none of its words"),
    ],
)
def test_what_leads_nowhere_is_said(ready: Model, query: dict[str, str], sentence: str) -> None:
    app = run(**query)
    assert [sentence in warning.value.replace("\\", "") for warning in app.warning] == [True] and not app.dataframe


@pytest.mark.parametrize(("lacking", "said"), [("neuron_direction", "no neurons"), ("classes", "fewer than two")])
def test_a_bundle_that_lacks_something_tells_what_to_run(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, lacking: str, said: str
) -> None:
    has = Bundle.has
    monkeypatch.setattr(Bundle, "has", lambda self, name: name != lacking and has(self, name))
    app = run()
    assert said in texts(app) and "python -m precompute run" in app.code[0].value and not app.warning


def test_a_bad_link_shows_the_default(ready: Model) -> None:
    app = run(scenes="9", seed="-1", neurons="11", by="magic")
    assert "scenes, seed and by" in texts(app) or "neurons, scenes, seed and by" in texts(app)
    assert not app.exception


def test_the_prompt_is_about_things_not_about_prompts() -> None:
    sides: Any = (SimpleNamespace(about="cat"), SimpleNamespace(about="dog"))
    written = cues_words.written(sides, ["snow", "a key"])
    assert "- snow\n- a key\n" in written and "every photograph is: cat." in written

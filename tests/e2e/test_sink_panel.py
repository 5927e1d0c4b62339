"""The attention sink on the Overview page of a ResNet, without a browser; a ViT's page has none."""

from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages._ui import resources, sink_panel
from tests.e2e.plain_case import Case


def _page() -> None:
    from pages import overview
    from pages._ui import states

    with states.calm():
        overview.main()


def run(**query: str) -> AppTest:
    app = AppTest.from_function(_page, default_timeout=60)
    app.query_params.update(query)
    app.run()
    assert not app.exception and not app.error, [each.value for each in app.error]
    return app


def texts(app: AppTest) -> str:
    kinds = (app.title, app.subheader, app.markdown, app.caption, app.warning, app.info)
    return "\n".join(each.value for kind in kinds for each in kind).replace("\\", "").replace("\u2060", "")


def charts(app: AppTest) -> set[str]:
    return {each.key for each in app.get("plotly_chart") if each.key.startswith("sink-")}


def test_the_panel_is_there_for_a_resnet_alone(page_case: tuple[Case, resources.Opened]) -> None:
    case, opened = page_case
    app, sink = run(), opened.store.sink
    if case.kind == "vit":
        assert sink is None and "Attention sink" not in texts(app) and not charts(app)
        return
    assert sink is not None
    row, column = sink.place
    assert "Attention sink" in texts(app) and f"row {row}, column {column} in" in texts(app)
    assert f"**{sink.constancy:.0%}** of images (by chance 25%)" in texts(app)
    assert charts(app) == {"sink-attention", "sink-live-0", "sink-live-1"}
    goes = next(line for line in texts(app).splitlines() if "Without the first 5 register neurons" in line)
    assert f"{sink.population}" in texts(app) and "goes from" in goes


def test_a_chosen_head_image_and_number_of_neurons(page_case: tuple[Case, resources.Opened]) -> None:
    case, _ = page_case
    if case.kind == "vit":
        return
    app = run(sink_head="1", sink_image="7", registers="10")
    assert "Of image 7, read from its thumbnail; H1" in texts(app)
    assert "Without the first 10 register neurons" in texts(app)
    odd = run(sink_head="99", registers="3")
    assert "sink_head and registers cannot be shown" in texts(odd)


def test_maps_lie_as_the_image_does_and_the_sink_is_marked() -> None:
    attention_t = np.array([0.4, 0.1, 0.2, 0.05, 0.05, 0.15, 0.05])
    figure = sink_panel.heatmap(attention_t, (2, 3), 0.2, (1, 2))
    np.testing.assert_array_equal(figure.data[0].z, [[0.1, 0.2, 0.05], [0.05, 0.15, 0.05]])
    shape = figure.layout.shapes[0]
    assert (shape.x0, shape.x1, shape.y0, shape.y1) == (1.5, 2.5, 0.5, 1.5)
    assert figure.layout.yaxis.autorange == "reversed"
    both = np.stack([attention_t, attention_t[::-1]])
    np.testing.assert_allclose(sink_panel.of_head(both, "mean"), both.mean(0))
    np.testing.assert_array_equal(sink_panel.of_head(both, "1"), both[1])


@pytest.mark.parametrize("constancy", [0.2, 0.9])
def test_the_verdict_is_that_of_the_numbers(resnet_bundle: Path, constancy: float) -> None:
    from dataclasses import replace

    from core.bundle.read import open_bundle
    from core.store import Store

    sink = Store(open_bundle(resnet_bundle)).sink
    assert sink is not None
    most = np.zeros_like(sink.most_t)
    most[sink.token] = round(100 * constancy)
    most[1 if sink.token != 1 else 2] = 100 - most[sink.token]
    told = sink_panel.told(replace(sink, most_t=most))
    assert ("this pool has a sink" in told) == (constancy > 0.5)
    assert ("no constant sink" in told) == (constancy < 0.5)

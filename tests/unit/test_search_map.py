"""The map of all units: who is on it, their directions, and that it is made once."""

from pathlib import Path

import numpy as np
import pytest

from core.bundle.read import open_bundle
from core.store import Store, unit_map
from core.store.unit_map import Settings
from pages._ui import map_figure
from tests import bundle_maker


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(open_bundle(bundle_maker.make(tmp_path_factory.mktemp("bundle"))))


def test_everybody_where_there_is_room(store: Store) -> None:
    units = unit_map.population(store, 10_000)
    assert {kind: len(rows) for kind, rows in units.rows.items()} == units.every
    assert units.every["head"] == 4 and units.every["neuron"] == 12
    assert units.every["pair"] == int((store.units.importance("pair") > 0).sum()) > 12
    assert units.size == sum(units.every.values())


@pytest.mark.parametrize(("most", "wanted"), [(10, (4, 3, 3)), (30, (4, 12, 14)), (3, (3, 0, 0)), (5, (4, 1, 0))])
def test_the_strongest_share_what_room_there_is(store: Store, most: int, wanted: tuple[int, ...]) -> None:
    units = unit_map.population(store, most)
    assert tuple(map(len, units.rows.values())) == wanted and units.size == most
    for kind, rows in units.rows.items():
        importance = store.units.importance(kind)
        left = np.setdiff1d(np.arange(len(importance)), rows)
        if len(rows) and len(left) and len(rows) < units.every[kind]:
            assert importance[rows].min() >= importance[left].max()
            assert (np.diff(importance[rows]) <= 0).all()


def test_directions_are_the_units_own(store: Store) -> None:
    units = unit_map.population(store, 23)
    made = unit_map.directions(store, units)
    own = [store.units.direction(store.units.address(kind, row)) for kind, rows in units.rows.items() for row in rows]
    assert made.shape == (23, 16) and made.dtype == np.float32
    np.testing.assert_allclose(made, np.stack(own), atol=1e-6)  # float32 of another order of summing


def test_what_is_alike_lies_together_and_the_same_every_time() -> None:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((4, 32))
    group_n = np.repeat(np.arange(4), 30)
    direction_no = centres[group_n] + 0.15 * rng.standard_normal((120, 32))
    direction_no = (direction_no / np.linalg.norm(direction_no, axis=1, keepdims=True)).astype(np.float32)
    steps: list[str] = []
    settings = Settings(perplexity=10)
    first = unit_map.projected(direction_no, settings, steps.append)
    assert steps == ["PCA", "t-SNE"] and first.shape == (120, 2) and np.isfinite(first).all()
    assert np.array_equal(first, unit_map.projected(direction_no, settings))
    apart = np.linalg.norm(first[:, None] - first[None], axis=-1) + np.diag(np.full(120, np.inf))
    assert (group_n[apart.argmin(1)] == group_n).mean() == 1  # nearest neighbours are of the same group


@pytest.mark.parametrize("n", [0, 1, 3, 4, 7])
def test_few_units_have_a_map_too(n: int) -> None:
    direction_no = np.eye(16, dtype=np.float32)[:n]
    made = unit_map.projected(direction_no, Settings())
    assert made.shape == (n, 2) and made.dtype == np.float32 and np.isfinite(made).all()


def test_a_map_is_made_once(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    units, steps = unit_map.population(store, 20), []
    made = unit_map.places(store, units, Settings(), steps.append, cache=tmp_path)
    assert steps == ["reading directions", "PCA", "t-SNE"]
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy", ".sha256"}
    again = unit_map.places(store, units, Settings(), steps.append, cache=tmp_path)
    assert np.array_equal(made, again) and len(steps) == 3
    unit_map.places(store, units, Settings(seed=1), steps.append, cache=tmp_path)
    assert len(steps) == 6  # other settings, another map
    kept = next(path for path in tmp_path.iterdir() if path.suffix == ".npy")
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    before = len(steps)
    unit_map.places(store, units, Settings(seed=0), steps.append, cache=tmp_path)
    unit_map.places(store, units, Settings(seed=1), steps.append, cache=tmp_path)
    assert len(steps) == before + 3  # the damaged one is made again, the other is not


def test_colours_by_layer_kind_and_first_text(store: Store) -> None:
    units = unit_map.population(store, 10_000)
    shown = map_figure.points(store, units)
    assert len(shown.address) == units.size
    assert map_figure.groups(shown, "kind") == shown.kind
    of = dict(zip(shown.address, map_figure.groups(shown, "layer"), strict=True))
    assert (of["L3.H0"], of["L1.N2"], of["L2.N0>L3.H1"]) == ("layer 3", "layer 1", "layer 2")
    labels = ["−a dog; a red cat", "red cats", "a photo of a cat", "", "42; −cat", "blue"]
    few = map_figure.Points(["x"] * 6, ["pair"] * 6, [None] * 6, labels)
    assert map_figure.groups(few, "layer") == ["no layer"] * 6
    assert map_figure.groups(few, "label") == ["cat", "red", "cat", "not described", "other", "blue"]


@pytest.mark.parametrize("by", ["kind", "layer", "label", "score"])
def test_every_unit_is_drawn_once_and_known_again(store: Store, by: str) -> None:
    units = unit_map.population(store, 10_000)
    shown, place = map_figure.points(store, units), np.random.default_rng(0).standard_normal((units.size, 2))
    score = None
    if by == "score":
        score = np.linspace(-0.2, 0.6, units.size)
        score[::3] = np.nan
    drawn = map_figure.figure(shown, place, by, score)
    numbers = [int(n) for trace in drawn.data for n in trace.customdata]
    assert sorted(numbers) == list(range(units.size))
    for trace in drawn.data:
        at = np.asarray(trace.customdata)
        np.testing.assert_array_equal(np.stack([trace.x, trace.y], 1), place[at])
        assert [text.split("<br>")[0].replace("&gt;", ">") for text in trace.text] == [shown.address[n] for n in at]


def test_a_selection_from_a_browser_is_not_trusted() -> None:
    points = [{"customdata": 3}, {"customdata": [2]}, {"customdata": 2.0}, {"customdata": -1}, {"customdata": 9}, {},
              {"customdata": "0"}, {"customdata": True}, "x", {"customdata": None}, {"customdata": 2.5}]  # fmt: skip
    assert map_figure.chosen(points, 5) == [2, 3]

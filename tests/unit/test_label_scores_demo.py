"""Labels against the demo world's truth: what names what, what a unit follows, and the shares over a bundle."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from core.bundle.read import open_bundle
from core.errors import InputError
from core.leaderboard import leaderboard
from core.methods import label_leaderboard as method
from demo import labels
from tests import bundle_maker


@pytest.mark.parametrize(
    ("label", "factor", "value"),
    [
        ("a photo of two cherries", "object", "cherry"),
        ("three foxes at the beach", "place", "beach"),
        ("something among the stars", "place", "night sky"),
        ("an old brown sepia picture", "style", "sepia"),
        ("a blurry photo", "style", "blurred"),
        ("a group of two", "count", "2"),
        ("a single object", "count", "1"),
        ("sea creatures on grass", "category", "sea creature"),
        ("−snow; a dog", "object", "dog"),
    ],
)
def test_a_label_that_names_the_value(label: str, factor: str, value: str) -> None:
    assert labels.says(label, factor, value)


@pytest.mark.parametrize(
    ("label", "factor", "value"),
    [("a carrot", "object", "car"), ("−snow; a dog", "place", "snow"), ("on snow", "place", "beach"),
     ("three objects", "count", "2"), ("", "style", "sepia"), ("a dogged photo", "object", "dog")],
)  # fmt: skip
def test_a_label_that_does_not(label: str, factor: str, value: str) -> None:
    assert not labels.says(label, factor, value)


def images(count: int) -> dict[str, list]:
    rng = np.random.default_rng(0)
    places, styles = rng.choice(["beach", "snow"], count).tolist(), rng.choice(["sepia", "colour"], count).tolist()
    kinds = rng.choice(["dog", "cat"], (count, 2)).tolist()
    return {
        "object": [first for first, _ in kinds], "category": ["animal"] * count, "place": places, "style": styles,
        "count": rng.integers(1, 3, count).tolist(),
        "objects": [json.dumps([{"name": name} for name in names]) for names in kinds],
    }  # fmt: skip


def test_the_truth_has_every_object_that_stands_there() -> None:
    given = images(40)
    hit_nv, names = labels.indicators(pa.table(given))
    assert ("category", "animal") not in names  # of which all are
    dog = hit_nv[:, names.index(("object", "dog"))]
    assert dog.tolist() == ["dog" in objects for objects in given["objects"]] != [n == "dog" for n in given["object"]]
    assert hit_nv[:, names.index(("count", "2"))].tolist() == [count == 2 for count in given["count"]]
    with pytest.raises(InputError, match="not demo/images"):
        labels.indicators(pa.table({"place": ["snow"]}))


def test_what_a_unit_follows_is_its_largest_correlation() -> None:
    rng = np.random.default_rng(1)
    hit_nv = rng.random((60, 4)) < 0.4
    number_un = np.stack(
        [hit_nv[:, 2] + 0.3 * rng.normal(size=60), 0.1 * rng.normal(size=60) - hit_nv[:, 1], np.ones(60)]
    )
    best_u, r_u = labels.followed(number_un, hit_nv)
    for u in range(2):
        plain = [np.corrcoef(number_un[u], hit_nv[:, v])[0, 1] for v in range(4)]
        assert best_u[u] == np.argmax(plain) and r_u[u] == pytest.approx(max(plain))
    assert best_u[0] == 2 and best_u[1] != 1 and r_u[2] == 0  # the + end, not the one that it shuns


def test_shares_over_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    made = bundle_maker.tables()
    for name, values in images(40).items():
        made["images"] = made["images"].append_column(name, pa.array(values))
    texts = ["a dog", "cats", "on snow", "a beach", "sepia", "in colour", "two", "one", "rain", "a hat", "red", "blue"]
    made["pool"] = pa.table({"text": texts})
    monkeypatch.setattr(bundle_maker, "tables", lambda: made)
    folder = bundle_maker.make(tmp_path / "tiny-0123abcd")
    rows = labels.judge(open_bundle(folder), 8)
    board = leaderboard(open_bundle(folder), 8)
    assert {row.method for row in rows} == {row.method for row in board.rows}
    for row in rows:
        assert 0 <= row.share.low <= row.share.value <= row.share.high <= 1 and row.close <= row.units
    source = labels._READERS["neuron"](open_bundle(folder))
    hit_nv, names = labels.indicators(made["images"].take(source.image_ids[1::2]))
    ours = [one for one in board.labels if (one.kind, one.method) == ("neuron", method.NEAREST)]
    _, _, b_un, _ = source.read(np.array([source.row(one.address) for one in ours]))
    best_u, _ = labels.followed(b_un, hit_nv)
    share = np.mean([labels.says(one.text, *names[best]) for one, best in zip(ours, best_u, strict=True)])
    nearest = next(row for row in rows if (row.kind, row.method) == ("neuron", method.NEAREST))
    assert nearest.share.value == pytest.approx(share) and nearest.units == len(ours)
    assert labels.main([str(folder), "--units", "8"]) == 0 and "nearest text" in capsys.readouterr().out
    assert labels.main([str(tmp_path)]) == 1

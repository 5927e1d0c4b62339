"""The leaderboard: every method's choice on planted cases, halves that never meet, and the table as it is kept."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from core.bundle.read import Bundle, open_bundle
from core.errors import InputError
from core.labels.database import Labels
from core.labels.events import Event, new_key
from core.labels.ledger import Ledger
from core.leaderboard import Board, Hand, digest, keep, kept, leaderboard, standing_labels
from core.leaderboard import units as units_of
from core.methods import label_leaderboard as method
from core.methods import label_scores
from core.methods.label_leaderboard import METHODS, Choice, Pool
from core.store import Store
from tests import bundle_maker
from tests.reference.plain_label_scores import plain_figures
from tests.reference.plain_sparse_text import plain_atoms, plain_pursuit


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_maker.make(tmp_path_factory.mktemp("bundles") / "tiny-0123abcd")


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    return open_bundle(folder)


@pytest.fixture(scope="module")
def board(bundle: Bundle) -> Board:
    return leaderboard(bundle, 5)


def pool(texts: int = 30, out: int = 12, seed: int = 0) -> Pool:
    made = np.random.default_rng(seed).normal(size=(texts, out)) + 1.0  # a mean that is not zero
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return Pool([f"text {w}" for w in range(texts)], made.astype(np.float32))


# --- the methods ------------------------------------------------------------------------------------------------------


def test_the_nearest_text_is_nearest_less_the_mean() -> None:
    known = pool()
    centred_wo = known.embedding_wo - known.embedding_wo.mean(0)
    found_u = method.nearest(np.concatenate([centred_wo, np.zeros((1, 12))]), known.embedding_wo)
    assert found_u.tolist() == [*range(30), -1]
    assert (known.embedding_wo @ centred_wo[0]).argmax() != 0  # without centring another would be


@pytest.mark.parametrize("paper", [False, True])
def test_the_first_positive_text_of_a_pursuit(paper: bool) -> None:
    known = pool()
    atoms_wo = plain_atoms(known.embedding_wo, "paper" if paper else "unit")
    direction_uo = np.random.default_rng(1).normal(size=(8, 12)).astype(np.float32)
    first, summed = method.pursued(direction_uo, known, paper)
    for u in range(8):
        plain = plain_pursuit(direction_uo[u], atoms_wo, method.PICKS)
        expected = next(w for w, c in zip(plain.index, plain.coefficient, strict=True) if c > 0)
        assert first.text_u[u] == f"text {expected}"
        assert (first.embedding_uo[u] == known.embedding_wo[expected]).all()
        plain = plain_pursuit(direction_uo[u], atoms_wo, method.SUM)
        size = np.linalg.norm(atoms_wo[plain.index], axis=1)
        sum_o = (np.array(plain.coefficient) * size) @ known.embedding_wo[plain.index].astype(np.float64)
        assert summed.embedding_uo[u] == pytest.approx(sum_o, abs=1e-5)  # float32
        assert summed.text_u[u].split("; ")[0].removeprefix("−") == f"text {plain.index[0]}"


def test_the_class_of_largest_mean_and_the_text_that_fits_best() -> None:
    rng = np.random.default_rng(2)
    class_h = rng.integers(-1, 4, 200)
    number_uh = rng.normal(size=(3, 200)) + 2.0 * (class_h == np.array([[2], [0], [3]])) + 9.0 * (class_h == -1)
    assert method.class_of_largest_mean(number_uh, class_h, 5).tolist() == [2, 0, 3]
    known, unit_ho = pool(), rng.normal(size=(200, 12))
    number_uh = np.stack([unit_ho @ known.embedding_wo[w] + rng.normal(size=200) for w in (4, 11)])
    plain = [
        np.argmax([np.corrcoef(unit_ho @ text_o, number_h)[0, 1] for text_o in known.embedding_wo])
        for number_h in number_uh
    ]
    assert method.best_correlated(number_uh, unit_ho, known.embedding_wo).tolist() == plain


def test_a_heads_component_is_turned_toward_the_text_that_follows_it() -> None:
    rng = np.random.default_rng(3)
    r_hc = rng.normal(size=(400, 3)) * [5, 3, 0.1] + 7
    for sign in (1, -1):
        # the first choice has the most variance along it; the other goes with the component alone
        texts_wc = np.array([[-sign * 3.0, 4.0, 0], [sign * 0.5, 0, 0.1], [0, 0.1, 0]])
        found = method.first_component(r_hc, texts_wc, 3)
        assert (found.first, found.closest, found.sign) == (0, 1, -1)
        assert abs(found.axis_c[0]) > 0.99 and np.sign(found.axis_c[0]) == sign
    still = method.first_component(np.ones((9, 2)), np.eye(2), 2)
    assert (still.first, still.closest) == (-1, -1) and not still.axis_c.any()


def test_a_text_of_the_minus_end_predicts_with_its_sign() -> None:
    known = pool()
    made = known.choose(np.array([4, 4, -1]), np.array([1, -1, 1]))
    assert made.text_u == ("text 4", "−text 4", "") and (made.embedding_uo[0] == -made.embedding_uo[1]).all()


def test_units_are_drawn_over_all_ranks() -> None:
    importance_u = np.random.default_rng(4).permutation(np.arange(1000.0))
    rows = method.sample_rows(importance_u, 50, seed=0)
    ranks = np.sort(np.argsort(np.argsort(-importance_u))[rows])
    assert len(set(rows.tolist())) == 50 and (importance_u[rows] > 0).all() and (np.diff(rows) > 0).all()
    assert all(at * 999 // 50 <= rank < (at + 1) * 999 // 50 + 1 for at, rank in enumerate(ranks))
    assert (rows == method.sample_rows(importance_u, 50, seed=0)).all()
    assert (rows != method.sample_rows(importance_u, 50, seed=1)).any()
    assert method.sample_rows(np.array([0, 3.0, 1]), 50, 0).tolist() == [1, 2]


def test_a_mean_over_units_has_a_bootstrap_interval() -> None:
    value_u = np.random.default_rng(5).normal(1, 2, 400)
    made = method.mean_over_units(np.append(value_u, np.nan))
    assert made.value == pytest.approx(value_u.mean())
    width = 2 * 1.96 * value_u.std() / 20
    assert made.high - made.low == pytest.approx(width, rel=0.08)  # 2,000 draws know a percentile to a few per cent
    assert np.isnan(method.mean_over_units(np.array([np.nan])).value)


# --- a bundle ---------------------------------------------------------------------------------------------------------


def test_rows_are_means_of_what_the_labels_score(bundle: Bundle, board: Board) -> None:
    assert {row.kind for row in board.rows} == {"head", "neuron", "pair"} and board.images == {
        "head": 19,
        "neuron": 15,
        "pair": 15,
    }
    texts = bundle.table("pool")["text"].to_pylist()
    ids = np.asarray(bundle.array("neuron_image_ids"))[1::2]
    unit_io = np.asarray(bundle.array("representations"), np.float64)[ids]
    for row in board.rows:
        ours = [one for one in board.labels if (one.kind, one.method) == (row.kind, row.method)]
        assert row.method in METHODS
        if row.method != method.RANDOM:
            known = [one.pearson for one in ours if not np.isnan(one.pearson)]
            assert row.units == len(known) and row.pearson.value == pytest.approx(np.mean(known))
    for one in board.labels:
        if one.kind == "neuron" and one.text in texts:
            layer, neuron = (int(part[1:]) for part in one.address.split("."))
            number = np.asarray(bundle.array("neuron_coef"))[[1, 2].index(layer), neuron, 1::2].astype(np.float64)
            text_o = bundle.array("text_embeddings")[texts.index(one.text)]
            plain = plain_figures((unit_io @ text_o).tolist(), number.tolist(), label_scores.positives(number).tolist())
            assert one.pearson == pytest.approx(plain["pearson"], abs=1e-5)


def test_no_label_knows_the_images_it_is_scored_on(folder: Path, board: Board, tmp_path: Path) -> None:
    """Half B made another: what every method says stays, what it scores does not. And the other way round."""
    other = tmp_path / "tiny-0123abcd"
    shutil.copytree(folder, other)
    rng, changed = np.random.default_rng(6), 0
    ok = np.flatnonzero(np.load(folder / "ok.npy"))
    measured = np.load(folder / "neurons/image_ids.npy")
    for name, ids in (("heads/r.npy", ok[1::2]), ("representations.npy", ok[1::2])):
        array = np.load(other / name)
        if name.startswith("rep"):  # half B of neurons' images too, less any that heads' half A has
            ids = np.setdiff1d(np.union1d(ok[1::2], measured[1::2]), np.union1d(ok[0::2], measured[0::2]))
        array[..., ids, :] = rng.normal(size=array[..., ids, :].shape)
        np.save(other / name, array)
    for name in ("neurons/coef.npy", "pairs/text_scores.npy"):
        array = np.load(other / name)
        array[..., 1::2] = rng.normal(size=array[..., 1::2].shape) / 4
        np.save(other / name, array)
    made = leaderboard(open_bundle(other), 5)
    said = lambda one: (one.kind, one.address, one.end, one.method, one.text)
    assert list(map(said, made.labels)) == list(map(said, board.labels))
    for before, after in zip(board.labels, made.labels, strict=True):
        changed += before.pearson != after.pearson
    assert changed > 0.9 * len(made.labels)


def test_labels_by_hand_are_a_method(bundle: Bundle) -> None:
    texts = bundle.table("pool")["text"].to_pylist()
    hand = [
        Hand("L1.N2", "+", (texts[3],)),
        Hand("L1.N2", "-", (texts[3],)),
        Hand("L2.N5", "+", ("of nowhere", texts[1])),
        Hand("L9.N1", "+", (texts[0],)),
    ]
    made = leaderboard(bundle, 5, hand=hand)
    ours = [one for one in made.labels if one.method == method.HAND]
    assert [(one.address, one.end) for one in ours] == [("L1.N2", "+"), ("L1.N2", "-")]
    assert ours[0].pearson == pytest.approx(-ours[1].pearson) and made.unread == 1
    assert made.hand == digest(hand) != digest(hand[:1]) and digest([]) == ""
    given_o = np.eye(16, dtype=np.float32)[:1]
    made = leaderboard(bundle, 5, hand=hand, embed=lambda words: given_o[[0] * len(words)])
    senses = next(one for one in made.labels if one.address == "L2.N5" and one.method == method.HAND)
    assert made.unread == 0 and senses.text == f"of nowhere | {texts[1]}"
    ids = np.asarray(bundle.array("neuron_image_ids"))[1::2]
    mean_o = (given_o[0] + bundle.array("text_embeddings")[1]) / 2
    predictor = np.asarray(bundle.array("representations"), np.float64)[ids] @ mean_o
    number = np.asarray(bundle.array("neuron_coef"))[1, 5, 1::2].astype(np.float64)
    assert senses.pearson == pytest.approx(np.corrcoef(predictor, number)[0, 1], abs=1e-5)


def test_labels_by_hand_of_heads_are_of_the_apps_ends(bundle: Bundle) -> None:
    """Whichever way half A turns a head's component."""
    units, text = Store(bundle).units, bundle.table("pool")["text"][2].as_py()
    hand = [Hand(units.address("head", row), "+", (text,)) for row in range(units.count("head"))]
    made = leaderboard(bundle, 5, hand=hand)
    ok = np.flatnonzero(bundle.array("ok"))
    cosine = np.asarray(bundle.array("representations"), np.float64)[ok[1::2]] @ bundle.array("text_embeddings")[2]
    source, turns = units_of.Heads(bundle), set()
    for one in (one for one in made.labels if one.method == method.HAND):
        direction_uo, _, b_un, _ = source.read(np.array([units.row(one.address)]))
        turn = np.sign(direction_uo[0] @ units.direction(one.address))
        turns.add(turn)
        assert one.pearson == pytest.approx(turn * np.corrcoef(cosine, b_un[0])[0, 1], abs=1e-5)
    assert len(turns) == 2  # or nothing would have been tried


def test_images_that_were_shown_are_left_out_of_a_label_by_hand(bundle: Bundle) -> None:
    text = bundle.table("pool")["text"][3].as_py()
    ids = np.asarray(bundle.array("neuron_image_ids"))
    by_kind = lambda one: one.method == method.HAND
    whole, a, b = (
        next(filter(by_kind, leaderboard(bundle, 5, hand=[Hand("L1.N2", "+", (text,), shown)]).labels))
        for shown in ((), (int(ids[0]),), (int(ids[1]),))
    )
    assert whole.pearson == a.pearson != b.pearson  # the first is of half A


def test_what_stands_in_the_database_is_a_label_by_hand(tmp_path: Path) -> None:
    labels = Labels(f"sqlite:///{tmp_path / 'labels.sqlite'}")
    shown = {"images": {"+": [3, 9], "-": [4]}, "heatmaps": [77], "shown_ms": 5}
    told = [("L1.N2", "+", "snow | sea", "ann"), ("L1.N3", "-", "dog", "ann"), ("L1.N3", "-", "cat", "bob")]
    labels.add(
        [Event(new_key(), who, "b", where, end, "label", text, evidence=shown) for where, end, text, who in told]  # type: ignore[arg-type] # ends, literally above
    )
    ledger = Ledger(labels, "b")
    ledger.refresh()
    assert standing_labels(ledger) == (Hand("L1.N2", "+", ("snow", "sea"), (3, 9, 4)),)  # the other is disputed
    labels.close()


def test_the_table_is_kept_and_read_back(board: Board, tmp_path: Path) -> None:
    assert kept(board.bundle, 5, folder=tmp_path) is None
    keep(board, tmp_path)
    found = kept(board.bundle, 5, folder=tmp_path)
    assert found is not None and found.rows == board.rows and found.counts == board.counts
    assert kept(board.bundle, 6, folder=tmp_path) is None and kept("other", 5, folder=tmp_path) is None
    (file,) = tmp_path.iterdir()
    told = json.loads(file.read_text())
    wrong = [json.dumps(told | change) for change in ({"version": 0}, {"images": 9}, {"rows": [{}]}, {"more": 1})]
    for damage in ("", "{", "[]", *wrong, file.read_text()[:-200]):
        file.write_text(damage)
        assert kept(board.bundle, 5, folder=tmp_path) is None
    (tmp_path / "in the way").write_text("")
    keep(board, tmp_path / "in the way")  # a cache that cannot be written costs time only


def test_differences_are_paired_by_unit(board: Board) -> None:
    first, second = method.NEAREST, method.FITTED
    of = lambda name: {one.address: one.pearson for one in board.labels if (one.kind, one.method) == ("neuron", name)}
    gaps = [of(first)[unit] - of(second)[unit] for unit in of(first)]
    assert board.difference("neuron", first, second).value == pytest.approx(np.mean(gaps))
    assert np.isnan(board.difference("neuron", first, "nobody").value)


def test_one_unit_is_no_sample(bundle: Bundle) -> None:
    with pytest.raises(InputError, match="two units"):
        leaderboard(bundle, 1)


def test_a_method_without_an_answer_scores_nothing() -> None:
    choice = pool().choose(np.array([2, -1]))
    assert isinstance(choice, Choice) and choice.text_u == ("text 2", "") and np.isnan(choice.embedding_uo[1]).all()
    number_ui, kept_ui = np.random.default_rng(7).normal(size=(2, 40)), np.ones((2, 40), bool)
    unit_io = np.random.default_rng(8).normal(size=(40, 12))
    found = method.scored(choice.embedding_uo[:, None], number_ui, kept_ui, unit_io)
    assert not np.isnan(found["pearson"][0, 0]) and np.isnan(found["pearson"][1, 0])

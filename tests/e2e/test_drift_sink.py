"""Drift and the attention sink from precompute to answers, against contributions formed in full on the same images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from core.bundle.read import Bundle, open_bundle
from core.bundle.verify import verify
from core.errors import AddressError, InputError, UnsupportedTower
from core.explain.explainer import Explainer
from core.explain.sink import without_neurons
from core.images import decode
from core.models.load import LoadedModel, load_model
from core.store import Store
from precompute import sink as sink_module
from tests.e2e.world import World, call, refused
from tests.reference.plain_drift import plain_share
from tests.reference.plain_sink import plain_attention, plain_sink_change

torch.set_num_threads(1)
HALF = 2.0**-11  # s is stored in fp16, and so is x
CONCEPTS = ("blue sea", "red wall", "a cat on a mat")


@dataclass(frozen=True)
class Case:
    """A ResNet's bundle, its usable images, and in float64 what every pair adds to each: (i, m, n, o), constant
    included, with s (i, m, n) and D (m, n, o); the representations (i, o); the tokens before the pool (i, t, n)."""

    bundle: Bundle
    store: Store
    model: LoadedModel
    files: list[Path]
    s_imn: np.ndarray
    d_mno: np.ndarray
    constant_mo: np.ndarray
    representation_io: np.ndarray
    x_itn: np.ndarray

    @property
    def pool(self) -> tuple:
        """The weights as the plain twins take them."""
        pool = self.model.clip.visual.attnpool
        plain = lambda x: x.detach().double().numpy()
        linear = [plain(getattr(each, kind)) for each in (pool.q_proj, pool.k_proj) for kind in ("weight", "bias")]
        return plain(pool.positional_embedding), *linear, pool.num_heads


@pytest.fixture(scope="module")
def case(world: World, resnet_bundle: Path) -> Case:
    bundle = open_bundle(resnet_bundle)
    files = [world.images / row["path"] for row in bundle.table("images").to_pylist() if row["status"] == "ok"]
    model = load_model(str(world.model("resnet")))
    pixels = torch.stack([model.transform(decode(file.read_bytes())) for file in files])
    trace = model.tower.trace(pixels, (0,), neurons=(0,))
    pool = model.clip.visual.attnpool
    plain = lambda x: x.detach().double().numpy()
    heads, width = pool.num_heads, pool.q_proj.weight.shape[0] // pool.num_heads
    value = plain(pool.v_proj.weight).reshape(heads, width, -1)
    out = plain(pool.c_proj.weight).reshape(-1, heads, width)
    d_mno = np.einsum("omk,mkn->mno", out, value)
    bias_mo = np.einsum("omk,mk->mo", out, plain(pool.v_proj.bias).reshape(heads, width))
    constant_mo = (bias_mo + plain(pool.c_proj.bias) / heads) / d_mno.shape[1]
    x_itn = plain(trace.neurons[0])
    attention = plain(trace.heads[0].attn_bht)
    s_imn = np.einsum("imt,itn->imn", attention, x_itn + plain(pool.positional_embedding))
    return Case(bundle, Store(bundle), model, files, s_imn, d_mno, constant_mo, plain(trace.representation_bo), x_itn)


def test_a_made_bundle_is_whole_and_a_vit_has_no_sink(case: Case, vit_bundle: Path) -> None:
    assert verify(case.bundle.folder).ok
    vit = open_bundle(vit_bundle)
    assert verify(vit_bundle).ok and Store(vit).sink is None and Store(vit).drift is not None
    assert not np.asarray(vit.array("pair_constant")).any()


def test_kept_coefficients_are_those_of_the_described_pairs(case: Case) -> None:
    rows = np.asarray(case.bundle.array("pair_text_rows"))
    _, n, m = np.unravel_index(rows, case.bundle.array("pair_length").shape)
    norm = np.linalg.norm(case.representation_io, axis=1)
    s = case.s_imn[:, m, n] / norm[:, None]
    expected = (s - s.mean(0)) * np.asarray(case.bundle.array("pair_length"))[0, n, m]
    scale = np.asarray(case.bundle.array("pair_text_scale"))
    found = np.asarray(case.bundle.array("pair_text_scores"), np.float64) * scale[:, None]
    # rounding of s, of its mean and of x, each to half precision
    bound = 3 * HALF * np.abs(s).max(0) * np.linalg.norm(case.d_mno[m, n], axis=1)
    assert (np.abs(found.T - expected) <= bound).all()
    np.testing.assert_allclose(case.bundle.array("pair_constant"), case.constant_mo, rtol=0, atol=1e-6)


@pytest.mark.parametrize("centred", [False, True])
def test_the_share_is_the_norm_of_what_the_pairs_write_together(case: Case, centred: bool) -> None:
    table = case.store.drift
    assert table is not None
    text_o = case.model.encode_texts(["red wall"])[0]
    scores = table.scores(text_o, 4, centred)
    where = [(int(pair.head[1:]), int(pair.neuron[1:])) for pair in scores.pairs]
    written = np.stack([case.s_imn[:, m, n, None] * case.d_mno[m, n] + case.constant_mo[m] for m, n in where], axis=1)
    expected = plain_share(written, case.representation_io)
    # the same three roundings, of each of four summands
    norm = np.linalg.norm(case.representation_io, axis=1)
    bound = sum(
        3 * HALF * np.abs(case.s_imn[:, m, n]).max() / norm * np.linalg.norm(case.d_mno[m, n]) for m, n in where
    )
    assert (np.abs(scores.share_i - expected) <= bound).all()
    assert np.corrcoef(scores.share_i, expected)[0, 1] > 0.999
    query = text_o - (table.pool_mean if centred else 0)
    query = query / np.linalg.norm(query)
    sign = np.sign(np.asarray(case.bundle.array("pair_length"))[0])
    described = set(np.asarray(case.bundle.array("pair_text_rows")).tolist())
    cosine = {
        (m, n): float(case.d_mno[m, n] @ query) / np.linalg.norm(case.d_mno[m, n]) * sign[n, m]
        for m in range(len(case.d_mno))
        for n in range(case.d_mno.shape[1])
        if n * len(case.d_mno) + m in described
    }
    best = sorted(cosine, key=lambda mn: -cosine[mn])[:4]
    assert [pair.cosine for pair in scores.pairs] == pytest.approx([cosine[mn] for mn in best], abs=1e-5)
    assert where == best


def test_the_sink_is_that_of_the_plain_pool(case: Case) -> None:
    sink, expected = case.store.sink, np.stack([plain_attention(x_tn, *case.pool) for x_tn in case.x_itn])
    assert sink is not None and sink.population.looked_at == len(case.files)
    np.testing.assert_allclose(sink.attention_ht, expected.mean(0), rtol=0, atol=1e-5)
    most = np.bincount(expected.mean(1)[:, 1:].argmax(1) + 1, minlength=expected.shape[-1])
    np.testing.assert_array_equal(sink.most_t, most)
    assert sink.token == most.argmax() and sink.constancy == pytest.approx(most.max() / most.sum())
    change = plain_sink_change(case.x_itn[:8], *case.pool, token=sink.token)
    assert sink.change_n.shape == (change.shape[1],)
    few = Few(case, 8)
    np.testing.assert_allclose(few.change, np.abs(change).mean(0), rtol=0, atol=1e-6)
    np.testing.assert_allclose(few.signed, change.mean(0), rtol=0, atol=1e-6)
    first = sink.registers(3)
    assert [each.change for each in first] == sorted(sink.change_n.tolist(), reverse=True)[:3]


class Few:
    """The change as the product computes it, over the first images alone."""

    def __init__(self, case: Case, images: int) -> None:
        from core.methods.attention_sink import sink_change

        tower = case.model.tower
        x_btn = torch.from_numpy(case.x_itn[:images]).float()
        assert case.store.sink is not None
        change = sink_change(tower.head_weights(0), x_btn, tower.position_td, case.store.sink.token)
        self.change, self.signed = change.abs().mean(0).numpy(), change.mean(0).numpy()


def test_images_that_are_gone_by_then_are_left_out(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sink_module.read_images

    def half_gone(*args: object, **options: object):
        for read in real(*args, **options):
            yield read if read.image_id % 2 else read.without_pixels()

    monkeypatch.setattr(sink_module, "read_images", half_gone)
    bundle = open_bundle(call(world.run(tmp_path / "half", kind="resnet")).bundle)
    ids = np.asarray(bundle.array("neuron_image_ids"))
    assert bundle.facts["sink"]["images"] == (ids % 2 == 1).sum() and verify(bundle.folder).ok
    monkeypatch.setattr(sink_module, "read_images", lambda *args, **options: iter(()))
    none = open_bundle(call(world.run(tmp_path / "none", kind="resnet")).bundle)
    assert "sink" not in none.facts and Store(none).sink is None and verify(none.folder).ok


def test_live_attention_without_register_neurons(case: Case, vit_bundle: Path, world: World) -> None:
    explainer = Explainer(case.model)
    image = explainer.read(decode(case.files[0].read_bytes()))
    found = without_neurons(explainer, image, [1, 5])
    np.testing.assert_allclose(found.before_ht, plain_attention(case.x_itn[0], *case.pool), rtol=0, atol=1e-5)
    zeroed = case.x_itn[0].copy()
    zeroed[:, [1, 5]] = 0
    np.testing.assert_allclose(found.after_ht, plain_attention(zeroed, *case.pool), rtol=0, atol=1e-5)
    with pytest.raises(AddressError, match=r"neurons 0 to \d+; 99999 was asked for"):
        without_neurons(explainer, image, [99999])
    other = Explainer(load_model(str(world.model("vit"))))
    with pytest.raises(UnsupportedTower, match="no attention pool"):
        without_neurons(other, other.read(decode(case.files[0].read_bytes())), [1])


@pytest.fixture(scope="module")
def concepts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("concepts") / "concepts.txt"
    path.write_text(f"{CONCEPTS[0]}\tclass=blue_sea\n\n{CONCEPTS[1]}\n{CONCEPTS[2]}\tclass=stripes\n")
    return path


def command(world: World, bundle: Path, concepts: Path, *more: object) -> list[str]:
    words = ["drift", bundle, "--images", world.images, "--concepts", concepts, "--by", "class", "--quiet"]
    return [str(word) for word in [*words, "--torch-threads", 1, *more]]


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_the_command_says_what_the_store_says(
    kind: str, request: pytest.FixtureRequest, world: World, concepts: Path, tmp_path: Path
) -> None:
    folder: Path = request.getfixturevalue(f"{kind}_bundle")
    csv = tmp_path / "drift.csv"
    done = call(command(world, folder, concepts, "--csv", csv, "--pairs", 3))
    assert done.code == 0, done.err
    assert "5 images could not be used" in done.err and "class is stripes" in done.out
    rows = pd.read_csv(csv)
    store = Store(open_bundle(folder))
    table = store.drift
    assert table is not None
    model, grouping = load_model(str(world.model(kind))), table.grouping("class")
    everything = table.pairs == table.all_pairs
    for concept, value in zip(CONCEPTS, ("blue_sea", None, "stripes"), strict=True):
        known = table.truth("class", value) if value else None
        own = table.follow(table.scores(model.encode_texts([concept])[0], 3), grouping, known)
        told = rows[rows["concept"] == concept]
        assert told["group"].tolist() == list(grouping.names)
        assert told["images"].tolist() == own.share.count_g.tolist()
        if everything:  # else the command may choose pairs that no page has
            np.testing.assert_allclose(told["share"], own.share.mean_g, rtol=20 * HALF)
        if value:
            np.testing.assert_allclose(told["true"], own.true.mean_g)  # type: ignore[union-attr] # it has a truth
            assert told["true"].tolist() == [float(name == value) for name in grouping.names]
        else:
            assert told["true"].isna().all()
    if kind == "vit":
        return
    assert everything, "the ResNet's pairs are few enough that all are described"


def test_missing_values_are_left_out_and_told(world: World, resnet_bundle: Path, tmp_path: Path) -> None:
    paths = sorted(path.relative_to(world.images).as_posix() for path in world.images.rglob("*.png"))
    years = ["" if i % 4 == 0 else str(2000 + i % 3) for i in range(len(paths))]
    pd.DataFrame({"path": paths, "year": years}).to_csv(tmp_path / "years.csv", index=False)
    for path in paths:
        target = tmp_path / path
        target.parent.mkdir(exist_ok=True)
        target.write_bytes((world.images / path).read_bytes())
    concepts = tmp_path / "concepts.txt"
    concepts.write_text("red wall\n")
    csv = tmp_path / "out.csv"
    done = call(
        command(world, resnet_bundle, concepts, "--by", "year", "--images", tmp_path / "years.csv", "--csv", csv)
    )
    assert done.code == 0, done.err
    told = pd.read_csv(csv)
    assert told["group"].tolist() == [2000, 2001, 2002]
    broken = "strip.png"  # among the pictures, one that cannot be decoded
    usable = sum(year != "" and not path.endswith(broken) for path, year in zip(paths, years, strict=True))
    assert told["images"].sum() == usable
    assert f"{len(paths) - usable}" in done.out.splitlines()[2].split()


@pytest.mark.parametrize(
    ("text", "more", "expected"),
    [
        ("", (), ("has no concept", "one a line")),
        ("a\tclass\n", (), ("Line 1", "COLUMN=VALUE")),
        ("a\tplace=sea\n", (), ("place", "does not have")),
        ("a\tclass=desert\n", (), ("No measured image has 'desert'", "class")),
        ("a\n", ("--by", "year"), ("no column 'year'", "class")),
    ],
)
def test_bad_input_gets_a_sentence(
    text: str, more: tuple, expected: tuple, world: World, resnet_bundle: Path, tmp_path: Path
) -> None:
    file = tmp_path / "concepts.txt"
    file.write_text(text)
    refused(command(world, resnet_bundle, file, *more), *expected)


def test_a_bundle_without_pairs_and_a_file_that_is_none_are_told(
    world: World, resnet_bundle: Path, tmp_path: Path
) -> None:
    bundle = call(world.run(tmp_path, "--no-pairs", kind="resnet")).bundle
    file = tmp_path / "concepts.txt"
    file.write_text("a\n")
    refused(command(world, bundle, file), "no neuron-head pairs", "--no-pairs")
    assert Store(open_bundle(bundle)).drift is None and Store(open_bundle(bundle)).sink is not None
    refused(command(world, resnet_bundle, tmp_path / "none.txt"), "none.txt", "one concept a line")


def test_questions_that_make_no_sense_get_a_sentence(case: Case) -> None:
    table = case.store.drift
    assert table is not None
    text_o = case.model.encode_texts(["red wall"])[0]
    with pytest.raises(InputError, match="0 pairs were asked for"):
        table.scores(text_o, 0)
    with pytest.raises(InputError, match="pool's mean"):
        table.scores(table.pool_mean / np.linalg.norm(table.pool_mean) * 0, 2, centred=False)
    with pytest.raises(InputError, match="no column 'year'"):
        table.grouping("year")
    with pytest.raises(InputError, match="No measured image has 'desert'"):
        table.truth("class", "desert")

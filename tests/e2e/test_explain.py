"""The explainer on tiny models: against float64 written out plainly, from many threads, and out of memory."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from core.bundle.read import open_bundle
from core.errors import AddressError, InputError, ModelError
from core.explain import Explainer, ImageTrace
from core.methods.layernorm import Convention
from core.store import Store
from core.text.embed import embed_pool
from core.text.pools import make_pool
from tests.e2e.plain_case import Case
from tests.e2e.world import World
from tests.reference.plain_heatmap import plain_heatmap

FP32 = 2e-6  # sums of ~100 fp32 terms below 1, measured against float64 (see tests/towers)
ODD_PROMPTS = ["", "   \n\t", "\u200b\u200e", "x" * 1001, "x" * 10_000, "a \ud800 b"]


@pytest.fixture(scope="module", params=["vit", "resnet"])
def case(request: pytest.FixtureRequest, world: World) -> Case:
    files = sorted(world.images.rglob("1[2-7].*"))[:6]
    return Case(world.model(request.param), request.param, files)


def test_reading(case: Case) -> None:
    for n, image in enumerate(case.images):
        read = case.explainer.read(image)
        np.testing.assert_allclose(read.unit_o, case.plain.unit_no[n], rtol=0, atol=FP32)
        assert read.norm == pytest.approx(case.plain.norm_n[n], rel=1e-5)
        assert (read.width, read.height) == image.size and read.residual < 1e-5
        side = case.model.preprocessing["size"]
        assert read.view_yx3.shape == (*((side, side) if isinstance(side, int) else side), 3)
        assert abs(float(read.view_yx3.mean()) - np.asarray(image).mean()) < 12  # the same picture, cropped
    assert len({case.explainer.read(image).key for image in case.images}) == len(case.images)


def test_zero_shot(case: Case) -> None:
    prompts = ["a red wall", "  the   blue sea ", "كلب على الشاطئ"]
    for n, image in enumerate(case.images):
        found = case.explainer.zero_shot(case.explainer.read(image), prompts)
        cosine = np.array([case.text(" ".join(prompt.split())) @ case.plain.unit_no[n] for prompt in prompts])
        logits = cosine * float(case.model.clip.logit_scale.exp())
        np.testing.assert_allclose([score.cosine for score in found], cosine, rtol=0, atol=FP32)
        expected = np.exp(logits) / np.exp(logits).sum()
        np.testing.assert_allclose([score.probability for score in found], expected, rtol=1e-4)
        assert [score.prompt for score in found] == [" ".join(prompt.split()) for prompt in prompts]


def test_the_budget_closes_and_each_row_is_right(case: Case) -> None:
    text = case.text("a red wall")
    for n, image in enumerate(case.images):
        budget = case.explainer.budget(case.explainer.read(image), "a red wall")
        assert budget.cosine == pytest.approx(text @ case.plain.unit_no[n], abs=FP32)
        assert abs(budget.residual) < 5e-6 and budget.total == sum(row.value for row in budget.rows)
        heads = case.plain.heads_nlho[n]
        for row in budget.rows:
            layer = row.layer or 0
            if row.kind == "head":
                expected = heads[layer, int(row.name.rsplit("H", 1)[1])] @ text
            elif row.kind == "bias":
                expected = (case.plain.parts[f"attention L{layer}"][n] - heads[layer].sum(0)) @ text
            else:
                expected = case.plain.parts[row.name][n] @ text
            assert row.value == pytest.approx(expected, abs=FP32), row
        assert sum(row.value for row in budget.by_layer()) == pytest.approx(budget.total, abs=1e-9)
        layers = case.model.tower.layers
        assert len(budget.rows) == layers * case.model.tower.heads + (1 + 3 * layers - layers + 1 if layers > 1 else 1)
        ranked = case.explainer.ranked_heads(case.explainer.read(image), "a red wall")
        values = {row.name: row.value for row in budget.rows if row.kind == "head"}
        assert [head.address for head in ranked] == sorted(values, key=lambda name: -values[name])


def test_under_equal_shares_the_budget_closes_too(case: Case) -> None:
    explainer = Explainer(case.model, Convention.EQUAL)
    budget = explainer.budget(explainer.read(case.images[0]), "sky")
    assert abs(budget.residual) < 5e-6 and not any(row.kind == "bias" for row in budget.rows)


def test_heatmaps_are_tokens_contributions(case: Case) -> None:
    wall, sea = case.text("a red wall"), case.text("the sea")
    classes_co = np.stack([case.text(f"a thing {n}") for n in range(3)])
    mean_o = classes_co.mean(0)
    for n in (0, 3):
        image, tokens_ltho = case.explainer.read(case.images[n]), case.tokens_ltho(n)
        for against, average_o, theirs in (
            (None, None, {}),
            ("the sea", None, {"against_o": sea}),
            (None, mean_o, {"classes_co": classes_co}),
            ("the sea", mean_o, {"against_o": sea}),  # in a contrast the average cancels
        ):
            found = case.explainer.heatmap(image, "a red wall", against, average_o)
            plain = plain_heatmap(tokens_ltho, wall, **theirs)
            assert (found.against, found.averaged) == (against, average_o is not None and against is None)
            flat = found.head_lhyx.reshape(plain.head_lhn.shape)
            np.testing.assert_allclose(flat, plain.head_lhn, rtol=0, atol=FP32)
            np.testing.assert_allclose(found.class_token_lh, plain.class_token_lh, rtol=0, atol=FP32)
            np.testing.assert_allclose(found.layer_lyx.ravel(), plain.layer_ln.ravel(), rtol=0, atol=FP32)
            np.testing.assert_allclose(found.total_yx.ravel(), plain.total_n, rtol=0, atol=FP32)
            assert found.score == pytest.approx(plain.score, abs=FP32)
            assert found.total_yx.sum() + found.class_token_score == pytest.approx(found.score, abs=FP32)
            own, patches = np.abs(plain.class_token_lh).sum(), np.abs(plain.head_lhn).sum()
            assert found.class_token_share == pytest.approx(own / (own + patches), abs=1e-4)
            scaled = case.explainer.heatmap(image, "a red wall", against, average_o, normalise="per-layer")
            plain = plain_heatmap(tokens_ltho, wall, **theirs, per_layer=True)
            # FP32 over a layer's largest patch, which is 0.0018 or more here
            np.testing.assert_allclose(scaled.total_yx.ravel(), plain.total_n, rtol=0, atol=FP32 / 0.0018)
            np.testing.assert_allclose(scaled.class_token_lh, plain.class_token_lh, rtol=0, atol=FP32 / 0.0018)
            assert scaled.score == found.score
        matrix = case.explainer.head_token_matrix(image, "a red wall")
        expected = np.einsum("ltho,o->lht", tokens_ltho, wall)
        np.testing.assert_allclose(matrix.score_nt, expected.reshape(matrix.score_nt.shape), rtol=0, atol=FP32)
        assert len(matrix.addresses) == len(set(matrix.addresses)) == len(matrix.score_nt)


def test_some_layers_only(case: Case) -> None:
    image = case.explainer.read(case.images[0])
    last = case.model.tower.layers - 1
    one, every = (case.explainer.heatmap(image, "sky", layers=layers) for layers in ([last, last], None))
    assert one.layers == ((last,) if case.kind == "vit" else (None,))
    np.testing.assert_array_equal(one.head_lhyx[0], every.head_lhyx[-1])
    for odd in ([99], [], [-1]):
        with pytest.raises(InputError, match="has layers 0 to"):
            case.explainer.heatmap(image, "sky", layers=odd)
    with pytest.raises(InputError, match="raw or per-layer"):
        case.explainer.heatmap(image, "sky", normalise="x")


def test_an_image_finds_itself_in_its_bundle(case: Case, request: pytest.FixtureRequest) -> None:
    bundle = open_bundle(request.getfixturevalue(f"{case.kind}_bundle"))
    store = Store(bundle)
    case.explainer.check_bundle(bundle.facts)
    paths = {row["path"]: row["image_id"] for row in bundle.table("images").to_pylist()}
    for file, image in zip(case.files, case.images, strict=True):
        read, image_id = case.explainer.read(image), paths[f"{file.parent.name}/{file.name}"]
        assert store.similar(read.unit_o, 1).hits[0].score == pytest.approx(1, abs=1e-3)
        for head in store.heads()[::3]:
            r_c = store.coords(head.address, case.explainer.contribution(read, head.address))
            np.testing.assert_allclose(r_c, bundle.array("r")[head.row, head.head, image_id], rtol=2**-11, atol=FP32)
            assert store.similar_in_head(head.address, r_c, 1).hits[0].image_id == image_id


def test_another_model_is_not_taken_for_the_bundles(case: Case, request: pytest.FixtureRequest) -> None:
    facts = open_bundle(request.getfixturevalue(f"{case.kind}_bundle")).facts
    model = dict(facts["model"])
    with pytest.raises(ModelError, match="other weights"):
        case.explainer.check_bundle({**facts, "model": model | {"weights_digest": "00"}})
    shifted = [x + 0.01 for x in model["details"]["probe"]]
    with pytest.raises(ModelError, match="another representation"):
        case.explainer.check_bundle({**facts, "model": model | {"details": {"probe": shifted}}})


@pytest.mark.parametrize("prompt", ODD_PROMPTS)
def test_prompts_that_cannot_be_asked(case: Case, prompt: str) -> None:
    image = case.explainer.read(case.images[0])
    asks = (
        lambda: case.explainer.zero_shot(image, ["fine", prompt]),
        lambda: case.explainer.budget(image, prompt),
        lambda: case.explainer.heatmap(image, "fine", prompt),
        lambda: case.explainer.head_token_matrix(image, prompt),
    )
    for ask in asks:
        with pytest.raises(InputError, match=r"\.$"):
            ask()


def test_other_odd_questions(case: Case) -> None:
    image = case.explainer.read(case.images[0])
    with pytest.raises(InputError, match="0 prompts"):
        case.explainer.zero_shot(image, [])
    with pytest.raises(InputError, match="201 prompts"):
        case.explainer.zero_shot(image, ["x"] * 201)
    with pytest.raises(InputError, match="mode L"):
        case.explainer.read(case.images[0].convert("L"))
    for address in ("L9.H0", "H0" if case.kind == "vit" else "L0.H0", "L0.N3", "L0.H99", "../x"):
        with pytest.raises(AddressError):
            case.explainer.contribution(image, address)


def answers(explainer: Explainer, image: ImageTrace, prompt: str) -> tuple:
    heat = explainer.heatmap(image, prompt, "x")
    matrix = explainer.head_token_matrix(image, prompt)
    return (
        image.unit_o.tobytes(),
        explainer.budget(image, prompt),
        heat.total_yx.tobytes(),
        matrix.score_nt.tobytes(),
        explainer.zero_shot(image, [prompt, "x"]),
    )


def test_four_visitors_at_once_get_what_one_gets(case: Case) -> None:
    """With a cache of one image, so that every question may have to read its image again."""
    alone = [answers(case.explainer, case.explainer.read(image), f"thing {n}") for n, image in enumerate(case.images)]
    shared = Explainer(case.model, layers=range(case.model.tower.layers), cache_bytes=1)

    def visit(n: int) -> tuple:
        return answers(shared, shared.read(case.images[n % 6]), f"thing {n % 6}")

    with ThreadPoolExecutor(4) as pool:
        for n, found in enumerate(pool.map(visit, range(100))):
            assert found == alone[n % 6]
    assert len(shared._traces) == 1


def test_embeddings_are_kept_and_pools_go_through_the_lock(case: Case, tmp_path: Path) -> None:
    explainer = Explainer(case.model)
    asked: list[list[str]] = []
    plain = explainer.encode_texts
    explainer.encode_texts = lambda texts: (asked.append(list(texts)), plain(texts))[1]
    first, again = explainer.embed(["a", "b", " a "]), explainer.embed(["b", "c"])
    assert asked == [["a"], ["b"], ["c"]]
    np.testing.assert_array_equal(first[[1, 0, 0]], [again[0], first[2], first[0]])
    pool = make_pool("mine", ["a", "b"], "test")
    np.testing.assert_allclose(embed_pool(explainer, pool, tmp_path), first[:2], atol=1e-6)


def test_out_of_memory_moves_to_the_cpu_and_says_so(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = answers(case.explainer, case.explainer.read(case.images[1]), "sky")
    explainer = Explainer(case.model, layers=range(case.model.tower.layers))
    # a device other than the CPU, which runs out
    explainer.model = _Pretend(case.model)
    read = explainer.read(case.images[1])
    assert "meta device ran out of memory" in (explainer.notice or "") and explainer.model.device.type == "cpu"
    assert answers(explainer, read, "sky") == expected
    monkeypatch.setattr(explainer.model.tower, "trace", _run_out)
    with pytest.raises(ModelError, match="not enough memory"):
        explainer.read(case.images[2])


def _run_out(*_: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


class _Pretend:
    """A model on a GPU whose memory is full."""

    def __init__(self, model: object) -> None:
        self._model = model
        self.device = torch.device("meta")  # takes any tensor, with no driver needed
        self.tower = type("Full", (), {"trace": staticmethod(_run_out), "layers": model.tower.layers})

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)

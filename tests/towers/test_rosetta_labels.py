"""Words for CLIP units, against effects and heatmaps formed in full."""

import numpy as np
import pytest
import torch

from core.methods.first_order import FirstOrder
from core.methods.heatmaps import text_heatmaps
from core.methods.neuron_lens import neuron_lens
from core.methods.rosetta_labels import LARGEST, directions, nearest_texts, text_maps
from core.methods.sparse_text import text_atoms
from tests.towers.tiny import images, tiny_tower

NEURONS = [3, 0, 11, 30]


@pytest.mark.parametrize(("kind", "layer"), [("vit", 0), ("vit", 2), ("resnet", 0)])
def test_a_direction_is_the_first_component_of_the_largest_effects(kind: str, layer: int) -> None:
    tower = tiny_tower(kind)
    trace = tower.trace(images(tower, LARGEST + 20), (0,), (layer,))
    lens = neuron_lens(tower, layer)
    s_bnm = lens.scalars(trace)
    found = directions(lens, NEURONS, s_bnm[:, NEURONS].numpy())
    phi_bno = lens.phi(s_bnm, NEURONS).double()
    for n in range(len(NEURONS)):
        centred = phi_bno[:, n] - phi_bno[:, n].mean(0)
        rows = centred[centred.norm(dim=1).argsort(descending=True)[:LARGEST]]
        expected = torch.linalg.svd(rows, full_matrices=False).Vh[0]
        along = rows @ expected
        expected = expected * (along.sign().sum().sign() or along.mean().sign())
        # these models' images differ little: s is some hundred times its deviation, in float32, and so is what is left
        torch.testing.assert_close(found[n].double(), expected, rtol=0, atol=2e-3)
    assert directions(lens, [], np.zeros((5, 0, len(lens.pairs)), np.float32)).shape == (0, tower.out_dim)


@pytest.mark.parametrize(("kind", "layer"), [("vit", 1), ("resnet", 0)])
def test_the_lens_on_some_neurons_is_that_on_all(kind: str, layer: int) -> None:
    lens = neuron_lens(tiny_tower(kind), layer)
    whole = lens.reduce_ncm, lens.lengths_nm  # cached before: must not be handed on
    some = lens.only(NEURONS)
    assert some.neurons == len(NEURONS) and lens.neurons > len(NEURONS)
    torch.testing.assert_close(some.directions(), lens.directions(NEURONS))
    torch.testing.assert_close(some.lengths_nm, whole[1][NEURONS])
    # Q R is only unique up to signs
    torch.testing.assert_close(some.gram(), lens.gram(NEURONS), rtol=1e-4, atol=1e-7)


def test_a_neuron_without_effect_has_no_direction() -> None:
    tower = tiny_tower()
    lens = neuron_lens(tower, 1)
    still = np.ones((40, 2, len(lens.pairs)), np.float32)
    assert not directions(lens, [1, 2], still).any()


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_maps_of_texts_are_heatmaps_of_all_heads(kind: str) -> None:
    tower = tiny_tower(kind)
    layers = (2, 3) if kind == "vit" else (0,)
    lens, texts_wo = (
        FirstOrder(tower, layers),
        torch.randn(5, tower.out_dim, generator=torch.Generator().manual_seed(0)),
    )
    trace = tower.trace(images(tower), layers)
    expected = text_heatmaps(lens, trace, texts_wo).total()
    found = text_maps(lens, trace, texts_wo)
    assert found.shape == (3, 5, *tower.grid)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)  # float32, in another order


def test_nearest_texts_are_by_cosine() -> None:
    rng = np.random.default_rng(0)
    texts, direction = rng.normal(size=(9, 6)), rng.normal(size=(3, 6))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    index, cosine = nearest_texts(torch.from_numpy(direction), text_atoms(torch.from_numpy(texts)), k=4)
    for n in range(3):
        centred = texts - texts.mean(0)
        each = [float(direction[n] @ row / np.linalg.norm(row)) for row in centred]
        assert index[n].tolist() == sorted(range(9), key=lambda w: -each[w])[:4]
        assert np.allclose(cosine[n], sorted(each, reverse=True)[:4], rtol=0, atol=1e-12)
    assert nearest_texts(torch.from_numpy(direction), text_atoms(torch.from_numpy(texts)), k=50)[0].shape == (3, 9)

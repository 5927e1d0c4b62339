"""Laws of mean-ablation that hold for any scalars and weights."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.methods.pair_ablation import components, head_values, kept_heads, kept_pairs, rebuilt, write
from core.methods.pair_scores import fit_pairs, mask_percentile, order

SIZES = st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(1, 4), st.integers(1, 3), st.integers(0, 99))


def _draw(sizes: tuple[int, int, int, int, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Centred scalars (i, n, m), values (n, m, k), writers (m, o, k)."""
    n, images, m, k, seed = sizes
    made = torch.Generator().manual_seed(seed)
    s_inm = torch.randn(images, n, m, generator=made, dtype=torch.float64)
    draw = lambda *shape: torch.randn(*shape, generator=made, dtype=torch.float64)
    return s_inm - s_inm.mean(0), draw(n, m, k), draw(m, 5, k)


@given(SIZES)
@settings(max_examples=40, deadline=None)
def test_parts_add_up(sizes: tuple[int, int, int, int, int]) -> None:
    """A mask and its complement sum to everything; masks of heads and of neurons are masks of pairs."""
    centred, value, writer = _draw(sizes)
    n, m = value.shape[:2]
    everything = write(head_values(centred, value), writer)
    keep_nm = torch.rand(n, m, generator=torch.Generator().manual_seed(7)) < 0.5
    kept, dropped, whole = kept_pairs(centred, value, writer, [keep_nm, ~keep_nm, torch.ones(n, 1).bool()])
    torch.testing.assert_close(kept + dropped, everything)
    torch.testing.assert_close(whole, everything)
    (heads,) = kept_heads(head_values(centred, value), writer, [keep_nm[0]])
    torch.testing.assert_close(heads, kept_pairs(centred, value, writer, [keep_nm[:1].expand(n, m)])[0])


@given(SIZES)
@settings(max_examples=40, deadline=None)
def test_all_components_of_all_images_give_everything_back(sizes: tuple[int, int, int, int, int]) -> None:
    centred, value, writer = _draw(sizes)
    reduce_ncm = torch.linalg.qr(torch.einsum("nmk,mok->nom", value, writer), mode="r").R
    m = value.shape[1]
    made = components(centred.transpose(0, 1), reduce_ncm, m)
    directions_nro = made.directions(value.float(), writer.float())
    (found,) = rebuilt(made.along(centred.float()), directions_nro, (m,))
    # components are kept in float32
    torch.testing.assert_close(found.double(), write(head_values(centred, value), writer), atol=1e-4, rtol=1e-4)


@given(st.lists(st.floats(0, 10, allow_nan=False), min_size=1, max_size=50), st.integers(0, 100))
def test_masks_are_the_head_of_the_order(scores: list[float], percentile: int) -> None:
    score = np.array(scores)
    kept = mask_percentile(score, percentile)
    assert kept[order(score)].tolist() == sorted(kept, reverse=True) and kept.any()


@given(st.integers(0, 99), st.floats(0.1, 10))
@settings(max_examples=30, deadline=None)
def test_turning_a_pair_turns_its_sign_alone(seed: int, factor: float) -> None:
    s_nim = np.random.default_rng(seed).standard_normal((2, 7, 3)).astype(np.float32)
    length_nm = np.ones((2, 3))
    one = fit_pairs(s_nim, s_nim.mean(1, dtype=np.float64), length_nm, 3)
    other = fit_pairs(-s_nim, -s_nim.mean(1, dtype=np.float64), length_nm * factor, 3)
    assert (one.sign_nm == -other.sign_nm).all()
    np.testing.assert_allclose(other.score_nm, one.score_nm * factor, rtol=1e-6)

"""Compare our numbers with a directory of golden arrays: `python -m tests.golden DIR [--strict]`.

DIR holds inputs.npz (weights, images, texts, config), first_<activation>.npz and second_<activation>.npz, computed with
the papers' released code on a tiny random ViT; any sizes and seeds. One line an array: largest absolute and relative
error, tolerance, verdict. Exit code 1 if one exceeds its tolerance (or, with --strict, is not covered).

Tolerance of a float array: 30 x the reference's own float32 noise (stored beside it), at least 2e-6 of its largest
entry. Arrays decided by an argmax must agree exactly, except from a step on that the golden itself calls a tie.
"""

import argparse
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open_clip
import torch

from core.methods.first_order import FirstOrder
from core.methods.layernorm import Convention
from core.methods.textspan import head_subspace, textspan
from core.models.openclip_vit import OpenClipViT

ACTIVATIONS = ("gelu", "quickgelu")
HELPERS = ("sv_", "ts_margin", "topk_gap", "pca_major", "pca_sv", "pca_sign_safe", "_stable_", "noise")
TIE = 1e-5  # a pick whose margin over the second best is smaller is decided by rounding (rule of the golden set)


@dataclass(frozen=True)
class GoldenSet:
    """One activation of a directory: the model's inputs and the arrays to match."""

    config: dict
    weights: dict[str, torch.Tensor]
    images: torch.Tensor
    texts: np.ndarray
    arrays: dict[str, np.ndarray]
    noise: dict[str, list[float]]

    @classmethod
    def load(cls, folder: Path, activation: str) -> "GoldenSet":
        inputs = np.load(folder / "inputs.npz")
        arrays: dict[str, np.ndarray] = {}
        noise: dict[str, list[float]] = {}
        for part in ("first", "second"):
            path = folder / f"{part}_{activation}.npz"
            if path.is_file():
                stored = dict(np.load(path))
                noise |= json.loads(str(stored.pop("noise", "{}")))
                arrays |= stored
        return cls(
            config=json.loads(str(inputs["config"])),
            weights={k[7:]: torch.from_numpy(inputs[k]) for k in inputs.files if k.startswith("visual.")},
            images=torch.from_numpy(inputs["images_pool"]),
            texts=inputs["texts"],
            arrays=arrays,
            noise=noise,
        )

    @property
    def wanted(self) -> list[str]:
        return [name for name in self.arrays if not any(helper in name for helper in HELPERS)]

    def tolerance(self, name: str) -> float:
        largest = float(np.abs(self.arrays[name]).max())
        noise = self.noise.get(name, [0.0])[0]
        # a reconstruction inherits the float32 rounding of the head outputs that it is made of
        return max(30 * max(noise, 1e-7 if name.startswith("ts_rec") else 0.0), 2e-6 * largest)


def build_tower(golden: GoldenSet, activation: str) -> OpenClipViT:
    """The golden model as upstream builds it."""
    c = golden.config
    vision = {key: c[key] for key in ("layers", "width", "head_width", "mlp_ratio", "patch_size", "image_size")}
    text = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1}
    clip = open_clip.model.CLIP(c["embed_dim"], vision, text, quick_gelu=activation == "quickgelu")
    clip.visual.load_state_dict(golden.weights)
    return OpenClipViT(clip.visual.eval())


def first_order(golden: GoldenSet, activation: str) -> dict[str, np.ndarray]:
    """Our version of every array of first_<activation>.npz."""
    if "rep" not in golden.arrays:
        return {}
    tower = build_tower(golden, activation)
    layers = tuple(range(tower.layers))
    lens = FirstOrder(tower, layers, Convention.EQUAL)
    pool = tower.trace(golden.images, layers)
    n = golden.arrays["rep"].shape[0]
    main = tower.trace(golden.images[:n], layers)
    parts = lens.parts(main)
    tokens = torch.stack([lens.token_contributions(main, layer) for layer in layers], dim=1)
    mlps = parts.part_pbo[[0, *(lens.names.index(f"mlp L{i}") for i in layers)]]
    heads_blho = lens.head_contributions(lens.parts(pool).coords_blhc)
    out = {
        "rep": main.representation_bo,
        "rep_norm": main.norm_b,
        "post_ln_mean": main.mean_b[:, None],
        "post_ln_std": main.scale_b[:, None],
        "attn_tok": tokens,
        "attn_head": lens.head_contributions(parts.coords_blhc),
        "mlps": mlps.transpose(0, 1),
        "cls_attn": tokens[:, :, 0].sum(2),
    }
    for name in golden.arrays:
        if match := re.fullmatch(r"headout_L(\d+)H(\d+)", name):
            out[name] = heads_blho[:, int(match[1]), int(match[2])]
    arrays = {name: value.numpy() for name, value in out.items()}
    for name in golden.arrays:
        if match := re.fullmatch(r"ts_idx_L(\d+)H(\d+)_r(\d+)", name):
            layer, head, rank = (int(group) for group in match.groups())
            basis_oc = lens.basis_lhoc[layer, head].double().numpy()
            picks = golden.arrays[name].shape[0]
            coords_bc = golden.arrays[f"headout_L{layer}H{head}"].astype(np.float64) @ basis_oc
            index, rebuilt = _textspan(coords_bc, golden.texts @ basis_oc, picks, rank)
            arrays[name] = index
            arrays[name.replace("ts_idx", "ts_rec")] = rebuilt @ basis_oc.T
    return arrays


def _textspan(coords_bc: np.ndarray, texts_wc: np.ndarray, picks: int, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Picks, and the head's outputs rebuilt from the mean and the span of the picked texts."""
    mean_c, cov_cc = coords_bc.mean(0), np.cov(coords_bc.T, bias=True)
    texts_wc = texts_wc @ head_subspace(mean_c, cov_cc, rank)
    result = textspan(cov_cc, texts_wc, picks)
    span_cm = np.linalg.qr(texts_wc[result.index_m].T)[0]
    return result.index_m, mean_c + (coords_bc - mean_c) @ span_cm @ span_cm.T


METHODS = [first_order]


def compare(golden: GoldenSet, name: str, ours: np.ndarray) -> tuple[bool, float, float, str]:
    """Verdict, largest absolute and relative error, and a remark."""
    theirs = golden.arrays[name]
    if ours.shape != theirs.shape:
        return False, np.nan, np.nan, f"shape {ours.shape}, expected {theirs.shape}"
    if not np.isfinite(ours).all():
        return False, np.nan, np.nan, "not finite"
    if name.startswith("ts_idx"):
        wrong = np.flatnonzero(ours != theirs)
        margin = golden.arrays[name.replace("ts_idx", "ts_margin")]
        tied = len(wrong) == 0 or margin[wrong[0]] < TIE
        remark = f"{len(theirs)} picks identical" if len(wrong) == 0 else f"picks part at {wrong[0]}"
        return bool(tied), float(len(wrong)), len(wrong) / len(theirs), remark
    error = float(np.abs(ours.astype(np.float64) - theirs).max())
    return error <= golden.tolerance(name), error, error / max(float(np.abs(theirs).max()), 1e-300), ""


def check(folder: Path, strict: bool = False) -> int:
    """Compare everything in a directory; returns how many arrays failed."""
    if not (folder / "inputs.npz").is_file():
        raise SystemExit(f"{folder} holds no inputs.npz, so it is not a golden directory of the ViT format.")
    failed = 0
    for activation in ACTIVATIONS:
        golden = GoldenSet.load(folder, activation)
        if not golden.arrays:
            continue
        print(f"== {folder} / {activation}")
        ours: dict[str, np.ndarray] = {}
        for method in METHODS:
            ours |= method(golden, activation)
        for name in golden.wanted:
            if name not in ours:
                failed += strict
                print(f"  {'FAIL' if strict else '--'}  {name:24s} not yet covered")
                continue
            good, error, relative, remark = compare(golden, name, ours[name])
            failed += not good
            bound = f"{golden.tolerance(name):.1e}" if golden.arrays[name].dtype.kind == "f" else "exact"
            verdict = "ok" if good else "FAIL"
            print(f"  {verdict:4s}  {name:24s} abs {error:.2e}  rel {relative:.2e}  tolerance {bound}  {remark}")
    print("all within tolerance" if not failed else f"{failed} arrays failed")
    return failed


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--strict", action="store_true", help="arrays of methods not yet covered count as failures")
    arguments = parser.parse_args(argv)
    return 1 if check(arguments.folder, arguments.strict) else 0


if __name__ == "__main__":
    sys.exit(main())

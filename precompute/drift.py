"""`python -m precompute drift`: concepts followed over any images with a manifest, those of the bundle or newer ones.

Every image is read through the model, so all of the bundle's pairs can be chosen, while a page has only the described
ones; of an image nothing is kept but one number a concept. Paper P, §5.3 (`core.methods.drift`).
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from core.bundle.read import Bundle, open_bundle
from core.columns import NamedImages, groups, truth
from core.errors import BundleMissing, InputError
from core.ids import traced
from core.images import DecodePolicy
from core.methods.drift import Followed, Truth, choose_pairs, follow, written_share
from core.methods.neuron_head import NeuronHead
from core.methods.neuron_lens import neuron_lens
from core.models.load import LoadedModel
from core.models.tower import Trace
from precompute.arguments import resources
from precompute.manifest import Manifest, build_manifest
from precompute.pair_scores_kept import constants
from precompute.reader import read_images
from precompute.recorded import model_of
from precompute.told import save_csv, tell_unusable

_MOST_BYTES = 2**20


@dataclass(frozen=True)
class Concept:
    """A line of the file: a text, and what it is compared with, if it says so."""

    text: str
    column: str | None = None
    value: str = ""


@dataclass(frozen=True)
class Chosen:
    """The pairs of one concept: `at` layer position, neuron and later head of each (3, j); unit `direction_jo`, signed
    `length_j`, `cosine_j` with the text, and `constant_o`, the sum of their constants."""

    at: np.ndarray
    direction_jo: np.ndarray
    length_j: np.ndarray
    cosine_j: np.ndarray
    constant_o: np.ndarray


def drift(arguments: argparse.Namespace) -> dict[str, Followed]:
    """The command; prints a table, writes CSV if asked to, and returns each concept's numbers."""
    means = resources(arguments)
    bundle = open_bundle(arguments.bundle)
    if not bundle.has("pair_coords"):
        raise BundleMissing(
            f"Bundle {bundle.id} has no neuron-head pairs. Make one with `python -m precompute run`, of a ResNet or "
            "with neuron layers, and without --no-pairs."
        )
    concepts = read_concepts(arguments.concepts)
    manifest = build_manifest(arguments.images)
    if arguments.by not in manifest.table.column_names:
        known = ", ".join(name for name in manifest.table.column_names if name not in ("image_id", "path", "bytes"))
        raise InputError(f"The images have no column {arguments.by[:60]!r}; their manifest has {known}.")
    grouping = groups(arguments.by, manifest.table[arguments.by].combine_chunks())
    columns = {field.name: field.type for field in manifest.table.schema if field.name != "path"}
    named = NamedImages(columns, lambda name: manifest.table[name].combine_chunks())
    truths = [truth_of(concept, manifest, named) for concept in concepts]
    model = model_of(
        bundle, "Restore the weights it was made with, or make the bundle again.", name=arguments.model,
        pretrained=arguments.pretrained, device=arguments.device,
    )  # fmt: skip
    lenses = [neuron_lens(model.tower, layer) for layer in traced(bundle.axes["neuron_layer"].labels or [])]
    embedded = model.encode_texts([concept.text for concept in concepts])
    mean_o = np.asarray(bundle.array("text_embeddings").mean(0, dtype=np.float64)) if arguments.centred else 0.0
    chosen = [choose(bundle, text_o - mean_o, arguments.pairs, lenses) for text_o in embedded]
    share_ic = shares(manifest, model, lenses, chosen, arguments.batch, means.threads, arguments.quiet)
    found = {
        concept.text: follow(share_i, grouping, known)
        for concept, share_i, known in zip(concepts, share_ic.T, truths, strict=True)
    }
    _tell(found, arguments.csv)
    return found


def read_concepts(path: Path) -> tuple[Concept, ...]:
    """One concept a line, of which COLUMN=VALUE may follow after a tab; empty lines are left out. InputError."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path} is larger than 1 MB, which no list of concepts is.")
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text ({error}). Give a UTF-8 file, one concept a line.") from error
    made = []
    for number, line in enumerate(lines, 1):
        text, _, rest = (part.strip() for part in line.partition("\t"))
        column, equals, value = rest.partition("=")
        if not text and not rest:
            continue
        if not text or (rest and not (column and equals and value)):
            raise InputError(f"Line {number} of {path} is not `concept` or `concept<TAB>COLUMN=VALUE`: {line[:80]!r}.")
        made.append(Concept(text, column or None, value))
    if not made:
        raise InputError(f"{path} has no concept: write one a line.")
    return tuple({concept.text: concept for concept in made}.values())


def truth_of(concept: Concept, manifest: Manifest, named: NamedImages) -> Truth | None:
    """What a concept is compared with: what its line says, or the column one of whose values it names. InputError for a
    column that is not there, or a value it never has."""
    table = manifest.table
    if concept.column is not None:
        if concept.column not in table.column_names:
            raise InputError(
                f"“{concept.text}” is to be compared with the column {concept.column[:60]!r}, which the manifest does "
                f"not have; it has {', '.join(table.column_names)}."
            )
        return truth(concept.column, table[concept.column].combine_chunks(), concept.value)
    return named.find(concept.text)


def choose(bundle: Bundle, text_o: np.ndarray, pairs: int, lenses: Sequence[NeuronHead]) -> Chosen:
    """The pairs nearest to a text, of all there are."""
    basis_mok = np.asarray(bundle.array("pair_basis"), np.float64)
    norm = float(np.linalg.norm(text_o))
    if not norm > 0:
        raise InputError("A concept is the pool's mean: less that, nothing is left of it. Leave --centred out.")
    toward_mk = np.einsum("mok,o->mk", basis_mok, text_o / norm)
    coords = bundle.array("pair_coords")
    cosine = np.stack([np.einsum("nmk,mk->nm", np.asarray(layer), toward_mk) for layer in coords])
    length = np.asarray(bundle.array("pair_length"))
    cosine[length == 0] = np.nan
    rows = choose_pairs(cosine.ravel(), pairs)
    at = np.stack(np.unravel_index(rows, length.shape))
    i, n, m = at
    direction_jo = np.einsum("jok,jk->jo", basis_mok[m], coords[i, n, m])
    constant_o = constants(lenses, len(basis_mok))[m].sum(0)
    return Chosen(at, direction_jo, length[i, n, m], cosine.ravel()[rows], constant_o)


def shares(
    manifest: Manifest, model: LoadedModel, lenses: Sequence[NeuronHead], chosen: Sequence[Chosen], batch: int,
    threads: int, quiet: bool,
) -> np.ndarray:  # fmt: skip
    """(i, c) each concept's share in each image; NaN for images that cannot be used, of which it tells."""
    out = np.full((manifest.table.num_rows, len(chosen)), np.nan)
    bad: list[str] = []
    with tqdm(total=len(out), desc="drift", unit="image", disable=quiet) as bar:
        for start in range(0, len(out), batch):
            rows = manifest.table.slice(start, batch)
            read = list(read_images(manifest.root, rows, DecodePolicy(), threads=threads, prepare=model.transform))
            usable = [one for one in read if one.prepared is not None]
            bad += [str(one.message) for one in read if one.prepared is None]
            if usable:
                pixels = torch.stack([one.prepared for one in usable]).to(model.device)
                layers = tuple(lens.layer for lens in lenses)
                trace = model.tower.trace(pixels, (0,) if model.tower.kind == "resnet" else (), neurons=layers)
                ids = [one.image_id for one in usable]
                for c, pairs in enumerate(chosen):
                    out[ids, c] = _share(trace, lenses, pairs)
            bar.update(len(read))
    tell_unusable(bad)
    return out


def _share(trace: Trace, lenses: Sequence[NeuronHead], pairs: Chosen) -> np.ndarray:
    """One concept's share in each image of a batch."""
    i, n, m = pairs.at
    amount_bj = np.zeros((len(trace.norm_b), len(i)))
    carriers = len(lenses[0].pairs)
    for layer, lens in enumerate(lenses):
        here = np.flatnonzero(i == layer)
        if len(here):
            s_bnm = lens.token_scalars(trace, n[here].tolist()).sum(-1).cpu().numpy()
            own = m[here] - (carriers - len(lens.pairs))  # heads that are not later come first
            amount_bj[:, here] = s_bnm[:, np.arange(len(here)), own] * pairs.length_j[here]
    norm_b = trace.norm_b.cpu().numpy()
    return written_share(amount_bj, pairs.direction_jo, pairs.constant_o, norm_b)


def _tell(found: dict[str, Followed], csv: Path | None) -> None:
    first = next(iter(found.values()))
    width = max(len(text) for text in [*found, "concept"])
    print(f"over {len(first.grouping.names)} groups of {first.grouping.column}, {first.grouping.kind}")
    print(f"{'concept':{width}s}  {'images':>8s} {'left out':>8s} {'showing':>8s} {'r':>7s} {'groups r':>8s}  truth")
    for text, one in found.items():
        told = "" if one.truth is None else str(one.truth)
        numbers = f"{one.images:8,d} {one.left_out:8,d} {one.showing:8,d} {one.point_biserial:7.3f} {one.by_group:8.3f}"
        print(f"{text:{width}s}  {numbers}  {told}")
    print("r: point-biserial correlation of the share with the truth, image by image; groups r: of the groups' means")
    save_csv(pd.concat([_rows(text, one) for text, one in found.items()]), csv)


def _rows(text: str, one: Followed) -> pd.DataFrame:
    columns: dict[str, Any] = {
        "concept": text,
        "group": one.grouping.names,
        "images": one.share.count_g,
        "share": one.share.mean_g,
        "share_error": one.share.error_g,
    }
    if one.true is not None:
        columns |= {"true": one.true.mean_g, "true_error": one.true.error_g}
    columns |= {"point_biserial": one.point_biserial, "groups_correlation": one.by_group}
    return pd.DataFrame(columns)

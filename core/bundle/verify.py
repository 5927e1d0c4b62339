"""Verifies a finished bundle in full: every byte against its checksum, then what the numbers say against each other."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.bundle import schema
from core.bundle.atomic import digest_file
from core.bundle.faiss_store import METRICS, OpenIndex, search
from core.bundle.read import Bundle, confined, is_dictionary, open_bundle, read_manifest
from core.bundle.schema_rosetta import DICTIONARY
from core.bundle.verify_neurons import neuron_problems
from core.bundle.verify_pairs import pair_problems, pair_score_problems
from core.bundle.verify_rosetta import dictionary_problems
from core.bundle.verify_sink import sink_problems
from core.bundle.write import list_files
from core.errors import BundleDamaged, BundleMissing

_QUERIES = 3
_NEIGHBOURS = 10
_BLOCK = 65_536
_FP16_STEP = 2.0**-11  # relative error of rounding to half precision
_FP32_STEP = 2.0**-24

Progress = Callable[[int, int, str], None]
"""Called with steps done, steps in all, and what is being checked."""


@dataclass(frozen=True)
class Report:
    """What `verify` found: a sentence for each problem, and how much was checked."""

    problems: tuple[str, ...]
    files: int
    size: int

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(path: Path | str, progress: Progress | None = None) -> Report:
    """Check a finished bundle, or dictionary, completely. Damage is in the report; it raises only what leaves nothing
    to check: BundleMissing, BundleVersion, or BundleDamaged for a bundle.json that cannot be used."""
    folder = Path(path)
    form = DICTIONARY if is_dictionary(folder) else schema.BUNDLE
    facts = read_manifest(folder, form)
    files, keys = facts["files"], list(facts.get("indexes", ()))
    total, done = len(files) + len(keys) + 1, 0
    problems: list[str] = []
    for relative, entry in files.items():
        if progress:
            progress(done, total, relative)
        problems += _file_problems(confined(folder, relative, form.manifest), relative, entry, form.manifest)
        done += 1
    unlisted = [name for name in list_files(folder, form.manifest) if name not in files]
    problems += [f"{name} is not listed in {form.manifest}." for name in unlisted]
    # A wrong file makes the rest meaningless, and what cannot be opened cannot be compared.
    if not problems:
        bundle = open_bundle(folder, form)
        if progress:
            progress(done, total, "arrays and tables")
        problems += _content_problems(bundle)
        rng = np.random.default_rng(0)
        for number, key in enumerate(keys, done + 1):
            if progress:
                progress(number, total, f"index {key}")
            problems += _guarded(_index_problems(bundle, key, rng))
    if progress:
        progress(total, total, "done")
    return Report(tuple(problems), len(files), sum(entry["bytes"] for entry in files.values()))


def _guarded(found: Iterator[str]) -> list[str]:
    try:
        return list(found)
    except (BundleDamaged, BundleMissing) as error:
        return [str(error)]


def _file_problems(path: Path, relative: str, entry: dict, manifest: str) -> list[str]:
    try:
        if path.stat().st_size != entry["bytes"]:
            return [f"{relative} has {path.stat().st_size} bytes instead of {entry['bytes']}."]
        if digest_file(path) != entry["sha256"]:
            return [f"{relative} was altered: its sha256 is not the one in {manifest}."]
    except FileNotFoundError:
        return [f"{relative} is missing."]
    except OSError as error:
        return [f"{relative} cannot be read ({error.strerror})."]
    return []


def _content_problems(bundle: Bundle) -> list[str]:
    problems = []
    for name in (*bundle.facts["arrays"], *bundle.facts["tables"]):
        problems += _guarded(_opens(bundle, name))
    # the comparisons below need all of them
    if not problems and bundle.form is DICTIONARY:
        problems += _guarded(dictionary_problems(bundle))
    elif not problems:
        own = (_closing, _images, _units, _heads, _texts, _thumbs, _index_list)
        for check in (*own, neuron_problems, pair_problems, pair_score_problems, sink_problems):
            problems += _guarded(check(bundle))
    return problems


def _opens(bundle: Bundle, name: str) -> Iterator[str]:
    if name in bundle.form.table:
        bundle.table(name)
    elif name in bundle.form.array:
        bundle.array(name)
    else:
        yield f"{bundle.form.manifest} lists {name[:40]!r}, which format version {bundle.form.version} does not know."


def _closing(bundle: Bundle) -> Iterator[str]:
    worst, tolerance = bundle.facts["worst_residual"], bundle.facts["residual_tolerance"]
    if not 0 <= worst <= tolerance:
        yield f"bundle.json: the parts miss the representation by {worst:.2e}, more than the {tolerance:.2e} allowed."


def _images(bundle: Bundle) -> Iterator[str]:
    ok, images = np.asarray(bundle.array("ok")), bundle.table("images")
    manifest = bundle.facts["manifest"]
    counts = (len(ok), int(ok.sum()), int((~ok).sum()))
    if counts != (manifest["images"], manifest["ok"], manifest["quarantined"]):
        yield f"ok.npy counts {counts} images, ok and quarantined, but bundle.json says otherwise."
    if not np.array_equal(images["image_id"].to_numpy(), np.arange(len(ok))):
        yield "images.parquet does not number its images 0, 1, 2, …."
    if not np.array_equal(images["status"].to_numpy() == "ok", ok):
        yield "images.parquet and ok.npy disagree on which images are ok."
    if not np.array_equal(np.sort(bundle.table("quarantine")["image_id"].to_numpy()), np.flatnonzero(~ok)):
        yield "quarantine.parquet does not list exactly the images that ok.npy says are not."


def _units(bundle: Bundle) -> Iterator[str]:
    # Rounding n numbers of a unit vector to half precision changes its norm by no more than one relative step, and
    # numbers too small for a full mantissa by 2⁻²⁵ each.
    ok = np.asarray(bundle.array("ok"))
    for name, used, step in (("representations", ok, _FP16_STEP), ("text_embeddings", slice(None), 64 * _FP32_STEP)):
        array = bundle.array(name)
        norms = np.concatenate([np.linalg.norm(block, axis=1) for _, block in _blocks(array)])
        tolerance = step + 2.0**-25 * np.sqrt(array.shape[1])
        if not (np.abs(norms[used] - 1) <= tolerance).all():
            yield f"{schema.ARRAY[name].path} holds rows that are not of norm one."
    if np.asarray(bundle.array("representations"))[~ok].any():
        yield "representations.npy is not zero for quarantined images."


def _heads(bundle: Bundle) -> Iterator[str]:
    ok, r, basis = np.asarray(bundle.array("ok")), bundle.array("r"), bundle.array("basis")
    means, covs, variances = bundle.array("mean"), bundle.array("cov"), bundle.array("variance")
    for layer, head in np.ndindex(r.shape[:2]):
        where = f"at layer {bundle.axes['layer'].labels[layer] if bundle.axes['layer'].labels else layer}, head {head}"
        total, largest, finite = np.zeros(r.shape[-1]), 0.0, True
        for start, block in _blocks(r[layer, head]):
            used = ok[start : start + len(block)]
            finite = finite and bool(np.isfinite(block).all()) and not block[~used].any()
            total += block[used].sum(0, dtype=np.float64)
            largest = max(largest, float(np.abs(block).max(initial=0)))
        if not finite:
            yield f"heads/r.npy {where} is not finite, or not zero for quarantined images."
        elif (np.abs(total / max(1, ok.sum()) - means[layer, head]) > _FP16_STEP * largest + 2.0**-24).any():
            yield f"heads/mean.npy {where} is not the mean of heads/r.npy."
        # twice the rounding of a product of fp32 columns
        gram = basis[layer, head].T.astype(np.float64) @ basis[layer, head]
        if not np.allclose(gram, np.eye(len(gram)), rtol=0, atol=2 * basis.shape[2] * _FP32_STEP):
            yield f"heads/basis.npy {where} has columns that are not orthonormal."
        if not np.isclose(np.trace(covs[layer, head]), variances[layer, head], rtol=1e-9, atol=0):
            yield f"heads/variance.npy {where} is not the trace of heads/cov.npy."


def _texts(bundle: Bundle) -> Iterator[str]:
    limits = {"text_index": bundle.axes["text"].size, "text_top_ids": bundle.axes["image"].size}
    for name, size in limits.items():
        rows = bundle.array(name)
        if rows.size and not (rows.min() >= -1 and rows.max() < size):
            yield f"{schema.ARRAY[name].path} points at rows that do not exist."
            return
    ids, scores = np.asarray(bundle.array("text_top_ids")), np.asarray(bundle.array("text_top_scores"))
    if not np.asarray(bundle.array("ok"))[ids[ids >= 0]].all():
        yield "heads/text_top_ids.npy names quarantined images."
    if (np.isnan(scores) != (ids < 0)).any():
        yield "heads/text_top_scores.npy is not NaN exactly where heads/text_top_ids.npy is -1."
    steps = np.diff(scores.astype(np.float64), axis=-1)
    if (steps[..., 0, :] > 0).any() or (steps[..., 1, :] < 0).any():
        yield "heads/text_top_scores.npy is not sorted from the most extreme image on."


def _thumbs(bundle: Bundle) -> Iterator[str]:
    there = [name in bundle.facts["files"] for name in ("thumbs/thumbs.bin", "thumbs/offsets.npy")]
    if any(there) and not all(there):
        yield "thumbs/ holds only one of thumbs.bin and offsets.npy."
    if not all(there):
        return
    ok, size = np.asarray(bundle.array("ok")), bundle.path("thumbs/thumbs.bin").stat().st_size
    try:
        offsets = np.load(bundle.path("thumbs/offsets.npy"), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise BundleDamaged(f"thumbs/offsets.npy cannot be read ({error}).") from error
    if offsets.dtype != np.int64 or offsets.shape != (len(ok) + 1,):
        yield f"thumbs/offsets.npy is {offsets.dtype} {offsets.shape}, not int64 ({len(ok) + 1},)."
    elif offsets[0] != 0 or offsets[-1] != size or (np.diff(offsets) < 0).any():
        yield f"thumbs/offsets.npy does not rise from 0 to the {size} bytes of thumbs/thumbs.bin."
    elif np.diff(offsets)[~ok].any():
        yield "thumbs/ holds thumbnails of quarantined images."


def _index_list(bundle: Bundle) -> Iterator[str]:
    layers = bundle.axes["layer"].labels or []
    later = bundle.axes["later_head"].labels or () if "later_head" in bundle.axes else ()
    expected = schema.index_keys(layers, bundle.axes["head"].size, bundle.facts["arrays"], later)
    if set(bundle.facts["indexes"]) != set(expected):
        yield "bundle.json does not list an index for every head, the images, the texts, any neurons and their pairs."


def _index_problems(bundle: Bundle, key: str, rng: np.random.Generator) -> Iterator[str]:
    index = bundle.index(key)
    spec, unit = schema.index_spec(key)
    source = np.asarray(bundle.array(spec.source))  # still mapped, not read
    if spec.name == "pairs":
        later = bundle.axes["later_head"].labels or []
        if str(unit) not in later:
            yield f"{schema.index_path(key)} is of a head that no neuron is read by."
            return
        source = source[:, :, later.index(str(unit))]
    elif unit is not None:
        labels = bundle.axes["layer"].labels or []
        if unit.layer not in labels or unit.head >= source.shape[1]:
            yield f"{schema.index_path(key)} is of a head that is not in the bundle."
            return
        source = source[labels.index(unit.layer), unit.head]
    source = source.reshape(-1, source.shape[-1])
    if (index.n, index.d) != source.shape:
        yield f"{schema.index_path(key)} holds {index.n} × {index.d} numbers, its array {source.shape}."
    elif index.kind == "fp16" and index.n:
        rows = np.sort(rng.choice(index.n, min(index.n, _QUERIES), replace=False))
        if not all(_answers(index, source, source[rows].astype(np.float32), metric) for metric in METRICS):
            yield f"{schema.index_path(key)} does not answer as {schema.ARRAY[spec.source].path} does."


def _answers(index: OpenIndex, source: np.ndarray, queries: np.ndarray, metric: str) -> bool:
    """Whether the scores of the index are those of a plain search through the array, up to fp32 summation."""
    scores, ids = search(index, queries, _NEIGHBOURS, metric="l2" if metric == "l2" else "ip")
    best: np.ndarray = np.empty((len(queries), 0))
    size = 0.0
    for _, block in _blocks(source):
        rows = block.astype(np.float16).astype(np.float64)
        size = max(size, float((rows**2).sum(1).max(initial=0)))
        best = np.sort(np.concatenate([best, _exact(queries, rows, metric)], axis=1), axis=1)
        best = best[:, :_NEIGHBOURS]
    size = max(size, float((queries.astype(np.float64) ** 2).sum(1).max()))
    # d roundings of a sum whose terms add up to no more than 4 · max ‖x‖² (for l2; less for inner products)
    tolerance = 4 * size * index.d * _FP32_STEP
    named = [_exact(queries[i : i + 1], source[row].astype(np.float16), metric)[0] for i, row in enumerate(ids)]
    plain = -scores if metric == "ip" else scores
    close = np.abs(plain - best) <= tolerance
    return bool(close.all() and (np.abs(np.array(named) - best) <= tolerance).all())


def _exact(queries: np.ndarray, rows: np.ndarray, metric: str) -> np.ndarray:
    """Costs (q, n), smaller is better: negative inner products or squared distances, in fp64."""
    a, b = queries.astype(np.float64), rows.astype(np.float64)
    products = a @ b.T
    return -products if metric == "ip" else (a**2).sum(1)[:, None] - 2 * products + (b**2).sum(1)


def _blocks(array: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, len(array), _BLOCK):
        yield start, np.asarray(array[start : start + _BLOCK]).astype(np.float32)

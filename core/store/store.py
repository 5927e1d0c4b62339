"""The store: everything pages ask of a bundle. See `Store`."""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from core.bundle.faiss_store import search
from core.bundle.read import Bundle
from core.bundle.schema import head_key
from core.bundle.schema_pairs import LEVELS
from core.errors import InputError
from core.ids import Head
from core.store import answers as a
from core.store import spread
from core.store.drift import DriftTable
from core.store.heads import HeadTable
from core.store.images import ImageTable
from core.store.label_scores import LabelScores
from core.store.measures import as_groups, follows
from core.store.neurons import NeuronTable
from core.store.pairs import PairTable
from core.store.scan import Scores, gather, scan, spread_ids
from core.store.sink import Sink, read_sink
from core.store.texts import check_text
from core.store.units import Units
from core.text.zeroshot import binomial_error

FOLD_ABOVE = 0.95
"""Cosine of two images' representations, less their mean over the bundle, above which they are shown as one. Less the
mean, because CLIP's image representations lie in a narrow cone, and those of an untrained model in a narrower one."""
COLUMN_IMAGES = 8_192
"""Most images that the measure of a column looks at, for all heads."""
_SCANS_KEPT = 24  # about 3 MB each at most
_LARGEST = 500  # images asked for at once

Direction = int | np.ndarray
"""A text: its pick among the head's own texts, or the unit embedding (o,) of any text."""


class Store:
    """Answers about one bundle. Opening is cheap at any number of images: arrays and indexes are memory-mapped and
    only what an answer needs is read. Read-only and thread-safe; one serves all sessions.

    Heads are given by address, as text ("L3.H5") or `core.ids.Head`. Every method raises core.errors: AddressError for
    a head, pick or image that is not there, InputError for an argument that makes no sense, BundleDamaged.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.images = ImageTable(bundle)
        self.head_table = HeadTable(bundle)
        self._scans: OrderedDict[tuple[str, bytes], Scores] = OrderedDict()
        self._grids: dict[str, a.Grid] = {}
        self._lock = threading.Lock()

    # --- what the bundle is ---------------------------------------------------------------------------------------

    def facts(self) -> a.Facts:
        """What a footer and the About page say."""
        return self.head_table.facts

    def heads(self) -> tuple[a.HeadSummary, ...]:
        """Every analysed head, layer by layer."""
        return self.head_table.summaries

    def parts(self) -> tuple[a.Part, ...]:
        """The other summands, with the attention of each layer as one."""
        rows = self.bundle.table("parts").to_pylist()
        return tuple(a.Part(r["name"], r["kind"], r["layer"], r["mean_norm"], r["share"]) for r in rows)

    def ablations(self) -> tuple[a.Ablation, ...]:
        """Zero-shot accuracy under mean-ablation; empty where it was not computed (no classes, or an older bundle)."""
        if not self.bundle.has("ablation"):
            return ()
        rows = self.bundle.table("ablation").to_pylist()
        return tuple(a.Ablation(r["kind"], r["layer"], r["top1"], r["images"]) for r in rows)

    def characterisation(self) -> tuple[a.Characterised, ...]:
        """What second-order effects are worth; empty where it was not computed (no classes, no neurons)."""
        if not self.bundle.has("characterisation"):
            return ()
        rows = self.bundle.table("characterisation").to_pylist()
        return tuple(a.Characterised(**r, error=binomial_error(r["top1"], r["images"])) for r in rows)

    def sparsity(self) -> tuple[a.Sparse, ...]:
        """How few pairs, neurons or heads are needed; empty where it was not computed (no classes, no pairs)."""
        if not self.bundle.has("sparsity"):
            return ()
        rows = self.bundle.table("sparsity").to_pylist()
        return tuple(a.Sparse(**r, error=binomial_error(r["top1"], r["images"])) for r in rows)

    def measures(self) -> dict[str, str]:
        """Names for `grid`, with a title each: the fixed ones, then one for each column that groups or measures."""
        return self.head_table.titles | {f"column:{name}": f"Follows {name}" for name in self._followable}

    def grid(self, measure: str) -> a.Grid:
        """A measure over all heads. Columns take up to a second the first time. InputError for an unknown one."""
        if measure in self.head_table.titles:
            return self.head_table.grid(measure)
        name = measure.removeprefix("column:")
        if not measure.startswith("column:") or name not in self._followable:
            known = ", ".join(self.measures())
            raise InputError(f"There is no measure {measure[:40]!r}; there are: {known}.")
        if measure not in self._grids:
            self._grids[measure] = self._column_grid(name)
        return self._grids[measure]

    def class_mean(self) -> np.ndarray | None:
        """(o,) mean of the class prompts' embeddings, which average-subtracted heatmaps need; None without classes."""
        return self.bundle.array("class_embeddings").mean(0) if self.bundle.has("class_embeddings") else None

    def class_names(self) -> tuple[str, ...]:
        """Readable names of the classes; empty without any."""
        return tuple(self.bundle.table("classes")["name"].to_pylist()) if self.bundle.has("classes") else ()

    @cached_property
    def neurons(self) -> NeuronTable | None:
        """Answers about MLP neurons, where this bundle has them (see NeuronTable)."""
        return NeuronTable(self.bundle, self._folded, FOLD_ABOVE) if self.bundle.has("neuron_direction") else None

    @cached_property
    def drift(self) -> DriftTable | None:
        """Answers about drift over groups of images, where this bundle keeps what they need (see DriftTable)."""
        return DriftTable(self.bundle, self.images) if self.bundle.has("pair_text_scores") else None

    @cached_property
    def sink(self) -> Sink | None:
        """The attention sink of a ResNet's pool, where it was measured."""
        pool = self.bundle.facts["model"]["tower"] == "resnet"
        return read_sink(self.bundle) if pool and self.bundle.has("sink_attention") else None

    @cached_property
    def pairs(self) -> PairTable | None:
        """Answers about neuron-head pairs, where this bundle has them (see PairTable)."""
        if self.neurons is None or not self.bundle.has("pair_coords"):
            return None
        return PairTable(self.bundle, self.neurons, self.head_table, self._folded, FOLD_ABOVE)

    @cached_property
    def units(self) -> Units:
        """The same questions about heads, neurons and pairs alike (see Units)."""
        return Units(self)

    @cached_property
    def label_scores(self) -> LabelScores:
        """How well labels predict their units (see LabelScores)."""
        return LabelScores(self)

    # --- one head -------------------------------------------------------------------------------------------------

    def head(self, address: str | Head) -> a.HeadAnswer:
        """Its texts, with explained variance, mean, spread and quantiles of their scores."""
        return self.head_table.head(address)

    def baseline(self, address: str | Head) -> a.Baseline:
        """How much of its variance as many texts taken at random explain, and as many directions at best."""
        return self.head_table.baseline(address)

    def ends(self, address: str | Head, direction: Direction = 0, k: int = 24, fold: bool = True) -> a.Ends:
        """The k images of largest and of smallest ⟨c, t⟩, near-duplicates folded. For a pick these are the stored ones
        (as many as were kept), for any other text the head's index is searched."""
        i, h = self.head_table.at(address)
        if isinstance(direction, np.ndarray):
            plus, minus = self._search_ends(i, h, direction, _bounded(k))
        else:
            plus, minus = self.head_table.stored_ends(i, h, direction)
        folded = [self._folded(end)[: _bounded(k)] if fold else tuple(end[: _bounded(k)]) for end in (plus, minus)]
        return a.Ends(folded[0], folded[1], FOLD_ABOVE, self.head_table.everyone)

    def intervals(
        self,
        address: str | Head,
        direction: Direction = 0,
        per_row: int = 8,
        levels: Sequence[float] = LEVELS,
    ) -> a.Intervals:
        """The images by quantile interval of ⟨c, t⟩, with `per_row` of each; quantiles of the images looked at."""
        i, h = self.head_table.at(address)
        scores = self._scores(i, h, direction)
        return spread.intervals(scores, per_row, levels, self._looked_at(len(scores.id_n)))

    def histogram(self, address: str | Head, direction: Direction = 0, bins: int = 60) -> a.Histogram:
        """How ⟨c, t⟩ is distributed; mean and std are over the images looked at."""
        i, h = self.head_table.at(address)
        scores = self._scores(i, h, direction)
        return spread.histogram(scores, bins, self._looked_at(len(scores.id_n)))

    def scores(self, address: str | Head, direction: Direction = 0) -> Scores:
        """⟨c, t⟩ of the images looked at, which are spread evenly over the bundle."""
        return self._scores(*self.head_table.at(address), direction)

    def relabel(
        self, texts: Sequence[str], embeddings_wo: np.ndarray, picks: int = 10, address: str | Head | None = None
    ) -> tuple[a.Relabelled, ...]:
        """TextSpan with another pool, for one head or (address None) for all: `texts` and their unit embeddings
        (w, o). From the stored covariances, so over all ok images."""
        return self.head_table.relabel(texts, embeddings_wo, picks, address)

    # --- images and heads that are alike --------------------------------------------------------------------------

    def similar(self, to: int | np.ndarray, k: int = 24) -> a.Neighbours:
        """The images nearest by the whole representation to an image, or to a representation (o,)."""
        vector, excluded = self._vector(to, lambda i: self._representations[i], self._representations.shape[1])
        norm = np.linalg.norm(vector)
        found = search(self.bundle.index("images"), vector[None] / (norm or 1), _bounded(k), excluded, metric="ip")
        return a.Neighbours(_hits(*found), "cosine of the representations", self.head_table.everyone)

    def similar_in_head(self, address: str | Head, to: int | np.ndarray, k: int = 24) -> a.Neighbours:
        """The images nearest in this head's sense to an image, or to coordinates r (c,) (see `coords`)."""
        i, h = self.head_table.at(address)
        r_nc = self._r[i, h]
        vector, excluded = self._vector(to, lambda n: r_nc[n], r_nc.shape[1])
        squared, ids = search(self._head_index(i, h), vector[None], _bounded(k), excluded, metric="l2")
        distances = np.sqrt(np.maximum(squared, 0))
        return a.Neighbours(_hits(distances, ids), "distance ‖c − c'‖ in the head's space", self.head_table.everyone)

    def coords(self, address: str | Head, contribution_o: np.ndarray) -> np.ndarray:
        """r (c,) of what a head adds to an image's representation (`Explainer.contribution`): Qᵀc."""
        i, h = self.head_table.at(address)
        return self.head_table.direction(i, h, contribution_o)

    def images_for_text(self, embedding_o: np.ndarray, k: int = 24) -> a.Neighbours:
        """The images nearest to a text's embedding by the whole representation."""
        return self.similar(check_text(self.bundle, embedding_o), k)

    def heads_for_text(self, embedding_o: np.ndarray, k: int = 10, by: str = "std") -> tuple[a.TextScore, ...]:
        """The heads whose ⟨c, t⟩ varies most over the images (by "std"), or is largest on average ("mean")."""
        return self.head_table.for_text(embedding_o, k, by)

    # --- images ---------------------------------------------------------------------------------------------------

    def image(self, image_id: int) -> a.ImageInfo:
        """What is known of an image, quarantined ones included."""
        return self.images.info(image_id)

    def search_images(self, filters: Mapping[str, Any] | None = None, limit: int = 60, offset: int = 0) -> a.ImagePage:
        """Ids of the images that meet every filter. Keys are columns of the manifest or "path"; a value is one value, a
        list of allowed ones, or a tuple (low, high); for "path", a piece of it."""
        return self.images.search(filters or {}, _bounded(limit), max(0, offset))

    def thumbnail(self, image_id: int) -> bytes:
        """A JPEG file; b"" for an image in quarantine."""
        return self.images.thumbnail(image_id)

    def random(self, seed: int, n: int = 1) -> tuple[int, ...]:
        """n different usable images, the same for the same seed."""
        rng = np.random.default_rng(abs(int(seed)))
        bad, wanted = self.images.bad_ids, min(_bounded(n), self.images.n - len(self.images.bad_ids))
        drawn = rng.choice(self.images.n, min(self.images.n, wanted + len(bad)), replace=False)
        return tuple(int(i) for i in drawn[self.images.ok_n[drawn]][:wanted])

    # --- inside ---------------------------------------------------------------------------------------------------

    @cached_property
    def _r(self) -> np.memmap:
        return self.bundle.array("r")

    @cached_property
    def _representations(self) -> np.memmap:
        return self.bundle.array("representations")

    @cached_property
    def _mean_o(self) -> np.ndarray:
        return self.bundle.array("parts_mean").sum(0)  # the parts sum to the unit representation

    @cached_property
    def _spread(self) -> np.ndarray:
        return spread_ids(self.images.ok_n)

    def _looked_at(self, n: int) -> a.Population:
        return a.Population(n, self.head_table.everyone.images)

    def _head_index(self, i: int, h: int) -> Any:
        return self.bundle.index(head_key(self.head_table.layers[i], h))

    def _scores(self, i: int, h: int, direction: Direction) -> Scores:
        """Scores of a direction, kept for the next question about it."""
        direction_c = self.head_table.direction(i, h, direction)
        key = f"{i}.{h}", direction_c.tobytes()
        with self._lock:
            if key in self._scans:
                self._scans.move_to_end(key)
                return self._scans[key]
        made = Scores(self._spread, scan(self._r[i, h], self._spread, direction_c))
        with self._lock:
            self._scans[key] = made
            while len(self._scans) > _SCANS_KEPT:
                self._scans.popitem(last=False)
        return made

    def _search_ends(self, i: int, h: int, text_o: np.ndarray, k: int) -> tuple[list[a.Hit], list[a.Hit]]:
        direction_c = self.head_table.direction(i, h, text_o)
        queries = np.stack([direction_c, -direction_c])
        scores, ids = search(self._head_index(i, h), queries, k, self.images.bad_ids)
        ends = [_hits(sign * scores[e : e + 1], ids[e : e + 1]) for e, sign in enumerate((1, -1))]
        return list(ends[0]), list(ends[1])

    def _folded(self, hits: Sequence[a.Hit]) -> tuple[a.Hit, ...]:
        if not hits:
            return ()
        rows = self._representations[[hit.image_id for hit in hits]].astype(np.float64) - self._mean_o
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        alike = rows @ rows.T > FOLD_ABOVE
        shown: dict[int, list[int]] = {}
        for n in range(len(hits)):
            first = next((m for m in shown if alike[m, n]), None)
            if first is None:
                shown[n] = []
            else:
                shown[first].append(hits[n].image_id)
        return tuple(a.Hit(hits[n].image_id, hits[n].score, tuple(folded)) for n, folded in shown.items())

    def _vector(self, to: int | np.ndarray, row: Any, width: int) -> tuple[np.ndarray, np.ndarray]:
        """The query vector, and the ids that must not come out."""
        if not isinstance(to, np.ndarray):
            image_id = self.images.check_ok(to)
            return np.asarray(row(image_id), np.float32), np.append(self.images.bad_ids, image_id)
        if to.shape != (width,) or not np.isfinite(to).all():
            raise InputError(f"A vector of {width} finite numbers is needed here, not one of shape {to.shape}.")
        return to.astype(np.float32), self.images.bad_ids

    @cached_property
    def _columns_at(self) -> np.ndarray:
        return spread_ids(self.images.ok_n, COLUMN_IMAGES, run=8)

    @cached_property
    def _followable(self) -> dict[str, Any]:
        """Columns that group or measure, as they are at `_columns_at`."""
        made = {name: as_groups(self.images.values(name, self._columns_at)) for name in self.images.columns}
        return {name: column for name, column in made.items() if column is not None}

    def _column_grid(self, name: str) -> a.Grid:
        column, ids = self._followable[name], self._columns_at
        layers, heads = self._r.shape[:2]
        cells = [[follows(gather(self._r[i, h], ids), column) for h in range(heads)] for i in range(layers)]
        numbers = isinstance(column, np.ndarray)
        what = "linear in it" if numbers else "between the groups it makes, corrected for their number"
        return a.Grid(
            measure=f"column:{name}",
            title=f"Follows {name}",
            description=f"Correlation of the head with the column {name!r}: the root of the share of the head's "
            f"variance that is {what}. 1: the column decides what the head writes; 0: they have nothing in common.",
            unit="",
            value_lh=np.array([[cell[0] for cell in row] for row in cells]),
            note_lh=None if numbers else tuple(tuple(cell[1] for cell in row) for row in cells),
            population=self._looked_at(len(ids)),
        )


def _hits(scores_qk: np.ndarray, ids_qk: np.ndarray) -> tuple[a.Hit, ...]:
    return tuple(a.Hit(int(i), float(s)) for s, i in zip(scores_qk[0], ids_qk[0], strict=True))


def _bounded(k: int) -> int:
    if k < 1:
        raise InputError(f"At least one image has to be asked for, not {k}.")
    return min(int(k), _LARGEST)

"""What the store's answers about neuron-head pairs cost: see `tests.bench`. RN50x16's shape, made-up numbers."""

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from core.bundle import schema
from core.bundle.faiss_store import build_flat_fp16, read_index, write_index
from core.bundle.fields import Axis
from core.ids import Head
from core.store.neurons import NeuronTable
from core.store.pair_texts import NOW
from core.store.pairs import PairTable
from tests.bench_tools import say, seconds

HEADS, NEURONS, WIDTH, OUT = 48, 3_072, 64, 768
TEXTS, DESCRIBED, ATOMS = 30_000, 3_000, 64
TOP, ROUNDS = 50, 21


def bench_pair_answers() -> None:
    """A text's top pairs, the pairs alike to one, the order of all, and one that is described on demand."""
    with tempfile.TemporaryDirectory() as folder:
        table = PairTable(*_tables(Path(folder)))
        rng = np.random.default_rng(1)
        texts = rng.standard_normal((ROUNDS, OUT)).astype(np.float32)
        detail = f"{HEADS * NEURONS:,} pairs of {OUT} dimensions, {HEADS} indexes"
        text = _median(lambda i: table.for_text(texts[i], TOP))
        say(f"a text's top {TOP} pairs", f"{text * 1e3:.0f} ms", "<= 50 ms", detail)
        alike = _median(lambda i: table.similar(f"N{i}.H{i}", TOP))
        say(f"the {TOP} pairs alike to one", f"{alike * 1e3:.0f} ms", "none", detail)
        say("order of all pairs, once a bundle", f"{seconds(table.columns) * 1e3:.0f} ms", "none", detail)
        say("one pair's numbers", f"{_median(lambda i: table.summary(f'N{i}.H{i}')) * 1e6:.0f} us", "none", detail)
        texts_of = _median(lambda i: table.text(f"N{i}.H{i}"))
        say(f"{NOW} texts of one pair on demand", f"{texts_of:.2f} s", "< 1 s", f"pool {TEXTS:,} x {OUT}")


def _median(ask: Callable[[int], object]) -> float:
    """After one round that warms up."""
    ask(0)
    return statistics.median(seconds(lambda i=i: ask(i)) for i in range(1, ROUNDS))


def _tables(folder: Path) -> tuple[Any, NeuronTable, Any, Any, float]:
    """What a PairTable is made of: arrays in memory, indexes on disk as in a bundle."""
    rng = np.random.default_rng(0)
    normal = lambda *shape: rng.standard_normal(shape, np.float32)
    coords = normal(1, NEURONS, HEADS, WIDTH)
    coords /= np.linalg.norm(coords, axis=-1, keepdims=True)
    score = np.abs(normal(1, NEURONS, HEADS))
    arrays = {
        "pair_basis": np.linalg.qr(normal(HEADS, OUT, WIDTH))[0],
        "pair_coords": coords,
        "pair_score": score,
        "pair_text_rows": np.argsort(-score.ravel())[:DESCRIBED].astype(np.int32),
        "pair_text_index": rng.integers(0, TEXTS, (DESCRIBED, ATOMS), np.int32),
        "pair_text_coef": normal(DESCRIBED, ATOMS),
        "pair_text_error": normal(DESCRIBED, ATOMS),
        "pair_neuron_inertia": np.abs(normal(1, NEURONS)),
        "text_embeddings": normal(TEXTS, OUT),
        "neuron_text_index": np.zeros((1, NEURONS, 3), np.int32),
        "neuron_text_coef": normal(1, NEURONS, 3),
    }
    arrays |= {f"pair_{name}": np.abs(normal(1, NEURONS, HEADS)) for name in ("length", "std", "share", "inertia")}
    arrays |= {f"neuron_{name}": normal(1, NEURONS) for name in ("coef_std", "explained", "share_above", "concepts")}
    indexes = {}
    for m in range(HEADS):
        path = folder / f"{m}.faiss"
        write_index(path, build_flat_fp16(coords[0, :, m]))
        indexes[schema.pair_key(Head(None, m))] = read_index(path)
    heads = [str(Head(None, m)) for m in range(HEADS)]
    labels = {"neuron_layer": [None], "neuron_list": ["+"], "later_head": heads}
    axes = {"neuron": Axis(NEURONS, None), "neuron_image": Axis(5_000, None), "out": Axis(OUT, None)}
    axes |= {name: Axis(len(each), each) for name, each in labels.items()}
    pool = {"text": _Texts()}
    facts = {"manifest": {"ok": 5_000}, "pairs": {"largest": 50, "inertia_images": 10}}
    bundle: Any = SimpleNamespace(
        axes=axes, facts=facts, array=arrays.__getitem__, index=indexes.__getitem__, table=lambda name: pool
    )
    neurons = NeuronTable(bundle, tuple, 1.0)
    return bundle, neurons, None, tuple, 1.0


class _Texts:
    """A pool's column of texts, as far as labels ask."""

    def take(self, rows: np.ndarray) -> "_Texts":
        self.rows = rows
        return self

    def to_pylist(self) -> list[str]:
        return [f"text {row}" for row in self.rows]


BENCHES = {"pair-answers": bench_pair_answers}

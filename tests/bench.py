"""`make bench`: what Unitscope costs. `python -m tests.bench [NAME ...]`; the names are in BENCHES, at the end.

Those of precompute and of methods are ratios within one run; browser, load and visitors are of the app, over the demo
bundle: what visitors wait for, many sessions (a minute here; `python -m tests.bench_load` takes more), and visitors
side by side.
Ratios survive a slow or busy machine; seconds do not. The plain pass is open_clip's own encode_image on the same batch.
"""

import contextlib
import io
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from core.images import DecodePolicy
from core.methods.first_order import FirstOrder
from core.methods.textspan import textspan
from core.models.load import LoadedModel, load_model
from precompute.cli import main as precompute
from precompute.manifest import build_manifest
from precompute.reader import read_images
from precompute.statistics import HeadStatistics
from tests import bench_browser, bench_load
from tests.bench_desk import BENCHES as DESK
from tests.bench_labels import BENCHES as LABELS
from tests.bench_neurons import BENCHES as NEURONS
from tests.bench_pairs import BENCHES as PAIRS
from tests.bench_pool import BENCHES as POOL
from tests.bench_rosetta import BENCHES as ROSETTA
from tests.bench_search import BENCHES as SEARCH
from tests.bench_sparse_text import BENCHES as SPARSE_TEXT
from tests.bench_tools import plain, ratio, say, seconds

REPOSITORY = Path(__file__).resolve().parents[1]
PHOTOGRAPHS = REPOSITORY.parent / "shared" / "imagenet-sample"


def bench_pass() -> None:
    """Taps, parts and statistics over a plain encode_image, last four layers, batch 32, random weights."""
    images = torch.randn(32, 3, 224, 224)
    for name, goal in (("ViT-B-32", 1.10), ("ViT-B-16", 1.10)):
        model = load_model(name, allow_random_weights=True, device="cpu")
        lens = FirstOrder(model.tower, tuple(range(8, 12)))
        kept = HeadStatistics.empty_like(lens)

        def ours(model: LoadedModel = model, lens: FirstOrder = lens, kept: HeadStatistics = kept) -> None:
            kept.update(lens, lens.parts(model.tower.trace(images, lens.layers)))

        measured, base = ratio(ours, lambda model=model: plain(model, images), rounds=9)
        say(
            f"pass {name}, heads of 4 layers",
            f"{measured:.3f} x plain",
            f"<= {goal}",
            f"plain {base * 1e3:.0f} ms a batch",
        )


def bench_run() -> None:
    """A whole run over real photographs, texts already embedded, over decoding them plus the plain pass."""
    source = PHOTOGRAPHS if PHOTOGRAPHS.is_dir() else REPOSITORY / "demo" / "images"
    model = load_model("ViT-B-32", allow_random_weights=True, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        pool = Path(folder) / "pool.txt"
        pool.write_text("\n".join(f"text number {i}" for i in range(200)))
        one_class = Path(folder) / "flat"  # without classes: embedding class prompts is paid once, not a run
        one_class.mkdir()
        for i, path in enumerate(sorted(p for p in source.rglob("*") if p.is_file() and p.suffix != ".parquet")):
            shutil.copyfile(path, one_class / f"{i:05d}{path.suffix}")
        words = ["run", "--model", "ViT-B-32", "--allow-random-weights", "--device", "cpu", "--quiet"]
        words += ["--images", str(one_class), "--pool", str(pool), "--out"]
        _quietly(lambda: precompute([*words, f"{folder}/warm", "--layers", "11"]))  # embeds the texts, warms the disk

        def decode_and_encode() -> None:
            table = build_manifest(one_class).table
            batch: list[torch.Tensor] = []
            for read in read_images(one_class, table, DecodePolicy(), threads=2, prepare=model.transform):
                if read.code is None:
                    batch.append(read.prepared)
                if len(batch) == 32:
                    plain(model, torch.stack(batch))
                    batch = []
            if batch:
                plain(model, torch.stack(batch))

        load = min(seconds(lambda: load_model("ViT-B-32", allow_random_weights=True, device="cpu")) for _ in range(2))
        pairs = []
        for i in range(3):
            baseline = seconds(decode_and_encode)
            out = f"{folder}/out{i}"
            pairs.append((seconds(lambda out=out: _quietly(lambda: precompute([*words, out]))) - load, baseline))
        whole, baseline = sorted(pairs, key=lambda pair: pair[0] / pair[1])[1]  # the median ratio
    images = len(build_manifest(source).table)
    say(
        f"run over {images} images of {source.name}",
        f"{whole / baseline:.3f} x decoding + plain",
        "<= 1.25",
        f"{whole:.1f} s beside {load:.1f} s to load the model; decoding + plain {baseline:.1f} s",
    )


def bench_textspan() -> None:
    """48 heads of width 64, 3,500 texts, 60 picks, from covariances and embedded texts."""
    rng = np.random.default_rng(0)
    texts = rng.standard_normal((3500, 512)).astype(np.float32)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    heads = []
    for _ in range(48):
        factor = rng.standard_normal((64, 64)) * np.exp(-np.arange(64) / 15)
        heads.append((factor @ factor.T, np.linalg.qr(rng.standard_normal((512, 64)))[0].astype(np.float32)))
    one = lambda head: textspan(head[0], texts @ head[1], 60)

    def every() -> None:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(one, heads))

    every()
    took = statistics.median(seconds(every) for _ in range(5))
    say("TextSpan, 48 heads, 3,500 texts, 60 picks", f"{took:.2f} s", "<= 1 s", f"{took / 48 * 1e3:.1f} ms a head")


def bench_memory() -> None:
    """Peak anonymous memory of a run at 2,000 and 20,000 images (demo-vit; memory mapped from files is not in it)."""
    pictures = sorted((REPOSITORY / "demo" / "images").rglob("*.webp"))
    peaks = {}
    for count in (2_000, 20_000):
        with tempfile.TemporaryDirectory(dir=REPOSITORY) as folder:
            flat = Path(folder) / "flat"
            flat.mkdir()
            for i in range(count):
                os.link(pictures[i % len(pictures)], flat / f"{i:06d}.webp")
            words = [
                "run",
                "--model",
                "demo-vit",
                "--images",
                str(flat),
                "--pool",
                "demo",
                "--out",
                f"{folder}/out",
                "--quiet",
            ]
            child = subprocess.run(
                [sys.executable, "-m", "tests.bench", "child", *words],
                cwd=REPOSITORY,
                check=True,
                capture_output=True,
                text=True,
            )
            peaks[count] = int(child.stdout.strip().splitlines()[-1])
    growth = peaks[20_000] / peaks[2_000]
    detail = f"{peaks[2_000] / 1e6:.0f} MB at 2,000, {peaks[20_000] / 1e6:.0f} MB at 20,000"
    say("memory of a run, ten times the images", f"{growth:.3f} x", "about 1", detail)


def _child(words: list[str]) -> None:
    """Run precompute here and print the peak of this process's anonymous memory, in bytes."""
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.05):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    peak = max(peak, int(line.split()[1]) * 1024)

    watcher = threading.Thread(target=watch)
    watcher.start()
    precompute(words)
    done.set()
    watcher.join()
    print(peak)


def _quietly(call: Callable[[], object]) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        call()


BENCHES: dict[str, Callable[[], object]] = {
    "pass": bench_pass,
    "run": bench_run,
    "textspan": bench_textspan,
    "memory": bench_memory,
    "browser": bench_browser.main,
    "load": lambda: bench_load.main(["--minutes", "1"]),
    # in a process of its own, which sets up torch's threads as the server does, before torch is there
    "visitors": lambda: subprocess.run([sys.executable, "-m", "tests.bench_visitors"], cwd=REPOSITORY, check=True),
    **NEURONS,
    **SPARSE_TEXT,
    **PAIRS,
    **POOL,
    **ROSETTA,
    **DESK,
    **LABELS,
    **SEARCH,
}


def main(words: list[str]) -> None:
    if words[:1] == ["child"]:
        return _child(words[1:])
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for name in words or BENCHES:
        BENCHES[name]()


if __name__ == "__main__":
    main(sys.argv[1:])

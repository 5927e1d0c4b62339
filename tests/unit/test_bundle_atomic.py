"""Whole files or none: round trips, full disks, killed writers, leftovers."""

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from core.bundle import atomic
from core.bundle.write import BundleWriter
from core.errors import BundleDamaged, StorageError

pytestmark = pytest.mark.usefixtures("real_fsync")
ROOT = Path(__file__).parents[2]
_DTYPES = (
    hnp.boolean_dtypes() | hnp.integer_dtypes(endianness="?") | hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64))
)
_ARRAYS = _DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=4)))


@settings(  # each waits for four fsyncs
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(arrays=st.dictionaries(st.text(max_size=20).filter(lambda name: name != "__metadata__"), _ARRAYS, max_size=4))
def test_arrays_come_back_as_saved_and_order_does_not_change_the_bytes(tmp_path_factory, arrays):
    folder = tmp_path_factory.mktemp("arrays")
    atomic.save_arrays(folder / "a", arrays)
    atomic.save_arrays(folder / "b", dict(reversed(arrays.items())))
    loaded = atomic.load_arrays(folder / "a")
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype.newbyteorder("=") and loaded[name].shape == array.shape
        np.testing.assert_array_equal(loaded[name], array)
    assert (folder / "a").read_bytes() == (folder / "b").read_bytes()


def test_views_are_saved_as_they_read_and_single_arrays_can_be_asked_for(tmp_path):
    base = np.arange(24.0).reshape(4, 6)
    atomic.save_arrays(tmp_path / "a", {"t": base.T, "step": base[::2, ::-1]})
    loaded = atomic.load_arrays(tmp_path / "a", names=["step"])
    assert list(loaded) == ["step"]
    np.testing.assert_array_equal(loaded["step"], base[::2, ::-1])
    with pytest.raises(KeyError, match="nothing"):
        atomic.load_arrays(tmp_path / "a", names=["nothing"])


@pytest.mark.parametrize("keep", [0, 5, 20, 60, 200])
def test_a_cut_partial_is_damaged_and_a_missing_one_too(tmp_path, keep):
    atomic.save_arrays(tmp_path / "a", {"x": np.arange(40.0)})
    data = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(data[:keep])
    with pytest.raises(BundleDamaged, match="run the same command again"):
        atomic.load_arrays(tmp_path / "a")
    with pytest.raises(BundleDamaged, match="missing"):
        atomic.load_arrays(tmp_path / "b")


def test_every_kind_of_file_is_whole_and_leaves_nothing_else(tmp_path):
    table = pa.table({"a": [1, 2]})
    atomic.atomic_bytes(tmp_path / "new" / "bytes", b"abc")
    atomic.atomic_json(tmp_path / "json", {"ρ": [1, "日"]})
    atomic.atomic_npy(tmp_path / "npy", np.arange(6).reshape(2, 3).T)
    atomic.atomic_table(tmp_path / "table", table)
    atomic.atomic_table(tmp_path / "again", table)
    assert (tmp_path / "json").read_text(encoding="utf-8") == '{\n "ρ": [\n  1,\n  "日"\n ]\n}\n'
    assert np.load(tmp_path / "npy").flags.c_contiguous
    assert (tmp_path / "table").read_bytes() == (tmp_path / "again").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["again", "json", "new", "npy", "table"]
    with pytest.raises(ValueError, match="JSON compliant"):
        atomic.atomic_json(tmp_path / "json", float("nan"))
    with pytest.raises(ValueError, match="Object arrays"):
        atomic.atomic_npy(tmp_path / "npy", np.array([{}]))


def test_an_error_while_writing_keeps_the_old_file_and_removes_the_new(tmp_path):
    atomic.atomic_bytes(tmp_path / "a", b"old")
    with pytest.raises(ZeroDivisionError), atomic.atomic_file(tmp_path / "a") as temporary:
        temporary.write_bytes(b"half")
        raise ZeroDivisionError
    assert (tmp_path / "a").read_bytes() == b"old" and os.listdir(tmp_path) == ["a"]


def test_data_are_on_disk_before_the_name_and_the_name_before_success(tmp_path, monkeypatch):
    # A power cut cannot be had in a test; the order of the calls that withstand one can.
    calls = []
    fsync, replace = os.fsync, os.replace
    kind = lambda descriptor: "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
    monkeypatch.setattr(os, "fsync", lambda descriptor: (calls.append(f"fsync {kind(descriptor)}"), fsync(descriptor)))
    monkeypatch.setattr(os, "replace", lambda *paths: (calls.append("rename"), replace(*paths)))
    atomic.atomic_bytes(tmp_path / "a", b"abc")
    with BundleWriter(tmp_path) as writer:
        writer.memmap("r", (1, 1, 2, 3))
        writer.close_memmap("r")
    assert calls == ["fsync file", "rename", "fsync folder"] * 2


def test_an_error_about_another_file_is_not_blamed_on_this_one(tmp_path):
    with pytest.raises(StorageError, match="other"), atomic.atomic_file(tmp_path / "a"):
        (tmp_path / "other").read_bytes()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO])
def test_each_refusal_of_the_system_is_advice(tmp_path, monkeypatch, number):
    def refuse(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match="run the same command again; what is finished is kept"):
        atomic.atomic_bytes(tmp_path / "a", b"abc")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="file"):
        atomic.atomic_bytes(tmp_path / "file" / "a", b"abc")


_FILLS = """
import os, sys
import faiss, numpy as np, pyarrow as pa
from pathlib import Path
from core.bundle import atomic
from core.bundle.write import BundleWriter
from core.bundle.faiss_store import build_flat_fp16, write_index
from core.bundle.write import BundleWriter
from core.errors import StorageError
folder, advice = Path(sys.argv[1]), sys.argv[2]
big = np.random.default_rng(0).standard_normal((20_000, 16))
atomic.atomic_bytes(folder / "kept", b"kept")
index = build_flat_fp16(big)
writers = {
    "bytes": lambda p: atomic.atomic_bytes(p, big.tobytes()),
    "npy": lambda p: atomic.atomic_npy(p, big),
    "arrays": lambda p: atomic.save_arrays(p, {"big": big}),
    "table": lambda p: atomic.atomic_table(p, pa.table({str(i): big[:, i] for i in range(16)})),
    "index": lambda p: write_index(p, index),
    "memmap": lambda p: BundleWriter(folder).memmap("r", (4, 12, 20_000, 64)),
}
for name, write in writers.items():
    try:
        write(folder / name)
    except StorageError as error:
        assert advice in str(error) and "run the same command again" in str(error), error
    else:
        raise SystemExit(f"{name} was written although it cannot be")
left = [p for p in folder.rglob("*") if p.is_file()]
assert left == [folder / "kept"], left
print("all refused")
"""


def _fill(command: list[str], folder: Path, advice: str, **options) -> subprocess.CompletedProcess:
    arguments = [*command, sys.executable, "-c", _FILLS, str(folder), advice]
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=120, **options)


def test_a_full_disk_leaves_nothing_half_written(tmp_path):
    mount = f'mount -t tmpfs -o size=256k none "{tmp_path}" && exec "$@"'
    namespace = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    try:
        subprocess.run([*namespace, "true"], check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this system lets no test mount a small disk ({error}); the file size limit below is tested")
    done = _fill(namespace, tmp_path, "The disk is full")
    assert done.stdout == "all refused\n", done.stderr


def test_a_file_size_limit_leaves_nothing_half_written(tmp_path):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    done = _fill([], tmp_path, "allows no file this large", preexec_fn=limit)
    assert done.stdout == "all refused\n", done.stderr


_WRITES_FOREVER = """
import sys
import numpy as np
from core.bundle import atomic
from core.bundle.write import BundleWriter
print("ready", flush=True)
for turn in range(10**9):
    value = turn % 251
    atomic.atomic_npy(sys.argv[1] + "/a.npy", np.full(300_000, value, np.uint8))
    atomic.save_arrays(sys.argv[1] + "/b", {"x": np.full(300_000, value, np.uint8)})
"""


def test_kill_9_never_shows_half_a_file_and_leftovers_are_swept(tmp_path):
    rng = np.random.default_rng(0)
    kills, leftovers = 0, 0
    while kills < 6 or leftovers < 3:
        kills += 1
        assert kills < 60, f"only {leftovers} of {kills} kills hit a file being written: the test tests little"
        command = [sys.executable, "-c", _WRITES_FOREVER, str(tmp_path)]
        child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(rng.uniform(0.01, 0.1))
        while kills % 2 and not list(tmp_path.glob(".*.tmp")):  # every other kill waits for a file being written
            time.sleep(0.0001)
        assert atomic.sweep(tmp_path) == []  # its files are in use
        child.kill()
        child.wait()
        child.stdout.close()
        for name, load in (("a.npy", np.load), ("b", lambda p: atomic.load_arrays(p)["x"])):
            if (tmp_path / name).exists():
                values = load(tmp_path / name)
                assert values.shape == (300_000,) and len(np.unique(values)) == 1
        leftovers += len(atomic.sweep(tmp_path))
        assert set(os.listdir(tmp_path)) <= {"a.npy", "b"}


def test_sweep_takes_only_what_dead_writers_left(tmp_path):
    live = atomic.temporary_for(tmp_path / "a")
    host, pid, process, token = live.name.removesuffix(".tmp").rsplit(".", 1)[1].split("-")
    gone = subprocess.Popen(["true"])
    gone.wait()
    names = {
        live.name: False,
        f".a.{host}-{pid}-00000000-{token}.tmp": True,  # an earlier process of our number
        f".a.{host}-{gone.pid}-{process}-{token}.tmp": True,
        f".a.{host}-1-{process}-{token}.tmp": False,  # alive
        f".a.{host}-{'9' * 30}-{process}-{token}.tmp": True,  # no process has such a number
        f".a.other-{gone.pid}-{process}-{token}.tmp": False,  # another machine's, fresh
        ".mine.tmp": False,
        "data.tmp": False,
    }
    (tmp_path / "deep").mkdir()
    for name in names:
        (tmp_path / "deep" / name).touch()
    old = tmp_path / f".b.other-1-{process}-{token}.tmp"
    old.touch()
    os.utime(old, (0, 0))
    assert {path.name for path in atomic.sweep(tmp_path)} == {old.name} | {name for name, dead in names.items() if dead}
    assert atomic.is_temporary(live.name) and not atomic.is_temporary(".mine.tmp")


def test_digest(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")  # the example of FIPS 180-2
    assert atomic.digest_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

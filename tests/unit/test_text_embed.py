"""Embeddings of pools and classes: right rows, one computation, a cache that cannot give a wrong answer."""

import hashlib
import logging
from pathlib import Path

import numpy as np
import pytest

from core.errors import ModelError
from core.text import embed
from core.text.embed import CHUNK, class_embeddings, default_cache_dir, embed_pool
from core.text.pools import make_pool
from tests.reference.plain_text import plain_class_embeddings

POOL = make_pool("test", [f"text {i}" for i in range(2 * CHUNK + 3)], "From a test.")


class FakeEncoder:
    """Each text gets the unit vector that its hash seeds."""

    def __init__(self, digest: str = "fake", width: int = 8) -> None:
        self.digest, self.width = digest, width
        self.calls: list[int] = []

    def encode_texts(self, texts):
        self.calls.append(len(texts))
        seeds = [int.from_bytes(hashlib.sha256((self.digest + text).encode()).digest()[:4], "big") for text in texts]
        rows = np.stack([np.random.default_rng(seed).normal(size=self.width) for seed in seeds])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_rows_are_those_of_the_texts_in_order_and_come_from_the_cache_next_time(tmp_path):
    encoder, seen = FakeEncoder(), []
    first = embed_pool(encoder, POOL, tmp_path, lambda done, total: seen.append((done, total)))
    assert first.dtype == np.float32
    np.testing.assert_allclose(first, FakeEncoder().encode_texts(POOL.texts), rtol=0, atol=2**-23)
    assert encoder.calls == [CHUNK, CHUNK, 3]
    assert seen == [(CHUNK, len(POOL)), (2 * CHUNK, len(POOL)), (len(POOL), len(POOL))]
    second = embed_pool(encoder, POOL, tmp_path)
    assert len(encoder.calls) == 3
    assert second.tobytes() == first.tobytes()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]  # no temporary file left


def test_another_model_or_pool_is_another_entry(tmp_path):
    a = embed_pool(FakeEncoder("a"), POOL, tmp_path)
    b = embed_pool(FakeEncoder("b"), POOL, tmp_path)
    assert np.abs(a - b).max() > 0.1
    other = make_pool("test", POOL.texts[::-1], "From a test.")
    assert embed_pool(FakeEncoder("a"), other, tmp_path)[0].tobytes() == a[-1].tobytes()


def damage(data: bytes, how: str) -> bytes:
    return {"truncated": data[:-5], "flipped": data[:-1] + bytes([data[-1] ^ 1]), "empty": b"", "text": b"hello"}[how]


@pytest.mark.parametrize("how", ["truncated", "flipped", "empty", "text"])
def test_a_damaged_entry_is_made_again(tmp_path, how, caplog):
    first = embed_pool(FakeEncoder(), POOL, tmp_path)
    (file,) = tmp_path.glob("*.npy")
    whole = file.read_bytes()
    file.write_bytes(damage(whole, how))
    with caplog.at_level(logging.WARNING):
        again = embed_pool(FakeEncoder(), POOL, tmp_path)
    assert again.tobytes() == first.tobytes()
    assert "unusable" in caplog.text
    assert file.read_bytes() == whole


def test_an_entry_without_its_checksum_is_made_again(tmp_path):
    embed_pool(FakeEncoder(), POOL, tmp_path)
    (mark,) = tmp_path.glob("*.sha256")
    mark.unlink()  # as after a crash between the two files
    encoder = FakeEncoder()
    embed_pool(encoder, POOL, tmp_path)
    assert encoder.calls
    assert mark.exists()


@pytest.mark.parametrize("array", [np.zeros((3, 8), np.float32), np.zeros(len(POOL), np.float32), np.array([object()])])
def test_an_entry_that_is_something_else_is_made_again(tmp_path, array):
    first = embed_pool(FakeEncoder(), POOL, tmp_path)
    (file,) = tmp_path.glob("*.npy")
    with file.open("wb") as out:
        np.save(out, array, allow_pickle=True)
    file.with_suffix(".sha256").write_text(hashlib.sha256(file.read_bytes()).hexdigest())
    assert embed_pool(FakeEncoder(), POOL, tmp_path).tobytes() == first.tobytes()


class Payload:
    """What a pickle can do to whoever opens it."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


def test_a_pickle_in_the_cache_is_never_opened(tmp_path):
    embed_pool(FakeEncoder(), POOL, tmp_path)
    (file,) = tmp_path.glob("*.npy")
    with file.open("wb") as out:
        np.save(out, np.array([Payload(tmp_path / "ran")], dtype=object), allow_pickle=True)
    file.with_suffix(".sha256").write_text(hashlib.sha256(file.read_bytes()).hexdigest())
    assert embed_pool(FakeEncoder(), POOL, tmp_path).shape == (len(POOL), 8)
    assert not (tmp_path / "ran").exists()


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        made = embed_pool(FakeEncoder(), POOL, tmp_path / "file" / "cache")
    assert made.shape == (len(POOL), 8)
    assert "UNITSCOPE_CACHE" in caplog.text


def test_a_full_disk_leaves_no_rubbish(tmp_path, monkeypatch, caplog):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(embed.os, "fsync", full)
    with caplog.at_level(logging.WARNING):
        made = embed_pool(FakeEncoder(), POOL, tmp_path)
    assert len(made) == len(POOL)
    assert "No space left" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_cache_folder_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("UNITSCOPE_CACHE", str(tmp_path / "here"))
    embed_pool(FakeEncoder(), POOL)
    assert len(list((tmp_path / "here").iterdir())) == 2
    monkeypatch.setenv("UNITSCOPE_CACHE", "")
    assert default_cache_dir() == Path.home() / ".cache" / "unitscope"

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert default_cache_dir() is None
    encoder = FakeEncoder()
    embed_pool(encoder, POOL)
    embed_pool(encoder, POOL)
    assert len(encoder.calls) == 6


@pytest.mark.parametrize("factor", [2.0, 0.0, np.nan])
def test_rows_that_are_not_unit_are_refused(tmp_path, factor, monkeypatch):
    encoder = FakeEncoder()
    monkeypatch.setattr(encoder, "encode_texts", lambda texts: FakeEncoder().encode_texts(texts) * factor)
    with pytest.raises(ModelError, match="norm one"):
        embed_pool(encoder, POOL, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_number_of_rows_is_refused(tmp_path, monkeypatch):
    encoder = FakeEncoder()
    monkeypatch.setattr(encoder, "encode_texts", lambda texts: np.eye(8, dtype=np.float32)[:1])
    with pytest.raises(ModelError, match="one row each"):
        embed_pool(encoder, POOL, tmp_path)


def test_half_precision_rows_become_unit_rows(tmp_path, monkeypatch):
    encoder = FakeEncoder(width=64)
    halves = lambda texts: FakeEncoder(width=64).encode_texts(texts).astype(np.float16)
    monkeypatch.setattr(encoder, "encode_texts", halves)
    rows = embed_pool(encoder, POOL, tmp_path)
    assert np.abs(np.linalg.norm(rows, axis=1) - 1).max() < 1e-6  # a few roundings in fp32


def test_class_embeddings_are_normalised_means_over_templates(tmp_path):
    names = [f"class {i}" for i in range(50)]
    templates = [f"photo {i} of a {{}}." for i in range(7)]  # 350 prompts: a chunk ends inside a class
    encoder, seen = FakeEncoder(), []
    got = class_embeddings(encoder, names, templates, tmp_path, lambda *step: seen.append(step))
    want = plain_class_embeddings(FakeEncoder(), names, templates)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)  # a few roundings of fp32 on entries up to one
    assert seen == [(CHUNK, 350), (350, 350)]
    assert class_embeddings(encoder, names, templates, tmp_path).tobytes() == got.tobytes()
    assert len(encoder.calls) == 2
    swapped = class_embeddings(encoder, names[::-1], templates, tmp_path)
    np.testing.assert_allclose(swapped, got[::-1], rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="at least one"):
        class_embeddings(encoder, names, [], tmp_path)

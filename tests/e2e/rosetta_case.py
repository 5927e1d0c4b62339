"""How the tests of `precompute rosetta` run it: on three tiny models, and what they compare."""

import json
from pathlib import Path

from tests.e2e.world import World, call

NUMBER, BATCH = 40, 16


def words(world: World, cnn: Path, out: Path, *more: object) -> list[str]:
    """Three tiny models, later options win."""
    given = ["rosetta", "--models", world.model("vit"), world.model("resnet"), cnn, "--images", world.images]
    given += ["--out", out, "--number", NUMBER, "--batch", BATCH, "--pool", world.pool]
    return [str(word) for word in [*given, "--torch-threads", 1, "--quiet", *more]]


def made(given: list[str]) -> Path:
    done = call(given)
    assert done.code == 0, done.err
    return folder_in(done.out)


def folder_in(out: str) -> Path:
    """The dictionary's folder, which a run says last."""
    return Path(out.strip().rsplit("\n", 1)[-1].removeprefix("dictionary").strip())


def contents(folder: Path) -> dict[str, object]:
    """Every file by its relative path, but when and how it was made."""
    found: dict[str, object] = {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }
    facts = json.loads((folder / "rosetta.json").read_text("utf-8"))
    return found | {"rosetta.json": {k: v for k, v in facts.items() if k not in ("created", "command")}}


def assert_same(a: Path, b: Path) -> None:
    first, second = contents(a), contents(b)
    assert first.keys() == second.keys() and [name for name in first if first[name] != second[name]] == []

"""What is to be done, fixed before anything is done: the bundle's id, its folder, its shards.

A plan is written once into the bundle's folder (`.work/`), so that every process and machine that takes part reads the
same one. A shard is a range of image ids: the unit of work, of retry and of resuming.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from core.bundle.atomic import atomic_file, atomic_json
from core.bundle.schema import FORMAT_VERSION
from core.errors import BundleDamaged, InputError
from core.images import DecodePolicy
from core.methods.layernorm import Convention
from core.models.load import LoadedModel
from core.models.tower import Tower
from core.text.pools import load_pool
from precompute.config import DEFAULT_LAYERS, ModelChoice, Settings
from precompute.manifest import Manifest
from precompute.neuron_layers import resolve_neuron_layers

WORK = ".work"  # names with a leading dot are working state, never part of a bundle


@dataclass(frozen=True)
class Plan:
    """One bundle to make. `images` counts the manifest's rows; `root` is the folder that their paths start from."""

    id: str
    folder: Path
    root: Path
    source: str
    manifest_digest: str
    images: int
    tower: str
    model: ModelChoice
    settings: Settings
    digests: dict[str, str]  # of the model and the texts, by `input_digests`

    @property
    def is_resnet(self) -> bool:
        return self.tower == "resnet"

    @property
    def work(self) -> Path:
        return self.folder / WORK

    @property
    def shards(self) -> int:
        return -(-self.images // self.settings.shard)

    def rows(self, shard: int) -> range:
        """Image ids of a shard."""
        start = shard * self.settings.shard
        return range(start, min(start + self.settings.shard, self.images))

    def partial(self, shard: int) -> Path:
        """A shard's statistics; the last of its files to be written, so its existence means that the shard is done."""
        return self.work / f"shard-{shard:06d}.safetensors"

    def missing(self) -> list[int]:
        """Shards still to be computed."""
        return [shard for shard in range(self.shards) if not self.partial(shard).exists()]

    def manifest_rows(self, shard: int) -> pa.Table:
        """The manifest's rows of a shard. One row group a shard, so that no process reads the whole table."""
        return pq.ParquetFile(self.work / "manifest.parquet").read_row_group(shard)

    @property
    def neuron_layers(self) -> tuple[int, ...]:
        """Layers whose MLP neurons are analysed, ascending; empty for none."""
        assert self.settings.neuron_layers is not None, "make_plan resolves the layers"
        return self.settings.neuron_layers

    @property
    def pairs(self) -> bool:
        """Whether the neurons' pairs with later heads are measured."""
        return self.settings.pairs and bool(self.neuron_layers)

    @property
    def layers(self) -> tuple[int, ...]:
        assert self.settings.layers is not None, "make_plan resolves the layers"
        return self.settings.layers


def make_plan(out: Path, model: LoadedModel, choice: ModelChoice, manifest: Manifest, settings: Settings) -> Plan:
    """Name the work. The same model, images and settings give the same id, on any machine, from any folder."""
    settings = replace(settings, layers=choose_layers(model.tower, settings.layers))
    settings = resolve_neuron_layers(model, manifest, settings)
    digests = input_digests(model, settings)
    facts = {"format": FORMAT_VERSION, "images": manifest.digest, "settings": settings.to_dict() | digests}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", Path(choice.name).name).strip("-.") or "model"
    bundle = f"{readable}-{digest}"
    return Plan(
        id=bundle,
        folder=out / bundle,
        root=manifest.root,
        source=manifest.source_name,
        manifest_digest=manifest.digest,
        images=manifest.table.num_rows,
        tower=model.tower.kind,
        model=choice,
        settings=settings,
        digests=digests,
    )


def input_digests(model: LoadedModel, settings: Settings) -> dict[str, str]:
    """What is given by name or path, by its contents: the model and the texts."""
    templates = Path(settings.templates)
    contents = {
        "class_names": Path(settings.class_names).read_bytes() if settings.class_names else b"",
        "templates": templates.read_bytes() if templates.is_file() else settings.templates.encode(),
    }
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    return {"model": model.digest, "pool": load_pool(settings.pool).digest, **digests}


def check_inputs(plan: Plan, model: LoadedModel) -> None:
    """Raise InputError if a model or text file is no longer what it was when the plan was made."""
    now = input_digests(model, plan.settings)
    changed = [name for name, digest in plan.digests.items() if now[name] != digest]
    if changed:
        raise InputError(
            f"What {plan.id} was begun with has changed since: {', '.join(changed)}. Restore it, or start anew with "
            "`python -m precompute run`, which gives the changed work a folder of its own."
        )


def choose_layers(tower: Tower, asked: tuple[int, ...] | None) -> tuple[int, ...]:
    """The layers asked for, or the last four. Raises InputError for layers that the model does not have."""
    if asked is None:
        return tuple(range(max(0, tower.layers - DEFAULT_LAYERS), tower.layers))
    wrong = [layer for layer in asked if not 0 <= layer < tower.layers]
    if wrong or not asked:
        raise InputError(
            f"This model has attention layers 0 to {tower.layers - 1}; --layers asked for {wrong or 'none'}."
        )
    return tuple(sorted(set(asked)))


def save_plan(plan: Plan, manifest: Manifest) -> None:
    """Write plan and manifest, unless an earlier run of the same plan already has."""
    if not (plan.work / "plan.json").exists():
        with atomic_file(plan.work / "manifest.parquet") as path:
            pq.write_table(manifest.table, path, row_group_size=plan.settings.shard)
    # written anew each time: the folder of images may have moved, and its place is no part of the plan's identity
    plain: dict[str, Any] = asdict(plan) | {"settings": plan.settings.to_dict()}
    plain |= {"folder": None, "root": str(plan.root.resolve())}
    atomic_json(plan.work / "plan.json", plain)


def load_plan(folder: Path) -> Plan:
    """The plan in a bundle's folder. Raises BundleDamaged if it cannot be read."""
    try:
        plain = json.loads((folder / WORK / "plan.json").read_text("utf-8"))
        settings = plain.pop("settings")
        settings["policy"] = DecodePolicy(**{k: _tuple(v) for k, v in settings["policy"].items()})
        settings |= {name: tuple(settings[name]) for name in ("layers", "neuron_layers")}
        settings |= {"layernorm": Convention(settings["layernorm"])}
        plain |= {"folder": folder, "root": Path(plain["root"])}
        return Plan(**plain | {"model": ModelChoice(**plain["model"]), "settings": Settings(**settings)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleDamaged(
            f"{folder} holds no readable plan of an unfinished run ({type(error).__name__}: {error}). "
            "Start it again with `python -m precompute run`."
        ) from error


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value

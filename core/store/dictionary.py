"""What pages ask of a dictionary of Rosetta concepts. See `Dictionary`."""

import re
from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from core.bundle.read import Bundle
from core.bundle.thumbs import ThumbPack
from core.errors import AddressError
from core.stats.followed import activation, deviations
from core.stats.partners import partners
from core.store.concept_scores import ConceptScores
from core.store.dictionary_answers import (
    Concept,
    ConceptUnit,
    DictionaryImage,
    Label,
    LayerInfo,
    LayerShare,
    MemberInfo,
    UnitText,
)

_ADDRESS = re.compile(r"([a-z0-9._-]{1,100}):([^\s.:]{1,40})\.N(0|[1-9][0-9]{0,6})")


class Dictionary:
    """Answers about one dictionary, opened by `core.bundle.dictionary.open_dictionary`. Read-only and thread-safe; one
    serves all sessions. Arrays are memory-mapped; the tables of concepts are read when first asked for.

    A unit's address is "member:layer.Nunit", such as "demo-vit:L3.N17". AddressError for a member, unit or image that
    is not there; BundleDamaged.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.facts: Mapping[str, Any] = bundle.facts
        self.images: int = bundle.axes["image"].size
        self.k: int = bundle.facts["k"]
        self._levels = np.asarray(bundle.array("levels"), np.float64)
        self.members: tuple[MemberInfo, ...] = self._members()
        self._names = tuple(member.name for member in self.members)
        layers = [(m, layer) for m, member in enumerate(self.members) for layer in member.layers]
        self._firsts = np.array([layer.first for _, layer in layers])
        self._layers = layers
        self._universality = lru_cache(256)(self._shares)

    @property
    def id(self) -> str:
        """The hash that names this dictionary; its folder's name."""
        return self.bundle.id

    # --- models and units -------------------------------------------------------------------------------------------

    def member(self, name: str) -> MemberInfo:
        """One of the members. AddressError."""
        return self.members[self._member(name)]

    def level(self, a: str, b: str) -> float:
        """The null level of two members; NaN of a member with itself, or where one has no unit that varies."""
        return float(self._levels[self._member(a), self._member(b)])

    def address(self, row: int) -> str:
        """Address of a unit's row."""
        member, layer, unit = self._place(row)
        return f"{member.name}:{layer.name}.N{unit}"

    def row(self, address: str) -> int:
        """Row of a unit. AddressError."""
        match = _ADDRESS.fullmatch(address.strip()) if len(address) <= 200 else None
        if match is None:
            raise AddressError(f"{address[:60]!r} is not the address of a unit, such as {self.address(0)}.")
        name, layer_name, unit = match[1], match[2], int(match[3])
        for layer in self.member(name).layers:
            if layer.name == layer_name and unit < layer.units:
                return layer.first + unit
        has = ", ".join(f"{layer.name} (units 0 to {layer.units - 1})" for layer in self.member(name).layers)
        raise AddressError(f"{name} has no unit {layer_name}.N{unit}; its layers are {has}.")

    # --- concepts ---------------------------------------------------------------------------------------------------

    def concepts(self, hub: str) -> tuple[Concept, ...]:
        """All concepts of a hub, strongest first; none where it shares nothing."""
        self._member(hub)
        return self._by_hub.get(hub, ())

    def concept(self, address: str) -> Concept | None:
        """The concept that is named by this unit."""
        return self._by_address.get(address)

    def concepts_of_unit(self, address: str) -> list[Concept]:
        """The concepts, of any hub, that a unit belongs to, strongest first."""
        found = [self._all[i] for i in self._of_row.get(self.row(address), ())]
        return sorted(found, key=lambda concept: -concept.strength)

    def maps(self, concept: Concept) -> dict[str, np.ndarray]:
        """Address of each unit -> its maps (rank, h, w) float32 in the concept's images."""
        ranks, values = self.bundle.axes["concept_rank"].size, self.bundle.array("maps")
        made, table = {}, self._member_columns
        first = self._concept_columns["first"][concept.row]
        for at, unit in enumerate(concept.members, first):
            start, height, width = (int(table[name][at]) for name in ("maps", "height", "width"))
            flat = np.asarray(values[start : start + ranks * height * width], np.float32)
            made[unit.address] = flat.reshape(ranks, height, width)[: len(concept.images)]
        return made

    def correlations(self, concept: Concept) -> np.ndarray:
        """(n, n) float32 Pearson correlations between the concept's units, in the order of its members."""
        start, n = int(self._concept_columns["corr"][concept.row]), len(concept.members)
        return np.asarray(self.bundle.array("concept_corr")[start : start + n * n]).reshape(n, n)

    def sharing(self, hub: str) -> dict[int, int]:
        """How many of a hub's concepts are shared by 2, 3, … members, the hub counted."""
        counts = dict.fromkeys(range(2, len(self.members) + 1), 0)
        for concept in self.concepts(hub):
            counts[concept.models] += 1
        return counts

    def texts(self, address: str) -> list[UnitText]:
        """The best texts of a unit of a CLIP member that is in any concept, best first; none for any other."""
        return list(self._texts.get(self.row(address), ()))

    # --- images -----------------------------------------------------------------------------------------------------

    def in_image(self, hub: str, image: int) -> list[tuple[Concept, float]]:
        """A hub's concepts by their `activation` in an image."""
        self._check(image)
        z_c = self.activation[:, image]
        found = [(concept, float(z_c[concept.row])) for concept in self.concepts(hub)]
        return sorted(found, key=lambda pair: -pair[1])

    def image(self, image: int) -> DictionaryImage:
        """What is known of an image. AddressError."""
        self._check(image)
        row = {name: values[image] for name, values in self._images.items()}
        ours = ("path", "class", "sha256", "width", "height", "image")
        columns = {name: value for name, value in row.items() if name not in ours}
        return DictionaryImage(image, row["path"], row["class"], row["width"], row["height"], columns)

    def path(self, image: int) -> str:
        """Path of an image below the manifest's source. AddressError."""
        return self.image(image).path

    def thumbnail(self, image: int) -> bytes | None:
        """The JPEG file. AddressError."""
        self._check(image)
        return self._thumbs.get(image) or None

    # --- how universal ----------------------------------------------------------------------------------------------

    def universality(self, a: str, b: str) -> list[LayerShare]:
        """Layer by layer of `a`: how many units have a partner in `b`, and at what depth. AddressError; ValueError for
        a member with itself."""
        if a == b:
            raise ValueError("universality is of two different members")
        return list(self._universality(self._member(a), self._member(b)))

    def _shares(self, a: int, b: int) -> tuple[LayerShare, ...]:
        names = ("neighbours", "neighbour_r", "neighbour_shuffled")
        near, r, shuffled = (self.bundle.array(name) for name in names)
        std_u = self.bundle.array("unit_std")
        depth_u = np.array([layer.depth for _, layer in self._layers])
        made = []
        for layer in self.members[a].layers:
            rows = np.arange(layer.first, layer.first + layer.units)
            alive = np.asarray(std_u[rows]) > 0
            is_partner, _ = partners(near, r, shuffled, self._levels, rows, self._owner_u, b)
            has = is_partner.any(1)
            best = np.asarray(near[rows, b])[np.arange(len(rows)), is_partner.argmax(1)][has]
            best_r = np.asarray(r[rows, b, 0], np.float64)[alive]
            best_r = best_r[~np.isnan(best_r)]
            partnered = int(has.sum())
            made.append(
                LayerShare(
                    layer=layer.name,
                    depth=layer.depth,
                    units=layer.units,
                    alive=int(alive.sum()),
                    partnered=partnered,
                    share=partnered / max(1, int(alive.sum())),
                    median_r=float(np.median(best_r)) if len(best_r) else float("nan"),
                    partner_depth=depth_u[np.searchsorted(self._firsts, best, "right") - 1],
                )
            )
        return tuple(made)

    # --- what is read once ------------------------------------------------------------------------------------------

    def _members(self) -> tuple[MemberInfo, ...]:
        alive_u = np.asarray(self.bundle.array("unit_std")) > 0
        layers: dict[int, list[LayerInfo]] = defaultdict(list)
        for row in self.bundle.table("layers").to_pylist():
            member = row.pop("member")
            layers[member].append(LayerInfo(name=row.pop("layer"), **row))
        made = []
        for m, facts in enumerate(self.facts["members"]):
            own = tuple(layers[m])
            units = sum(layer.units for layer in own)
            first = own[0].first if own else 0
            made.append(
                MemberInfo(
                    name=facts["name"],
                    family=facts["family"],
                    training=facts["training"],
                    layers=own,
                    clip=facts["clip"],
                    random_weights=facts["random_weights"],
                    weights_digest=facts["weights_digest"],
                    licence=facts["licence"],
                    units=units,
                    alive=int(alive_u[first : first + units].sum()),
                    facts=facts,
                )
            )
        return tuple(made)

    @cached_property
    def _owner_u(self) -> np.ndarray:
        return np.repeat([m for m, _ in self._layers], [layer.units for _, layer in self._layers])

    @cached_property
    def _concept_columns(self) -> dict[str, list]:
        return self.bundle.table("concepts").to_pydict()

    @cached_property
    def _member_columns(self) -> dict[str, list]:
        return self.bundle.table("concept_members").to_pydict()

    @cached_property
    def _all(self) -> tuple[Concept, ...]:
        """Every concept of every hub."""
        columns, units = self._concept_columns, self._member_columns
        images = np.asarray(self.bundle.array("concept_images"))
        made = []
        for at, (first, count) in enumerate(zip(columns["first"], columns["members"], strict=True)):
            members = [self._unit(units, i) for i in range(first, first + count)]
            text = columns["label"][at]
            label = None if text < 0 else Label(self.pool[text], columns["label_r"][at])
            made.append(
                Concept(
                    address=self.address(columns["anchor"][at]),
                    hub=self._names[columns["hub"][at]],
                    label=label,
                    strength=columns["strength"][at],
                    models=columns["models"][at],
                    members=tuple(members),
                    images=tuple(int(i) for i in images[at] if i >= 0),
                    row=at,
                )
            )
        return tuple(made)

    def _unit(self, columns: dict[str, list], at: int) -> ConceptUnit:
        row, partner = columns["unit"][at], columns["partner"][at]
        member, layer, unit = self._place(row)
        return ConceptUnit(
            address=f"{member.name}:{layer.name}.N{unit}",
            member=member.name,
            layer=layer.name,
            unit=unit,
            row=row,
            partner=None if partner < 0 else self.address(partner),
            r=columns["r"][at],
            null=columns["null"][at],
        )

    @cached_property
    def _by_hub(self) -> dict[str, tuple[Concept, ...]]:
        found: dict[str, list[Concept]] = defaultdict(list)
        for concept in self._all:
            found[concept.hub].append(concept)
        return {hub: tuple(concepts) for hub, concepts in found.items()}

    @cached_property
    def _by_address(self) -> dict[str, Concept]:
        return {concept.address: concept for concept in self._all}

    @cached_property
    def _of_row(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = defaultdict(list)
        for at, concept in enumerate(self._all):
            for unit in concept.members:
                found[unit.row].append(at)
        return found

    @cached_property
    def pool(self) -> list[str]:
        """The texts that concepts are labelled with; none without a CLIP member that has a unit in a concept."""
        return self.bundle.table("texts")["text"].to_pylist()

    @cached_property
    def activation(self) -> np.ndarray:
        """(concept, image) float32: the mean over members (of each its `Concept.best`) of the peak in standard
        deviations from its mean over the images. Rows as `Concept.row`."""
        return activation(self._z, [places.tolist() for places in self._best])

    @cached_property
    def scores(self) -> ConceptScores:
        """How well texts predict concepts."""
        return ConceptScores(self)

    @cached_property
    def _best(self) -> list[np.ndarray]:
        """Of each concept: positions on the axis described of its best unit in each member that has one."""
        described = np.asarray(self.bundle.array("described"))
        made = []
        for concept in self._all:
            made.append(np.searchsorted(described, [unit.row for unit in concept.best.values()]))
        return made

    @cached_property
    def _z(self) -> np.ndarray:
        """(described, image) peaks in standard deviations from their mean, float32; 0 where a peak never varies."""
        mean_d, std_d = (np.asarray(self.bundle.array(name)) for name in ("peak_mean", "peak_std"))
        return deviations(np.asarray(self.bundle.array("peak"), np.float32), mean_d, std_d)

    @cached_property
    def _texts(self) -> dict[int, list[UnitText]]:
        found: dict[int, list[UnitText]] = defaultdict(list)
        for row in self.bundle.table("unit_texts").sort_by([("unit", "ascending"), ("rank", "ascending")]).to_pylist():
            found[row["unit"]].append(UnitText(row["text"], row["how"], row["value"]))
        return found

    @cached_property
    def _images(self) -> dict[str, list]:
        return self.bundle.table("images").to_pydict()

    @cached_property
    def _thumbs(self) -> ThumbPack:
        return ThumbPack(self.bundle.path("thumbs/thumbs.bin").parent)

    def _place(self, row: int) -> tuple[MemberInfo, LayerInfo, int]:
        m, layer = self._layers[int(np.searchsorted(self._firsts, row, "right")) - 1]
        return self.members[m], layer, int(row) - layer.first

    def _member(self, name: str) -> int:
        if name not in self._names:
            raise AddressError(f"There is no model {name[:60]!r} in this dictionary; it has {', '.join(self._names)}.")
        return self._names.index(name)

    def _check(self, image: int) -> None:
        if not isinstance(image, int | np.integer) or isinstance(image, bool) or not 0 <= image < self.images:
            raise AddressError(
                f"There is no image {str(image)[:40]}: this dictionary has images 0 to {self.images - 1}."
            )

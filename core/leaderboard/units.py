"""Numbers and directions of heads, neurons and described pairs, as the leaderboard needs them of a bundle."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np

from core.bundle.read import Bundle
from core.errors import InputError
from core.ids import Head, Neuron, Pair, parse
from core.methods import label_leaderboard as method
from core.methods.label_scores import LIMIT, evenly, largest


@dataclass
class Source:
    """Numbers and directions of one kind of units. `at_n` places of the sample's images among those measured."""

    bundle: Bundle
    kind: str = field(init=False, default="")

    @cached_property
    def image_ids(self) -> np.ndarray:
        return np.asarray(self.bundle.array("neuron_image_ids"))

    @cached_property
    def at_n(self) -> np.ndarray:
        return evenly(len(self.image_ids), LIMIT)

    @cached_property
    def half_a(self) -> np.ndarray:
        return self.at_n[0::2]

    @cached_property
    def half_b(self) -> np.ndarray:
        return self.at_n[1::2]

    def units(self, at: np.ndarray) -> np.ndarray:
        """Representations (n, o) of images."""
        return np.asarray(self.bundle.array("representations")[self.image_ids[at]], np.float32)

    def has(self, address: str) -> bool:
        try:
            return self.row(address) >= 0
        except (InputError, ValueError, KeyError):
            return False

    @property
    def importance(self) -> np.ndarray:
        raise NotImplementedError

    def address(self, row: int) -> str:
        raise NotImplementedError

    def row(self, address: str) -> int:
        raise NotImplementedError

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Directions (u, o), numbers in halves A and B, and which images of B the direction was made from."""
        raise NotImplementedError

    def turned(self, rows: np.ndarray) -> np.ndarray:
        """(u,) -1 where the + end of what was read last is what the app calls the − end, else +1: for labels by hand,
        which are given to the app's ends. `rows` as they were read."""
        return np.ones(len(rows))


class Layered(Source):
    """Units that a layer and a number in it name; `layer_axis` and `axis` are the bundle's for these."""

    layer_axis: ClassVar[str]
    axis: ClassVar[str]
    named: ClassVar[type[Head] | type[Neuron]]

    def _layers(self) -> list[int | None]:
        return list(self.bundle.axes[self.layer_axis].labels or [])

    def address(self, row: int) -> str:
        i, number = divmod(int(row), self.bundle.axes[self.axis].size)
        return str(self.named(self._layers()[i], number))

    def row(self, address: str) -> int:
        unit = parse(address)
        if not isinstance(unit, self.named):
            return -1
        number: int = getattr(unit, self.axis)
        return self._layers().index(unit.layer) * self.bundle.axes[self.axis].size + number


class Heads(Layered):
    """Heads by their first component over half A; `components` of those that were read last."""

    kind, layer_axis, axis, named = "head", "layer", "head", Head

    @cached_property
    def image_ids(self) -> np.ndarray:
        return np.flatnonzero(self.bundle.array("ok"))

    @cached_property
    def importance(self) -> np.ndarray:
        return np.abs(np.asarray(self.bundle.array("share"))).ravel()

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        texts_wo, heads = self.bundle.array("text_embeddings"), self.bundle.axes["head"].size
        directions, numbers, components = [], [], []
        for row in rows:
            i, h = divmod(int(row), heads)
            basis_oc, r_nc = self.bundle.array("basis")[i, h], self.bundle.array("r")[i, h]
            a_nc, b_nc = (np.asarray(r_nc[self.image_ids[at]], np.float32) for at in (self.half_a, self.half_b))
            picks = self.bundle.axes["pick"].size
            found = method.first_component(a_nc, np.asarray(texts_wo @ basis_oc, np.float64), picks)
            axis_c = found.axis_c.astype(np.float32)
            directions.append(basis_oc @ axis_c)
            numbers.append((a_nc @ axis_c, b_nc @ axis_c))
            components.append(found)
        self.components = tuple(components)
        a_un, b_un = (np.stack(half) for half in zip(*numbers, strict=True))
        return np.stack(directions), a_un, b_un, np.zeros(b_un.shape, bool)

    def turned(self, rows: np.ndarray) -> np.ndarray:
        """The app turns a head's component by all images, and half A may see it the other way round."""
        texts_wo, heads, signs = self.bundle.array("text_embeddings"), self.bundle.axes["head"].size, []
        for row, ours in zip(rows, self.components, strict=True):
            i, h = divmod(int(row), heads)
            r_nc = np.asarray(self.bundle.array("r")[i, h][self.image_ids[self.at_n]], np.float32)
            texts_wc = np.asarray(texts_wo @ self.bundle.array("basis")[i, h], np.float64)
            whole = method.first_component(r_nc, texts_wc, self.bundle.axes["pick"].size)
            signs.append(-1 if ours.axis_c @ whole.axis_c < 0 else 1)
        return np.array(signs)


class Neurons(Layered):
    kind, layer_axis, axis, named = "neuron", "neuron_layer", "neuron", Neuron

    @cached_property
    def importance(self) -> np.ndarray:
        return np.asarray(self.bundle.array("neuron_coef_std")).ravel()

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        flat = lambda name: np.reshape(array := self.bundle.array(f"neuron_{name}"), (-1, *array.shape[2:]))[rows]
        x_un = flat("coef").astype(np.float32)
        own_un = largest(flat("norm"), int((self.bundle.facts.get("neurons") or {}).get("largest_norms", 0)))
        return flat("direction"), x_un[:, self.half_a], x_un[:, self.half_b], own_un[:, self.half_b]


class Pairs(Neurons):
    kind = "pair"

    @cached_property
    def rows(self) -> np.ndarray:
        """Flat rows of the described pairs, largest score first."""
        return np.asarray(self.bundle.array("pair_text_rows"))

    @cached_property
    def importance(self) -> np.ndarray:
        return np.asarray(self.bundle.array("pair_score")).reshape(-1)[self.rows]

    def _heads(self) -> list[str]:
        return list(self.bundle.axes["later_head"].labels or [])

    def address(self, row: int) -> str:
        unit, m = divmod(int(self.rows[row]), len(self._heads()))
        i, n = divmod(unit, self.bundle.axes["neuron"].size)
        head = parse(self._heads()[m])
        assert isinstance(head, Head)
        return str(Pair(Neuron(self._layers()[i], n), head))

    def row(self, address: str) -> int:
        unit = parse(address)
        if not isinstance(unit, Pair):
            return -1
        i, m = self._layers().index(unit.neuron.layer), self._heads().index(str(unit.head))
        flat = (i * self.bundle.axes["neuron"].size + unit.neuron.neuron) * len(self._heads()) + m
        found = np.flatnonzero(self.rows == flat)
        return int(found[0]) if len(found) else -1

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        x_un = np.asarray(self.bundle.array("pair_text_scores")[rows], np.float32)
        unit, m = np.divmod(self.rows[rows], len(self._heads()))
        i, n = np.divmod(unit, self.bundle.axes["neuron"].size)
        coords_uk, basis_mok = self.bundle.array("pair_coords")[i, n, m], self.bundle.array("pair_basis")
        direction_uo = np.stack([basis_mok[m] @ k for m, k in zip(m, coords_uk, strict=True)])
        own_un = largest(np.abs(x_un), int((self.bundle.facts.get("pairs") or {}).get("largest", 0)))
        return direction_uo, x_un[:, self.half_a], x_un[:, self.half_b], own_un[:, self.half_b]

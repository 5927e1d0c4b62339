"""The attention sink of a ResNet's pool, as a bundle stores it (paper P, §5.2)."""

from dataclasses import dataclass

import numpy as np

from core.bundle.read import Bundle
from core.ids import Neuron
from core.store.answers import Population


@dataclass(frozen=True)
class Register:
    """A neuron that drives the sink: `change` of the mean attention to the sink when it is set to zero, mean of sizes
    over images; `signed` the mean itself, positive where the neuron draws attention there."""

    address: str
    change: float
    signed: float


@dataclass(frozen=True)
class Sink:
    """`attention_ht` mean attention of the class token by head and token (0 the class token itself), spatial tokens in
    rows from the top left; `most_t` images in which a token is the one most attended to, the class token apart;
    `token` the sink. `change_n`, `signed_n` by neuron, `order_n` neurons by descending change."""

    attention_ht: np.ndarray
    most_t: np.ndarray
    token: int
    order_n: np.ndarray
    change_n: np.ndarray
    signed_n: np.ndarray
    population: Population

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the spatial tokens."""
        side = round((len(self.most_t) - 1) ** 0.5)
        return side, side

    @property
    def place(self) -> tuple[int, int]:
        """Row and column of the sink, from 1."""
        row, column = divmod(self.token - 1, self.grid[1])
        return row + 1, column + 1

    @property
    def constancy(self) -> float:
        """Share of images in which the sink is the token most attended to."""
        return float(self.most_t[self.token] / max(1, self.most_t.sum()))

    @property
    def attention(self) -> float:
        """Mean attention to the sink, over heads and images."""
        return float(self.attention_ht[:, self.token].mean())

    def registers(self, k: int) -> tuple[Register, ...]:
        """The first k neurons of the order."""
        return tuple(
            Register(str(Neuron(None, n)), float(self.change_n[n]), float(self.signed_n[n]))
            for n in self.order_n[: max(0, k)].tolist()
        )


def read_sink(bundle: Bundle) -> Sink:
    """What a bundle with the arrays of core/bundle/schema_sink.py has."""
    part = lambda name: np.asarray(bundle.array(f"sink_{name}"))
    facts = bundle.facts["sink"]
    return Sink(
        attention_ht=part("attention"),
        most_t=part("most"),
        token=int(facts["token"]),
        order_n=part("register_order"),
        change_n=part("change"),
        signed_n=part("signed"),
        population=Population(int(facts["images"]), bundle.facts["manifest"]["ok"]),
    )

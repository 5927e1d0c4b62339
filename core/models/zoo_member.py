"""What the zoo's models have in common: pictures in, a named map of every unit of every compared layer out.

Shape letters: b image, c unit (channel), h, w grid, t token, n neuron.
"""

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.functional import center_crop

from core.errors import AddressError, InputError, UnsupportedTower
from core.models.load import LoadedModel
from core.models.taps import Tap, tapped
from core.models.whole import resized

RANDOM = "none: random weights"
SUPPORTED = (
    "Compared are the stages of CNNs (and of others that give maps with channels, such as Swin) and the MLP neurons of "
    "ViTs whose blocks have one MLP over a grid of patch tokens."
)


@dataclass(frozen=True)
class MapLayer:
    """A layer whose units are compared. `grid` is (rows, columns) of its maps; `depth` (position of its block + 1) /
    blocks, in (0, 1]."""

    name: str
    units: int
    grid: tuple[int, int]
    depth: float


class Member(Protocol):
    """A model of the zoo: anything that turns inputs (pictures, or a generator's latents) into named maps."""

    @property
    def name(self) -> str:
        """Unique in a zoo, [a-z0-9._-]+."""

    @property
    def layers(self) -> tuple[MapLayer, ...]:
        """In order of depth: "L0", "L1", ... of a ViT (an MLP's neurons after their nonlinearity, without class and
        register tokens), "layer1", "layer2", ... of a CNN (the output of a stage)."""

    @property
    def device(self) -> torch.device:
        """Where it runs, and where its maps are."""

    @property
    def bytes(self) -> int:
        """What its weights take there."""

    @property
    def clip(self) -> LoadedModel | None:
        """The whole CLIP model where the member is one."""

    def prepare(self, picture: Image.Image) -> Tensor:
        """One input; a batch is `torch.stack` of them."""

    def maps(self, inputs: Tensor, layers: Collection[str] | None = None) -> dict[str, Tensor]:
        """(b, c, h, w) fp32 for each layer asked for (None: all), in order of depth. AddressError for a layer that is
        not there, InputError for inputs of another shape."""

    def facts(self) -> dict[str, Any]:
        """What a dictionary records of it, JSON types only; `core.models.zoo.load_recorded_member` loads it again."""


@dataclass(frozen=True)
class About:
    """Where a member comes from. `source` is what was asked for, `weights` the name of a local weights file."""

    source: str
    weights: str | None
    family: str
    training: str
    licence: str


@dataclass(frozen=True, eq=False)
class TappedMember:
    """A Member whose maps are read by taps during a forward pass. Two threads may use it: passes hold `lock`."""

    name: str
    about: About
    layers: tuple[MapLayer, ...]
    taps: Mapping[str, Tap]
    forward: Callable[[Tensor], object]
    lock: threading.Lock
    device: torch.device
    input_size: tuple[int, int]
    preprocessing: Mapping[str, Any]
    weights_digest: str
    random_weights: bool
    bytes: int
    clip: LoadedModel | None = None

    def prepare(self, picture: Image.Image) -> Tensor:
        """See Member: the centre square of an RGB picture at the model's own size, (3, rows, columns) fp32."""
        return resized(square(picture), self.input_size, self.preprocessing)

    @torch.inference_mode()
    def maps(self, inputs: Tensor, layers: Collection[str] | None = None) -> dict[str, Tensor]:
        """See Member."""
        there = [layer.name for layer in self.layers]
        missing = sorted(set(layers or ()) - set(there))
        if missing:
            raise AddressError(f"{self.name} has no layer {missing[0]!r}; its layers are {', '.join(there)}.")
        if inputs.shape[1:] != (3, *self.input_size):
            found, expected = "×".join(map(str, inputs.shape)), "×".join(map(str, ("b", 3, *self.input_size)))
            raise InputError(f"{self.name} takes inputs of {expected}, not {found}: stack what its `prepare` makes.")
        wanted = {name: self.taps[name] for name in there if layers is None or name in layers}
        if not wanted:
            return {}
        with self.lock, tapped(wanted) as seen:
            self.forward(inputs.to(self.device))
        return {name: seen[name] for name in wanted}

    def facts(self) -> dict[str, Any]:
        """See Member."""
        layers = [asdict(layer) | {"grid": list(layer.grid)} for layer in self.layers]
        return {
            "name": self.name,
            **asdict(self.about),
            "weights_digest": self.weights_digest,
            "random_weights": self.random_weights,
            "preprocessing": dict(self.preprocessing),
            "layers": layers,
            "clip": self.clip is not None,
        }


def taken(model: nn.Module) -> int:
    """Bytes of a model's weights."""
    return sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))


def square(picture: Image.Image) -> Image.Image:
    """The centre square of a picture. All members see the same one, so that positions in their maps correspond."""
    return center_crop(picture, [min(picture.size)])


def measured(
    taps: Mapping[str, Tap], forward: Callable[[Tensor], object], size: tuple[int, int], name: str
) -> list[tuple[int, tuple[int, int]]]:
    """Units and grid of every tapped map, by one pass over one grey input of (rows, columns), which the model must
    take on the CPU. UnsupportedTower where the pass fails or a layer is not part of it."""
    try:
        with torch.inference_mode(), tapped(taps) as seen:
            forward(torch.zeros(1, 3, *size))
    except UnsupportedTower as error:
        raise UnsupportedTower(f"{name} cannot be compared. {error}") from error
    except Exception as error:  # a model may stumble on anything if its declared input is not what it takes
        found = " ".join(str(error).split())[:300]
        raise UnsupportedTower(f"{name} does not run on inputs of {size[0]}×{size[1]} pixels: {found}") from error
    lost = [layer for layer in taps if layer not in seen]
    if lost:
        raise UnsupportedTower(f"{name} runs without its module for {lost[0]}, so there is no map of it. {SUPPORTED}")
    return [(seen[layer].shape[1], (seen[layer].shape[2], seen[layer].shape[3])) for layer in taps]


def token_map(grid: tuple[int, int], prefix: int) -> Callable[[Tensor], Tensor]:
    """What to keep of (b, t, n) tokens: (b, n, h, w) fp32, the `prefix` class and register tokens dropped. Blocks that
    never see those (as in CaiT) have none to drop. UnsupportedTower where the tokens do not fill the grid."""
    tokens = grid[0] * grid[1]

    def keep(x: Tensor) -> Tensor:
        if x.ndim != 3 or x.shape[1] not in (tokens, tokens + prefix):
            raise UnsupportedTower(
                f"An MLP's activations have the shape {tuple(x.shape)}, which is no grid of {grid[0]}×{grid[1]} patch "
                f"tokens after {prefix} others. {SUPPORTED}"
            )
        return x[:, x.shape[1] - tokens :].transpose(1, 2).unflatten(2, grid).float().contiguous()

    return keep


def channel_map(units: int | None = None, channels_last: bool = False) -> Callable[[Tensor], Tensor]:
    """What to keep of a stage's output (b, c, h, w), or (b, h, w, c): (b, c, h, w) fp32, as a copy, since the next
    module may write into it. UnsupportedTower where it is no map of `units` channels."""

    def keep(x: Tensor) -> Tensor:
        x_bchw = x.permute(0, 3, 1, 2) if channels_last and x.ndim == 4 else x
        if x_bchw.ndim != 4 or units not in (None, x_bchw.shape[1]):
            raise UnsupportedTower(
                f"A stage's output has the shape {tuple(x.shape)}, which is no map over positions. {SUPPORTED}"
            )
        return x_bchw.to(torch.float32, memory_format=torch.contiguous_format, copy=True)

    return keep

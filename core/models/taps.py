"""Reading and changing a module's inputs and outputs during a forward pass. The only place that registers hooks.

Hooks live on the module, so two threads that run one model at the same time would read each other's tensors (measured:
1,486 of 1,600 captures wrong with four threads). A model is therefore run under one lock: see `Tower.lock`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn


def class_token(x: Tensor) -> Tensor:
    """Token 0 of (b, t, d), as a copy, so that the whole stream of every layer is not kept. An already pooled (b, d)
    has no tokens to choose from."""
    return x[:, 0].clone() if x.ndim == 3 else x


@dataclass(frozen=True)
class Tap:
    """What to read: the first positional `input` of a module, or its `output`; and what of it to `keep` (None: all).

    `keep` runs during the pass: what a large tensor is only needed for is computed there, and the tensor let go.
    """

    module: nn.Module
    side: Literal["input", "output"]
    keep: Callable[[Tensor], Tensor] | None = None

    def read(self, x: Tensor) -> Tensor:
        return x if self.keep is None else self.keep(x)


@contextmanager
def tapped(taps: Mapping[str, Tap]) -> Iterator[dict[str, Tensor]]:
    """Run a forward pass inside; the yielded dict then holds what each tap kept."""
    seen: dict[str, Tensor] = {}
    handles = []
    try:
        for name, tap in taps.items():
            if tap.side == "output":
                handles.append(tap.module.register_forward_hook(_keep_output(seen, name, tap)))
            else:
                handles.append(tap.module.register_forward_pre_hook(_keep_input(seen, name, tap)))
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def changed(module: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Run a forward pass inside, in which the module's output x is `change(x)`. `change` must leave x as it is."""
    handle = module.register_forward_hook(lambda _module, _args, output: change(output))
    try:
        yield
    finally:
        handle.remove()


def _keep_output(seen: dict[str, Tensor], name: str, tap: Tap) -> Any:
    def hook(_module: nn.Module, _args: Any, output: Tensor) -> None:
        seen[name] = tap.read(output)

    return hook


def _keep_input(seen: dict[str, Tensor], name: str, tap: Tap) -> Any:
    def hook(_module: nn.Module, args: Any) -> None:
        seen[name] = tap.read(args[0])

    return hook

"""Reading a module's inputs and outputs during a forward pass. The only place that registers hooks.

Hooks live on the module, so two threads that run one model at the same time would read each other's tensors (measured:
1,486 of 1,600 captures wrong with four threads). A model is therefore run under one lock: see `Tower.lock`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn


@dataclass(frozen=True)
class Tap:
    """What to read: the first positional `input` of a module, or its `output`.

    With `class_token`, only token 0 of (b, t, d) is kept (as a copy), so that the whole stream of every layer is not.
    """

    module: nn.Module
    side: Literal["input", "output"]
    class_token: bool = False

    def keep(self, x: Tensor) -> Tensor:
        """What of the tensor is kept. An already pooled (b, d) has no tokens to choose from."""
        return x[:, 0].clone() if self.class_token and x.ndim == 3 else x


@contextmanager
def tapped(taps: Mapping[str, Tap]) -> Iterator[dict[str, Tensor]]:
    """Run a forward pass inside; the yielded dict then holds each tap's tensor."""
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


def _keep_output(seen: dict[str, Tensor], name: str, tap: Tap) -> Any:
    def hook(_module: nn.Module, _args: Any, output: Tensor) -> None:
        seen[name] = tap.keep(output)

    return hook


def _keep_input(seen: dict[str, Tensor], name: str, tap: Tap) -> Any:
    def hook(_module: nn.Module, args: Any) -> None:
        seen[name] = tap.keep(args[0])

    return hook

"""The live model of a bundle: loaded as the bundle says, on the GPU if it fits, and what it and its device weigh."""

import gc
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from core.errors import ModelError
from core.explain.explainer import Explainer
from core.explain.rosetta import RosettaExplainer, load_rosetta
from core.methods.layernorm import Convention
from core.models.load import load_recorded, pick_device

if TYPE_CHECKING:
    from core.store.dictionary import Dictionary

Live = TypeVar("Live", Explainer, RosettaExplainer)
_CGROUP = Path("/sys/fs/cgroup/memory.max")
_TRACES = (64 * 2**20, 512 * 2**20)


def load_explainer(facts: Mapping[str, Any], make_room: Callable[[], None]) -> Explainer:
    """The model that made a bundle (`Bundle.facts`), ready to explain images, over the layers the bundle analysed.

    Where the GPU is full, `make_room` is called once to let go of what can be let go of; if that is not enough the
    model goes to the CPU, and `notice` says so. ModelError if it cannot be loaded or is not the one that made it.
    """
    return _fitting(lambda device: _load(facts, device), make_room)


def load_zoo_explainer(dictionary: "Dictionary", make_room: Callable[[], None]) -> RosettaExplainer:
    """The models that a dictionary records, likewise; all of them on one device."""
    return _fitting(lambda device: load_rosetta(dictionary, device.type), make_room)


def _fitting(load: Callable[[torch.device], Live], make_room: Callable[[], None]) -> Live:
    device = pick_device("auto")
    for attempt in (device, device, torch.device("cpu")):
        try:
            explainer = load(attempt)
        except (torch.OutOfMemoryError, MemoryError):
            pass
        else:
            if attempt.type != device.type:
                explainer.notice = f"The {device.type} device is full, so this model runs on the CPU, which is slower."
            return explainer
        # outside the handler: the traceback there keeps the tensors that filled the memory
        make_room()
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
    raise ModelError("There is not enough memory to load this model. Close other programs and try again.")


def weight(explainer: Explainer | RosettaExplainer) -> tuple[str, int]:
    """Where a model lives, or a dictionary's models, and how many bytes they may come to take there: parameters and
    what is kept of images."""
    if isinstance(explainer, RosettaExplainer):
        return explainer.device.type, explainer.bytes
    model = explainer.model
    tensors = [*model.clip.parameters(), *model.clip.buffers()]
    return model.device.type, sum(tensor.nbytes for tensor in tensors) + explainer.cache_bytes


def memory(kind: str) -> int:
    """Bytes of memory that a kind of device has; of a container, what it may use."""
    if kind == "cuda":
        return int(torch.cuda.get_device_properties(torch.device("cuda")).total_memory)
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(whole, int(_CGROUP.read_text()))
    except (OSError, ValueError):  # no such limit: "max", or not Linux
        return whole


def _load(facts: Mapping[str, Any], device: torch.device) -> Explainer:
    model = load_recorded(facts["model"], device=device.type)
    # a small model's images are small too, and so many small models fit beside each other
    low, high = _TRACES
    cache_bytes = min(high, max(low, sum(parameter.nbytes for parameter in model.clip.parameters())))
    layers = [layer for layer in facts["axes"]["layer"]["labels"] if layer is not None]
    explainer = Explainer(model, Convention(facts["layernorm"]), layers or None, cache_bytes)
    explainer.check_bundle(facts)
    return explainer

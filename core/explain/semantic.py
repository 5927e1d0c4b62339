"""One of several classes for every pixel of a picture, live and without training, for classes that a visitor names.

Papers P (Bu & Gandelsman 2025, equation 6) and Zhou et al. 2022 through `core.methods.semantic_maps`, with the pairs
and neurons of a bundle.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image

from core.bundle.read import Bundle
from core.errors import InputError
from core.explain.explainer import Explainer
from core.explain.prompts import clean_prompt
from core.ids import traced
from core.methods import pair_segmentation as method
from core.methods.layernorm import Convention
from core.methods.semantic_maps import METHODS, NEEDS, SemanticMaps, choose, head_layers
from core.models.whole import whole_image

MOST_CLASSES = 40
SHORT_SIDES = {**method.SHORT_SIDES, "fine": 2.0}
"""An image's short side over a window's."""
_KEPT = 8
_BATCH = 8  # windows in one go, while other sessions wait
_MOST_LOGITS = 2**27  # 0.5 GB: several visitors at once must fit into memory


@dataclass(frozen=True)
class How:
    """`by` a method of `METHODS`; `short_side` one of SHORT_SIDES; `repair`: the last patch from its neighbours;
    `zeroed`: how many of the bundle's register neurons are set to zero."""

    by: str = "pairs"
    short_side: str = "paper"
    repair: bool = True
    zeroed: int = 0


@dataclass(frozen=True)
class Semantic:
    """`label_yx` each pixel's class (a position in `classes`), `view_yx3` uint8 the picture at that size. `confidence`
    the median pixel's probability of its class, by the softmax of 40 x logits. `windows` of `crop` pixels were looked
    at, `stride` apart; `chosen` pairs or neurons a class, 0 where the method chooses none."""

    classes: tuple[str, ...]
    how: How
    label_yx: np.ndarray = field(repr=False)
    view_yx3: np.ndarray = field(repr=False)
    confidence: float
    windows: int
    crop: int
    stride: int
    chosen: int

    @property
    def share_c(self) -> np.ndarray:
        """Of the pixels, how many are of each class."""
        return np.bincount(self.label_yx.ravel(), minlength=len(self.classes)) / self.label_yx.size


class SemanticExplainer:
    """Segments pictures with the model of a bundle. Thread-safe through the explainer's lock, which is held for a few
    windows at a time; the last answers are kept."""

    def __init__(self, explainer: Explainer, bundle: Bundle) -> None:
        self.explainer, self.bundle = explainer, bundle
        self._answers: dict[tuple[str, tuple[str, ...], How], Semantic] = {}

    @property
    def methods(self) -> tuple[str, ...]:
        """Those of METHODS that the bundle has the arrays of."""
        return tuple(name for name in METHODS if name not in NEEDS or self.bundle.has(NEEDS[name]))

    @property
    def repairs(self) -> bool:
        """Whether the last token is the attention's sink by convention: in a ResNet's pool."""
        return self.explainer.model.tower.kind == "resnet"

    @property
    def registers(self) -> int:
        """How many register neurons the bundle ranks; 0 where it ranks none."""
        return self.bundle.array("sink_register_order").size if self.bundle.has("sink_register_order") else 0

    def segment(
        self, key: str, picture: Callable[[], Image.Image], classes: Sequence[str], how: How,
        progress: Callable[[int, int], None] | None = None,
    ) -> Semantic:  # fmt: skip
        """The pixels of an RGB picture among the classes (texts, as they are); `key` names the picture, as
        `ImageTrace.key` does. `progress` is told (done, all) windows.

        InputError for fewer than two different classes or too many, texts as `clean_prompt`, a method or size that is
        not to be had, or a picture that would take too much memory.
        """
        names = tuple(dict.fromkeys(map(clean_prompt, classes)))
        if len(names) > MOST_CLASSES:
            raise InputError(f"{len(names)} classes were named; at most {MOST_CLASSES} are told apart at once.")
        if len(names) < 2:
            raise InputError(
                "Name at least two classes: each place is given to one of them, so what is around the thing you look "
                "for needs a name too. For one text alone there is the section Segment."
            )
        if how.by not in self.methods or how.short_side not in SHORT_SIDES or not 0 <= how.zeroed <= self.registers:
            raise InputError("This bundle cannot be segmented so: choose another method.")
        asked = (key, names, how)
        answer = self._answers.get(asked)
        if answer is None:
            answer = self._answers[asked] = self._segment(picture(), names, how, progress)
            while len(self._answers) > _KEPT:
                self._answers.pop(next(iter(self._answers)), None)
        return answer

    def _segment(
        self, picture: Image.Image, names: tuple[str, ...], how: How, progress: Callable[[int, int], None] | None
    ) -> Semantic:
        shown = self.explainer.model.preprocessing
        crop = min(self.explainer.model.input_size)
        stride = max(1, round(method.STRIDE * crop))
        image_cyx = whole_image(picture, round(SHORT_SIDES[how.short_side] * crop), shown)
        rows, columns = image_cyx.shape[1:]
        if len(names) * rows * columns > _MOST_LOGITS:
            raise InputError("This picture is too long for so many classes. Cut it, or name fewer classes.")
        texts_wo = torch.from_numpy(np.concatenate([self.explainer.embed([name]) for name in names]))
        maps = self.explainer.run(lambda: self._maps(texts_wo, how))

        def compute(pixels: torch.Tensor) -> torch.Tensor:
            nonlocal maps
            if maps.tower is not self.explainer.model.tower:  # it has moved to the CPU
                maps = self._maps(texts_wo, how)
            return maps.stacked(pixels.to(self.explainer.model.device)).cpu()

        score = lambda pixels: self.explainer.run(lambda: compute(pixels))
        logits_wyx = method.slide(image_cyx, crop, stride, score, _BATCH, progress)
        chosen = {"pairs": maps.classes.pair_wmn, "neurons": maps.classes.neuron_wn}.get(how.by)
        mean, std = (torch.tensor(shown[name]).reshape(3, 1, 1) for name in ("mean", "std"))
        view_cyx = ((image_cyx * std + mean).clip(0, 1) * 255).round().to(torch.uint8)
        return Semantic(
            classes=names,
            how=how,
            label_yx=method.label(logits_wyx).numpy().astype(np.int16),
            view_yx3=np.ascontiguousarray(view_cyx.permute(1, 2, 0).numpy()),
            confidence=float(method.confidence(logits_wyx).median()),
            windows=len(method.starts(rows, crop, stride)) * len(method.starts(columns, crop, stride)),
            crop=crop,
            stride=stride,
            chosen=0 if chosen is None else int(chosen[0].sum()),
        )

    def _maps(self, texts_wo: torch.Tensor, how: How) -> SemanticMaps:
        """The segmenter of these classes, on the model's device."""
        model, bundle = self.explainer.model, self.bundle
        heads = bundle.axes["later_head"].labels if how.by == "pairs" else None
        return SemanticMaps(
            model.tower,
            choose(texts_wo.to(model.device), (how.by,), bundle.array),
            (how.by,),
            layers=head_layers(heads, bundle.axes["layer"].labels or []),
            neuron_layers=self._neuron_layers(how.by),
            convention=Convention(bundle.facts["layernorm"]),
            sink=method.LAST if how.repair else None,
            zeroed=np.asarray(bundle.array("sink_register_order"))[: how.zeroed].tolist() if how.zeroed else (),
        )

    def _neuron_layers(self, by: str) -> tuple[int, ...]:
        labels = self.bundle.axes["neuron_layer"].labels if by in NEEDS else None
        return traced(labels or ())

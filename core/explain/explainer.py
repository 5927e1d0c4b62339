"""One locked inference service for all sessions: reads images, embeds prompts, and says what adds up to a cosine.

Papers H (Gandelsman et al. 2024), eq. 5-8 and §4.4, and P (Bu & Gandelsman 2025) for ResNets, through core.methods.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image

from core.errors import AddressError, InputError, ModelError
from core.explain.answers import Budget, BudgetRow, Heatmap, ImageTrace, PromptScore, RankedHead, TokenMatrix
from core.explain.prompts import clean_prompt
from core.ids import Head, parse
from core.methods.first_order import FirstOrder, Parts
from core.methods.heatmaps import text_heatmaps
from core.methods.layernorm import Convention
from core.models.load import LoadedModel
from core.models.tower import Trace

MAX_PROMPTS = 200
"""Prompts asked about at once."""
NORMALISATIONS = ("raw", "per-layer")
_TRACE_BYTES = 512 * 2**20  # an image takes 2 MB in a ViT-B/32, 25 MB in a ViT-L/14
_TEXTS_KEPT = 4_096
# A live model's probe may differ from the bundle's by the rounding of another machine's kernels, in this precision.
PROBE_TOLERANCE = {"fp32": 1e-4, "fp16": 1e-2, "bf16": 5e-2}

T = TypeVar("T")


@dataclass(frozen=True)
class _Entry:
    """A cached image, on the model's device."""

    trace: Trace
    parts: Parts


class Explainer:
    """Explains images with a live model. Thread-safe: one lock around the model, immutable answers.

    `layers` are those that heatmaps, the ranking and the token matrix take when none are named (None: the last four, or
    all there are); the budget always has all. If the GPU runs out of memory the model moves to the CPU for good, and
    `notice` says so. It is a `core.text.embed.TextEncoder` too, so a pool embedded through it waits for its turn.
    """

    def __init__(
        self,
        model: LoadedModel,
        convention: Convention = Convention.OWN,
        layers: Sequence[int] | None = None,
        cache_bytes: int = _TRACE_BYTES,
    ) -> None:
        self.model = model
        self.notice: str | None = None
        self.convention = convention
        every = tuple(range(model.tower.layers))
        self.layers = every[-4:] if layers is None else tuple(layers)
        self.cache_bytes = cache_bytes
        self._lock = threading.RLock()
        self._companions: dict[str, Any] = {}
        self._traces: OrderedDict[str, _Entry] = OrderedDict()
        self._texts: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lens = self.run(lambda: FirstOrder(self.model.tower, every, convention))

    def check_bundle(self, facts: Mapping[str, Any]) -> None:
        """ModelError unless this is the model that made the bundle (`Bundle.facts`): its weights, by digest, and what
        it makes of a fixed image."""
        theirs = facts["model"]
        if theirs["weights_digest"] != self.model.weights_digest:
            raise ModelError(
                f"The model that is loaded ({self.model.name}, {self.model.precision}) has other weights than the one "
                f"that made bundle {facts['id']} ({theirs['name']}, {theirs['precision']}). "
                "Load the same weights in the same precision, or run precompute with these."
            )
        expected = theirs.get("details", {}).get("probe")
        if expected is None:
            return
        found = self.run(self.model.probe)
        worst = float(np.abs(np.subtract(found, expected)).max())
        if not worst <= PROBE_TOLERANCE[self.model.precision]:
            raise ModelError(
                f"{self.model.name} has the weights of bundle {facts['id']} but computes another representation of a "
                f"fixed image (off by {worst:.1e}). Use the library versions in bundle.json, or run precompute again."
            )

    @property
    def digest(self) -> str:
        """Names the model's numbers (see LoadedModel)."""
        return self.model.digest

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Unit embeddings (n, o), nothing kept; for pools. Give chunks: other sessions wait for each."""
        return self.run(lambda: self.model.encode_texts(texts))

    def embed(self, prompts: Sequence[str]) -> np.ndarray:
        """Unit embeddings (n, o) of prompts, cached. InputError as for `clean_prompt`, or without prompts."""
        if not 1 <= len(prompts) <= MAX_PROMPTS:
            raise InputError(f"{len(prompts)} prompts were given; one to {MAX_PROMPTS} can be asked about at once.")
        return np.stack([self._embed_one(clean_prompt(prompt)) for prompt in prompts])

    def unseen_words(self, prompts: Sequence[str]) -> tuple[str, ...]:
        """Words of the prompts that the text encoder was never trained on, where its weights tell (`TextTower`)."""
        found = (self.model.text.unseen_words(clean_prompt(prompt)) for prompt in prompts)
        return tuple(dict.fromkeys(word for words in found for word in words))

    def unread(self, prompt: str) -> str:
        """The end of a prompt that the text encoder does not read (see `TextTower.unread`)."""
        return self.model.text.unread(clean_prompt(prompt))

    def read(self, image: Image.Image) -> ImageTrace:
        """Run the model over an RGB image (from `core.images.decode`); a repeated image costs next to nothing."""
        if image.mode != "RGB":
            raise InputError(f"This image has mode {image.mode}; decode it with core.images.decode, which gives RGB.")
        key = sha256(f"{image.width}x{image.height} ".encode() + image.tobytes()).hexdigest()
        pixels = self.model.transform(image).numpy()
        entry = self._entry(key, pixels)
        return ImageTrace(
            key=key,
            width=image.width,
            height=image.height,
            view_yx3=self._view(pixels),
            unit_o=to_numpy(entry.parts.unit_bo[0]),
            norm=float(entry.trace.norm_b[0]),
            residual=float(entry.parts.residual_b[0]),
            pixels=pixels,
        )

    def zero_shot(self, image: ImageTrace, prompts: Sequence[str]) -> tuple[PromptScore, ...]:
        """Each prompt's cosine, and the softmax over them of the cosines times the model's logit scale; in order."""
        cosine_w = self.embed(prompts).astype(np.float64) @ image.unit_o.astype(np.float64)
        logit_w = cosine_w * float(self.model.clip.logit_scale.detach().float().exp())
        odds_w = np.exp(logit_w - logit_w.max())
        rows = zip(map(clean_prompt, prompts), cosine_w, odds_w / odds_w.sum(), strict=True)
        return tuple(PromptScore(prompt, float(cosine), float(p)) for prompt, cosine, p in rows)

    def heatmap(
        self,
        image: ImageTrace,
        text: str,
        against: str | None = None,
        average_o: np.ndarray | None = None,
        layers: Sequence[int] | None = None,
        normalise: str = "raw",
    ) -> Heatmap:
        """Where the heads write toward a text, or toward it rather than `against`. `average_o` (o,), the mean of the
        class prompts' embeddings (`Store.class_mean`), is subtracted from the text; in a contrast it cancels.

        InputError for an unknown layer or normalisation, or as for `clean_prompt`.
        """
        if normalise not in NORMALISATIONS:
            raise InputError(f"Heatmaps are {' or '.join(NORMALISATIONS)}, not {str(normalise)[:40]!r}.")
        chosen = self._chosen(layers)
        texts = [text] if against is None else [text, against]
        embedded = self.embed(texts)
        averaged = average_o is not None and against is None
        direction_o = embedded[0] - (embedded[1] if against is not None else average_o if averaged else 0.0)
        map_lhyx, class_lh = self._maps(image, direction_o, chosen)
        score, class_score = float(map_lhyx.sum() + class_lh.sum()), float(class_lh.sum())
        if normalise == "per-layer":
            scale_l = np.abs(map_lhyx.sum(1)).max((1, 2))
            scale_l = np.where(scale_l > 0, scale_l, np.inf) * len(chosen)
            map_lhyx, class_lh = map_lhyx / scale_l[:, None, None, None], class_lh / scale_l[:, None]
        return Heatmap(
            text=clean_prompt(text),
            against=None if against is None else clean_prompt(against),
            averaged=averaged,
            normalise=normalise,
            layers=tuple(self._number(layer) for layer in chosen),
            total_yx=map_lhyx.sum((0, 1)),
            layer_lyx=map_lhyx.sum(1),
            head_lhyx=map_lhyx,
            class_token_lh=class_lh,
            score=score,
            class_token_score=class_score,
        )

    def budget(self, image: ImageTrace, text: str) -> Budget:
        """The prompt's cosine over the embedding, and each layer's heads, output bias and MLP in the order of the
        layers, and the offset."""
        text_o = self.embed([text])[0]

        def compute() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            parts = self._entry(image.key, image.pixels).parts
            t = torch.from_numpy(text_o).to(parts.unit_bo.device)
            heads_lh = torch.einsum("lhc,lhoc,o->lh", parts.coords_blhc[0], self._lens.basis_lhoc, t)
            return to_numpy(heads_lh), to_numpy(parts.part_pbo[:, 0] @ t), to_numpy(parts.bias_lbo[:, 0] @ t)

        heads_lh, part_p, bias_l = self.run(compute)
        part = dict(zip(self._lens.names, map(float, part_p), strict=True))
        rows = [BudgetRow("embedding", "embedding", None, part["embedding"])] if "embedding" in part else []
        for i, layer in enumerate(self._lens.layers):
            number = self._number(layer)
            rows += [BudgetRow(str(Head(number, h)), "head", number, float(v)) for h, v in enumerate(heads_lh[i])]
            suffix = "" if number is None else f" L{number}"
            if self.convention is Convention.OWN:  # under `equal` the heads carry it
                rows.append(BudgetRow(f"bias{suffix}", "bias", number, float(bias_l[i])))
            if f"mlp L{layer}" in part:
                rows.append(BudgetRow(f"mlp{suffix}", "mlp", number, part[f"mlp L{layer}"]))
        if "offset" in part:
            rows.append(BudgetRow("offset", "offset", None, part["offset"]))
        cosine = float(text_o.astype(np.float64) @ image.unit_o.astype(np.float64))
        return Budget(clean_prompt(text), tuple(rows), float(np.sum([row.value for row in rows])), cosine)

    def ranked_heads(self, image: ImageTrace, text: str, layers: Sequence[int] | None = None) -> tuple[RankedHead, ...]:
        """Heads of the layers by what they add to the prompt's cosine, the largest first."""
        numbers = {self._number(layer) for layer in self._chosen(layers)}
        rows = [row for row in self.budget(image, text).rows if row.kind == "head" and row.layer in numbers]
        return tuple(RankedHead(row.name, row.layer, row.value) for row in sorted(rows, key=lambda row: -row.value))

    def head_token_matrix(self, image: ImageTrace, text: str, layers: Sequence[int] | None = None) -> TokenMatrix:
        """What each head adds through each token; a row sums to the head's row in the budget."""
        chosen = self._chosen(layers)
        map_lhyx, class_lh = self._maps(image, self.embed([text])[0], chosen)
        score_lht = np.concatenate([class_lh[..., None], map_lhyx.reshape(*class_lh.shape, -1)], axis=-1)
        rows, columns = self.model.tower.grid
        names = tuple(str(Head(self._number(layer), h)) for layer in chosen for h in range(class_lh.shape[1]))
        return TokenMatrix(clean_prompt(text), names, score_lht.reshape(len(names), -1), (rows, columns))

    def contribution(self, image: ImageTrace, address: str | Head) -> np.ndarray:
        """c (o,), what a head adds to the unit representation; `Store.coords` brings it into the head's space."""
        unit = parse(address) if isinstance(address, str) else address
        tower = self.model.tower
        layer = 0 if isinstance(unit, Head) and unit.layer is None else getattr(unit, "layer", None)
        known = isinstance(unit, Head) and layer in self._lens.layers and self._number(layer) == unit.layer
        if not known or not isinstance(unit, Head) or unit.head >= tower.heads:
            last = Head(self._number(tower.layers - 1), tower.heads - 1)
            first = Head(self._number(0), 0)
            raise AddressError(f"{unit} is no head of {self.model.name}, whose heads are {first} to {last}.")

        def compute() -> np.ndarray:
            coords = self._entry(image.key, image.pixels).parts.coords_blhc[0, layer, unit.head]
            return to_numpy(self._lens.basis_lhoc[layer, unit.head] @ coords)

        return self.run(compute)

    @property
    def heads_lens(self) -> FirstOrder:
        """The first-order lens on the model as it is: it may have moved. To be called in `run`."""
        return self._lens

    # --- inside ---------------------------------------------------------------------------------------------------

    def _embed_one(self, text: str) -> np.ndarray:
        """(o,) from the cache or computed: alone, since in a batch the last bits depend on the texts beside it, and no
        visitor's numbers may depend on another's questions."""
        with self._lock:
            if text not in self._texts:
                self._texts[text] = self.encode_texts([text])[0]
            self._texts.move_to_end(text)
            while len(self._texts) > _TEXTS_KEPT:
                self._texts.popitem(last=False)
            return self._texts[text]

    def _maps(
        self, image: ImageTrace, direction_o: np.ndarray, layers: tuple[int, ...]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Heatmaps (l, h, y, x) of one direction, and the class token's share (l, h)."""

        def compute() -> tuple[np.ndarray, np.ndarray]:
            trace = self._entry(image.key, image.pixels).trace
            texts = torch.from_numpy(direction_o.astype(np.float32))[None].to(trace.norm_b.device)
            maps = text_heatmaps(self._lens, trace, texts, layers=layers)
            return to_numpy(maps.map_bwlhyx[0, 0]), to_numpy(maps.class_token_bwlh[0, 0])

        return self.run(compute)

    def _entry(self, key: str, pixels: np.ndarray) -> _Entry:
        """The image's trace and parts, from the cache or computed."""

        def compute() -> _Entry:
            if key in self._traces:
                self._traces.move_to_end(key)
                return self._traces[key]
            trace = self.model.tower.trace(torch.from_numpy(pixels)[None].to(self.model.device), self._lens.layers)
            entry = _Entry(trace, self._lens.parts(trace))
            if not float(entry.parts.residual_b.max()) < np.inf:
                raise ModelError("The model gave numbers that are not finite for this image; try --precision fp32.")
            self._traces[key] = entry
            size = sum(heads.z_btd.nbytes for heads in trace.heads.values()) + trace.mlp_lbd.nbytes * 2
            while len(self._traces) > max(1, self.cache_bytes // max(1, size)):
                self._traces.popitem(last=False)
            return entry

        return self.run(compute)

    def companion(self, name: str, make: Callable[[], T]) -> T:
        """A service on this model, such as `core.explain.neurons`: made once, and freed with the model."""
        with self._lock:
            if name not in self._companions:
                self._companions[name] = make()
            return self._companions[name]

    def run(self, compute: Callable[[], T]) -> T:
        """Run alone, for services on the same model too (`core.explain.neurons`). When a GPU's memory runs out: move to
        the CPU, say so, and run again."""
        with self._lock, torch.inference_mode():
            try:
                return compute()
            except (torch.OutOfMemoryError, MemoryError) as error:
                if self.model.device.type == "cpu":
                    raise ModelError(
                        "There is not enough memory for this. Close other programs and try again."
                    ) from error
                device = self.model.device.type
            # outside the handler: the traceback there keeps the tensors that filled the memory
            self._traces.clear()
            self.model = self.model.moved(torch.device("cpu"))
            self._lens = FirstOrder(self.model.tower, tuple(range(self.model.tower.layers)), self.convention)
            self.notice = f"The {device} device ran out of memory: from now on this runs on the CPU, which is slower."
            return compute()

    def _chosen(self, layers: Sequence[int] | None) -> tuple[int, ...]:
        chosen = self.layers if layers is None else tuple(sorted(set(layers)))
        wrong = [layer for layer in chosen if layer not in self._lens.layers]
        if wrong or not chosen:
            raise InputError(f"{self.model.name} has layers 0 to {self.model.tower.layers - 1}, not {wrong or 'none'}.")
        return chosen

    def _number(self, layer: int) -> int | None:
        """A layer as addresses name it."""
        return None if self.model.tower.kind == "resnet" else layer

    def _view(self, pixels: np.ndarray) -> np.ndarray:
        shown = self.model.preprocessing
        mean, std = (np.array(shown[name], np.float32)[:, None, None] for name in ("mean", "std"))
        scaled = (pixels * std + mean).clip(0, 1) * 255
        return np.ascontiguousarray(scaled.round().astype(np.uint8).transpose(1, 2, 0))


def to_numpy(x: torch.Tensor) -> np.ndarray:
    """On the CPU, float32."""
    return x.detach().float().cpu().numpy()

"""What a bundle stores of its heads: a few megabytes, whatever the number of images."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from core.bundle.read import Bundle
from core.errors import AddressError, InputError
from core.ids import Head, parse
from core.methods.textspan import best_explained, explained_in_order, textspan
from core.store import answers as a
from core.store.texts import check_text

_LABEL = 60  # characters
_LABEL_TEXTS = 3
_DRAWS = 20  # of random texts: their mean is then known to a percent or two
_MEASURES = {
    "share": ("Share of output variance", "Covariance of what the head writes with the representation, as a fraction "
              "of the representation's variance. All parts together give 1; one may be negative."),
    "variance": ("Own variance", "Total variance of what the head writes into the unit representation."),
    "explained": ("Explained by texts", "Fraction of the head's variance that its texts explain together."),
    "norm": ("Median norm", "Median length of what the head writes; the whole representation has length 1."),
}  # fmt: skip


class HeadTable:
    """Texts, moments and quantiles of every head. Thread-safe; see Store for errors."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.layers: list[int | None] = list(bundle.axes["layer"].labels or [])
        self.heads = bundle.axes["head"].size
        self.levels = np.array(bundle.axes["quantile"].labels, np.float64)
        ok = bundle.facts["manifest"]["ok"]
        self.everyone = a.Population(ok, ok)
        self.titles = {name: title for name, (title, _) in _MEASURES.items()}

    @cached_property
    def facts(self) -> a.Facts:
        f = self.bundle.facts
        model, manifest = f["model"], f["manifest"]
        return a.Facts(
            bundle=f["id"],
            created=f["created"],
            command=f["command"],
            model=shown_name(model["name"]),
            pretrained=model["pretrained"],
            random_weights=model["random_weights"],
            tower=model["tower"],
            precision=model["precision"],
            activation=model["activation"],
            layernorm=f["layernorm"],
            weights_digest=model["weights_digest"],
            probe=tuple(model.get("details", {}).get("probe", ())),
            data=manifest["source"],
            pool=f["pool"]["name"],
            pool_texts=f["pool"]["texts"],
            images=manifest["images"],
            ok=manifest["ok"],
            quarantined=manifest["quarantined"],
            layers=tuple(self.layers),
            model_layers=model["layers"],
            heads=self.heads,
            head_width=model["head_width"],
            out=model["out"],
            worst_residual=f["worst_residual"],
            residual_tolerance=f["residual_tolerance"],
            zero_shot=f.get("zero_shot"),
            versions=f["versions"],
        )

    @cached_property
    def summaries(self) -> tuple[a.HeadSummary, ...]:
        return tuple(self._summary(i, h) for i in range(len(self.layers)) for h in range(self.heads))

    def at(self, address: str | Head) -> tuple[int, int]:
        """Position of a head in the arrays. AddressError."""
        unit = parse(address) if isinstance(address, str) else address
        if not isinstance(unit, Head):
            raise AddressError(f"{address} is no attention head. A head is L22.H8, or H12 in an attention pool.")
        if unit.layer not in self.layers or unit.head >= self.heads:
            first, last = Head(self.layers[0], 0), Head(self.layers[-1], self.heads - 1)
            raise AddressError(f"{unit} is not among this bundle's heads, which are {first} to {last}.")
        return self.layers.index(unit.layer), unit.head

    def grid(self, measure: str) -> a.Grid:
        """One of the fixed measures."""
        title, description = _MEASURES[measure]
        if measure == "explained":
            value_lh = self._array("text_explained").sum(-1)
        elif measure == "norm":
            value_lh = self._array("norm_quantiles")[..., int(np.argmin(np.abs(self.levels - 0.5)))]
        else:
            value_lh = self._array(measure)
        value_lh = np.array(value_lh, np.float64)
        return a.Grid(measure, title, description, "", value_lh, None, self.everyone)

    def head(self, address: str | Head) -> a.HeadAnswer:
        i, h = self.at(address)
        norms = tuple(zip(self.levels.tolist(), map(float, self._array("norm_quantiles")[i, h]), strict=True))
        return a.HeadAnswer(self._summary(i, h), self._texts(i, h), norms, self.everyone)

    def baseline(self, address: str | Head) -> a.Baseline:
        """What the head's texts are to be measured against: as many random texts, and as many directions at best.
        Computed once a head (a page that is drawn again asks again): 15 ms."""
        i, h = self.at(address)
        if (i, h) not in self._baselines:
            self._baselines[i, h] = self._baseline(i, h)
        return self._baselines[i, h]

    @cached_property
    def _baselines(self) -> dict[tuple[int, int], a.Baseline]:
        return {}

    def _baseline(self, i: int, h: int) -> a.Baseline:
        picks, pool = int((self._array("text_index")[i, h] >= 0).sum()), len(self._pool)
        cov_cc = np.asarray(self._array("cov")[i, h], np.float64)
        drawn_dm = np.stack([np.random.default_rng(seed).choice(pool, picks, replace=False) for seed in range(_DRAWS)])
        rows, back = np.unique(drawn_dm, return_inverse=True)  # ascending, so that a large pool is read in one pass
        texts_wc = self._array("text_embeddings")[rows] @ self._array("basis")[i, h]
        explained_dm = explained_in_order(cov_cc, texts_wc[back.reshape(drawn_dm.shape)]).cumsum(-1)
        return a.Baseline(
            random_m=explained_dm.mean(0),
            low_m=explained_dm.min(0),
            high_m=explained_dm.max(0),
            best_m=best_explained(cov_cc, picks),
            draws=_DRAWS,
            pool_texts=pool,
            dimensions=len(cov_cc),
            population=self.everyone,
        )

    def direction(self, i: int, h: int, direction: int | np.ndarray) -> np.ndarray:
        """Qᵀt (c,) of a pick or of a text's embedding."""
        if isinstance(direction, np.ndarray):
            text_o = check_text(self.bundle, direction)
        else:
            text_o = self._array("text_embeddings")[self._row(i, h, direction)]
        return np.asarray(text_o, np.float32) @ self._array("basis")[i, h]

    def stored_ends(self, i: int, h: int, pick: int) -> tuple[list[a.Hit], list[a.Hit]]:
        self._row(i, h, pick)
        ids, scores = self._array("text_top_ids")[i, h, pick], self._array("text_top_scores")[i, h, pick]
        plus, minus = (
            [a.Hit(int(n), float(s)) for n, s in zip(ids[e], scores[e], strict=True) if n >= 0] for e in range(2)
        )
        return plus, minus

    def relabel(
        self, texts: Sequence[str], embeddings_wo: np.ndarray, picks: int, address: str | Head | None
    ) -> tuple[a.Relabelled, ...]:
        width = self.bundle.axes["out"].size
        if not len(texts) or embeddings_wo.shape != (len(texts), width) or not np.isfinite(embeddings_wo).all():
            raise InputError(
                f"{len(texts)} texts came with embeddings of shape {embeddings_wo.shape}; expected at least one text, "
                f"and {width} finite numbers for each."
            )
        every = [(i, h) for i in range(len(self.layers)) for h in range(self.heads)]
        return tuple(
            self._relabelled(i, h, texts, embeddings_wo, max(1, picks))
            for i, h in (every if address is None else [self.at(address)])
        )

    def for_text(self, embedding_o: np.ndarray, k: int, by: str) -> tuple[a.TextScore, ...]:
        if by not in ("std", "mean"):
            raise InputError(f"Heads are ranked by 'std' or 'mean', not by {by[:40]!r}.")
        text_o = check_text(self.bundle, embedding_o)
        q_lhc = np.einsum("o,lhoc->lhc", text_o, self._array("basis"), optimize=True).astype(np.float64)
        mean_lh = np.einsum("lhc,lhc->lh", q_lhc, self._array("mean"))
        std_lh = np.sqrt(np.maximum(np.einsum("lhc,lhcd,lhd->lh", q_lhc, self._array("cov"), q_lhc, optimize=True), 0))
        key = (std_lh if by == "std" else mean_lh).ravel()
        best = [divmod(int(n), self.heads) for n in np.argsort(-key, kind="stable")[: max(0, k)]]
        return tuple(
            a.TextScore(self.address(i, h), self._label(i, h), float(mean_lh[i, h]), float(std_lh[i, h]))
            for i, h in best
        )

    def address(self, i: int, h: int) -> str:
        return str(Head(self.layers[i], h))

    @cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        return {}

    def _array(self, name: str) -> np.ndarray:
        """A memory map, opened once. Two threads may both open it, which is harmless."""
        if name not in self._arrays:
            self._arrays[name] = self.bundle.array(name)
        return self._arrays[name]

    @cached_property
    def _pool(self) -> Any:
        return self.bundle.table("pool")["text"]

    def _row(self, i: int, h: int, pick: int) -> int:
        """Row in the pool of a head's pick. AddressError."""
        index_m = self._array("text_index")[i, h]
        there = int((index_m >= 0).sum())
        whole = isinstance(pick, int | np.integer) and not isinstance(pick, bool)
        if not whole or not 0 <= pick < len(index_m) or index_m[pick] < 0:
            found = f"texts 0 to {there - 1}" if there else "no texts, since what it writes does not vary"
            raise AddressError(f"{self.address(i, h)} has {found}; {str(pick)[:40]} was asked for.")
        return int(index_m[pick])

    def _first_texts(self, i: int, h: int, n: int) -> tuple[str, ...]:
        return tuple(self._pool[int(w)].as_py() for w in self._array("text_index")[i, h, :n] if w >= 0)

    def _label(self, i: int, h: int) -> str:
        return short_label(self._first_texts(i, h, _LABEL_TEXTS))

    def _summary(self, i: int, h: int) -> a.HeadSummary:
        texts = self._first_texts(i, h, _LABEL_TEXTS)
        return a.HeadSummary(
            address=self.address(i, h),
            layer=self.layers[i],
            row=i,
            head=h,
            label=short_label(texts),
            texts=texts,
            share=float(self._array("share")[i, h]),
            variance=float(self._array("variance")[i, h]),
            explained=float(self._array("text_explained")[i, h].sum()),
        )

    def _texts(self, i: int, h: int) -> tuple[a.TextLabel, ...]:
        index_m, explained_m = self._array("text_index")[i, h], self._array("text_explained")[i, h]
        cumulative_m = np.cumsum(explained_m)
        mean_m, std_m = self._array("text_mean")[i, h], self._array("text_std")[i, h]
        quantiles_mq = self._array("text_quantiles")[i, h]
        levels = self.levels.tolist()
        return tuple(
            a.TextLabel(
                pick=m,
                row=int(w),
                text=self._pool[int(w)].as_py(),
                explained=float(explained_m[m]),
                cumulative=float(cumulative_m[m]),
                mean=float(mean_m[m]),
                std=float(std_m[m]),
                quantiles=tuple(zip(levels, map(float, quantiles_mq[m]), strict=True)),
            )
            for m, w in enumerate(index_m)
            if w >= 0
        )

    def _relabelled(self, i: int, h: int, texts: Sequence[str], embeddings_wo: np.ndarray, picks: int) -> a.Relabelled:
        in_head_wc = (embeddings_wo @ self._array("basis")[i, h]).astype(np.float64)
        mean_c, cov_cc = np.asarray(self._array("mean")[i, h]), np.asarray(self._array("cov")[i, h])
        span = textspan(cov_cc, in_head_wc, picks)
        made = []
        for m, (w, explained, cumulative) in enumerate(
            zip(span.index_m, span.explained_m, span.cumulative_m, strict=True)
        ):
            if w >= 0:
                q_c = in_head_wc[w]
                spread = float(np.sqrt(max(0.0, q_c @ cov_cc @ q_c)))
                numbers = float(explained), float(cumulative), float(q_c @ mean_c), spread
                made.append(a.TextLabel(m, int(w), texts[int(w)], *numbers))
        before = self._texts(i, h)
        changed = [t.text for t in made[:1]] != [t.text for t in before[:1]]
        return a.Relabelled(self.address(i, h), tuple(made), before, changed)


def shown_name(model: str) -> str:
    """A model's name; of one that was loaded from a folder, the folder's own name and not its place on the machine."""
    placed = PurePosixPath(model).is_absolute() or PureWindowsPath(model).drive or model.startswith((".", "~"))
    return PureWindowsPath(model).name or model if placed else model  # a Windows path takes both kinds of slash


def short_label(texts: Sequence[str]) -> str:
    """The first texts on one short line, cut between words."""
    line = "; ".join(texts)
    if len(line) <= _LABEL:
        return line
    whole = line[:_LABEL].rpartition(" ")[0]  # one character less than allowed at least: the ellipsis takes it
    return (whole or line[: _LABEL - 1]).rstrip(" ;,") + "…"

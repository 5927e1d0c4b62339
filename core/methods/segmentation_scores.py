"""How well maps find an object, by the ImageNet-Segmentation protocol (Guillaumin et al. 2014; Chefer et al. 2021).

Two classes, background and foreground. Pixel accuracy and intersection over union are taken over the pixels of *all*
images together; average precision is taken image by image, over both classes' scores (1 - map for the background) in
one list, and then averaged. Pixels marked `IGNORE` count nowhere.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score

from core.errors import InputError

IGNORE = -1


@dataclass(frozen=True)
class SegmentationCounts:
    """Counts of some images that add up (`+`): pixels right and in all; `intersection` and `union` of (background,
    foreground); the sum of average precisions; images."""

    correct: int = 0
    pixels: int = 0
    intersection: tuple[int, int] = (0, 0)
    union: tuple[int, int] = (0, 0)
    precision: float = 0.0
    images: int = 0

    def __add__(self, other: "SegmentationCounts") -> "SegmentationCounts":
        return SegmentationCounts(
            self.correct + other.correct,
            self.pixels + other.pixels,
            (self.intersection[0] + other.intersection[0], self.intersection[1] + other.intersection[1]),
            (self.union[0] + other.union[0], self.union[1] + other.union[1]),
            self.precision + other.precision,
            self.images + other.images,
        )

    @property
    def pixel_accuracy(self) -> float:
        """Share of pixels whose class is right; NaN without a pixel."""
        return self.correct / self.pixels if self.pixels else float("nan")

    @property
    def mean_iou(self) -> float:
        """Mean over the two classes of intersection over union; a class that is nowhere counts 0 (the protocol)."""
        shares = [i / u if u else 0.0 for i, u in zip(self.intersection, self.union, strict=True)]
        return sum(shares) / 2 if self.pixels else float("nan")

    @property
    def mean_precision(self) -> float:
        """mAP: mean over images of their average precision; NaN without an image."""
        return self.precision / self.images if self.images else float("nan")


def rate(map_yx: np.ndarray, truth_yx: np.ndarray, mask_yx: np.ndarray) -> SegmentationCounts:
    """One image: its map in [0, 1], the truth (1 foreground, 0 background, IGNORE) and the mask made of the map.

    InputError, with what was found, if the sizes differ, the truth holds anything else or nothing but IGNORE, or the
    map is not within [0, 1].
    """
    score, truth, guess = np.asarray(map_yx, np.float64), np.asarray(truth_yx), np.asarray(mask_yx, bool)
    if score.ndim != 2 or score.shape != truth.shape or guess.shape != truth.shape:
        raise InputError(
            f"The map has {score.shape} pixels, the mask made of it {guess.shape} and the true mask {truth.shape}. "
            "Each image needs a true mask of its own size, prepared (resized, cropped) as the image is."
        )
    if not np.isin(truth, (0, 1, IGNORE)).all():
        odd = np.setdiff1d(truth, (0, 1, IGNORE))[:5].tolist()
        raise InputError(f"The true mask holds {odd}; expected 1 for the object, 0 around it and {IGNORE} for neither.")
    if not ((score >= 0) & (score <= 1)).all():  # so written, NaN fails too
        raise InputError("The map leaves [0, 1]: stretch it first, so that 1 - map can rate the background.")
    known = truth != IGNORE
    if not known.any():
        raise InputError("The true mask ignores every pixel, so there is nothing to rate. Leave this image out.")
    score, truth, guess = score[known], truth[known] == 1, guess[known]
    pairs = ((~guess, ~truth), (guess, truth))
    both = np.concatenate([1 - score, score]), np.concatenate([~truth, truth])
    return SegmentationCounts(
        correct=int((guess == truth).sum()),
        pixels=int(known.sum()),
        intersection=(int((pairs[0][0] & pairs[0][1]).sum()), int((pairs[1][0] & pairs[1][1]).sum())),
        union=(int((pairs[0][0] | pairs[0][1]).sum()), int((pairs[1][0] | pairs[1][1]).sum())),
        precision=float(average_precision_score(both[1], both[0])),
        images=1,
    )

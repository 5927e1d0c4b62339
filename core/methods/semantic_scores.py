"""How well a class for every pixel agrees with the truth: mIoU and pixel accuracy, from counts that add up.

As PASCAL-Context is scored: intersection and union of each class over the pixels of *all* images together, then the
mean over classes. A class that is neither in the truth nor in an answer counts nowhere; ignored pixels neither.
"""

from dataclasses import dataclass

import numpy as np

from core.errors import InputError

IGNORE = -1


@dataclass(frozen=True)
class SemanticCounts:
    """`confusion_cc` pixels by true class (rows) and given class (columns), of `images` images; they add up (`+`)."""

    confusion_cc: np.ndarray
    images: int = 0

    @classmethod
    def none(cls, classes: int) -> "SemanticCounts":
        return cls(np.zeros((classes, classes), np.int64))

    def __add__(self, other: "SemanticCounts") -> "SemanticCounts":
        return SemanticCounts(self.confusion_cc + other.confusion_cc, self.images + other.images)

    @property
    def iou_c(self) -> np.ndarray:
        """Intersection over union of each class; NaN for one that is nowhere."""
        both_c = np.diag(self.confusion_cc)
        either_c = self.confusion_cc.sum(0) + self.confusion_cc.sum(1) - both_c
        return np.divide(both_c, either_c, out=np.full(len(both_c), np.nan), where=either_c > 0)

    @property
    def mean_iou(self) -> float:
        """mIoU, over the classes that are somewhere; NaN if none is."""
        iou_c = self.iou_c
        return float(np.nanmean(iou_c)) if np.isfinite(iou_c).any() else float("nan")

    @property
    def pixel_accuracy(self) -> float:
        """Share of pixels given their true class; NaN without a pixel."""
        pixels = self.confusion_cc.sum()
        return float(np.diag(self.confusion_cc).sum() / pixels) if pixels else float("nan")

    @property
    def pixels_c(self) -> np.ndarray:
        """Pixels of each class in the truth."""
        return self.confusion_cc.sum(1)


def count(truth_yx: np.ndarray, given_yx: np.ndarray, classes: int) -> SemanticCounts:
    """One image: true classes (0 to classes - 1, or IGNORE) and given ones. InputError if the sizes differ."""
    if truth_yx.shape != given_yx.shape:
        raise InputError(f"The label map has {truth_yx.shape} pixels and the answer {given_yx.shape}; they must agree.")
    known_yx = truth_yx != IGNORE
    flat = truth_yx[known_yx].astype(np.int64) * classes + given_yx[known_yx]
    return SemanticCounts(np.bincount(flat, minlength=classes**2).reshape(classes, classes), 1)

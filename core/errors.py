"""The error tree. Every message is advice: what was found, what was expected, what to do.

UnitscopeError
├── InputError            something the user gave cannot be used
│   ├── ImageRejected     one image file; carries a short machine-readable `code`
│   ├── ManifestError     the image folder or manifest as a whole
│   ├── PoolError         a text pool
│   ├── AddressError      a unit's address, such as "L22.H8"
│   └── LabelRejected     what an annotator said, or a file of labels
├── ModelError            the model cannot be used
│   ├── UnknownModel      no such architecture or pretrained tag
│   ├── UnsupportedTower  an image encoder of a kind we cannot decompose
│   ├── ActivationMismatch  weights trained with another activation than the architecture's
│   └── WeightsError      weights missing, damaged, unsafe, or random without permission
├── BundleError           a bundle cannot be read or written
│   ├── BundleMissing     no bundle there, or it is unfinished
│   ├── BundleVersion     written by another format version
│   ├── BundleDamaged     a file is missing or its checksum differs
│   └── BundleBusy        another run is writing it
├── ClosingError          parts do not sum to the representation: a wrong number was prevented
├── StorageError          the disk is full or a folder cannot be written
└── LabelsUnavailable     the database of labels is locked, missing, full, read-only or from another version
"""


class UnitscopeError(Exception):
    """Base of every error whose message is meant for the user, without a traceback."""


class InputError(UnitscopeError):
    """Something the user gave cannot be used."""


class ImageRejected(InputError):
    """One image cannot be decoded safely and faithfully.

    `code` is a stable short name ("truncated", "too-many-pixels", ...) kept in quarantine tables.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message


class ManifestError(InputError):
    """The image folder or manifest cannot be used."""


class PoolError(InputError):
    """A text pool is empty, binary, too long, or unknown."""


class AddressError(InputError):
    """A unit address cannot be parsed or does not exist in this model."""


class LabelRejected(InputError):
    """What an annotator said, or a file of labels, cannot be stored as it is."""


class ModelError(UnitscopeError):
    """The model cannot be used."""


class UnknownModel(ModelError):
    """No such architecture or pretrained tag."""


class UnsupportedTower(ModelError):
    """The image encoder is of a kind that cannot be decomposed."""


class ActivationMismatch(ModelError):
    """The weights were trained with another activation than the architecture uses."""


class WeightsError(ModelError):
    """Weights are missing, damaged, unsafe to load, or random without permission."""


class BundleError(UnitscopeError):
    """A bundle cannot be read or written."""


class BundleMissing(BundleError):
    """There is no finished bundle at this path."""


class BundleVersion(BundleError):
    """The bundle was written in another format version."""


class BundleDamaged(BundleError):
    """A file of the bundle is missing or was altered."""


class BundleBusy(BundleError):
    """Another run is writing this bundle."""


class ClosingError(UnitscopeError):
    """The parts of a decomposition do not sum to the representation."""


class StorageError(UnitscopeError):
    """The disk is full, or a folder cannot be read or written."""


class LabelsUnavailable(UnitscopeError):
    """The database of labels cannot be read or written now; what was not said to be saved is not."""

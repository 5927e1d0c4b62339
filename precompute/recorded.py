"""The model of a finished bundle, for commands that ask more of it."""

from core.bundle.read import Bundle
from core.errors import ModelError
from core.models.load import LoadedModel, load_recorded


def model_of(
    bundle: Bundle, advice: str, *, name: str | None = None, pretrained: str | None = None, device: str = "auto"
) -> LoadedModel:
    """The model that made the bundle, from where it lay or from `name` and `pretrained`. Raises as `load_model` does,
    and ModelError, with `advice`, if it has other weights now."""
    made = bundle.facts["model"]
    model = load_recorded(made, name=name, pretrained=pretrained, device=device)
    if model.weights_digest != made["weights_digest"]:
        raise ModelError(
            f"The model that is loaded ({model.name}) has other weights than the one that made bundle {bundle.id}. "
            f"{advice}"
        )
    return model

"""Held-out figures of the demo zoo's models without texts, by timm's own loading and preprocessing.

demo-cnn: accuracy over objects. demo-mae: accuracy of linear probes on its frozen features (the mean over positions of
its last tokens), beside the same probes on the same architecture with weights by chance; and the error of what its
decoder draws of hidden patches, beside that of a flat patch.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from timm.data import create_transform, resolve_model_data_config
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from core.errors import WeightsError
from demo import zoo
from demo.captions import FACTORS
from demo.drawn import FIRST
from demo.recipe import MODELS
from demo.ship import DECODER_FILE
from demo.stream import SIDES, targets, train_scene
from demo.world import Scene, render

Preprocess = Callable[[Image.Image], Tensor]
BATCH = 102
PROBED = 4080  # training scenes that a probe is fitted on
PROBE_C = 0.1  # inverse strength of the penalty on its squared weights
PROBE_SEED = 2  # no model was trained on this seed's scenes
DRAWINGS = 510  # held-out scenes whose hidden patches are drawn


def load(name: str, folder: Path = MODELS) -> tuple[nn.Module, Preprocess]:
    """A shipped model and its preprocessing. Raises WeightsError where the weights are not there."""
    if not (folder / name / "model.safetensors").exists():
        raise WeightsError(
            f"no weights in {folder / name}; restore them from the repository or run python -m demo.train"
        )
    model = timm.create_model(f"local-dir:{folder / name}", pretrained=True).eval()
    return model, create_transform(**resolve_model_data_config(model))


@torch.no_grad()
def outputs(function: Callable[[Tensor], Tensor], preprocess: Preprocess, scenes: list[Scene]) -> Tensor:
    """`function` of the pictures of scenes, drawn at the sides of the shipped images; [scenes, ...]."""
    found = []
    for start in range(0, len(scenes), BATCH):
        part = scenes[start : start + BATCH]
        drawn = [render(scene, SIDES[(start + i) % len(SIDES)])[0] for i, scene in enumerate(part)]
        found.append(function(torch.stack([preprocess(Image.fromarray(picture)) for picture in drawn])))
    return torch.cat(found)


def evaluate_cnn(name: str, scenes: list[Scene], folder: Path = MODELS) -> dict[str, float]:
    """Accuracy over all objects on scenes of one kind: where a single object is shown, and over all counts."""
    model, preprocess = load(name, folder)
    right = outputs(model, preprocess, scenes).argmax(1) == targets(scenes)["object"].argmax(1)
    single = torch.tensor([scene.count == 1 for scene in scenes])
    return {
        "object": round(float(right[single].float().mean()), 4),
        "object_any_count": round(float(right.float().mean()), 4),
    }


def probe(train_nc: np.ndarray, labels_n: np.ndarray, test_nc: np.ndarray) -> np.ndarray:
    """Classes (test,) of test features by logistic regression on standardised training features."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=PROBE_C, max_iter=300))
    return model.fit(train_nc, labels_n).predict(test_nc)


def probes(model: VisionTransformer, preprocess: Preprocess, scenes: list[Scene]) -> dict[str, float]:
    """Accuracy of a linear probe of every factor, fitted on training scenes of one kind, tested on `scenes`."""
    fitted: list[Scene] = []
    index = FIRST * 2  # past the easy ones: the distribution of the held-out scenes
    while len(fitted) < PROBED:
        scene, _ = train_scene(PROBE_SEED, index)
        fitted += [] if scene.mixed else [scene]
        index += 1
    pooled = lambda x: model.forward_features(x)[:, 1:].mean(1)
    train_nc, test_nc = (outputs(pooled, preprocess, each).numpy() for each in (fitted, scenes))
    accuracy = {}
    for factor in FACTORS:
        truth, tested = (targets(each)[factor].argmax(1).numpy() for each in (fitted, scenes))
        accuracy[factor] = round(float((probe(train_nc, truth, test_nc) == tested).mean()), 4)
    return accuracy


def drawing(model: nn.Module, scenes: list[Scene], folder: Path) -> dict[str, float]:
    """Mean squared errors on hidden patches, standardised each: of what the decoder in `folder` draws from the model's
    tokens, of flat patches, and of the mean of all patches."""
    learner = zoo.learner(folder.name, 0)
    assert isinstance(learner, zoo.MaskedAutoencoder)
    own = {key: value.float() for key, value in load_file(folder / DECODER_FILE).items()}
    learner.load_state_dict(own | {f"member.{key}": value for key, value in model.state_dict().items()})
    images = outputs(lambda x: x, create_transform(**resolve_model_data_config(model)), scenes)
    with torch.no_grad():
        drawn, hidden = learner.eval()(images, torch.Generator().manual_seed(0))
        aims = learner.aims(images)
    guesses = {"drawing_error": drawn, "flat_error": 0.0, "mean_patch_error": aims.mean((0, 1))}
    return {name: round(float((guess - aims)[hidden].square().mean()), 4) for name, guess in guesses.items()}


def evaluate_mae(name: str, scenes: list[Scene], folder: Path = MODELS) -> dict[str, float]:
    """Probes of every factor, `random_*` those of weights by chance; errors of drawing hidden patches."""
    model, preprocess = load(name, folder)
    untrained = zoo.learner(name, 0).member.eval()
    assert isinstance(model, VisionTransformer) and isinstance(untrained, VisionTransformer)
    chance = probes(untrained, preprocess, scenes)
    return {
        **probes(model, preprocess, scenes),
        **{f"random_{factor}": value for factor, value in chance.items()},
        **drawing(model, scenes[:DRAWINGS], folder / name),
    }


EVALUATE = {"demo-cnn": evaluate_cnn, "demo-mae": evaluate_mae}

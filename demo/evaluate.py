"""Held-out accuracy of the shipped demo models, by the path every user takes.

    python -m demo.evaluate [--model NAME|all] [--number 2040] [--seed 1]

The weights are loaded by open_clip from demo/models, scenes are drawn at the sides of the shipped images, and go
through open_clip's own preprocessing and tokenizer; class embeddings average several prompts; the prediction is the
argmax: that is zero-shot accuracy, of the CLIP models. The others' figures are those of demo.evaluate_zoo. Prints one
JSON object a model and writes it into the model card.
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from core.errors import WeightsError
from demo import evaluate_zoo, zoo
from demo.captions import FACTORS, factor_texts
from demo.recipe import CLIP_NAMES, MODELS
from demo.stream import HELD_OUT, SIDES, held_out_scene
from demo.world import Scene, render

NUMBER = 2040
BATCH = 102
MARKS = "<!-- evaluation begins -->", "<!-- evaluation ends -->"


def held_out(number: int, seed: int) -> list[Scene]:
    """The first `number` scenes of the held-out split that show one kind of object, 1 to 4 times."""
    scenes: list[Scene] = []
    index = 0
    while len(scenes) < number:
        scene = held_out_scene(seed, index, HELD_OUT)
        index += 1
        if not scene.mixed:
            scenes.append(scene)
    return scenes


@torch.no_grad()
def class_embeddings(model: open_clip.CLIP, tokenizer: open_clip.SimpleTokenizer) -> dict[str, Tensor]:
    """For each factor the unit mean embedding of each class's prompts, [classes, d]."""
    result = {}
    for factor, classes in factor_texts().items():
        means = [model.encode_text(tokenizer(texts), normalize=True).mean(0) for texts in classes]
        result[factor] = F.normalize(torch.stack(means), dim=-1)
    return result


@torch.no_grad()
def evaluate(name: str, number: int = NUMBER, seed: int = 1, folder: Path = MODELS) -> dict[str, Any]:
    """Accuracy of each factor over `number` held-out scenes of one kind of object.

    `object` is over the scenes of a single object, as ImageNet images show; `object_any_count` over all of them.
    Raises WeightsError where the weights are not there.
    """
    if not (folder / name / "open_clip_model.safetensors").exists():
        raise WeightsError(
            f"no weights in {folder / name}; restore them from the repository or run python -m demo.train"
        )
    schema = f"local-dir:{folder / name}"
    model, preprocess = open_clip.create_model_from_pretrained(schema)
    model.eval()
    classes = class_embeddings(model, open_clip.get_tokenizer(schema))
    scenes = held_out(number, seed)
    hits: dict[str, list[Tensor]] = {factor: [] for factor in FACTORS}
    for start in range(0, number, BATCH):
        part = scenes[start : start + BATCH]
        pictures = [render(scene, SIDES[(start + i) % len(SIDES)])[0] for i, scene in enumerate(part)]
        inputs = torch.stack([preprocess(Image.fromarray(picture)) for picture in pictures])
        image = model.encode_image(inputs, normalize=True)
        for factor, names in FACTORS.items():
            truth = torch.tensor([names.index(label(scene, factor)) for scene in part])
            hits[factor].append((image @ classes[factor].T).argmax(1) == truth)
    right = {factor: torch.cat(parts).float() for factor, parts in hits.items()}
    single = torch.tensor([scene.count == 1 for scene in scenes])
    return {
        "model": name,
        "object": round(float(right["object"][single].mean()), 4),
        "object_any_count": round(float(right["object"].mean()), 4),
        **{factor: round(float(right[factor].mean()), 4) for factor in ("place", "style", "count", "category")},
        "images": number,
        "images_of_one_object": int(single.sum()),
        "seed": seed,
    }


def evaluate_other(name: str, number: int = NUMBER, seed: int = 1, folder: Path = MODELS) -> dict[str, Any]:
    """The figures of a model without texts, over the same scenes. Raises WeightsError where it has no weights."""
    figures = evaluate_zoo.EVALUATE[name](name, held_out(number, seed), folder)
    return {"model": name, **figures, "images": number, "seed": seed}


def label(scene: Scene, factor: str) -> str:
    """The true class name of a one-kind scene for a factor of FACTORS."""
    values = {
        "object": scene.objects[0].name,
        "place": scene.place,
        "style": scene.style,
        "count": FACTORS["count"][scene.count - 1],
        "category": scene.objects[0].category,
    }
    return values[factor]


def write_card(result: dict[str, Any], folder: Path = MODELS) -> None:
    """Put the result between the marks of the model card."""
    card = folder / str(result["model"]) / "README.md"
    if card.exists():
        body = f"{MARKS[0]}\n```json\n{json.dumps(result, indent=2)}\n```\n{MARKS[1]}"
        text = card.read_text(encoding="utf-8")
        card.write_text(re.sub(f"{MARKS[0]}.*{MARKS[1]}", lambda _: body, text, flags=re.DOTALL), encoding="utf-8")


FIGURES = {**dict.fromkeys(CLIP_NAMES, evaluate), **dict.fromkeys(zoo.NAMES, evaluate_other)}  # by model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=(*FIGURES, "all"), default="all")
    parser.add_argument("--number", type=int, default=NUMBER)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    for name in FIGURES if args.model == "all" else (args.model,):
        result = FIGURES[name](name, args.number, args.seed)
        write_card(result)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()

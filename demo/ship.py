"""Write a trained demo model as an open_clip or timm local directory: fp16 safetensors, full CLIP vocabulary."""

from pathlib import Path

import torch
from open_clip import CLIP
from safetensors.torch import save_file

from demo.recipe import MODELS, model_config, token_ids
from demo.zoo import Learner

DECODER_FILE = "decoder.safetensors"


def full_state(model: CLIP, name: str) -> dict[str, torch.Tensor]:
    """The state dict in fp16, its token table spread to the full vocabulary.

    Rows of tokens that never occur in training are zero: an unknown word adds nothing instead of noise.
    """
    config = model_config(name)
    table = torch.zeros(config["text_cfg"]["vocab_size"], config["text_cfg"]["width"])
    table[token_ids()] = model.token_embedding.weight.detach().float().cpu()
    table[0] = 0  # padding comes after the end of text, where the causal mask hides it
    state = {key: value.detach().cpu() for key, value in model.state_dict().items()}
    state["token_embedding.weight"] = table
    return halved(state)


def halved(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same on the CPU, numbers in fp16."""
    return {
        key: (value.half() if value.is_floating_point() else value).cpu().clone().contiguous()
        for key, value in state.items()
    }


def _write(state: dict[str, torch.Tensor], path: Path) -> Path:
    partial = path.with_suffix(".partial")
    save_file(state, str(partial), metadata={"format": "pt"})
    partial.chmod(0o644)  # safetensors writes for the owner alone
    return partial.replace(path)


def ship(model: CLIP, name: str, folder: Path = MODELS) -> Path:
    """Write the weights into folder/name as open_clip reads them, and return their path."""
    return _write(full_state(model, name), folder / name / "open_clip_model.safetensors")


def ship_timm(learner: Learner, name: str, folder: Path = MODELS) -> Path:
    """Write the weights of `learner.member` into folder/name as timm reads them, and return their path.

    What else the learner has, an autoencoder's decoder, goes into a file beside it, which timm does not read.
    """
    rest = {key: value for key, value in learner.state_dict().items() if not key.startswith("member.")}
    if rest:
        _write(halved(rest), folder / name / DECODER_FILE)
    return _write(halved(learner.member.state_dict()), folder / name / "model.safetensors")

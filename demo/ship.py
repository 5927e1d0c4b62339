"""Write a trained demo model as an open_clip local directory: fp16 safetensors with the full CLIP vocabulary."""

from pathlib import Path

import torch
from open_clip import CLIP
from safetensors.torch import save_file

from demo.recipe import MODELS, model_config, token_ids


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
    return {
        key: (value.half() if value.is_floating_point() else value).clone().contiguous() for key, value in state.items()
    }


def ship(model: CLIP, name: str, folder: Path = MODELS) -> Path:
    """Write the weights into folder/name and return their path."""
    path = folder / name / "open_clip_model.safetensors"
    partial = path.with_suffix(".partial")
    save_file(full_state(model, name), str(partial), metadata={"format": "pt"})
    partial.chmod(0o644)  # safetensors writes for the owner alone
    partial.replace(path)
    return path

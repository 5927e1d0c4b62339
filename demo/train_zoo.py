"""Training of the demo zoo's models without texts: checkpoints, resuming, progress told. See `python -m demo.train`."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from demo import zoo
from demo.budget import spend
from demo.drawn import PIXELS, object_shares, rows_of, scenes_file, varied
from demo.recipe import rate
from demo.stream import SIDES, held_out_scene, shipped_view, targets

MUON_LR = {"demo-cnn": 0.0, "demo-mae": 4e-3}
ADAM_LR = {"demo-cnn": 2e-3, "demo-mae": 1.5e-3}


class ZooTrainer:
    """One model's training: its state, one step, a held-out figure, checkpoints."""

    def __init__(self, name: str, seed: int, folder: Path, device: torch.device) -> None:
        self.name, self.seed, self.device = name, seed, device
        self.path = folder / f"{name}-{seed}.pt"
        self.model = zoo.learner(name, seed).to(device)
        self.optimizers = zoo.optimizers(self.model, MUON_LR[name], ADAM_LR[name])
        self.pictures, self.shares = scenes_file(folder, seed), object_shares(seed)
        self.seen, self.steps, self.progress = 0, 0, 0.0

    def step(self) -> float:
        """One optimiser step on the next samples; returns the loss."""
        size = zoo.BATCH[self.name]
        rows = rows_of(self.seed, self.seen, size, len(self.pictures))
        images = zoo.network_input(varied(self.pictures[rows], np.random.default_rng((self.seed, self.seen, 1))))
        random = torch.Generator().manual_seed(self.seed * 2**40 + self.seen)
        self.model.train()
        loss = self.model.loss(images.to(self.device), self.shares[rows].to(self.device), random)
        share = rate(self.progress, self.steps)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * share
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.seen += size
        self.steps += 1
        return float(loss.detach())

    @torch.no_grad()
    def held_out(self, number: int = 400) -> str:
        """What is told of scenes never trained on: the loss, and a classifier's accuracy where one kind is shown."""
        scenes = [held_out_scene(0, index) for index in range(number)]
        drawn = np.stack([shipped_view(scene, SIDES[i % len(SIDES)], PIXELS) for i, scene in enumerate(scenes)])
        images, shares = zoo.network_input(torch.from_numpy(drawn)).to(self.device), targets(scenes)["object"]
        self.model.eval()
        loss = float(self.model.loss(images, shares.to(self.device), torch.Generator().manual_seed(0)))
        if isinstance(self.model, zoo.Supervised):
            logits: Tensor = self.model.member(images).cpu()
            one = torch.tensor([not scene.mixed for scene in scenes])
            return f"loss {loss:.3f} object {float((logits.argmax(1) == shares.argmax(1))[one].float().mean()):.3f}"
        return f"loss {loss:.3f}"

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        state = {"model": self.model.state_dict(), "optimizers": [each.state_dict() for each in self.optimizers]}
        torch.save(state | {"seen": self.seen, "steps": self.steps, "progress": self.progress}, partial)
        partial.replace(self.path)

    def resume(self) -> bool:
        """Take up the checkpoint if there is one."""
        if not self.path.exists():
            return False
        state = torch.load(self.path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.seen, self.steps, self.progress = state["seen"], state["steps"], state["progress"]
        return True


def train_zoo(
    name: str, seed: int, samples: int | None, minutes: float | None, folder: Path, report: float = 60.0
) -> ZooTrainer:
    """Train one model to the end of its budget; a progress line and a checkpoint every `report` and 3 x seconds."""
    trainer = ZooTrainer(name, seed, folder, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    spend(trainer, name, samples, minutes, report, lambda: f"held-out {trainer.held_out()}", mean_of=100)
    return trainer

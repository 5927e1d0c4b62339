"""Train the demo models on scenes made on the fly.

    python -m demo.train [--model NAME|all] [--minutes M | --samples N] [--seed 0]

Runs on a GPU where there is one. A checkpoint is kept in ./checkpoints; the same command resumes from it, and a new
budget given on resuming is spent on what progress remains. Same seed, same data; demo-vit-2 is demo-vit from the next
seed. Ends by writing the weights into demo/models (see demo.ship).
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from demo import recipe, zoo
from demo.budget import spend
from demo.captions import FACTORS, factor_texts, sample_caption
from demo.recipe import CLIP_NAMES, SECOND, Classifiers, Phase
from demo.ship import ship, ship_timm
from demo.stream import SIDES, held_out_scene, shipped_view, targets, to_tensor, train_batch, train_scene
from demo.train_zoo import train_zoo

STAGE_ONE = {"demo-vit": 0.62, "demo-rn": 0.65}  # share of progress spent without texts
FIT_STEPS = 500  # of the text tower alone, when stage 2 begins
MUON_LR = {"demo-vit": 4e-3, "demo-rn": 0.0}
ADAM_LR = {"demo-vit": 1.5e-3, "demo-rn": 2e-3}


class Trainer:
    """One model's training: its state, one step, held-out accuracy, checkpoints."""

    def __init__(self, name: str, seed: int, folder: Path, device: torch.device) -> None:
        self.name, self.seed, self.device = name, seed, device
        self.path = folder / f"{name}-{seed}.pt"
        self.model = recipe.build(name, seed).to(device)
        self.classifiers = Classifiers(recipe.model_config(name)["embed_dim"]).to(device)
        self.seen, self.progress, self.phase, self.fitted = 0, 0.0, -1, False
        self.steps = 0  # since the optimisers were last made
        self.optimizers: list[torch.optim.Optimizer] = []

    @property
    def setting(self) -> Phase:
        """The phase that is on."""
        return recipe.PHASES[self.name][self.phase]

    def enter(self, progress: float) -> None:
        """Move to the phase of `progress`; parameters may change, so optimisers start anew when it does."""
        phases = recipe.PHASES[self.name]
        phase = next((i for i, candidate in enumerate(phases) if progress < candidate.end), len(phases) - 1)
        if phase != self.phase or not self.optimizers:
            self.phase, self.steps = phase, 0
            recipe.enter_phase(self.model, phases[phase])
            self.model.to(self.device, memory_format=torch.channels_last)
            self.optimizers = recipe.optimizers(self.model, self.classifiers, MUON_LR[self.name], ADAM_LR[self.name])
            print(f"{self.name} phase {phase}: {phases[phase]}", flush=True)

    def embed(self, images: Tensor) -> Tensor:
        """Unit image embeddings, float32 [b, d]; matrix products in bfloat16."""
        images = images.to(self.device).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16):
            return F.normalize(self.model.encode_image(images).float(), dim=-1)

    def step(self) -> float:
        """One optimiser step on the next samples; returns the loss."""
        phase = self.setting
        batch = train_batch(self.seed, self.seen, phase.batch, phase.pixels, phase.shipped)
        self.model.train()
        image = self.embed(batch.images)
        if self.progress < STAGE_ONE[self.name]:
            aims = {factor: target.to(self.device) for factor, target in batch.targets.items()}
            loss = recipe.factor_loss(image, self.classifiers(), self.model.logit_scale.exp(), aims)
        else:
            loss = recipe.joint_loss(self.model, batch, image, np.random.default_rng((self.seed, self.seen)))
        share = recipe.rate(self.progress, self.steps)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * share
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(max=math.log(50))
        self.seen += len(batch.texts)
        self.steps += 1
        return float(loss.detach())

    def fit_text(self) -> None:
        """Point the text tower at stage 1's directions, so that joint training does not start by unlearning them."""
        text = [weight for key, weight in self.model.named_parameters() if not key.startswith(("visual", "logit"))]
        optimizer = torch.optim.AdamW(text, lr=2e-3, betas=(0.9, 0.98), weight_decay=0.0)
        with torch.no_grad():
            classes = self.classifiers()
            directions = torch.cat(list(classes.values()))
        for step in range(FIT_STEPS):
            rng = np.random.default_rng((self.seed, step))
            said = [sample_caption(*train_scene(self.seed, step * 64 + i)) for i in range(64)]
            prompts, _ = recipe.sample_prompts(rng)
            aims = torch.cat([directions, recipe.caption_aims([claim for _, claim in said], classes)])
            cosine = (recipe.encode(self.model, [*prompts, *(t for t, _ in said)]) * aims).sum(1)
            optimizer.param_groups[0]["lr"] = 2e-3 * recipe.rate(step / FIT_STEPS, step, warmup=50)
            optimizer.zero_grad(set_to_none=True)
            (1 - cosine).mean().backward()
            optimizer.step()
            if step % 100 == 0 or step == FIT_STEPS - 1:
                print(f"{self.name} text fit {step}: mean cosine {cosine.mean():.3f}", flush=True)
        self.fitted = True

    @torch.no_grad()
    def accuracy(self, number: int = 400) -> dict[str, float]:
        """Held-out accuracy a factor, on scenes of one kind of object."""
        self.model.eval()
        scenes = [scene for i in range(2 * number) if not (scene := held_out_scene(0, i)).mixed][:number]
        pictures = [shipped_view(scene, SIDES[i % len(SIDES)], self.setting.pixels) for i, scene in enumerate(scenes)]
        image = torch.cat([self.embed(to_tensor(pictures[i : i + 100])) for i in range(0, number, 100)])
        classes = self.classifiers()
        if self.fitted:
            for factor, options in factor_texts().items():
                means = [recipe.encode(self.model, texts).mean(0) for texts in options]
                classes[factor] = F.normalize(torch.stack(means), dim=-1)
        truth = targets(scenes)
        return {
            factor: float((image @ classes[factor].T).argmax(1).cpu().eq(truth[factor].argmax(1)).float().mean())
            for factor in FACTORS
        }

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "model": self.model.state_dict(),
            "classifiers": self.classifiers.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "seen": self.seen,
            "progress": self.progress,
            "phase": self.phase,
            "fitted": self.fitted,
            "steps": self.steps,
        }
        partial = self.path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.path)

    def resume(self) -> bool:
        """Take up the checkpoint if there is one."""
        if not self.path.exists():
            return False
        state = torch.load(self.path, map_location=self.device, weights_only=True)
        self.enter(recipe.PHASES[self.name][state["phase"]].end - 1e-9)
        self.model.load_state_dict(state["model"])
        self.classifiers.load_state_dict(state["classifiers"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.seen, self.progress = state["seen"], state["progress"]
        self.fitted, self.steps = state["fitted"], state["steps"]
        return True


def train(
    name: str, seed: int, samples: int | None, minutes: float | None, folder: Path, report: float = 60.0
) -> Trainer:
    """Train one model to the end of its budget; a progress line and a checkpoint every `report` and 3 x seconds."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trainer = Trainer(name, seed, folder, device)

    def enter(progress: float) -> None:
        trainer.enter(progress)
        if progress >= STAGE_ONE[name] and not trainer.fitted:
            trainer.fit_text()

    def told() -> str:
        scores = " ".join(f"{factor} {value:.3f}" for factor, value in trainer.accuracy().items())
        return f"scale {trainer.model.logit_scale.exp():.1f} held-out {scores}"

    spend(trainer, name, samples, minutes, report, told, mean_of=200, enter=enter)
    return trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=(*CLIP_NAMES, *zoo.NAMES, "all"), default="all")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, help="wall clock left to spend on each model")
    budget.add_argument("--samples", type=int, help="samples in all for each model (default 200000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's own choice)")
    parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints"))
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    samples = args.samples if args.samples or args.minutes else 200_000
    for name in (*CLIP_NAMES, *zoo.NAMES) if args.model == "all" else (args.model,):
        if name in zoo.NAMES:
            ship_timm(train_zoo(name, args.seed, samples, args.minutes, args.checkpoints).model, name)
        else:
            seed = args.seed + 1 if name in SECOND else args.seed
            ship(train(SECOND.get(name, name), seed, samples, args.minutes, args.checkpoints).model, name)


if __name__ == "__main__":
    main()

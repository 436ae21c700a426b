"""Trains the demo VLM from nothing: `python -m finehard.demo.vlm.train --output FOLDER`.

First the vision tower learns to name what stands at each image token; then all learns to reply.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from finehard.demo.pictures import training_pictures
from finehard.demo.vlm.batches import DENSE, GLOBAL, Batch, Batches
from finehard.demo.vlm.lessons import MOST_REGIONS, TASKS
from finehard.demo.vlm.model import HIDDEN, build_model, image_tokens, save_model
from finehard.demo.vocabulary import build_tokenizer


@dataclass(frozen=True)
class TrainConfig:
    """How long and how fast is trained. Steps are batches of one task each."""

    scenes: int = 20000
    look_steps: int = 3000
    """Steps in which only the vision tower is trained, on scenes and cut-outs alike."""
    scene_steps: int = 3000
    """Steps in which it is trained on, mostly on scenes, which are harder."""
    steps: int = 4000
    """Steps in which the rest learns to reply; the vision tower stays as it is."""
    rate: float = 2e-3
    matrix_rate: float = 6e-3
    """For the hidden matrices, which Muon trains."""
    seed: int = 3
    threads: int = 1
    save_every: int = 100


class Heads(nn.Module):
    """Linear readings of image tokens, used in training only: they tell what is to be seen."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(HIDDEN, sum(n + 1 for n in DENSE.values()))
        self.whole = nn.Linear(HIDDEN, sum(GLOBAL.values()))

    def forward(self, tokens: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The losses over image tokens (M, HIDDEN), by what is read."""
        losses: dict[str, Tensor] = {}
        read = self.dense(tokens).split([n + 1 for n in DENSE.values()], -1)
        for column, (name, logits) in enumerate(zip(DENSE, read, strict=True)):
            target = batch.dense[:, column]
            if (target >= 0).any():
                weight = torch.ones(logits.shape[-1])
                weight[-1] = 0.3  # most tokens show nothing
                losses[name] = functional.cross_entropy(
                    logits, target, weight=weight, ignore_index=-100
                )
        counts = (batch.grid.prod(-1) // 4).tolist()
        means = torch.stack([part.mean(0) for part in tokens.split(counts)])
        whole = self.whole(means).split(list(GLOBAL.values()), -1)
        for column, (name, logits) in enumerate(zip(GLOBAL, whole, strict=True)):
            target = batch.globals[:, column]
            if (target >= 0).any():
                losses[name] = 0.5 * functional.cross_entropy(logits, target, ignore_index=-100)
        return losses


Plan = Callable[[np.random.Generator, int], tuple[str, int, int]]
"""From a generator and the step's number: task, size, and most objects of a scene of a batch."""


def look_plan(rng: np.random.Generator, step: int) -> tuple[str, int, int]:
    """Scenes and cut-outs alike."""
    return ("caption", 16, MOST_REGIONS) if rng.random() < 0.5 else ("regions", 24, MOST_REGIONS)


def scenes_plan(rng: np.random.Generator, step: int) -> tuple[str, int, int]:
    """Mostly scenes."""
    return ("caption", 16, MOST_REGIONS) if rng.random() < 0.9 else ("regions", 24, MOST_REGIONS)


def reply_plan(rng: np.random.Generator, step: int) -> tuple[str, int, int]:
    """Task, size, and most objects of a batch: one object first, all 8 after 840 steps."""
    task = str(rng.choice(TASKS, p=(0.35, 0.2, 0.15, 0.3)))
    size = {"caption": 16, "regions": 12, "verify": 10, "negatives": 12}[task]
    most = min(MOST_REGIONS, 1 + step // 120)
    return task, size * (2 if most <= 3 else 1), most


def reply_loss(model: Any, batch: Batch, seen: Tensor | None) -> Tensor:
    """Mean loss over the replies' tokens; `seen` are the image tokens, where there are images."""
    ids = batch.ids
    embedded = model.get_input_embeddings()(ids)
    is_image = ids == model.config.image_token_id
    if seen is not None:
        embedded = embedded.masked_scatter(is_image[:, :, None], seen.to(embedded.dtype))
        positions, _ = model.model.get_rope_index(
            ids, is_image.int(), image_grid_thw=batch.grid, attention_mask=batch.mask
        )
    else:
        positions = torch.arange(ids.shape[1]).expand(3, *ids.shape)
    hidden = model.model.language_model(
        inputs_embeds=embedded,
        position_ids=positions,
        attention_mask=torch.ones_like(ids),  # padding is at the end: causality hides it
        use_cache=False,
    ).last_hidden_state
    wanted = batch.labels[:, 1:]
    return functional.cross_entropy(
        model.lm_head(hidden[:, :-1][wanted >= 0]).float(), wanted[wanted >= 0]
    )


def _optimizers(
    model: Any, heads: Heads, peak: float, config: TrainConfig
) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices, AdamW for the rest; `peak` scales both rates."""
    matrices: list[nn.Parameter] = []
    others = list(heads.parameters())
    for name, value in model.named_parameters():
        if not value.requires_grad:
            continue
        hidden = value.ndim == 2 and "embed" not in name and "lm_head" not in name
        (matrices if hidden else others).append(value)
    return [
        torch.optim.Muon(
            matrices,
            lr=peak * config.matrix_rate,
            weight_decay=0.02,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW(others, lr=peak * config.rate, weight_decay=0.01, betas=(0.9, 0.97)),
    ]


class Phase(NamedTuple):
    """A stretch of training. `teaches` are the parts of the model that change in it."""

    plan: Plan
    steps: int
    teaches: tuple[Literal["vision", "text"], ...]
    peak: float = 1.0
    """Highest rates, as a share of the config's."""


def train(config: TrainConfig, folder: str | Path, pictures: Any, looked: Path) -> Any:
    """Trains on `pictures` and saves the weights' running mean to `folder`. Returns the model.

    `looked` keeps what the vision tower learnt; where it exists, that is not learnt again.
    """
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    tokenizer = build_tokenizer()
    model, heads = build_model(tokenizer), Heads()
    size = sum(p.numel() for p in model.parameters())
    print(f"{size / 1e6:.2f} M parameters, {len(tokenizer)} tokens", flush=True)
    seeing = (model.model.visual, heads)
    if looked.exists():
        for part, state in zip(seeing, torch.load(looked, weights_only=True), strict=True):
            part.load_state_dict(state)
    else:
        for phase in (
            Phase(look_plan, config.look_steps, ("vision",)),
            Phase(scenes_plan, config.scene_steps, ("vision",), peak=0.5),
        ):
            for _ in _run(phase, model, heads, pictures, config):
                pass
        looked.parent.mkdir(parents=True, exist_ok=True)
        torch.save([part.state_dict() for part in seeing], looked)
    phase = Phase(reply_plan, config.steps, ("text",))
    for done, mean in _run(phase, model, heads, pictures, config):
        if done % config.save_every == 0 or done == phase.steps:
            save_model(mean, tokenizer, folder)
    return model


def _run(
    phase: Phase, model: Any, heads: Heads, pictures: Any, config: TrainConfig
) -> Iterator[tuple[int, Any]]:
    """Runs a phase: gives after each step its number and the weights' running mean.

    At the end `model` holds the mean. Rates rise over 40 steps and fall over the last half.
    """
    mean = copy.deepcopy(model).eval()
    model.train()
    for name, value in model.named_parameters():
        value.requires_grad_(("vision" if "visual." in name else "text") in phase.teaches)
    optimizers = _optimizers(model, heads, phase.peak, config)
    data = Batches(pictures, build_tokenizer(), phase.plan, config.seed + phase.steps)
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=1)
    began = time.monotonic()
    shown: dict[str, list[float]] = {}
    for done, (task, batch) in enumerate(itertools.islice(loader, phase.steps), 1):
        losses = _losses(phase, model, heads, task, batch)
        torch.stack(list(losses.values())).sum().backward()
        scale = min(1.0, done / 40, 0.03 + (1 - done / phase.steps) / 0.5)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                nn.utils.clip_grad_norm_(group["params"], 1.0)
                group["lr"] = scale * group.setdefault("full_rate", group["lr"])
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        keep = min(0.99, done / (done + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(mean.parameters()), list(model.parameters()), 1 - keep)
        for name, loss in losses.items():
            shown.setdefault(name, []).append(loss.item())
        if done % 50 == 0:
            line = "  ".join(f"{k} {np.mean(v):.3f}" for k, v in sorted(shown.items()))
            taught = " and ".join(phase.teaches)
            took = time.monotonic() - began
            print(f"{taught} {done}/{phase.steps} {took:.0f} s  {line}", flush=True)
            shown = {}
        yield done, mean
    model.load_state_dict(mean.state_dict())


def _losses(
    phase: Phase, model: Any, heads: Heads, task: str, batch: Batch
) -> dict[str, torch.Tensor]:
    """What is to become less in a step, by name."""
    seen = None
    with torch.autocast("cpu", torch.bfloat16):
        if len(batch.grid):
            with torch.set_grad_enabled("vision" in phase.teaches):
                visual = model.model.visual
                seen = image_tokens(visual, batch.patches, batch.places, batch.grid).float()
        if "text" in phase.teaches:
            return {task: reply_loss(model, batch, seen)}
    assert seen is not None
    return {f"{task} {name}": loss for name, loss in heads(seen, batch).items()}


def main() -> None:
    """Renders the scenes, trains, saves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="keeps scenes and the first phase's weights")
    for name in ("scenes", "look-steps", "scene-steps", "steps", "threads"):
        default = getattr(TrainConfig, name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    config = TrainConfig(
        scenes=args.scenes,
        look_steps=args.look_steps,
        scene_steps=args.scene_steps,
        steps=args.steps,
        threads=args.threads,
    )
    with tempfile.TemporaryDirectory() as temporary:
        work = args.work or Path(temporary)
        pictures = training_pictures(work / "scenes", config.scenes, config.threads)
        train(config, args.output, pictures, work / "looked.pt")


if __name__ == "__main__":
    main()

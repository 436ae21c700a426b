"""Trains the demo VLM from nothing: `python -m finehard.demo.vlm.train --output FOLDER`.

First the vision tower learns to look; what it sees in every picture is kept; then the language
model learns to reply to that.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from finehard.demo.pictures import training_pictures
from finehard.demo.vlm.feature_cache import Seen, see_all
from finehard.demo.vlm.finetune import Replier, learn_to_reply
from finehard.demo.vlm.model import build_model, save_model
from finehard.demo.vlm.optim import Rates
from finehard.demo.vlm.pretrain_vision import Looker, learn_to_look
from finehard.demo.vocabulary import build_tokenizer


@dataclass(frozen=True)
class TrainConfig:
    """How long is trained. Steps are batches of one task each."""

    scenes: int = 60000
    look_steps: int = 4000
    """Steps in which the vision tower looks at scenes and cut-outs alike."""
    scene_steps: int = 5000
    """Steps in which it looks mostly at scenes, which are harder."""
    steps: int = 14000
    """Steps in which the rest learns to reply; the vision tower stays as it is."""
    seed: int = 3
    threads: int = 1
    save_every: int = 500


def train(config: TrainConfig, folder: str | Path, work: Path) -> None:
    """Trains and saves the weights' running mean to `folder`.

    `work` keeps pictures, the vision tower's weights and what it sees: what is there is not made
    again.
    """
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    torch.set_flush_denormal(True)
    tokenizer = build_tokenizer()
    model = build_model(tokenizer)
    size = sum(p.numel() for p in model.parameters())
    print(f"{size / 1e6:.2f} M parameters, {len(tokenizer)} tokens", flush=True)
    pictures = training_pictures(
        work / "vlm-pictures", config.scenes, config.threads, held_out=True
    )
    seen = _looked(config, model.model.visual, pictures, work)
    scenes = [scene for _, scene in pictures]
    del pictures
    replier = Replier(model)
    for done, mean in learn_to_reply(replier, tokenizer, scenes, seen, config.steps, config.seed):
        if done % config.save_every == 0 or done == config.steps:
            save_model(mean.model, tokenizer, folder)


def _looked(config: TrainConfig, visual: Any, pictures: Any, work: Path) -> Seen:
    """Trains `visual` in place, unless `work` holds its weights. Returns what it sees."""
    weights, views = work / "vision.pt", work / "seen.pt"
    looker = Looker(visual)
    if weights.exists():
        looker.load_state_dict(torch.load(weights, weights_only=True))
    else:
        learn_to_look(looker, pictures, 0.5, config.look_steps, Rates(), config.seed)
        learn_to_look(
            looker, pictures, 0.9, config.scene_steps, Rates().times(0.5), config.seed + 1
        )
        torch.save(looker.state_dict(), weights)
    if not views.exists():
        torch.save(tuple(see_all(visual, pictures, config.seed)), views)
    return Seen(*torch.load(views, weights_only=True, mmap=True))


def main() -> None:
    """Renders the scenes, trains, saves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="keeps what can be gone on from")
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
        train(config, args.output, args.work or Path(temporary))


if __name__ == "__main__":
    main()

"""Trains the demo VLM from scratch: `python -m finehard.demo.vlm.train --output FOLDER`.

The vision tower is pretrained on labels of image tokens. It is then frozen and its features are
cached, and the language model is fine-tuned on them.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from finehard.demo.pictures import training_pictures
from finehard.demo.vlm.feature_cache import FeatureCache, compute_features
from finehard.demo.vlm.finetune import FinetuneModel, finetune
from finehard.demo.vlm.model import build_model, save_model
from finehard.demo.vlm.optim import LearningRates
from finehard.demo.vlm.pretrain_vision import VisionPretrainModel, pretrain_vision
from finehard.demo.vocabulary import build_tokenizer


@dataclass(frozen=True)
class TrainConfig:
    """Training data and schedule. A step is one batch, of one task."""

    scenes: int = 60000
    pretrain_steps: int = 4000
    """Vision pretraining on as many batches of full images as of crops."""
    pretrain_full_steps: int = 5000
    """Vision pretraining that follows, mostly on full images, which are harder."""
    finetune_steps: int = 14000
    """Fine-tuning of all but the vision tower."""
    seed: int = 3
    threads: int = 1
    save_every: int = 500


def train(config: TrainConfig, folder: str | Path, work: Path) -> None:
    """Trains the model and saves its averaged weights to `folder`.

    Pictures, pretrained weights and features are stored in `work`, and reused by a later call.
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
    features = _pretrained_features(config, model.model.visual, pictures, work)
    scenes = [scene for _, scene in pictures]
    del pictures
    steps, module = config.finetune_steps, FinetuneModel(model)
    for step, mean in finetune(module, tokenizer, scenes, features, steps, config.seed):
        if step % config.save_every == 0 or step == steps:
            save_model(mean.model, tokenizer, folder)


def _pretrained_features(
    config: TrainConfig, visual: Any, pictures: Any, work: Path
) -> FeatureCache:
    """Pretrains `visual` in place, or loads its weights from `work`. Returns its features."""
    weights, cache = work / "vision.pt", work / "features.pt"
    module = VisionPretrainModel(visual)
    if weights.exists():
        module.load_state_dict(torch.load(weights, weights_only=True))
    else:
        rates, seed = LearningRates(), config.seed
        pretrain_vision(module, pictures, 0.5, config.pretrain_steps, rates, seed)
        rates = rates.scaled(0.5)
        pretrain_vision(module, pictures, 0.9, config.pretrain_full_steps, rates, seed + 1)
        torch.save(module.state_dict(), weights)
    if not cache.exists():
        torch.save(tuple(compute_features(visual, pictures, config.seed)), cache)
    return FeatureCache(*torch.load(cache, weights_only=True, mmap=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="folder for intermediate results, to resume from")
    options = ("scenes", "pretrain_steps", "pretrain_full_steps", "finetune_steps", "threads")
    for name in options:
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=int, default=getattr(TrainConfig, name))
    args = parser.parse_args()
    config = TrainConfig(**{name: getattr(args, name) for name in options})
    with tempfile.TemporaryDirectory() as temporary:
        train(config, args.output, args.work or Path(temporary))


if __name__ == "__main__":
    main()

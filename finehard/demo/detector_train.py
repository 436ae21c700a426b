"""Trains the demo detector from nothing: an OWL-ViT of about 3 million parameters.

Every cell of the image tower near an object's centre learns its box, and which phrases are true
of it. Phrases name any part of what is true ("a mug", "a red object", "a striped red mug"), so
that the text tower learns words and not pairs; held-out pairs are never asked for.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from finehard.demo.pictures import training_pictures
from finehard.demo.texts import COUNT_WORDS, article
from finehard.demo.world import (
    COLORS,
    HELD_OUT,
    KINDS,
    PATTERNS,
    SIZES,
    SURFACES,
    WALLS,
    Scene,
    Thing,
)

SIZE, PATCH = 256, 16
GRID = SIZE // PATCH
MEAN = STD = (0.5, 0.5, 0.5)
_LENGTH = 16

Spec = tuple[str | None, str | None, str | None]
"""(colour, pattern, kind); None matches all."""

SETTING = (
    *(f"a {s} table" for s in SURFACES),
    *(f"a {w} wall" for w in WALLS),
    *(f"{n.lower()} objects" for n in COUNT_WORDS),
    "the table", "the wall", "the light", "the left", "the right", "the middle", "soft shadows",
    "shadows", "one object", "one side", "the other",
)  # fmt: skip
"""Phrases of captions that name no object: nothing may be found for them."""


@dataclass(frozen=True)
class DetectorTrainConfig:
    """How the demo detector is trained."""

    pictures: str = "build/demo-models/pictures"
    scenes: int = 12000
    steps: int = 6000
    scenes_per_step: int = 8
    phrases_per_step: int = 64
    learning_rate: float = 2e-3
    seed: int = 0
    threads: int = 2
    save_every: int = 200


def build_tokenizer() -> Any:
    """Whole words, lower case, ended by the highest id, which is where OWL-ViT reads."""
    from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = [word for phrase in SETTING for word in phrase.split()]
    words += [*COLORS, *PATTERNS, *KINDS, *SIZES, "a", "an", "the", "object", "thing", "on", "with"]
    names = ["<pad>", "<unk>", *dict.fromkeys(words), "<s>", "</s>"]
    core = Tokenizer(WordLevel({n: i for i, n in enumerate(names)}, unk_token="<unk>"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        special_tokens=[("<s>", names.index("<s>")), ("</s>", names.index("</s>"))],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        model_max_length=_LENGTH,
    )


def build_model(seed: int) -> tuple[Any, Any]:
    """(model with random weights, tokenizer)."""
    from transformers import OwlViTConfig, OwlViTForObjectDetection

    tokenizer = build_tokenizer()
    config = OwlViTConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": _LENGTH,
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        },
        vision_config={
            "hidden_size": 192,
            "intermediate_size": 576,
            "num_hidden_layers": 5,
            "num_attention_heads": 3,
            "image_size": SIZE,
            "patch_size": PATCH,
        },
        projection_dim=128,
        dtype="float32",
    )
    torch.manual_seed(seed)
    model = OwlViTForObjectDetection(config).to(torch.float32)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.ndim >= 2:  # the published initial scale is far too small for this width
                table = name.endswith("embedding.weight") and "patch" not in name
                value.normal_(0, 0.02 if table else 0.5 * value[0].numel() ** -0.5)
        vision = model.owlvit.vision_model
        vision.embeddings.position_embedding.weight[1:] = _waves(192)
        for layer in vision.encoder.layers:
            # Queries equal keys: cells begin by looking at cells near and like themselves
            # (Trockman and Kolter 2023, "Mimetic initialization").
            layer.self_attn.k_proj.weight.copy_(layer.self_attn.q_proj.weight)
        model.class_head.logit_scale.bias.fill_(8.0)
        model.class_head.logit_shift.bias.fill_(-0.6)
    return model, tokenizer


def _waves(width: int) -> Tensor:
    """(cells, width): sines and cosines of row and column, so that near cells begin alike."""
    places = torch.arange(GRID).float()
    angles = places[:, None] * torch.logspace(0.2, -1.2, width // 4)[None]
    line = 0.5 * torch.cat((angles.sin(), angles.cos()), 1)
    rows, columns = line[:, None].expand(-1, GRID, -1), line[None].expand(GRID, -1, -1)
    return torch.cat((rows, columns), -1).flatten(0, 1)


def save(model: Any, tokenizer: Any, folder: str | Path) -> None:
    """Writes the folder that transformers loads; weights are stored in 16 bits, run in 32."""
    target = Path(folder)
    tokenizer.save_pretrained(target)
    settings = {
        "image_processor_type": "OwlViTImageProcessor",
        "do_resize": True,
        "size": {"height": SIZE, "width": SIZE},
        "do_center_crop": False,
        "do_rescale": True,
        "do_normalize": True,
        "resample": 3,
        "image_mean": list(MEAN),
        "image_std": list(STD),
    }
    (target / "preprocessor_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    state = {
        name: value.detach().to(torch.float16) if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    model.save_pretrained(target, state_dict=state)
    path = target / "config.json"
    config = json.loads(path.read_text())
    for part in (config, config["text_config"], config["vision_config"]):
        part["dtype"] = "float32"
    path.write_text(json.dumps(config, indent=2) + "\n")


def _phrase(spec: Spec, rng: np.random.Generator) -> str:
    color, pattern, kind = spec
    words = " ".join(w for w in (color, pattern, kind or "object") if w)
    draw = rng.random()
    return words if draw < 0.15 else f"the {words}" if draw < 0.25 else article(words)


def _matches(spec: Spec, thing: Thing) -> bool:
    have = (thing.color, thing.pattern, thing.kind)
    return all(want is None or want == has for want, has in zip(spec, have, strict=True))


def _specs(scenes: list[Scene], count: int, rng: np.random.Generator) -> list[Spec | None]:
    """What is asked for in a batch: things of its scenes, in part or in full; near misses; None
    for a phrase of `SETTING`."""
    things = [t for s in scenes for t in s.things]
    made: list[Spec | None] = [None] * (count // 8)
    while len(made) < count:
        thing = things[rng.integers(len(things))]
        color, pattern, kind = thing.color, thing.pattern, thing.kind
        if rng.random() < 0.3:
            draw = rng.random()
            if draw < 0.4:
                color = COLORS[rng.integers(len(COLORS))]
            elif draw < 0.7:
                pattern = PATTERNS[rng.integers(len(PATTERNS))]
            else:
                kind = KINDS[rng.integers(len(KINDS))]
        if (color, kind) in HELD_OUT:
            continue
        drop = rng.random(3) < (0.15, 0.2, 0.1)
        made.append(
            (
                None if drop[0] else color,
                None if drop[1] or pattern == "plain" else pattern,
                None if drop[2] else kind,
            )
        )
    return made


def _batch(
    pictures: list[Any], config: DetectorTrainConfig, rng: np.random.Generator
) -> tuple[Tensor, list[Scene], Tensor, Tensor]:
    """Pixels (B, 3, 256, 256); scenes; each cell's object in the strict and in the wide sense,
    (B, 2, cells) int64: index among the batch's objects in order, -1 for none, -2 for not judged;
    boxes of all objects (N, 4) xyxy."""
    pixels, scenes, owners = [], [], []
    boxes: list[tuple[float, ...]] = []
    y, x = (np.mgrid[0:GRID, 0:GRID].reshape(2, -1) + 0.5) / GRID
    for index in rng.integers(len(pictures), size=config.scenes_per_step):
        array, scene = pictures[index]
        image = Image.fromarray(array).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        shown = np.asarray(image, np.float32) / 255
        flip = rng.random() < 0.5
        if flip:
            shown = shown[:, ::-1]
        shown = shown * rng.uniform(0.92, 1.08)
        pixels.append((shown.transpose(2, 0, 1) - MEAN[0]) / STD[0])
        owner = np.full((2, GRID * GRID), -1, np.int64)
        first = len(boxes)
        for thing in scene.things:
            x1, x2 = thing.box[0] / scene.width, thing.box[2] / scene.width
            y1, y2 = thing.box[1] / scene.height, thing.box[3] / scene.height
            boxes.append((1 - x2, y1, 1 - x1, y2) if flip else (x1, y1, x2, y2))
        # The strict sense: cells near the centre are the object's, those around not judged.
        for core, row, judged in ((0.95, 1, True), (0.7, 0, False), (0.45, 0, True)):
            for number in sorted(range(first, len(boxes)), key=lambda n: boxes[n][3]):
                x1, y1, x2, y2 = boxes[number]
                cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
                near = (abs(x - cx) < core / 2 * (x2 - x1)) & (abs(y - cy) < core / 2 * (y2 - y1))
                near[int(cy * GRID) * GRID + int(cx * GRID)] |= judged
                owner[row, near] = number if judged else -2
        scenes.append(scene)
        owners.append(owner)
    return (
        torch.from_numpy(np.ascontiguousarray(np.stack(pixels), np.float32)),
        scenes,
        torch.from_numpy(np.stack(owners)),
        torch.tensor(boxes, dtype=torch.float32),
    )


def _box_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """L1 and generalised IoU (Rezatofighi et al. 2019), summed, mean over boxes (N, 4) xyxy."""
    low = torch.maximum(predicted[:, :2], target[:, :2])
    high = torch.minimum(predicted[:, 2:], target[:, 2:])
    inner = (high - low).clamp(min=0).prod(1)
    areas = [(b[:, 2:] - b[:, :2]).clamp(min=1e-4).prod(1) for b in (predicted, target)]
    union = areas[0] + areas[1] - inner
    outer = (
        torch.maximum(predicted[:, 2:], target[:, 2:])
        - torch.minimum(predicted[:, :2], target[:, :2])
    ).prod(1)
    giou = inner / union - (outer - union) / outer
    return (5 * (predicted - target).abs().sum(1) + 2 * (1 - giou)).mean()


class CellHeads(torch.nn.Module):
    """What each cell shows, by name; only for training, where it teaches sight before words."""

    sizes = (len(KINDS) + 1, len(COLORS), len(PATTERNS))

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out = torch.nn.Linear(width, sum(self.sizes))

    def loss(self, features: Tensor, owners: Tensor, things: list[Thing]) -> Tensor:
        """Mean of three cross entropies; `features` (B, cells, D), `owners` (B, cells)."""
        parts = self.out(features).float().split(self.sizes, -1)
        named = torch.tensor(
            [
                (KINDS.index(t.kind) + 1, COLORS.index(t.color), PATTERNS.index(t.pattern))
                for t in things
            ]
        )
        shown = owners >= 0
        kinds = torch.zeros_like(owners)
        kinds[shown] = named[owners[shown], 0]
        loss = F.cross_entropy(parts[0].flatten(0, 1), kinds.flatten())
        for index in (0, 1, 2):
            loss = loss + F.cross_entropy(parts[index][shown], named[owners[shown], index])
        return loss


def _losses(
    model: Any, heads: CellHeads, tokenizer: Any, batch: Any, phrases: int, rng: np.random.Generator
) -> dict[str, Tensor]:
    pixels, scenes, both, boxes = batch
    owners, wide = both.unbind(1)
    specs = _specs(scenes, phrases, rng)
    asked = [SETTING[rng.integers(len(SETTING))] if s is None else _phrase(s, rng) for s in specs]
    tokens = tokenizer(asked, padding=True, return_tensors="pt")
    things = [t for s in scenes for t in s.things]
    true = torch.tensor([[s is not None and _matches(s, t) for s in specs] for t in things])
    with torch.autocast("cpu", torch.bfloat16):
        grid = model.image_embedder(pixels)[0]
        features = grid.flatten(1, 2)
        text = model.owlvit.get_text_features(**tokens)
        text = getattr(text, "pooler_output", text)
        text = text / text.norm(dim=-1, keepdim=True)
        queries = text[None].expand(len(pixels), -1, -1)
        logits = model.class_predictor(features, queries)[0].float()
        positive = owners >= 0
        deltas = model.box_predictor(features, grid).float()
        shown = heads.loss(features, wide, things)
    targets = torch.zeros_like(logits)
    targets[positive] = true[owners[positive]].float()
    chance = torch.sigmoid(logits)
    wrong = torch.where(targets > 0, 1 - chance, chance)
    loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="none") * wrong**2
    loss = loss * torch.where(targets > 0, 0.7, 0.3)
    named = loss[owners != -2].sum() / targets.sum().clamp(min=1)
    centre, extent = deltas[wide >= 0].split(2, -1)
    found = torch.cat((centre - extent / 2, centre + extent / 2), -1)
    box = _box_loss(found, boxes[wide[wide >= 0]])
    return {"phrase": named, "box": box, "cells": 0.5 * shown}


def train_detector(folder: str | Path, config: DetectorTrainConfig) -> None:
    """Writes the trained model to `folder`; prints a line every 50 steps."""
    torch.set_num_threads(config.threads)
    model, tokenizer = build_model(config.seed)
    model.train()
    rng = np.random.default_rng(config.seed)
    pictures = training_pictures(config.pictures, config.scenes, config.threads)
    heads = CellHeads(model.config.vision_config.hidden_size)
    matrices: list[Tensor] = []
    others: list[Tensor] = list(heads.parameters())
    for name, value in model.named_parameters():
        hidden = value.ndim == 2 and "encoder.layers" in name
        (matrices if hidden else others).append(value)
    rate = config.learning_rate
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Muon(matrices, lr=3 * rate, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=rate, weight_decay=0.01, betas=(0.9, 0.97)),
    ]
    began = time.time()
    sums: dict[str, list[float]] = {}
    for step in range(config.steps):
        now = min(1.0, (step + 1) / 50) * min(1.0, 0.02 + (1 - step / config.steps) / 0.5)
        for optimizer, factor in zip(optimizers, (3, 1), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = factor * rate * now
        losses = _losses(
            model, heads, tokenizer, _batch(pictures, config, rng), config.phrases_per_step, rng
        )
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        for name, loss in losses.items():
            sums.setdefault(name, []).append(float(loss.detach()))
        if (step + 1) % 50 == 0:
            shown = " ".join(f"{n} {np.mean(v):.4f}" for n, v in sums.items())
            passed = time.time() - began
            print(f"detector {step + 1}/{config.steps} {passed:.0f}s {shown}", flush=True)
            sums = {}
        if (step + 1) % config.save_every == 0 or step + 1 == config.steps:
            save(model, tokenizer, folder)

"""The language model learns to reply, to views that the vision tower has seen already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from finehard.demo.vlm.descent import Rates, descend
from finehard.demo.vlm.lessons import MOST_REGIONS, TASKS, Lesson, lesson
from finehard.demo.vlm.seen import Seen
from finehard.demo.world import Scene

SHARES = {"caption": 0.35, "regions": 0.2, "negatives": 0.15, "verify": 0.3}
SIZES = {"caption": 16, "regions": 12, "negatives": 12, "verify": 10}
STEPS_AN_OBJECT = {"caption": 120, "regions": 120, "negatives": 120, "verify": 600}
"""Scenes have one object first; one more is allowed after so many steps."""


class Replies(NamedTuple):
    """N texts of T tokens, with the tokens of I images in them."""

    task: str
    ids: Tensor  # (N, T)
    labels: Tensor  # (N, T), -100 where no loss is taken
    mask: Tensor  # (N, T)
    seen: Tensor  # (M, HIDDEN) in the order of the image places in `ids`
    grid: Tensor  # (I, 3)


def prompt(text: str, counts: list[int]) -> str:
    """The chat prompt, as `finehard.lmm.question.messages` puts it; `counts`: images' tokens."""
    images = "".join(
        (f"Image {number}:" if len(counts) > 1 else "")
        + f"<|vision_start|>{'<|image_pad|>' * count}<|vision_end|>"
        for number, count in enumerate(counts, 1)
    )
    return f"<|im_start|>user\n{images}{text}<|im_end|>\n<|im_start|>assistant\n"


class Lessons(torch.utils.data.IterableDataset[Replies]):
    """Endless batches over scenes; short lessons come first."""

    def __init__(self, scenes: list[Scene], seen: Seen, tokenizer: Any, seed: int) -> None:
        self.scenes, self.seen, self.tokenizer, self.seed = scenes, seen, tokenizer, seed

    def __iter__(self) -> Iterator[Replies]:
        rng = np.random.default_rng(self.seed)
        counts = np.asarray([len(scene.things) for scene in self.scenes])
        alike = {count: np.flatnonzero(counts == count) for count in range(1, MOST_REGIONS + 1)}
        step = 0
        while True:
            task = str(rng.choice(TASKS, p=[SHARES[name] for name in TASKS]))
            most = min(MOST_REGIONS, 1 + step // STEPS_AN_OBJECT[task])
            size = SIZES[task] * (2 if most <= 3 else 1)
            count = int(rng.choice(counts[counts <= most]))  # alike in length: little padding
            chosen = rng.choice(alike[count], size=size).tolist()
            yield self._batch(task, [(i, lesson(task, self.scenes[i], rng, most)) for i in chosen])
            step += 1

    def _batch(self, task: str, lessons: list[tuple[int, Lesson]]) -> Replies:
        rows, tokens, grids = [], [self.seen.tokens[:0]], [self.seen.grid[:0]]
        for scene, item in lessons:
            views = [self.seen.view(scene, shown) for shown in item.shows]
            tokens += [view for view, _ in views]
            grids += [grid[None] for _, grid in views]
            question = prompt(item.text, [len(view) for view, _ in views])
            rows.append((self._ids(question), self._ids(item.reply + "<|im_end|>")))
        longest = max(len(asked) + len(told) for asked, told in rows)
        ids = torch.full((len(rows), longest), self.tokenizer.pad_token_id)
        labels = torch.full((len(rows), longest), -100)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for row, (asked, told) in enumerate(rows):
            end = len(asked) + len(told)
            ids[row, :end] = torch.tensor(asked + told)
            labels[row, len(asked) : end] = torch.tensor(told)
            mask[row, :end] = 1
        return Replies(task, ids, labels, mask, torch.cat(tokens), torch.cat(grids))

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)


def reply_loss(model: Any, batch: Replies) -> Tensor:
    """Mean loss over the replies' tokens."""
    ids = batch.ids
    embedded = model.get_input_embeddings()(ids)
    if len(batch.grid):
        is_image = ids == model.config.image_token_id
        embedded = embedded.masked_scatter(is_image[:, :, None], batch.seen.to(embedded.dtype))
        positions, _ = model.model.get_rope_index(
            ids, is_image.int(), image_grid_thw=batch.grid, attention_mask=batch.mask
        )
    else:
        positions = torch.arange(ids.shape[1]).expand(3, *ids.shape)
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model.model.language_model(
            inputs_embeds=embedded,
            position_ids=positions,
            attention_mask=torch.ones_like(ids),  # padding is at the end: causality hides it
            use_cache=False,
        ).last_hidden_state
        wanted = batch.labels[:, 1:]
        logits = model.lm_head(hidden[:, :-1][wanted >= 0])
    return functional.cross_entropy(logits.float(), wanted[wanted >= 0])


def learn_to_reply(
    model: Any, tokenizer: Any, scenes: list[Scene], seen: Seen, steps: int, rates: Rates, seed: int
) -> Iterator[tuple[int, nn.Module]]:
    """Trains `model`, its vision tower excepted. Gives steps and the weights' running mean."""
    model.train().model.visual.requires_grad_(False)
    model.set_attn_implementation("eager")  # torch's fused attention is slow backwards
    data = Lessons(scenes, seen, tokenizer, seed)
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=1)

    def losses(batch: Replies) -> dict[str, Tensor]:
        return {batch.task: reply_loss(model, batch)}

    return descend("reply", model, losses, loader, steps, rates)

"""The language model learns to reply, to views that the vision tower has seen already."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from finehard.demo.vlm.examples import MOST_REGIONS, TASKS, Lesson, lesson
from finehard.demo.vlm.feature_cache import Seen
from finehard.demo.vlm.model import HIDDEN
from finehard.demo.vlm.optim import Rates, descend
from finehard.demo.world import Scene

SHARES = {"caption": 0.5, "regions": 0.2, "negatives": 0.1, "verify": 0.2}
SIZES = {"caption": 16, "regions": 12, "negatives": 12, "verify": 16}
STEPS_AN_OBJECT = {"caption": 120, "regions": 120, "negatives": 120, "verify": 120}
"""Scenes have one object first; one more is allowed after so many steps."""


class Replies(NamedTuple):
    """N texts of T tokens, with the tokens of I images in them."""

    task: str
    ids: Tensor  # (N, T)
    labels: Tensor  # (N, T), -100 where no loss is taken
    mask: Tensor  # (N, T)
    verdicts: Tensor  # (N, T) 1 or 0 at a statement's last token: whether it is true; else -100
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
            count = int(rng.integers(1, most + 1))  # the same for all: little padding
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
            told = self.tokenizer(item.reply + "<|im_end|>", add_special_tokens=False).input_ids
            rows.append((*self._asked(task, question, item), told))
        longest = max(len(asked) + len(told) for asked, _, told in rows)
        ids = torch.full((len(rows), longest), self.tokenizer.pad_token_id)
        labels = torch.full((len(rows), longest), -100)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        verdicts = torch.full((len(rows), longest), -100)
        for row, (asked, verdict, told) in enumerate(rows):
            end = len(asked) + len(told)
            ids[row, :end] = torch.tensor(asked + told)
            labels[row, len(asked) : end] = torch.tensor(told)
            mask[row, :end] = 1
            verdicts[row, : len(asked)] = torch.tensor(verdict)
        return Replies(task, ids, labels, mask, verdicts, torch.cat(tokens), torch.cat(grids))

    def _asked(self, task: str, question: str, item: Lesson) -> tuple[list[int], list[int]]:
        """The question's tokens, and for each what is known of a statement that ends there."""
        asked = self.tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)
        verdicts = [-100] * len(asked.input_ids)
        if task == "verify":
            lines = re.finditer(r"^(\d+)\. .*$", question, re.MULTILINE)
            ends = {line.end(): item.truth[line[1]] == "yes" for line in lines}
            for place, (_, end) in enumerate(asked.offset_mapping):
                verdicts[place] = int(ends[end]) if end in ends else -100
        return asked.input_ids, verdicts


class Replier(nn.Module):
    """The model with a reading of statements' last tokens, used in training only: whether a
    statement is true is learnt there far sooner than at its number in the reply."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model
        self.verdict_head = nn.Linear(HIDDEN, 2)

    def losses(self, batch: Replies) -> dict[str, Tensor]:
        """The mean loss over the replies' tokens, and that over the statements."""
        hidden, wanted = hidden_states(self.model, batch), batch.labels[:, 1:]
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.model.lm_head(hidden[:, :-1][wanted >= 0])
        losses = {batch.task: functional.cross_entropy(logits.float(), wanted[wanted >= 0])}
        stated = batch.verdicts >= 0
        if stated.any():
            read = self.verdict_head(hidden[stated].float())
            losses["statements"] = functional.cross_entropy(read, batch.verdicts[stated])
        return losses


def hidden_states(model: Any, batch: Replies) -> Tensor:
    """What the language model makes of each token (N, T, HIDDEN)."""
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
        states: Tensor = model.model.language_model(
            inputs_embeds=embedded,
            position_ids=positions,
            attention_mask=torch.ones_like(ids),  # padding is at the end: causality hides it
            use_cache=False,
        ).last_hidden_state
    return states


def learn_to_reply(
    replier: Replier, tokenizer: Any, scenes: list[Scene], seen: Seen, steps: int, seed: int
) -> Iterator[tuple[int, nn.Module]]:
    """Trains all but the vision tower. Gives steps and a replier of the weights' running mean."""
    model = replier.model
    model.train().model.visual.requires_grad_(False)
    model.set_attn_implementation("eager")  # torch's fused attention is slow backwards
    data = Lessons(scenes, seen, tokenizer, seed)
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=1)
    return descend("reply", replier, replier.losses, loader, steps, Rates())

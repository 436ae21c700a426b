"""Fine-tunes the language model on all four tasks; the vision tower is frozen, its features cached.

An auxiliary head, dropped after training, classifies each statement of the verification task at
its last token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from finehard.demo.vlm.examples import MAX_REGIONS, TASKS, Example, make_example
from finehard.demo.vlm.feature_cache import FeatureCache
from finehard.demo.vlm.model import HIDDEN
from finehard.demo.vlm.optim import LearningRates, optimize
from finehard.demo.world import Scene

TASK_WEIGHTS = {"caption": 0.5, "regions": 0.2, "negatives": 0.1, "verify": 0.2}
BATCH_SIZES = {"caption": 16, "regions": 12, "negatives": 12, "verify": 16}
CURRICULUM_STEPS = 120
"""Scenes have one object at first, and one more each time so many steps have passed."""
IGNORE = -100
"""The label of a token without a loss, as in torch's cross entropy."""


class Batch(NamedTuple):
    """N examples of one task, padded to T tokens, with I images of M tokens in total."""

    task: str
    ids: Tensor  # (N, T)
    labels: Tensor  # (N, T), IGNORE outside the replies
    mask: Tensor  # (N, T)
    verdicts: Tensor  # (N, T): at the last token of a statement 1 if it is true, else 0; or IGNORE
    features: Tensor  # (M, HIDDEN), in the order of the image tokens in `ids`
    grid: Tensor  # (I, 3)


def chat_prompt(text: str, image_tokens: list[int]) -> str:
    """Returns the prompt that the chat template makes of `finehard.lmm.question.messages`.

    `image_tokens`: the number of tokens of each image.
    """
    images = "".join(
        (f"Image {number}:" if len(image_tokens) > 1 else "")
        + f"<|vision_start|>{'<|image_pad|>' * count}<|vision_end|>"
        for number, count in enumerate(image_tokens, 1)
    )
    return f"<|im_start|>user\n{images}{text}<|im_end|>\n<|im_start|>assistant\n"


class FinetuneBatches(torch.utils.data.IterableDataset[Batch]):
    """Endless batches; the number of objects in a scene grows with the steps."""

    def __init__(
        self, scenes: list[Scene], features: FeatureCache, tokenizer: Any, seed: int
    ) -> None:
        self.scenes, self.features, self.tokenizer, self.seed = scenes, features, tokenizer, seed

    def __iter__(self) -> Iterator[Batch]:
        rng = np.random.default_rng(self.seed)
        counts = np.asarray([len(scene.things) for scene in self.scenes])
        by_count = {count: np.flatnonzero(counts == count) for count in range(1, MAX_REGIONS + 1)}
        step = 0
        while True:
            task = str(rng.choice(TASKS, p=[TASK_WEIGHTS[name] for name in TASKS]))
            limit = min(MAX_REGIONS, 1 + step // CURRICULUM_STEPS)
            size = BATCH_SIZES[task] * (2 if limit <= 3 else 1)
            count = int(rng.integers(1, limit + 1))  # equal within a batch: little padding
            chosen = rng.choice(by_count[count], size=size).tolist()
            examples = [(i, make_example(task, self.scenes[i], rng, limit)) for i in chosen]
            yield self._batch(task, examples)
            step += 1

    def _batch(self, task: str, examples: list[tuple[int, Example]]) -> Batch:
        rows, tokens, grids = [], [self.features.tokens[:0]], [self.features.grid[:0]]
        for scene, example in examples:
            views = [self.features.view(scene, image) for image in example.images]
            tokens += [view for view, _ in views]
            grids += [grid[None] for _, grid in views]
            prompt = chat_prompt(example.question, [len(view) for view, _ in views])
            reply = self.tokenizer(example.reply + "<|im_end|>", add_special_tokens=False)
            rows.append((*self._tokenize_prompt(task, prompt, example), reply.input_ids))
        length = max(len(prompt) + len(reply) for prompt, _, reply in rows)
        ids = torch.full((len(rows), length), self.tokenizer.pad_token_id)
        labels = torch.full((len(rows), length), IGNORE)
        mask = torch.zeros((len(rows), length), dtype=torch.long)
        verdicts = torch.full((len(rows), length), IGNORE)
        for row, (prompt_ids, prompt_verdicts, reply_ids) in enumerate(rows):
            end = len(prompt_ids) + len(reply_ids)
            ids[row, :end] = torch.tensor(prompt_ids + reply_ids)
            labels[row, len(prompt_ids) : end] = torch.tensor(reply_ids)
            mask[row, :end] = 1
            verdicts[row, : len(prompt_ids)] = torch.tensor(prompt_verdicts)
        return Batch(task, ids, labels, mask, verdicts, torch.cat(tokens), torch.cat(grids))

    def _tokenize_prompt(
        self, task: str, prompt: str, example: Example
    ) -> tuple[list[int], list[int]]:
        """Returns the prompt's tokens and, for each, the verdict on the statement it ends."""
        tokens = self.tokenizer(prompt, add_special_tokens=False, return_offsets_mapping=True)
        verdicts = [IGNORE] * len(tokens.input_ids)
        if task == "verify":
            lines = re.finditer(r"^(\d+)\. .*$", prompt, re.MULTILINE)
            ends = {line.end(): int(example.target[line[1]] == "yes") for line in lines}
            verdicts = [ends.get(end, IGNORE) for _, end in tokens.offset_mapping]
        return tokens.input_ids, verdicts


class FinetuneModel(nn.Module):
    """The model with an auxiliary head that classifies statements, used in training only.

    Whether a statement is true is learned at its last token far sooner than at its number in the
    reply.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model
        self.verdict_head = nn.Linear(HIDDEN, 2)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Returns the mean cross entropy over the tokens of the replies and over the statements."""
        hidden, labels = hidden_states(self.model, batch), batch.labels[:, 1:]
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.model.lm_head(hidden[:, :-1][labels >= 0])
        losses = {batch.task: functional.cross_entropy(logits.float(), labels[labels >= 0])}
        stated = batch.verdicts >= 0
        if stated.any():
            verdicts = self.verdict_head(hidden[stated].float())
            losses["statements"] = functional.cross_entropy(verdicts, batch.verdicts[stated])
        return losses


def hidden_states(model: Any, batch: Batch) -> Tensor:
    """Returns the language model's last hidden state of each token, (N, T, HIDDEN)."""
    ids = batch.ids
    embedded = model.get_input_embeddings()(ids)
    if len(batch.grid):
        is_image = ids == model.config.image_token_id
        embedded = embedded.masked_scatter(is_image[:, :, None], batch.features.to(embedded.dtype))
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


def finetune(
    module: FinetuneModel,
    tokenizer: Any,
    scenes: list[Scene],
    features: FeatureCache,
    steps: int,
    seed: int,
) -> Iterator[tuple[int, nn.Module]]:
    """Trains all but the vision tower; yields each step and a copy with the averaged weights."""
    model = module.model
    model.train().model.visual.requires_grad_(False)
    model.set_attn_implementation("eager")  # torch's fused attention has a slow backward pass
    data = FinetuneBatches(scenes, features, tokenizer, seed)
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=1)
    return optimize("finetune", module, module.losses, loader, steps, LearningRates())

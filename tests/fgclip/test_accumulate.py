"""A step's loss and gradient do not depend on its parts, its processes, or the size of chunks."""

import dataclasses
import functools
from itertools import product

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from finehard.fgclip.accumulate import backward
from finehard.fgclip.batch import Batch
from finehard.fgclip.config import load_train_config
from finehard.fgclip.data import Limits, Read, collate
from finehard.fgclip.model import FGCLIP, build
from finehard.fgclip.objective import Objective, ObjectiveConfig, begin_scales
from finehard.fgclip.targets import RegionTexts, Targets, Told

from . import two_processes
from .conftest import tiny_config

IMAGES = 16
WORDS = ["a", "the", "red", "green", "blue", "big", "small", "old", "ball", "car", "on", "under"]


class WordTokens:
    """Tokens of the tiny model: begin, a number for each word, end."""

    def __call__(self, text: str, limit: int) -> tuple[int, ...]:
        words = [WORDS.index(w) if w in WORDS else len(WORDS) for w in text.split()]
        return (118, *words[: limit - 2], 119)


def sample(number: int) -> Read:
    """Images differ in regions and negatives; some texts occur in several images."""
    generator = torch.Generator().manual_seed(number)

    def pick(count: int) -> list[str]:
        drawn = torch.randint(0, len(WORDS), (count,), generator=generator)
        return [WORDS[i] for i in drawn.tolist()]

    regions = []
    for _ in range(number % 4):
        left, top = (torch.rand(2, generator=generator) * 0.5).tolist()
        first, *others = (" ".join(pick(2)) for _ in range(1 + (number + len(regions)) % 4))
        box = (left, top, left + 0.4, top + 0.3)
        false = (" ".join(pick(3)),) * (len(regions) % 2)
        regions.append(RegionTexts(box, first, first, tuple(others), f"{first} car", false))
    pixels = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8, generator=generator).numpy()
    short, long = " ".join(pick(6)), " ".join(pick(30))
    told = [
        tuple(
            Told(text, tuple(" ".join(pick(n)) for _ in range(1 + number % 2)))
            for text in (text, text + " car")[: number % k]
        )
        for text, n, k in ((short, 7, 3), (long, 31, 2))
    ]
    return Read(str(number), pixels, Targets(short, long, tuple(regions), *told))


def without(read: Read, short: bool, long: bool) -> Read:
    """The sample without one of its captions or both; then it has regions only."""
    targets = read.targets
    changed = dataclasses.replace(
        targets, short="" if short else targets.short, long="" if long else targets.long
    )
    return read._replace(targets=changed)


def batch_of(numbers: range, gaps: bool = False) -> Batch:
    """With `gaps`, every third image has no short caption, and two of seven no long one."""
    samples = [sample(n) for n in numbers]
    if gaps:
        samples = [without(s, n % 3 == 1, n % 7 > 4) for n, s in zip(numbers, samples, strict=True)]
    return collate(samples, [], WordTokens(), Limits(32, 77, 248))


FGCLIP2 = dataclasses.replace(load_train_config("fgclip2").objective, ranks="all")
ALL_OPTIONS = dataclasses.replace(FGCLIP2, global_loss="softmax", mask_same=True, same_above=0.99)
HALF_TRUTHS = ObjectiveConfig(half_truth_weight=0.7)
CONFIGS = {
    "default": ObjectiveConfig(),
    "fgclip2": FGCLIP2,
    "options": ALL_OPTIONS,
    "half": HALF_TRUTHS,
    "gaps": HALF_TRUTHS,
    "fgclip2, gaps": FGCLIP2,
}


def model_of(config: ObjectiveConfig) -> FGCLIP:
    torch.manual_seed(0)
    model = build(tiny_config())
    begin_scales(model, config)
    return model


def step(
    name: str, parts: int, ranks: int = 1, rank: int = 0, elements: int = 1 << 22
) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """Losses and gradients of a step of 16 images."""
    config = CONFIGS[name]
    objective = Objective(model_of(config), config, elements).train()
    objective.threshold.fill_(1.5)
    whole = objective
    if ranks > 1:
        whole = DistributedDataParallel(objective, broadcast_buffers=False)
    each = IMAGES // (parts * ranks)
    numbers = [range(IMAGES)[(p * ranks + rank) * each :][:each] for p in range(parts)]
    batches = [batch_of(n, "gaps" in name) for n in numbers]
    losses = backward(whole, objective, batches, False, 7)
    gradients = {n: p.grad.clone() for n, p in objective.model.named_parameters()}
    gradients["threshold"] = objective.threshold
    return {n: v.item() for n, v in losses.items()}, gradients


def assert_equal(found, expected):
    for name, value in expected[0].items():
        assert found[0][name] == pytest.approx(value, rel=1e-5, abs=1e-5), name
    for name, gradient in expected[1].items():
        torch.testing.assert_close(found[1][name], gradient, atol=1e-4, rtol=1e-4, msg=name)


@functools.cache
def whole(name: str):
    return step(name, 1)


@pytest.mark.parametrize("name, parts, elements", [
    *product(CONFIGS, [2, 4, 8, 16], [1 << 22]), ("fgclip2", 1, 20), ("options", 4, 20),
])  # fmt: skip
def test_parts_and_chunks_change_neither_loss_nor_gradient(name, parts, elements):
    assert_equal(step(name, parts, elements=elements), whole(name))


def in_process(rank: int) -> dict[tuple[str, int], tuple]:
    return {(name, parts): step(name, parts, 2, rank) for name in CONFIGS for parts in (1, 4)}


@pytest.mark.slow
def test_two_processes_equal_one_in_any_number_of_parts(tmp_path):
    first, second = two_processes.run(in_process, tmp_path)
    for name, parts in first:
        expected = whole(name)
        losses, gradients = first[name, parts]
        mean = {n: (v + second[name, parts][0][n]) / 2 for n, v in losses.items()}
        assert_equal((mean, gradients), expected)
        assert_equal((mean, second[name, parts][1]), expected)


@pytest.mark.parametrize("kind", ["short", "long"])
@pytest.mark.parametrize("config", ["default", "fgclip2"])
def test_images_without_a_caption_are_not_in_its_loss(kind, config):
    """The loss of the others is that of a batch of them alone."""
    objective = Objective(model_of(CONFIGS[config]), CONFIGS[config])
    every, lacking = range(8), (1, 4, 6)
    some = [without(sample(n), **{k: k == kind and n in lacking for k in ("short", "long")})
            for n in every]  # fmt: skip
    batch = collate(some, [], WordTokens(), Limits(32, 77, 248))
    rest = [sample(n) for n in every if n not in lacking]
    alone = collate(rest, [], WordTokens(), Limits(32, 77, 248))
    with torch.no_grad():
        found, expected = objective.batch_losses(batch), objective.batch_losses(alone)
        full = objective.batch_losses(batch_of(every))
    other = {"short": "long", "long": "short"}[kind]
    assert found[kind].item() == pytest.approx(expected[kind].item(), rel=1e-5)
    assert found[other].item() == pytest.approx(full[other].item(), rel=1e-5)
    assert abs(found[kind].item() - full[kind].item()) > 1e-3


def test_a_batch_without_short_captions_has_no_such_loss():
    samples = [without(sample(n), short=True, long=False) for n in range(6)]
    batch = collate(samples, [], WordTokens(), Limits(32, 77, 248))
    objective = Objective(model_of(ObjectiveConfig()), ObjectiveConfig())
    losses = backward(objective, objective, [batch], False, 7)
    assert losses["short"] == 0 and losses["long"] > 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in objective._heads)

"""FG-CLIP 2's objective in float64, as its published code computes it, for several processes.

Written from the equations, as loops over rows; `python -m tests.fgclip.fgclip2_reference` writes
data/fgclip2_golden.npz: normalised features of two processes, each loss, the total, the next
threshold, and the total's gradient by every feature.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

FILE = Path(__file__).parent / "data" / "fgclip2_golden.npz"
NAMES = ("image", "long", "short", "region", "region_text", "hard", "positive", "negative")


def infonce(rows: Tensor, columns: Tensor, scale: Tensor) -> Tensor:
    """Mean over i of -log( exp(s x_i.y_i) / sum_j exp(s x_i.y_j) )."""
    values = [
        -(scale * x @ columns[i]) + torch.log(sum(torch.exp(scale * x @ y) for y in columns))
        for i, x in enumerate(rows)
    ]
    return torch.stack(values).mean()


def siglip(images: list[Tensor], texts: list[Tensor], scale: Tensor, bias: Tensor) -> list[Tensor]:
    """For each process, its images against all texts, divided by its number of images."""
    values = []
    for process, own in enumerate(images):
        total = scale.new_zeros(())
        for other, columns in enumerate(texts):
            for i, x in enumerate(own):
                for j, y in enumerate(columns):
                    sign = 1 if other == process and i == j else -1
                    total = total + torch.log1p(torch.exp(-sign * (scale * x @ y + bias)))
        values.append(total / len(own))
    return values


def separation(texts: Tensor) -> Tensor:
    """Mean over i of log sum_m exp S(i, m) over the ten largest S(i, m).

    S(i, i), and S above 0.95, count as 0. The texts are distinct, and more than ten.
    """
    values = []
    for i, x in enumerate(texts):
        similar = torch.stack([x @ y if m != i else x.new_zeros(()) for m, y in enumerate(texts)])
        similar = torch.where(similar > 0.95, torch.zeros_like(similar), similar)
        largest = sorted(range(len(texts)), key=lambda m: -float(similar[m].detach()))[:10]
        values.append(torch.log(sum(torch.exp(similar[m]) for m in largest)))
    return torch.stack(values).mean()


def hard(
    images: Tensor, positives: Tensor, negatives: Tensor, scale: Tensor, threshold: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The three losses of hard negatives, and the mean gap in logits."""
    every = torch.cat([positives, negatives.flatten(0, 1)])
    contrast = (infonce(images, every, scale) + infonce(positives, images, scale)) / 2
    own = [torch.cat([p[None], n]) for p, n in zip(positives, negatives, strict=True)]
    pair = torch.stack(
        [infonce(x[None], texts, scale) for x, texts in zip(images, own, strict=True)]
    )
    ranks, gaps = [], []
    for x, texts in zip(images, own, strict=True):
        for false in texts[1:]:
            gap = scale * (x @ texts[0]) - scale * (x @ false)
            ranks.append(torch.clamp(threshold - gap, min=0))
            gaps.append(gap.detach())
    return contrast, pair.mean(), torch.stack(ranks).mean(), torch.stack(gaps).mean()


def objective(
    processes: list[dict[str, Tensor]], scalars: Tensor, threshold: float
) -> tuple[list[dict[str, Tensor]], float]:
    """Each process's losses, and the threshold of the next step."""
    scale, fine, pairs, bias = scalars
    long = siglip([p["image"] for p in processes], [p["long"] for p in processes], scale, bias)
    short = siglip([p["image"] for p in processes], [p["short"] for p in processes], scale, bias)
    results, gaps = [], []
    for p, of_long, of_short in zip(processes, long, short, strict=True):
        region = infonce(p["region"], p["region_text"], fine)
        region = (region + infonce(p["region_text"], p["region"], fine)) / 2
        tic = separation(p["region_text"])
        every, pair, cmr, gap = hard(p["hard"], p["positive"], p["negative"], pairs, threshold)
        total = of_long + of_short + 0.2 * region + 0.1 * tic
        total = total + 0.5 * (0.6 * every + 3 * pair + 0.4 * cmr)
        results.append({
            "loss": total, "long": of_long, "short": of_short, "region": region, "tic": tic,
            "hard": pair, "every": every, "cmr": cmr,
        })  # fmt: skip
        gaps.append(float(gap))
    return results, min(10.0, max(0.0, sum(gaps) / len(gaps)))


def features(
    seed: int, images: int = 5, regions: int = 14, hard_regions: int = 6
) -> dict[str, Tensor]:
    """Random features like those in training: a pair is alike, negatives are like the true text."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, 24, generator=generator, dtype=torch.float64)

    image, region, pulled = random(images), random(regions), random(1)
    text = region + 0.7 * random(regions) + pulled
    positive = text[:hard_regions]
    values = {
        "image": image,
        "long": image + random(images),
        "short": image + random(images),
        "region": region,
        "region_text": text,
        "hard": region[:hard_regions],
        "positive": positive,
        "negative": positive[:, None] + 0.2 * random(hard_regions, 10),
    }
    return {name: normalize(value, dim=-1) for name, value in values.items()}


def make() -> dict[str, np.ndarray]:
    """The golden file's arrays: `PROCESS/feature`, `PROCESS/loss/*`, `PROCESS/grad/*`, scalars."""
    scalars = torch.tensor([20.0, 30.0, 25.0, -3.0], dtype=torch.float64, requires_grad=True)
    threshold = 2.5
    processes = [
        {name: value.requires_grad_() for name, value in features(seed).items()} for seed in (1, 2)
    ]
    losses, after = objective(processes, scalars, threshold)
    torch.stack([each["loss"] for each in losses]).mean().backward()
    arrays = {
        "scalars": scalars.detach().numpy(), "grad/scalars": scalars.grad.numpy(),
        "threshold": np.array(threshold), "threshold/after": np.array(after),
    }  # fmt: skip
    for number, (own, values) in enumerate(zip(processes, losses, strict=True)):
        arrays |= {f"{number}/{n}": v.detach().numpy() for n, v in own.items()}
        arrays |= {f"{number}/grad/{n}": v.grad.numpy() for n, v in own.items()}
        arrays |= {f"{number}/loss/{n}": v.detach().numpy() for n, v in values.items()}
    return arrays


if __name__ == "__main__":
    np.savez_compressed(FILE, **make())

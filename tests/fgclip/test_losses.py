"""Losses against their equations, written as loops over floats."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from finehard.fgclip import losses


def unit(*shape: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def dot(a: torch.Tensor, b: torch.Tensor) -> float:
    return sum(x * y for x, y in zip(a.tolist(), b.tolist(), strict=True))


sizes = st.integers(1, 6)


@settings(max_examples=30, deadline=None)
@given(sizes, sizes, st.integers(0, 1000), st.floats(0.5, 50), st.booleans())
def test_contrastive(rows, more, seed, scale, masked):
    x, y = unit(rows, 5, seed=seed), unit(rows + more, 5, seed=seed + 1)
    target = [(i * 2 + seed) % (rows + more) for i in range(rows)]
    same = torch.rand(rows, rows + more, generator=torch.Generator().manual_seed(seed)) < 0.4
    got = losses.contrastive(
        x, y, torch.tensor(target), torch.tensor(scale), same if masked else None
    )
    for i, t in enumerate(target):
        kept = [j for j in range(rows + more) if j == t or not (masked and same[i, j])]
        below = sum(math.exp(scale * dot(x[i], y[j])) for j in kept)
        expected = -math.log(math.exp(scale * dot(x[i], y[t])) / below)
        assert got[i].item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.integers(0, 1000))
def test_hard_negative_with_any_number_of_negatives(counts, seed):
    number, scale = len(counts), 7.5
    x, p, n = unit(number, 5, seed=seed), unit(number, 5, seed=seed + 1), unit(number, 4, 5, seed=2)
    valid = torch.tensor([[k < c for k in range(4)] for c in counts])
    got = losses.hard_negative(x, p, n, valid, torch.tensor(scale))
    for i, count in enumerate(counts):
        top = math.exp(scale * dot(x[i], p[i]))
        below = top + sum(math.exp(scale * dot(x[i], n[i, k])) for k in range(count))
        assert got[i].item() == pytest.approx(-math.log(top / below), rel=1e-6, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 15), st.integers(1, 12), st.floats(0.2, 1.0), st.integers(0, 1000))
def test_text_separation_of_fgclip_2(number, neighbours, above, seed):
    t = unit(number, 3, seed=seed)
    got = losses.text_separation(t, neighbours, above)
    for i in range(number):
        near = [dot(t[i], t[m]) for m in range(number) if m != i and dot(t[i], t[m]) <= above]
        near = sorted(near, reverse=True)[:neighbours]
        expected = -math.log(1 / sum(math.exp(s) for s in near)) if near else 0.0
        assert got[i].item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_ranking_of_fgclip_2():
    x, p, n = unit(4, 5, seed=1), unit(4, 5, seed=2), unit(4, 3, 5, seed=3)
    valid = torch.tensor([[True] * 3, [True, False, False], [False] * 3, [True, True, False]])
    tau = torch.tensor([0.3, -0.2, 1.5], dtype=torch.float64)
    loss, gaps = losses.ranking(x, p, n, valid, tau)
    for i in range(4):
        for k in range(3):
            gap = dot(x[i], p[i]) - dot(x[i], n[i, k])
            expected = max(0.0, tau[k].item() - gap) if valid[i, k] else 0.0
            assert loss[i, k].item() == pytest.approx(expected, rel=1e-6, abs=1e-12)
            assert gaps[i, k].item() == pytest.approx(gap if valid[i, k] else 0.0, rel=1e-6)


def test_gradients_are_finite_for_single_regions_and_texts():
    x = unit(1, 5, seed=0).requires_grad_()
    nothing = torch.zeros(1, 2, dtype=torch.bool)
    negatives = torch.zeros(1, 2, 5, dtype=torch.float64)
    scale = torch.tensor(10.0)
    total = losses.hard_negative(x, x, negatives, nothing, scale).sum()
    total = total + losses.text_separation(x).sum()
    total = total + losses.contrastive(x, x, torch.tensor([0]), scale).sum()
    total = total + losses.ranking(x, x, negatives, nothing, torch.zeros(2))[0].sum()
    total.backward()
    assert total.item() == 0 and torch.equal(x.grad, torch.zeros_like(x))


def test_text_separation_works_under_autocast():
    texts = unit(6, 5, seed=0).float()
    with torch.autocast("cpu", torch.bfloat16):
        loss = losses.text_separation(texts)
    torch.testing.assert_close(loss, losses.text_separation(texts), atol=0.03, rtol=0)

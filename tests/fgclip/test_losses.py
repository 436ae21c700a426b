"""Losses against their equations, written as loops over floats."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from finehard.fgclip import losses
from finehard.fgclip.chunked import LeftOut


def unit(*shape: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def dot(a: torch.Tensor, b: torch.Tensor) -> float:
    return sum(x * y for x, y in zip(a.tolist(), b.tolist(), strict=True))


sizes = st.integers(1, 6)


chunks = st.sampled_from([1, 7, 1 << 22])


def problem(rows: int, more: int, seed: int, masked: bool):
    """Rows, columns, targets, and for each row the columns that are not left out."""
    x, y = unit(rows, 5, seed=seed), unit(rows + more, 5, seed=seed + 1)
    target = [(i * 2 + seed) % (rows + more) for i in range(rows)]
    generator = torch.Generator().manual_seed(seed)
    ids = [torch.randint(0, 4, (n,), generator=generator) for n in (rows, rows + more)]
    valid = torch.rand(rows + more, generator=generator) < 0.7
    remaining = [
        [
            j
            for j in range(rows + more)
            if j == t or not masked or (valid[j] and ids[0][i] != ids[1][j])
        ]
        for i, t in enumerate(target)
    ]
    left_out = LeftOut(valid, (ids[0], ids[1])) if masked else LeftOut()
    return x, y, target, remaining, left_out


@settings(max_examples=30, deadline=None)
@given(sizes, sizes, st.integers(0, 1000), st.floats(0.5, 50), st.booleans(), chunks)
def test_contrastive(rows, more, seed, scale, masked, elements):
    x, y, target, remaining, left_out = problem(rows, more, seed, masked)
    got = losses.contrastive(x, y, torch.tensor(target), torch.tensor(scale), left_out, elements)
    for i, t in enumerate(target):
        below = sum(math.exp(scale * dot(x[i], y[j])) for j in remaining[i])
        expected = -math.log(math.exp(scale * dot(x[i], y[t])) / below)
        assert got[i].item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(sizes, sizes, st.integers(0, 1000), st.floats(0.5, 50), st.booleans(), chunks)
def test_sigmoid_of_siglip(rows, more, seed, scale, masked, elements):
    x, y, target, remaining, left_out = problem(rows, more, seed, masked)
    got = losses.sigmoid(
        x, y, torch.tensor(target), torch.tensor(scale), torch.tensor(-3.0), left_out, elements
    )
    for i, t in enumerate(target):
        signs = [(j, 1 if j == t else -1) for j in remaining[i]]
        expected = sum(math.log1p(math.exp(-z * (scale * dot(x[i], y[j]) - 3))) for j, z in signs)
        assert got[i].item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", ["contrastive", "sigmoid"])
@pytest.mark.parametrize("elements", [1, 7, 1000])
def test_chunked_gradients_are_those_of_finite_differences(name, elements):
    x, y, target, _, left_out = problem(4, 3, 5, True)
    scalars = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (7.0, -2.0)]

    def loss(x, y, scale, bias):
        extra = [bias] if name == "sigmoid" else []
        each = getattr(losses, name)(x, y, torch.tensor(target), scale, *extra, left_out, elements)
        return each * torch.arange(1.0, 5.0)

    inputs = (x.requires_grad_(), y.requires_grad_(), *scalars)
    assert torch.autograd.gradcheck(loss, inputs, atol=1e-6)


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
@given(st.lists(st.integers(0, 9), min_size=1, max_size=15), st.integers(1, 12),
       st.floats(0.2, 1.0), st.integers(0, 1000), chunks)  # fmt: skip
def test_text_separation_of_fgclip_2(ids, neighbours, above, seed, elements):
    """Texts with equal ids are equal: each counts once as a neighbour."""
    t = unit(10, 3, seed=seed)[ids]
    distinct = losses.first_of_equal(torch.tensor(ids))
    assert distinct.tolist() == [i not in ids[:n] for n, i in enumerate(ids)]
    rows = torch.arange(len(ids))
    got = losses.text_separation(t, t, rows, distinct, neighbours, above, elements)
    for i in range(len(ids)):
        near = [dot(t[i], t[m]) if m != i else 0.0 for m in rows if distinct[m]]
        near = sorted((s if s <= above else 0.0 for s in near), reverse=True)[:neighbours]
        expected = -math.log(1 / sum(math.exp(s) for s in near))
        assert got[i].item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_ranking_of_fgclip_2():
    x, p, n = unit(4, 5, seed=1), unit(4, 5, seed=2), unit(4, 3, 5, seed=3)
    valid = torch.tensor([[True] * 3, [True, False, False], [False] * 3, [True, True, False]])
    loss, gaps = losses.ranking(x, p, n, valid, torch.tensor(20.0), torch.tensor(3.0))
    for i in range(4):
        for k in range(3):
            gap = 20 * (dot(x[i], p[i]) - dot(x[i], n[i, k]))
            expected = max(0.0, 3 - gap) if valid[i, k] else 0.0
            assert loss[i, k].item() == pytest.approx(expected, rel=1e-6, abs=1e-12)
            assert gaps[i, k].item() == pytest.approx(gap if valid[i, k] else 0.0, rel=1e-6)


def test_gradients_are_finite_for_single_regions_and_texts():
    x = unit(1, 5, seed=0).requires_grad_()
    nothing = torch.zeros(1, 2, dtype=torch.bool)
    negatives = torch.zeros(1, 2, 5, dtype=torch.float64)
    first, scale = torch.tensor([0]), torch.tensor(10.0)
    total = losses.hard_negative(x, x, negatives, nothing, scale).sum()
    total = total + losses.text_separation(x, x, first, first == 0).sum()
    total = total + losses.contrastive(x, x, first, scale).sum()
    total = total + losses.ranking(x, x, negatives, nothing, scale, torch.zeros(()))[0].sum()
    total.backward()
    assert total.item() == 0 and torch.equal(x.grad, torch.zeros_like(x))


def bf16_losses(x, text, false, scale):
    """All losses of 48 regions, as functions of region features."""
    rows = torch.arange(len(x))
    valid = torch.ones(false.shape[:2], dtype=torch.bool)
    bias = torch.tensor(-10.0)
    yield "contrastive", losses.contrastive(x, text, rows, scale)
    yield "sigmoid", losses.sigmoid(x, text, rows, scale, bias)
    yield "hard", losses.hard_negative(x, text, false, valid, scale)
    yield "separation", losses.text_separation(x, x, rows, rows >= 0)
    yield "ranking", losses.ranking(x, text, false, valid, scale, torch.tensor(5.0))[0]


def test_gradients_in_bf16_are_those_in_float32():
    """Of the same features, given in bfloat16, at scale 100; before, 2 to 6 % apart."""
    text = unit(48, 32, seed=1).bfloat16()
    torch.manual_seed(0)
    x = normalize(text.float() + 0.1 * torch.randn(48, 32), dim=-1).bfloat16()
    false = normalize(text.float()[:, None] + 0.05 * torch.randn(48, 10, 32), dim=-1).bfloat16()
    gradients = []
    for dtype in (torch.bfloat16, torch.float32):
        rows = x.to(dtype).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            scale = torch.tensor(100.0)
            values = dict(bf16_losses(rows, text.to(dtype), false.to(dtype), scale))
        found = {}
        for name, each in values.items():
            assert each.dtype == torch.float32
            (found[name],) = torch.autograd.grad(each.mean(), rows, retain_graph=True)
        gradients.append(found)
    for name, exact in gradients[1].items():
        apart = (gradients[0][name].float() - exact).norm() / exact.norm()
        assert apart < 0.005, name

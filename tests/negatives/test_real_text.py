"""The rules and the lexicon on texts that others wrote, where these are at hand."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.real_swaps import Row, captions, fgovd, judged

DATA = Path(__file__).parents[3] / "shared" / "data"
Measure = Callable[[list[dict[str, Any]], dict[str, list[str]]], Iterator[Row]]


@pytest.mark.parametrize(
    ("file", "measure", "most"),
    [
        ("negatives_judged.jsonl", judged, None),
        ("fgovd_easy.jsonl", fgovd, 300),
        ("captions_real.jsonl", captions, None),
    ],
)
def test_goals_are_met_on_real_text(file: str, measure: Measure, most: int | None) -> None:
    path = DATA / file
    if not path.exists():
        pytest.skip(f"{file} is not here")
    rows = [json.loads(line) for line in path.read_text().splitlines()[:most]]
    for row in measure(rows, defaultdict(list)):
        assert row.goal is None or row.share >= row.goal, row


def test_bench_counts_kept_and_valid_swaps() -> None:
    row = {"text": "a red mug", "original": "red", "attribute": None, "by": "llm"}
    rows = [
        {**row, "replacement": "blue", "verdict": "valid"},
        {**row, "replacement": "pink", "verdict": "near"},
        {**row, "replacement": "scarlet", "verdict": "near"},
        {**row, "replacement": "large", "verdict": "valid"},
    ]
    examples: dict[str, list[str]] = defaultdict(list)
    shares = [found.share for found in judged(rows, examples)]
    assert shares == [0.5, 0.5]
    assert set(examples) == {"kept, near", "refused, other_attribute"}


def test_bench_takes_the_words_that_differ_as_one_swap() -> None:
    item = {
        "pos_expression": ["A red cup with a metal lid."],
        "neg_expression": ["A blue cup with a wooden lid.", "A red pot with a metal lid."],
    }
    [row] = fgovd([item], defaultdict(list))
    assert (row.share, row.out_of) == (2 / 3, 3)

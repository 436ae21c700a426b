"""Precision and recall of phrases against those that a person would box."""

import json
import re
from pathlib import Path

import pytest

from finehard.phrases import PhrasesConfig, extractor

GOLD = json.loads((Path(__file__).parent / "gold_everyday.json").read_text("utf-8"))


def scores(part: str) -> tuple[float, float]:
    """Returns precision and recall over all captions of a part, ignoring articles."""
    extract = extractor(PhrasesConfig(backend="wordnet"))
    right = found = wanted = 0
    for item in GOLD[part]:
        got = {re.sub(r"^an? ", "", p.text.lower()) for p in extract(item["caption"]).phrases}
        right += len(got & set(item["phrases"]))
        found += len(got)
        wanted += len(item["phrases"])
    return right / found, right / wanted


@pytest.mark.parametrize("part", ["tuned_on", "held_out"])
def test_precision_and_recall(part):
    precision, recall = scores(part)
    print(f"{part}: precision {precision:.3f}, recall {recall:.3f}")
    assert precision >= 0.85
    assert recall >= 0.80

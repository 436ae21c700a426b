"""Long captions: how many expressions a person would box are found, how many found are right.

`gold.json` was written before the code: half of it (`dev`) was tuned on. The other half was held
out: nobody looked at what was found or missed in it, only at its two figures, after each round.
`gold_more.json`, `gold_tuning.json` and `gold_fresh.json` were written before the later rules and
tuned on. Round 2 of `gold_fresh.json` had precision 0.86, recall 0.88 before it was tuned on: that
is what to expect of captions in a style of their own.
"""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from finehard.phrases import PhrasesConfig, extractor

HERE = Path(__file__).parent
LEADING = re.compile(r"^(an?|the|my|your|his|her|its|our|their|whose) ")


def captions(part: str) -> list[dict]:
    if part in ("more", "tuning", "fresh"):
        return json.loads((HERE / f"gold_{part}.json").read_text("utf-8"))["captions"]
    both = json.loads((HERE / "gold.json").read_text("utf-8"))["captions"]
    return [item for item in both if item["split"] == part]


def scores(part: str) -> tuple[float, float]:
    """Precision and recall over all captions of a part, compared as the gold's rules say."""
    extract = extractor(PhrasesConfig(backend="wordnet"))
    right = found = wanted = 0
    for item in captions(part):
        got = Counter(LEADING.sub("", p.text.lower()) for p in extract(item["caption"]).phrases)
        gold = Counter(LEADING.sub("", text.lower()) for text in item["expressions"])
        right += (got & gold).total()
        found += got.total()
        wanted += gold.total()
    return right / found, right / wanted


@pytest.mark.parametrize(
    ("part", "precision", "recall"),
    [
        ("dev", 0.97, 0.96),
        ("more", 0.94, 0.94),
        ("tuning", 0.94, 0.92),
        ("fresh", 0.94, 0.93),
        ("heldout", 0.90, 0.92),
    ],
)
def test_expressions_a_person_would_box_are_found_in_long_captions(part, precision, recall):
    reached = scores(part)
    print(f"{part}: precision {reached[0]:.3f}, recall {reached[1]:.3f}")
    assert reached[0] >= precision
    assert reached[1] >= recall

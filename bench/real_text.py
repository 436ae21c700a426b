"""Precision and recall of phrases on captions of photographs that others wrote.

    python -m bench.real_text --captions FILE [--backend auto|spacy|wordnet] [--list]

FILE is JSONL with `text`, `style`, `expressions` (what a person would box; in "a|b" either counts)
and `optional` (neither right nor wrong). An expression counts if its text is the same but for case
and a leading article or possessive.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from finehard.phrases import PhrasesConfig, extractor

PRECISION, RECALL, PER_SECOND = 0.92, 0.88, 200
LEADING = re.compile(r"^(an?|the|my|your|his|her|its|our|their|whose) ")


def plain(text: str) -> str:
    """Returns a text in lower case without its leading article or possessive."""
    return LEADING.sub("", text.lower())


def compare(
    found: list[str], expressions: list[str], optional: list[str]
) -> tuple[int, list[str], list[str], int]:
    """Returns how many expressions were found, those missed, wrong phrases, and optional ones."""
    left = [plain(text) for text in found]
    missed = []
    for expression in expressions:
        hit = next((text for text in map(plain, expression.split("|")) if text in left), None)
        if hit is None:
            missed.append(expression)
        else:
            left.remove(hit)
    accepted = {plain(text) for text in optional}
    wrong = [text for text in left if text not in accepted]
    return len(expressions) - len(missed), missed, wrong, len(left) - len(wrong)


def expressions(rows: list[dict[str, Any]], backend: str, listed: bool) -> bool:
    """Prints precision and recall for each style; returns whether the goals are reached."""
    extract = extractor(PhrasesConfig(backend=backend))
    extract(rows[0]["text"])
    sums: dict[str, Counter[str]] = defaultdict(Counter)
    missed: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    cpu = 0.0
    for row in rows:
        started = time.process_time()
        phrases = [phrase.text for phrase in extract(row["text"]).phrases]
        cpu += time.process_time() - started
        right, lost, false, accepted = compare(phrases, row["expressions"], row["optional"])
        missed.update(lost)
        wrong.update(false)
        for style in (row["style"], "all"):
            sums[style].update(
                captions=1,
                right=right,
                found=len(phrases),
                wanted=len(row["expressions"]),
                optional=accepted,
            )
    print("| style | captions | precision | with optional ones | recall |")
    print("|---|---|---|---|---|")
    for style in [*sorted(sums.keys() - {"all"}), "all"]:
        n = sums[style]
        precision, recall = n["right"] / n["found"], n["right"] / n["wanted"]
        either = (n["right"] + n["optional"]) / n["found"]
        print(f"| {style} | {n['captions']} | {precision:.3f} | {either:.3f} | {recall:.3f} |")
    if listed:
        print("missed:", dict(missed.most_common()))
        print("wrong:", dict(wrong.most_common()))
    rate = len(rows) / cpu
    print(
        f"expressions: precision {either:.3f} (goal {PRECISION}), recall {recall:.3f}"
        f" (goal {RECALL}), {rate:.0f} captions per CPU second (goal {PER_SECOND})"
    )
    return either >= PRECISION and recall >= RECALL and rate >= PER_SECOND


def main() -> None:
    """Prints the table; exits 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captions", type=Path, required=True)
    parser.add_argument("--backend", default="wordnet")
    parser.add_argument("--list", action="store_true", help="also what was missed and wrong")
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in arguments.captions.read_text("utf-8").splitlines()]
    sys.exit(0 if expressions(rows, arguments.backend, arguments.list) else 1)


if __name__ == "__main__":
    main()

"""Hard negatives on texts that others wrote: what the rules allow, and what the lexicon offers.

    python -m bench.real_swaps --judged FILE --fgovd FILE --captions FILE [--examples N]

`--judged`: JSONL of swaps that a person judged: text, original, replacement, attribute, by ("llm"
or "lexicon"), verdict ("valid" or the kind of fault). `--fgovd`: FG-OVD's JSONL, of which each
stretch of words that differs between a positive and a negative is one swap. `--captions`: JSONL
with the `expressions` that a person would box ("a|b": either). Any number of files each.
`--examples` prints that many wrongly kept and wrongly refused swaps of each rule.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from finehard.negatives.lexicon import swaps
from finehard.negatives.swap import Swap, check, pick

VALID = {"llm": 0.95, "lexicon": 0.985}
KEPT, ALLOWED, FIVE = 0.92, 0.95, 0.70
PER_REGION = 10


class Row(NamedTuple):
    """A line of the table: what was measured of how many, and the least that is wanted."""

    name: str
    share: float
    out_of: int
    goal: float | None


def judged(rows: list[dict[str, Any]], examples: dict[str, list[str]]) -> Iterator[Row]:
    """Yields, for each source of swaps, the share valid of those kept and kept of those valid."""
    counts: dict[str, Counter[tuple[bool, bool]]] = defaultdict(Counter)
    for row in rows:
        swap = Swap(row["attribute"] or "other", row["original"], row["replacement"])
        made = check(row["text"], swap, [])
        good, kept = row["verdict"] == "valid", not isinstance(made, str)
        counts[row["by"]][good, kept] += 1
        if good != kept:
            name = f"kept, {row['verdict']}" if kept else f"refused, {made}"
            examples[name].append(_shown(row["text"], swap))
    for by, one in sorted(counts.items()):
        both, all_kept = one[True, True], one[True, True] + one[False, True]
        all_good = both + one[True, False]
        yield Row(f"{by}: valid of kept", both / max(1, all_kept), all_kept, VALID.get(by))
        goal = KEPT if by == "llm" else None
        yield Row(f"{by}: kept of valid", both / max(1, all_good), all_good, goal)


def fgovd(rows: list[dict[str, Any]], examples: dict[str, list[str]]) -> Iterator[Row]:
    """Yields the share of FG-OVD's own swaps that the rules allow."""
    allowed: Counter[bool] = Counter()
    for row in rows:
        for text in row["pos_expression"]:
            for negative in row["neg_expression"]:
                for swap in _differences(text, negative):
                    made = check(text, swap, [])
                    allowed[not isinstance(made, str)] += 1
                    if isinstance(made, str):
                        examples[f"refused, {made}"].append(_shown(text, swap))
    yield Row("FG-OVD: allowed", allowed[True] / max(1, allowed.total()), allowed.total(), ALLOWED)


def captions(rows: list[dict[str, Any]], examples: dict[str, list[str]]) -> Iterator[Row]:
    """Yields the shares of expressions with any, five and ten negatives of the lexicon."""
    texts = [text.split("|")[0] for row in rows for text in row["expressions"]]
    counts = []
    for text in texts:
        made, _ = pick(text, swaps(text), PER_REGION)
        counts.append(len(made))
        examples["lexicon" if made else "lexicon has none"].append(
            f"{text}: {', '.join(negative.text for negative in made)}"
        )
    for least, goal in ((1, None), (5, FIVE), (10, None)):
        share = sum(count >= least for count in counts) / max(1, len(counts))
        yield Row(f"lexicon: expressions with {least} or more", share, len(counts), goal)


def _differences(text: str, negative: str) -> Iterator[Swap]:
    """Yields the stretches of words that one text has instead of the other's."""
    old, new = text.split(), negative.split()
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for kind, start, end, start_new, end_new in matcher.get_opcodes():
        if kind == "replace":
            yield Swap("other", " ".join(old[start:end]), " ".join(new[start_new:end_new]))


def _shown(text: str, swap: Swap) -> str:
    return f"{text}: {swap.original} -> {swap.replacement}"


def main() -> None:
    """Prints the table; exits 1 where a goal is missed."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    measures = {"judged": judged, "fgovd": fgovd, "captions": captions}
    for name in measures:
        arguments.add_argument(f"--{name}", type=Path, nargs="*", default=[])
    arguments.add_argument("--examples", type=int, default=0)
    given = arguments.parse_args()
    found: list[Row] = []
    examples: dict[str, list[str]] = defaultdict(list)
    start = time.process_time()
    for name, measure in measures.items():
        files = getattr(given, name)
        lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        found += measure(lines, examples) if lines else ()
    seconds = time.process_time() - start
    print("| measured | share | of | goal |\n|---|---|---|---|")
    for row in found:
        print(f"| {row.name} | {row.share:.3f} | {row.out_of} | {row.goal or ''} |")
    for kind, texts in sorted(examples.items()):
        for text in texts[: given.examples]:
            print(f"{kind}: {text}")
    missed = [row for row in found if row.goal and row.share < row.goal]
    print(f"real_swaps: {len(missed)} goals missed in {seconds:.1f} s of CPU (goal 0)")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()

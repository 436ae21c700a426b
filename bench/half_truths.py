"""Half truths of captions and long expressions: is what was changed false of the image?

    python -m bench.half_truths [--scenes N] [--captions FILE --sheet FILE] [--judged FILE]

Rendered scenes know all: an addition is false if no object of the scene is as it says, a relation
if no two objects stand so. Captions of models leave things out, so a share of the objects is left
out of all texts of a scene; additions are drawn from other scenes, then from the bundled list.
`--sheet` writes a random sample of the half truths of real captions (JSONL with `text`) to be
judged by reading; `--judged` counts the verdicts ("valid", or the kind of fault) in such a file.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from finehard.demo import texts
from finehard.demo.render import render
from finehard.demo.world import COLORS, KINDS, Scene, Thing
from finehard.negatives.half_truths import HalfTruthsConfig, MadeHalfTruths
from finehard.records import Bytes, Record, Region

LEFT_OUT = (0.0, 0.15, 0.3)
GOAL = 0.95
SEED, OTHERS = 6161, 6262
_LEFT, _RIGHT = "to the left of", "to the right of"
_FRONT, _BEHIND = "in front of", "behind"


def record(scene: Scene, named: Sequence[Thing], key: str) -> Record:
    """Returns the scene as perfect stages would leave it, `named` of its objects described, with a
    sentence for each relation between these."""
    told = replace(scene, things=tuple(named))
    relations = [
        f"{texts.thing_phrase(scene.things[a])} is {'to the ' * ('left' in how)}{how} "
        f"{texts.thing_phrase(scene.things[b])}."
        for a, how, b in scene.relations
        if scene.things[a] in named and scene.things[b] in named
    ]
    sentences = " ".join(one[0].upper() + one[1:] for one in relations)
    regions = [
        Region((0, 0, 1, 1), 1, (p := texts.thing_phrase(t)), p, texts.region_caption(t, told))
        for t in named
    ]
    return Record(
        key, key, "", Bytes("", 0, 0), "", regions=tuple(regions),
        short_caption=texts.short_caption(told),
        long_caption=f"{sentences} {texts.long_caption(told)}".strip(),
    )  # fmt: skip


def verdict(row: dict[str, Any], scene: Scene) -> str:
    """Returns whether a half truth is "false" of the scene, "true", or "unknown"."""
    claim = row["claim"].lower()
    if row["attribute"] == "addition":
        return "true" if _shown(claim, scene) else "false"
    for how in (_LEFT, _RIGHT, _FRONT, _BEHIND, "under"):
        left, between, right = claim.partition(f" {how} ")
        if not between:
            continue
        if how == "under" or " wall" in right or " table" in right:
            return "false"  # every object stands on the table, which stands before the wall
        first, second = (_shown(one.removesuffix(" is"), scene) for one in (left, right))
        return "true" if any(_so(scene, a, how, b) for a in first for b in second) else "false"
    return "unknown"


def _shown(text: str, scene: Scene) -> list[int]:
    """Returns the numbers of the objects that are what a text says."""
    kinds = [kind for kind in KINDS if re.search(rf"\b{kind}\b", text)]
    colors = [color for color in COLORS if re.search(rf"\b{color}\b", text)]
    words = texts.words_of(text)
    pattern = words[1] if words else "plain"
    return [
        n
        for n, thing in enumerate(scene.things)
        if thing.kind in kinds
        and (not colors or thing.color in colors)
        and pattern in ("plain", thing.pattern)
    ]


def _so(scene: Scene, a: int, how: str, b: int) -> bool:
    if how in (_BEHIND, _RIGHT):
        a, b = b, a
    if how in (_FRONT, _BEHIND):
        return (a, "in front of", b) in scene.relations
    centres = [sum(scene.things[n].box[::2]) for n in (a, b)]
    return centres[0] < centres[1]


def measured(scenes: int, details: str, left_out: float) -> Counter[tuple[str, str, str]]:
    """Counts half truths by text, attribute and verdict; scenes have `left_out` of their objects
    in no text, but at least one named."""
    config = HalfTruthsConfig(
        ("short_caption", "long_caption", "long_expr"), details=details, policy="skip"
    )
    stage = MadeHalfTruths(config)
    found: Counter[tuple[str, str, str]] = Counter()
    for index in range(scenes):
        _, scene = render(SEED, index)
        draw = random.Random(f"{SEED} {index}")
        named = [thing for thing in scene.things if draw.random() >= left_out]
        made = stage.apply(record(scene, named or scene.things[:1], str(index)))
        for row in made.extra.get("half_truths", ()):
            found[row["of"], row["attribute"], verdict(row, scene)] += 1
    return found


def other_details(folder: Path, scenes: int) -> str:
    """Writes the objects of other scenes as details; returns the file."""
    lines = [texts.thing_phrase(t) for n in range(scenes) for t in render(OTHERS, n)[1].things]
    (folder / "details.txt").write_text("\n".join(lines) + "\n")
    return str(folder / "details.txt")


def sheet(rows: list[dict[str, Any]], count: int) -> Iterator[dict[str, str]]:
    """Yields a random sample of the half truths of captions, half of them relations where there are
    as many."""
    stage = MadeHalfTruths(HalfTruthsConfig(("long_caption",), per_text=4, policy="skip"))
    made: dict[str, list[dict[str, str]]] = {"addition": [], "relation": []}
    for number, row in enumerate(rows):
        one = Record(str(number), "", "", Bytes("", 0, 0), "", long_caption=row["text"])
        for false in stage.apply(one).extra.get("half_truths", ()):
            made[false["attribute"]].append(
                {"caption": row["text"], "attribute": false["attribute"],
                 "original": false["original"], "replacement": false["replacement"],
                 "claim": false["claim"], "verdict": ""}
            )  # fmt: skip
    draw = random.Random(SEED)
    turned = draw.sample(made["relation"], min(count // 2, len(made["relation"])))
    yield from turned
    yield from draw.sample(made["addition"], min(count - len(turned), len(made["addition"])))


def judged(rows: list[dict[str, str]]) -> None:
    """Prints the share that was judged valid, and the faults."""
    for attribute in ("addition", "relation"):
        verdicts = Counter(row["verdict"] for row in rows if row["attribute"] == attribute)
        share = verdicts["valid"] / max(1, verdicts.total())
        faults = {kind: n for kind, n in verdicts.items() if kind != "valid"}
        print(f"judged: {attribute}s valid {share:.3f} of {verdicts.total()}; faults: {faults}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--captions", type=Path)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--judged", type=Path)
    args = parser.parse_args()
    if args.captions and args.sheet:
        rows = [json.loads(line) for line in args.captions.read_text("utf-8").splitlines()]
        lines = [json.dumps(row, ensure_ascii=False) for row in sheet(rows, args.rows)]
        args.sheet.write_text("\n".join(lines) + "\n", "utf-8")
    if args.judged:
        judged([json.loads(line) for line in args.judged.read_text("utf-8").splitlines()])
    columns = {}
    with tempfile.TemporaryDirectory() as temporary:
        others = other_details(Path(temporary), args.scenes)
        for name, details in (("other scenes'", others), ("bundled", "")):
            for left_out in LEFT_OUT:
                title = f"{name}, {left_out:.0%} left out"
                columns[title] = measured(args.scenes, details, left_out)
    print(f"| false, of all | {' | '.join(columns)} |\n|" + "---|" * (len(columns) + 1))
    for of, kind in sorted({(of, kind) for found in columns.values() for of, kind, _ in found}):
        cells = (
            f"{found[of, kind, 'false'] / max(1, count):.3f} of {count}"
            for found in columns.values()
            for count in (sum(found[of, kind, one] for one in ("false", "true", "unknown")),)
        )
        print(f"| {of}, {kind} | {' | '.join(cells)} |")
    everything = sum(columns.values(), Counter())
    false = sum(count for (*_, one), count in everything.items() if one == "false")
    share = false / everything.total()
    print(f"half_truths: {share:.3f} of {everything.total()} false (goal {GOAL})")
    return 0 if share >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())

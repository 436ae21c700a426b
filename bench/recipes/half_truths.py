"""Half truths of rendered scenes: a true short text, and the same with one false detail.

As in arXiv 2602.23906: CLIP should prefer the true text, though the other says more. The detail is
an object of the scene with a wrong attribute or kind, which the scene does not have.
"""

from __future__ import annotations

import json
from pathlib import Path

from bench.benchmarks_demo import SEED
from bench.recipes.world import chance
from finehard.benchmarks.benchmark import Benchmark
from finehard.benchmarks.folder import Folder
from finehard.benchmarks.items import Choices, Judged
from finehard.benchmarks.measures import Choice
from finehard.demo import texts
from finehard.demo.render import render
from finehard.demo.world import Scene

_FILE = "half_truths.jsonl"


def write_half_truths(folder: Path, count: int) -> None:
    """Writes the texts of the scenes of `bench.benchmarks_demo.write_suite` with two objects and
    more, unless they are there."""
    if (folder / _FILE).exists():
        return
    scenes = [render(SEED, index, True)[1] for index in range(count)]
    rows = [
        json.dumps({"image": f"images/{index}.jpg", "true": true, "false": false})
        for index, scene in enumerate(scenes)
        if len(scene.things) > 1
        for true, false in [_texts(scene, index)]
    ]
    (folder / _FILE).write_text("\n".join(rows) + "\n")


def _texts(scene: Scene, index: int) -> tuple[str, str]:
    rng = chance("half", index)
    first, other = (scene.things[n] for n in rng.permutation(len(scene.things))[:2])
    there = {texts.thing_phrase(thing) for thing in scene.things}
    detail = texts.false_statement(other, rng)
    while detail in there:
        detail = texts.false_statement(other, rng)
    count = texts.COUNT_WORDS[len(scene.things) - 1]
    true = f"{count} objects on a {scene.surface} table, among them {texts.thing_phrase(first)}"
    return f"{true}.", f"{true} and {detail}."


def _read(folder: Folder) -> Choices:
    rows = [json.loads(line) for line in Path(folder.uri, _FILE).read_text().splitlines()]
    items = [Judged(folder.picture(r["image"]), (r["true"],), (r["false"],)) for r in rows]
    return Choices(items, ())


half = Benchmark(
    "demo_half_truths", "a true text and the same with a false detail", "demo", _read, Choice(),
    "rendered scenes, unseen, with pairs of color and kind that no training scene has",
)  # fmt: skip

"""Each figure is 1 on a dataset made from the truth, and lower when the dataset is spoilt."""

import copy
import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finehard.article import with_article
from finehard.demo.render import render
from finehard.demo.texts import (
    captions,
    noun_phrase,
    region_caption,
    thing_phrase,
)
from finehard.demo.world import COLORS, truth_header, truth_row
from finehard.errors import UsageError
from finehard.truth import read_truth
from finehard.truth.command import main
from finehard.truth.measure import measure
from finehard.truth.mention import mentions

KINDS = ("mug", "bowl", "box")
ATTRIBUTES = {"color": ("red", "blue"), "pattern": ("striped",), "size": ("small", "large")}
SMALL_RED = {"color": "red", "size": "small"}
Sample = dict[str, Any]


def perfect(key: str, index: int) -> tuple[Sample, dict[str, Any]]:
    _, scene = render(21, index)
    truth = truth_row(key, scene, f"hash{index}")
    regions = []
    for thing, known in zip(scene.things, truth["objects"], strict=True):
        other = COLORS[(COLORS.index(thing.color) + 1) % len(COLORS)]
        regions.append(
            {
                "box": known["box"],
                "score": 0.9,
                "phrase": thing_phrase(thing),
                "short_expr": thing_phrase(thing),
                "long_expr": region_caption(thing, scene),
                "hard_negatives": [
                    {
                        "text": with_article(noun_phrase(other, thing.pattern, thing.kind)),
                        "attribute": "color",
                        "original": thing.color,
                        "replacement": other,
                        "verified": True,
                    }
                ],
                "verified": True,
            }
        )
    sample = {
        "key": key,
        "image": {"sha256": f"hash{index}"},
        **captions(scene),
        "regions": regions,
    }
    return sample, truth


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Sample], Path]:
    made = [perfect(f"{i:09d}", i) for i in range(20)]
    path = tmp_path_factory.mktemp("truth") / "truth.jsonl"
    rows = [truth_header(), *(truth for _, truth in made)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [sample for sample, _ in made], path


def phrases(text: str) -> list[str]:
    return re.split("[.,;:]", text)


def figures(samples: list[Sample], path: Path) -> dict[str, float]:
    return measure(samples, read_truth(path), phrases)["figures"]


def test_a_dataset_made_from_the_truth_is_perfect(world):
    got = figures(*world)
    assert got.pop("hallucinated_per_caption") == 0
    assert set(got.values()) == {1.0}


def swap_captions(samples: list[Sample]) -> None:
    texts = [s["long_caption"] for s in samples]
    for sample, text in zip(samples, texts[1:] + texts[:1], strict=True):
        sample["long_caption"] = text


def move_boxes(samples: list[Sample], by: float = 0.3) -> None:
    for region in (r for s in samples for r in s["regions"]):
        x1, y1, x2, y2 = region["box"]
        side = (x2 - x1) * by
        region["box"] = [x1 + side, y1, x2 + side, y2]


def halve_boxes(samples: list[Sample]) -> None:
    move_boxes(samples, 0.6)


def drop_regions(samples: list[Sample]) -> None:
    for sample in samples:
        sample["regions"] = sample["regions"][:1]


def make_negatives_true(samples: list[Sample]) -> None:
    for region in (r for s in samples for r in s["regions"]):
        region["hard_negatives"][0]["text"] = region["short_expr"]


def change_two_words(samples: list[Sample]) -> None:
    for region in (r for s in samples for r in s["regions"]):
        region["hard_negatives"][0]["text"] += " with stripes"


def recolor_texts(samples: list[Sample]) -> None:
    for region in (r for s in samples for r in s["regions"]):
        for color in COLORS:
            if color in region["long_expr"]:
                region["long_expr"] = region["long_expr"].replace(color, "red and white"[:3])
                break


def lose_samples(samples: list[Sample]) -> None:
    del samples[10:]


@pytest.mark.parametrize(
    "spoil, fallen",
    [
        (swap_captions, {"caption_precision", "caption_recall", "phrase_recall"}),
        (move_boxes, {"region_recall_75", "region_precision_75"}),
        (halve_boxes, {"region_recall_50", "region_precision_50"}),
        (drop_regions, {"region_recall_50", "region_recall_75", "held_out_region_recall_50"}),
        (make_negatives_true, {"negatives_valid", "verification_accuracy"}),
        (change_two_words, {"negatives_valid"}),
        (recolor_texts, {"region_text_correct", "verification_accuracy"}),
        (lose_samples, {"caption_recall", "phrase_recall", "region_recall_50"}),
    ],
)
def test_each_corruption_lowers_its_figures(
    world, spoil: Callable[[list[Sample]], None], fallen: set[str]
):
    samples = copy.deepcopy(world[0])
    spoil(samples)
    got = figures(samples, world[1])
    assert all(got[name] < 0.9 for name in fallen), got


def test_hallucinated_objects_are_counted(world):
    samples = copy.deepcopy(world[0])
    for sample in samples:
        sample["long_caption"] += " Behind it there is a red mug and another red mug."
    got = figures(samples, world[1])
    assert got["hallucinated_per_caption"] > 1
    assert got["caption_precision"] < 0.9


@pytest.mark.parametrize(
    "text, said",
    [
        ("a large red striped mug", [("mug", dict(size="large", color="red", pattern="striped"))]),
        ("a red mug, quite small, then a bowl", [("mug", SMALL_RED), ("bowl", {})]),
        ("The mug is blue. A box", [("mug", {"color": "blue"}), ("box", {})]),
        ("two blue mugs and three boxes", [("mug", {"color": "blue"}), ("box", {})]),
        ("a mug in front of a red wall", [("mug", {})]),
        ("nothing here", []),
        ("", []),
    ],
)  # fmt: skip
def test_mentions(text: str, said: list[Any]):
    assert mentions(text, KINDS, ATTRIBUTES) == said


@pytest.mark.parametrize(
    "spoil, line",
    [
        (lambda r: r[1].pop("objects"), 2),
        (lambda r: r[1]["objects"][0].update(kind="dragon"), 2),
        (lambda r: r[2]["objects"][0].update(box=[0.5, 0.5, 0.1, 0.9]), 3),
        (lambda r: r[0].update(truth_version="9"), 1),
    ],
)
def test_a_malformed_truth_file_is_refused_with_its_line(world, tmp_path, spoil, line):
    rows = [json.loads(text) for text in world[1].read_text().splitlines()]
    spoil(rows)
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(UsageError, match=rf"line {line}:"):
        read_truth(path)


def test_the_command_prints_a_table_and_writes_json(world, tmp_path, capsys):
    shards = tmp_path / "data" / "shards"
    shards.mkdir(parents=True)
    with tarfile.open(shards / "finehard-00000-of-00001.tar", "w") as tar:
        for sample in world[0]:
            data = json.dumps(sample).encode()
            info = tarfile.TarInfo(f"{sample['key']}.json")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    out = tmp_path / "figures.json"
    assert main([str(tmp_path / "data"), "--truth", str(world[1].parent), "--json", str(out)]) == 0
    assert json.loads(out.read_text())["figures"]["caption_precision"] == 1
    assert "region_text_correct" in capsys.readouterr().out
    with pytest.raises(UsageError, match="no shards"):
        main([str(tmp_path), "--truth", str(world[1])])

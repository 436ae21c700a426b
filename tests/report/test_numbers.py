"""Counts, and the steps from inputs to samples."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from finehard.dataset.reader import open_dataset
from finehard.report import funnel
from finehard.report.diff import diff_words
from finehard.report.statistics import Counts, gather, scan
from finehard.state.runs import record_run, recorded_runs


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3000), max_size=40), min_size=1, max_size=4))
def test_counts_do_not_depend_on_batches(batches: list[list[int]]) -> None:
    counts = Counts()
    for batch in batches:
        counts.add(np.array(batch, np.int64))
    values = sorted(value for batch in batches for value in batch)
    assert counts.total == len(values)
    assert sum(number for _, number in counts.bins()) == len(values)
    assert len(counts.bins()) <= 22
    if values:
        assert counts.mean() == np.float64(sum(values) / len(values))
        assert counts.quantile(0) == values[0] and counts.quantile(1) == values[-1]
        assert counts.quantile(0.5) == values[(len(values) - 1) // 2]


def _manifest(policy: str, **dropped: int) -> dict[str, Any]:
    named = {name.replace("__", "."): number for name, number in dropped.items()}
    return {"counts": {"read": 20, "written": 12, "regions": 30}, "dropped": named,
            "config": {"verify": {"policy": policy}}}  # fmt: skip


def test_image_steps_add_up() -> None:
    lost = Counter({("source", "not_an_image"): 3, ("caption", "timeout"): 2,
                    ("verify", "timeout"): 1, ("my_own_stage", "no_regions"): 2})  # fmt: skip
    steps = funnel.images(_manifest("drop"), lost)
    assert [step.left for step in steps] == [20, 17, 15, 15, 15, 14, 12, 12]
    [loss] = steps[1].losses
    assert (loss.reason, loss.number, loss.example) == ("not_an_image", 3, "reject-not_an_image")
    assert "no image of a format" in loss.meaning
    assert [s.left for s in funnel.images(_manifest("skip"), Counter())] == [20] * 6


def test_a_users_stage_has_a_step_in_flow_order() -> None:
    stages = ["caption", "mood", "phrases", "detect", "regions", "min_regions"]
    manifest = _manifest("drop") | {"pipeline": stages}
    manifest["reject_reasons"] = {"dull": "the mood is too low", "timeout": "not this one"}
    lost = Counter({("source", "not_an_image"): 3, ("mood", "dull"): 2, ("phrases", "timeout"): 1,
                    ("other", "dull"): 1, ("shards", "no_regions"): 1})  # fmt: skip
    steps = funnel.images(manifest, lost)
    assert [(step.name, step.left) for step in steps] == [
        ("inputs found", 20), ("images read", 17), ("captioned", 17), ("passed mood", 15),
        ("phrases extracted", 14), ("searched for boxes", 14), ("regions described", 14),
        ("passed other", 13), ("written", 12),
    ]  # fmt: skip
    assert steps[3].losses[0].meaning == "the mood is too low"
    assert steps[4].losses[0].meaning.startswith("the model server")


def test_a_users_stage_without_a_pipeline_is_last() -> None:
    manifest = _manifest("skip") | {"stages": {"caption": {}, "mood": {}}}
    names = [step.name for step in funnel.images(manifest, Counter())]
    assert names[-3:] == ["regions described", "passed mood", "written"]


def test_costs_are_in_flow_order() -> None:
    spent = {"requests": 1, "prompt_tokens": 2, "completion_tokens": 3}
    stages = {"caption": {"model": "m"}, "mood": {"model": "n"}}
    manifest = {
        "stages": stages,
        "usage": dict.fromkeys(("caption", "gone", "mood", "detect"), spent),
    }
    manifest["pipeline"] = ["mood", "caption", "detect"]
    assert [(cost.stage, cost.model) for cost in funnel.costs(manifest)] == [
        ("mood", "n"), ("caption", "m"), ("detect", ""), ("gone", "")
    ]  # fmt: skip


def test_parts_that_a_users_stage_dropped_are_listed() -> None:
    drops = funnel.other_drops(_manifest("drop", mood__dull=3, detect__nms=1, phrases__long=2))
    assert [(title, [loss.number for loss in losses]) for title, losses in drops] == [
        ("phrases left out", [2]), ("left out at mood", [3])
    ]  # fmt: skip


def test_untold_statements_are_no_loss() -> None:
    manifest = _manifest("drop", verify__untold=7, verify__negative_true=2)
    assert funnel.untold(manifest) == 7 and funnel.untold(_manifest("drop")) == 0
    [(_, losses)] = funnel.other_drops(manifest)
    assert [(loss.reason, loss.number) for loss in losses] == [("negative_true", 2)]


def test_box_steps_add_up() -> None:
    steps = funnel.regions(_manifest("drop", detect__score=9, detect__nms=4, verify__text_untrue=5))
    assert [step.left for step in steps] == [48, 35, 30]
    marked = funnel.regions(_manifest("mark", detect__score=9, verify__text_untrue=5))
    assert [step.left for step in marked] == [39, 30, 30]  # what is marked is not lost


def test_regions_without_a_usable_text_are_a_step_of_their_own() -> None:
    manifest = _manifest(
        "drop", detect__nms=4, regions__refused_by_model=2, regions__missing_text=1,
        regions__cut_opening=7, caption__cut_html=3,
    )  # fmt: skip
    steps = funnel.regions(manifest)
    assert [step.left for step in steps] == [37, 33, 30, 30]
    assert [(loss.reason, loss.number) for loss in steps[2].losses] == [
        ("refused_by_model", 2), ("missing_text", 1)
    ]  # fmt: skip
    assert all(loss.meaning for loss in steps[2].losses)
    drops = funnel.other_drops(manifest)
    assert [(title, [loss.reason for loss in losses]) for title, losses in drops] == [
        ("cut from captions", ["cut_html"]), ("cut from region texts", ["cut_opening"])
    ]  # fmt: skip


def test_recorded_runs_are_read_back(tmp_path: Path) -> None:
    record_run(str(tmp_path), "a", 12.345, {"caption": {"asked": 3}})
    record_run(str(tmp_path), "b", 1.0, {})
    (tmp_path / "_journal/_runs/c.json").write_text("{")
    assert [run["seconds"] for run in recorded_runs(str(tmp_path))] == [12.3, 1.0]


def test_samples_are_drawn_by_seed_and_all_counted(hostile: Path) -> None:
    opened = open_dataset(str(hostile))
    drawn = [tuple(r["key"] for r in scan(opened, seed, 3).drawn) for seed in (1, 1, 2, 3, 4)]
    assert drawn[0] == drawn[1] and len(set(drawn)) > 1 and all(len(set(d)) == 3 for d in drawn)
    found, shown = gather(opened, 1, 3)
    assert found.indexed.samples == 6 and found.sampled.samples == 3
    assert tuple(sample.key for sample in shown) == drawn[0]
    assert found.sampled.regions == sum(len(sample.json["regions"]) for sample in shown)


@given(st.text(max_size=60), st.text(max_size=60))
def test_runs_of_a_negative_are_its_words(original: str, negative: str) -> None:
    pieces = diff_words(original, negative)
    assert " ".join(text for text, _ in pieces).split() == negative.split()


def test_only_swapped_words_differ() -> None:
    assert diff_words("a red mug on a table", "A blue mug on a table") == [
        ("A", False), ("blue", True), ("mug on a table", False)
    ]  # fmt: skip


def test_corrected_regions_are_not_lost() -> None:
    manifest = _manifest(
        "correct", verify__text_untrue=9, verify__negative_true=20, correct_texts__unchanged=2,
        verify_corrected__text_untrue=1, verify_corrected__text_corrected=6,
        correct_negatives__none_found=3, verify_corrected__negative_true=4,
        verify_corrected__negative_replaced=13, correct_negatives__duplicate=5,
    )  # fmt: skip
    assert funnel.corrections(manifest) == (6, 3, 13, 7)
    assert [step.left for step in funnel.regions(manifest)] == [33, 33, 30]
    drops = funnel.other_drops(manifest | {"stages": {"correct_texts": {}}})
    assert [title for title, _ in drops] == [
        "not confirmed by verification", "region texts not corrected",
        "corrections not confirmed", "replacements of hard negatives refused",
    ]  # fmt: skip
    assert funnel.corrections(_manifest("drop", verify__text_untrue=9)) is None


def test_correction_shares_the_step_of_verification() -> None:
    stages = ["verify", "correct_texts", "correct_negatives", "verify_corrected"]
    manifest = _manifest("correct") | {"stages": dict.fromkeys(stages, {})}
    lost = Counter({("verify", "timeout"): 1, ("correct_texts", "timeout"): 2,
                    ("verify_corrected", "timeout"): 1})  # fmt: skip
    steps = funnel.images(manifest, lost)
    assert [(step.name, step.left) for step in steps[-2:]] == [("verified", 16), ("written", 16)]

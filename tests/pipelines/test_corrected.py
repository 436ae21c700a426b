"""Builds with `verify.policy: correct`."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from finehard.dataset.reader import open_dataset
from finehard.report import funnel
from finehard.report.numbers import numbers
from tests.pipelines.world import Server, built, config, images, manifest, start

pytestmark = pytest.mark.slow

_NEW = {"correct_texts", "correct_negatives", "verify_corrected"}


def test_correcting_a_finished_dataset_asks_only_what_is_new(
    tmp_path: Path, server: Server
) -> None:
    source, output = images(tmp_path / "in", 12), tmp_path / "out"
    dropped = built(config(tmp_path, server.url), source, output)
    before = manifest(output)
    assert _NEW.isdisjoint(before["stages"]) and "correction" not in before["config"]["verify"]
    server.log.write_text("")
    correcting = config(tmp_path, server.url, verify={"policy": "correct"})
    corrected = built(correcting, source, output)
    assert {stage for _, stage, _ in server.answered()} == _NEW
    made = manifest(output)
    assert made["counts"]["regions"] > before["counts"]["regions"]
    assert set(made["stages"]) >= _NEW and set(made["usage"]) >= _NEW
    assert {"correct_texts", "correct_negatives"} <= set(made["prompts"])
    for name in ("correct_texts", "correct_negatives"):  # one request an image
        assert made["usage"][name]["requests"] <= 12
    samples = [sample.json for sample in open_dataset(str(output))]
    regions = [region for sample in samples for region in sample["regions"]]
    negatives = [negative for region in regions for negative in region["hard_negatives"]]
    assert all(each["verified"] is True for each in (*regions, *negatives))
    counts = funnel.corrections(made)
    assert counts is not None and min(counts) > 0
    assert numbers(str(output))["corrected"] == counts._asdict()
    report = (output / "report.html").read_text()
    assert f"Corrected and confirmed: {counts.texts} regions" in report
    server.log.write_text("")
    assert built(correcting, source, output) == corrected
    assert built(config(tmp_path, server.url), source, output) == dropped
    assert server.answered() == []


def test_a_killed_build_corrects_with_equal_bytes(tmp_path: Path, server: Server) -> None:
    settings = config(tmp_path, server.url, verify={"policy": "correct"})
    source, output = images(tmp_path / "in", 60), tmp_path / "killed"
    undisturbed = built(settings, source, tmp_path / "undisturbed")
    asked_once = {question for _, _, question in server.answered()}
    process = start(settings, source, output)
    journal = output / "_journal" / "verify_corrected"
    while not journal.exists() and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    time.sleep(0.2)  # what the server was still answering
    server.log.write_text("")
    assert built(settings, source, output) == undisturbed
    assert {question for _, _, question in server.answered()} <= asked_once


def test_the_lexicon_corrects_negatives_without_a_model(tmp_path: Path, server: Server) -> None:
    verify = {"policy": "correct", "correction": {"backend": "lexicon"}}
    source, output = images(tmp_path / "in", 6), tmp_path / "out"
    built(config(tmp_path, server.url, verify=verify), source, output)
    made = manifest(output)
    assert made["stages"]["correct_negatives"]["model"] == "lexicon"
    assert "correct_negatives" not in made["usage"]
    assert made["config"]["verify"]["correction"]["backend"] == "lexicon"
    assert made["dropped"]["verify_corrected.negative_replaced"] > 0

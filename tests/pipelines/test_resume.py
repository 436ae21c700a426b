"""A build that is killed goes on where it was, and ends with the same bytes."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from finehard.state.journal import FLUSH_S
from tests.pipelines.world import Server, build, built, config, images, manifest, start, sums

UNFLUSHED_S = FLUSH_S + 0.5
"""Seconds of answers that may be lost with a process: the flush interval and the write itself."""


@pytest.mark.slow
@pytest.mark.full
def test_ten_kills_change_no_byte_and_repeat_no_question(tmp_path: Path, server: Server) -> None:
    settings = config(tmp_path, server.url)
    source = images(tmp_path / "in", 120)
    undisturbed = built(settings, source, tmp_path / "undisturbed")
    asked_once = {question for _, _, question in server.answered()}
    chance = random.Random(0)
    for attempt in range(10):
        output = tmp_path / f"killed-{attempt}"
        server.log.write_text("")
        process = start(settings, source, output)
        # from just after the pipeline's start to just before its end
        journal = output / "_journal" / "caption"
        while not journal.exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 2.5))
        os.killpg(process.pid, signal.SIGKILL)
        killed = time.time()
        process.communicate()
        before = server.answered()
        time.sleep(0.2)  # what the server was still answering
        server.log.write_text("")
        assert built(settings, source, output) == undisturbed
        after = {question for _, _, question in server.answered()}
        flushed = {question for at, _, question in before if at < killed - UNFLUSHED_S}
        again = flushed & after
        assert not again, f"attempt {attempt}: {len(again)} questions asked again"
        assert after <= asked_once


def test_a_finished_build_run_again_changes_nothing(tmp_path: Path, server: Server) -> None:
    settings = config(tmp_path, server.url)
    source = images(tmp_path / "in", 20)
    first = built(settings, source, tmp_path / "out")
    server.log.write_text("")
    assert built(settings, source, tmp_path / "out") == first
    assert server.answered() == []


def test_a_changed_prompt_asks_again_from_its_own_stage_only(
    tmp_path: Path, server: Server
) -> None:
    source = images(tmp_path / "in", 12)
    settings = config(tmp_path, server.url)
    built(settings, source, tmp_path / "out")
    server.log.write_text("")
    prompt = tmp_path / "verify.mine.md"
    prompt.write_text("---\ntask: verify\n---\nTrue? {statements}, {count} answers, as JSON.")
    built(config(tmp_path, server.url, verify={"prompt": str(prompt)}), source, tmp_path / "out")
    assert {stage for _, stage, _ in server.answered()} == {"verify"}


def test_a_changed_threshold_asks_only_what_depends_on_the_boxes(
    tmp_path: Path, server: Server
) -> None:
    source = images(tmp_path / "in", 12)
    built(config(tmp_path, server.url), source, tmp_path / "out")
    journal = tmp_path / "out" / "_journal" / "detect"
    before = {f.name: f.stat().st_mtime_ns for f in journal.rglob("*.parquet")}
    server.log.write_text("")
    detect = {"backend": "bench.fixed_detector:load", "score": 0.6}
    built(config(tmp_path, server.url, detect=detect), source, tmp_path / "out")
    assert "caption" not in {stage for _, stage, _ in server.answered()}
    assert {f.name: f.stat().st_mtime_ns for f in journal.rglob("*.parquet")} == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_quickly_and_says_how_to_go_on(
    tmp_path: Path, server: Server, number: int
) -> None:
    settings = config(tmp_path, server.url)
    source = images(tmp_path / "in", 200)
    process = start(settings, source, tmp_path / "out")
    journal = tmp_path / "out" / "_journal" / "caption"
    while not journal.exists():
        time.sleep(0.01)
    os.kill(process.pid, number)
    _, printed = process.communicate(timeout=10)
    assert process.returncode == 128 + number
    assert "To go on: finehard build --config" in printed
    assert not (tmp_path / "out" / "manifest.json").exists()
    before = {question for _, _, question in server.answered()}
    server.log.write_text("")
    assert built(settings, source, tmp_path / "out")
    again = before & {question for _, _, question in server.answered()}
    assert len(again) <= 40, "more asked again than was in flight"


def test_rejects_fed_back_are_built(tmp_path: Path, server: Server) -> None:
    source = images(tmp_path / "in", 10)
    few = config(tmp_path, server.url, images={"min_side": 80})  # all are 64 pixels high
    out = tmp_path / "out"
    process = start(few, source, out)
    _, printed = process.communicate()
    assert process.returncode == 1
    assert "nothing could be written: all 10 images were rejected" in printed
    again = tmp_path / "again"
    assert built(config(tmp_path, server.url), out / "rejected", again)
    counts = json.loads((again / "manifest.json").read_text())["counts"]
    assert (counts["read"], counts["written"]) == (10, 10)
    assert sums(again)


def test_a_limited_build_goes_on_without_its_limit(tmp_path: Path, server: Server) -> None:
    settings = config(tmp_path, server.url)
    source = images(tmp_path / "in", 30)
    whole = built(settings, source, tmp_path / "whole")
    asked_once = [question for _, _, question in server.answered()]
    server.log.write_text("")
    output = tmp_path / "out"
    for limit in ("--limit=5", "--limit=13"):  # both end inside a unit
        done = build(settings, source, output, options=[limit])
        assert done.returncode == 0, done.stderr
    counts = manifest(output)["counts"]
    assert (counts["read"], counts["written"] + counts["rejected"]) == (13, 13)
    assert len(sums(output)) < len(whole)
    assert built(settings, source, output) == whole
    assert sorted(question for _, _, question in server.answered()) == sorted(asked_once)

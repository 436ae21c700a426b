"""Builds through servers that do wrong: what can pass is tried again, what does not is named."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from bench.server_faults import FAULTS
from finehard.dataset.validate import validate
from tests.faults.world import Faulty, built, faulty, settings
from tests.pipelines.world import images, sums

PASSES = ("429", "429-wait", "500", "502", "503", "503-wait", "reset", "half", "endless", "utf8",
          "json", "list", "shape", "schema", "prose", "cut", "empty", "model")  # fmt: skip
STAYS = {
    "400": "request_refused",
    "500": "server_error",
    "502": "server_error",
    "503": "server_error",
    "reset": "server_error",
    "half": "server_error",
    "endless": "server_error",
    "utf8": "server_error",
    "json": "server_error",
    "list": "server_error",
    "hang": "timeout",
    "shape": "server_error",
    "schema": "invalid_reply",
    "prose": "invalid_reply",
    "empty": "invalid_reply",
    "cut": "truncated_reply",
    "model": "wrong_model",
}
"""Fault that meets the same question each time -> the reason of its sample's reject."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 images."""
    return images(tmp_path_factory.mktemp("in"), 60)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Path:
    """What a well server makes of them."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with faulty(folder / "log") as well:
        built(settings(well.url), source, folder / "out")
    return folder / "out"


def _samples(output: Path) -> dict[str, dict[str, Any]]:
    """Every sample's annotation by key."""
    samples = {}
    for row in pq.read_table(output / "index.parquet").to_pylist():
        data = (output / "shards" / row["shard"]).read_bytes()
        start = row["json_offset"]
        samples[row["key"]] = json.loads(data[start : start + row["json_size"]])
    return samples


def _adds_up(made: dict[str, Any], output: Path) -> None:
    counts = made["counts"]
    assert counts["read"] == 60 == counts["written"] + counts["rejected"]
    assert validate(str(output)) == []


def test_every_fault_is_here() -> None:
    assert set(PASSES) | set(STAYS) == set(FAULTS)


def test_faults_that_pass_leave_no_trace_in_the_dataset(
    tmp_path: Path, server: Faulty, source: Path, undisturbed: Path
) -> None:
    server.control(faults=0.2, kinds=PASSES)
    made = built(settings(server.url, model={"attempts": 12}), source, tmp_path / "out")
    met = server.control()
    _adds_up(made, tmp_path / "out")
    assert sum(met.values()) > 30
    # asked again twice at most when the reply itself is wrong: three in a row is a fair reject
    assert set(made["rejects"]) <= {"invalid_reply", "truncated_reply"}
    assert made["counts"]["rejected"] <= 3
    if not made["rejects"]:
        assert sums(tmp_path / "out") == sums(undisturbed)
    well = _samples(undisturbed)
    assert all(well[key] == sample for key, sample in _samples(tmp_path / "out").items())


def test_permanent_faults_reject_only_their_own_samples(
    tmp_path: Path, server: Faulty, source: Path, undisturbed: Path
) -> None:
    server.control(faults=0.06, kinds=sorted(STAYS), sticky=True)
    model = {"attempts": 3, "timeout_s": 0.7, "outage_s": 20}
    made = built(settings(server.url, model=model), source, tmp_path / "out")
    _adds_up(made, tmp_path / "out")
    assert set(made["rejects"]) <= set(STAYS.values())
    assert len(made["rejects"]) >= 3
    well, here = _samples(undisturbed), _samples(tmp_path / "out")
    assert 20 < len(here) < 60
    assert all(well[key] == sample for key, sample in here.items())
    # once the server is mended, what was rejected is built from the rejects alone
    server.control(faults=0.0)
    again = built(settings(server.url), tmp_path / "out" / "rejected", tmp_path / "again")
    assert again["counts"]["written"] == 60 - len(here)
    assert here | _samples(tmp_path / "again") == well


def test_a_build_outlives_an_endpoint_that_dies_and_comes_back(
    tmp_path: Path, server: Faulty, source: Path, undisturbed: Path
) -> None:
    server.control(slower=10.0)
    with faulty(tmp_path / "other.log") as other:
        other.control(faults=1.0, kinds=["reset"])

        def heals() -> None:
            while len(server.answered()) < 20:
                time.sleep(0.05)
            other.control(faults=0.0)

        healing = threading.Thread(target=heals, daemon=True)  # a build may fail before
        healing.start()
        model = {"outage_s": 10}
        made = built(settings(server.url, other.url, model=model), source, tmp_path / "out")
        healing.join()
        well = other.answered()
    _adds_up(made, tmp_path / "out")
    assert made["rejects"] == {}
    assert sums(tmp_path / "out") == sums(undisturbed)
    assert well, "the endpoint got nothing after it was well again"
    twice = [n for n in Counter(server.answered() + well).values() if n > 1]
    assert not twice, "a question was answered twice"

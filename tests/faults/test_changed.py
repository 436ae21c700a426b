"""Settings changed between two runs, and secrets: what the output tells, what it never holds."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.faults.world import Faulty, built, settings
from tests.pipelines.world import images


def test_after_a_change_no_sample_is_left_of_before(tmp_path: Path, server: Faulty) -> None:
    source, output = images(tmp_path / "in", 12), tmp_path / "out"
    before = built(settings(server.url), source, output)
    first = len(server.answered())
    server.log.write_text("")
    after = built(settings(server.url, model={"revision": "v2"}), source, output)
    assert len(server.answered()) == first  # another revision: every question is another
    changed = {s for s in before["stages"] if before["stages"][s] != after["stages"][s]}
    assert changed == {"caption", "regions", "negatives", "verify"}
    for row in pq.read_table(output / "index.parquet").to_pylist():
        data = (output / "shards" / row["shard"]).read_bytes()
        sample = json.loads(data[row["json_offset"] :][: row["json_size"]])
        assert sample["provenance"] == after["stages"]
    server.log.write_text("")
    assert built(settings(server.url), source, output)["stages"] == before["stages"]
    assert server.answered() == []  # going back costs nothing


def test_an_api_key_is_nowhere_in_the_output_nor_in_what_is_printed(
    tmp_path: Path,
    server: Faulty,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TEST_KEY", "sk-swordfish")
    server.control(faults=0.3, kinds=["500", "schema", "400"])
    values = settings(server.url, model={"api_key_env": "TEST_KEY", "attempts": 3})
    built(values, images(tmp_path / "in", 12), tmp_path / "out")
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) > 8
    for path in files:
        assert b"swordfish" not in path.read_bytes()
    for path in files:
        if path.suffix == ".parquet":
            assert "swordfish" not in str(pq.read_table(path).to_pylist())
    told = capfd.readouterr()
    assert "swordfish" not in told.out + told.err

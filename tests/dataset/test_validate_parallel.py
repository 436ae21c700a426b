"""Whoever shares the checks of a dataset, the findings are the same, in the same order."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finehard.cli import main
from finehard.dataset.parts import table_names
from finehard.dataset.tables import INDEX_SCHEMA
from finehard.dataset.validate import validate
from tests.dataset.finished import dataset

SHARDS = 9


@pytest.fixture(scope="module", params=[1000, 3], ids=["one-file", "parts"])
def damaged(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A dataset with something wrong in many places."""
    made = dataset(tmp_path_factory.mktemp("damaged"), SHARDS, request.param)
    first, *_, last = sorted(made.glob("shards/*.tar"), key=lambda path: path.stat().st_size)[1:]
    for path in (first, last):
        data = bytearray(path.read_bytes())
        data[700] ^= 1
        path.write_bytes(data)
    index = made / table_names(str(made), "index.parquet")[-1]
    rows = pq.read_table(index).to_pylist()
    rows[0]["width"] = 7
    rows[1] |= {"shard": "strange.tar"}
    rows.append(rows.pop(2))
    pq.write_table(pa.Table.from_pylist(rows, INDEX_SCHEMA), index)
    manifest = json.loads((made / "manifest.json").read_text())
    for part in manifest.get("tables", {}).get("index", []):
        part["bytes"] = (made / part["name"]).stat().st_size
    manifest["counts"] |= {"regions": 1, "written": 15, "rejected": 5}
    (made / "manifest.json").write_text(json.dumps(manifest))
    rejects = max((made / "rejected").iterdir(), key=lambda path: path.stat().st_size)
    table = pq.read_table(rejects)
    pq.write_table(pa.concat_tables([table, table]), rejects)
    return made


def _printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["validate", *arguments])
    return code, capsys.readouterr().out


@pytest.mark.slow
def test_processes_and_runners_find_the_same(
    damaged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = validate(str(damaged))
    assert len(expected) > 8, expected
    assert validate(str(damaged), workers=2) == expected
    alone = _printed(capsys, str(damaged), "--workers", "1")
    assert alone[0] == 1 and alone[1].splitlines() == expected
    assert _printed(capsys, str(damaged), "--workers", "2") == alone
    before = sorted(damaged.rglob("*"))
    assert _printed(capsys, str(damaged), "--", "--runner=FnApiRunner") == alone
    assert sorted(damaged.rglob("*")) == before


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.full)])
def test_a_runner_finds_a_whole_dataset_valid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    made = dataset(tmp_path, SHARDS, 2)
    shutil.rmtree(made / "_journal")  # as in a copy that was published
    code, printed = _printed(capsys, str(made), "--", f"--direct_num_workers={workers}")
    assert code == 0 and printed == f"{made} is valid\n"
    assert not (made / "_journal").exists()


def test_wrong_arguments_are_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["x", "--workers", "0"], ["x", "--", "--runer=x"], ["x", "--", "--x=y"]):
        os.makedirs(tmp_path / "x", exist_ok=True)
        assert main(["validate", str(tmp_path / arguments[0]), *arguments[1:]]) == 2
        assert "Traceback" not in capsys.readouterr().err

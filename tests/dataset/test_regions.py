"""regions.parquet: what the samples say of their regions, a row each."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finehard.dataset import regions
from finehard.dataset.reader import open_dataset
from finehard.dataset.regions import REGION_SCHEMA, regions_part
from finehard.dataset.validate import validate
from tests.dataset.finished import Store, dataset, shard


def test_each_region_of_each_sample_is_a_row(tmp_path: Path) -> None:
    made = dataset(tmp_path)
    rows = pq.read_table(made / "regions.parquet").to_pylist()
    assert len(rows) == 17 and not (made / "_journal/_regions").exists()
    for sample in open_dataset(made):
        of_sample = [row for row in rows if row["key"] == sample.key]
        assert [row["number"] for row in of_sample] == list(range(len(sample.json["regions"])))
        for row, region in zip(of_sample, sample.json["regions"], strict=True):
            assert {name: row[name] for name in region} == region
            assert row["shard"] == Path(sample.shard).name
            assert row["long_caption"] == sample.json["long_caption"]
            assert row["short_caption"] == sample.json["short_caption"]


def test_rows_have_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    store = Store(tmp_path / "in")
    pointers = [store.sample(f"k{n % 6}", n) for n in range(12)]
    results = set()
    for turn in range(3):
        random.Random(turn).shuffle(pointers)
        made = shard(tmp_path / f"out{turn}", pointers)
        part = Path(regions_part(str(tmp_path / f"out{turn}"), "run", made.name))
        results.add(part.read_bytes())
    assert len(results) == 1


def test_few_rows_are_held_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pq.read_table(dataset(tmp_path / "a") / "regions.parquet")
    monkeypatch.setattr(regions, "_ROWS", 2)
    made = dataset(tmp_path / "b")
    file = pq.ParquetFile(made / "regions.parquet")
    groups = [file.metadata.row_group(n).num_rows for n in range(file.metadata.num_row_groups)]
    assert max(groups) <= 3 and file.read().equals(whole)
    assert validate(str(made)) == []


def _replace(made: Path, table: pa.Table) -> None:
    pq.write_table(table, made / "regions.parquet")


def test_a_table_that_differs_from_the_samples_is_invalid(tmp_path: Path) -> None:
    made = dataset(tmp_path)
    table = pq.read_table(made / "regions.parquet")
    assert validate(str(made)) == []
    _replace(made, table.set_column(4, "score", pa.array([0.25] * len(table))))
    problems = validate(str(made))
    assert len(problems) == 3 and "are not what its samples say" in problems[0]
    _replace(made, table.slice(1))
    [problem] = validate(str(made))
    assert "rows of finehard-00000-of-00003.tar, not" in problem
    _replace(made, pa.concat_tables([table, table.slice(0, 1)]))
    [problem] = validate(str(made))
    assert "not of its samples" in problem
    _replace(made, table.drop_columns(["score"]))
    [problem] = validate(str(made))
    assert "other columns" in problem
    (made / "regions.parquet").write_bytes(b"PAR1")
    [problem] = validate(str(made))
    assert "cannot be read" in problem


def test_a_dataset_finished_without_the_table_is_valid(tmp_path: Path) -> None:
    made = dataset(tmp_path)
    (made / "regions.parquet").unlink()
    assert validate(str(made)) == []


def test_a_dataset_without_regions_has_an_empty_table(tmp_path: Path) -> None:
    made = shard(tmp_path, [Store(tmp_path / "in").sample("k", 0)])
    part = regions_part(str(tmp_path), "run", made.name)
    assert pq.read_schema(part).equals(REGION_SCHEMA) and len(pq.read_table(part)) == 0

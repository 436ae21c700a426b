"""Tables in parts: every reader and writer treats them as one table, whatever runs them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import mlcroissant
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finehard.beam import run
from finehard.beam.finish import FinishDataset
from finehard.dataset import merge
from finehard.dataset.complete import Origin, complete, finish
from finehard.dataset.layout import INDEX, REGIONS, shard_of
from finehard.dataset.merge import by_part, merge_part
from finehard.dataset.parts import (
    SHARDS_PER_PART,
    part_count,
    part_name,
    part_of,
    table_names,
    with_shard,
)
from finehard.dataset.reader import open_dataset
from finehard.dataset.validate import validate
from finehard.publish.about import About
from finehard.publish.publish import publish
from finehard.publish.push import _files as pushed
from finehard.publish.remove import remove
from finehard.report.compare import compare
from finehard.report.statistics import counted
from finehard.stages.provenance import Provenance
from finehard.state.finished import finished_with, save_finished
from tests.dataset.finished import STAGES, Store, dataset, shard

SHARDS, MOST = 7, 2
NAMES = [f"part-{part:05d}-of-00004.parquet" for part in range(4)]


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset with one file a table, not to be changed."""
    return dataset(tmp_path_factory.mktemp("single"), SHARDS)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with tables of four parts."""
    return dataset(tmp_path_factory.mktemp("whole"), SHARDS, MOST)


@pytest.fixture
def made(whole: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(whole, tmp_path / "dataset"))


def _rows(made: Path, table: str) -> list[dict[str, Any]]:
    """The rows of a table, without sources: these differ with the folder."""
    files = [made / name for name in table_names(str(made), table)]
    rows = pa.concat_tables([pq.read_table(file) for file in files]).to_pylist()
    return [{name: value for name, value in row.items() if name != "sha256"} for row in rows]


def _files(made: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(made)): path.read_bytes()
        for path in made.rglob("*")
        if path.is_file() and "_journal/_" not in str(path)
    }


def test_shards_are_spread_evenly_over_parts() -> None:
    assert [part_count(n) for n in (1, SHARDS_PER_PART, SHARDS_PER_PART + 1)] == [1, 1, 2]
    for shards, parts in ((7, 4), (1001, 2), (2500, 3)):
        sizes = [len(part) for part in by_part(range(shards), parts)]
        assert sum(sizes) == shards and max(sizes) - min(sizes) <= 1
        assert [part_of(n, shards, parts) for n in range(shards)] == [
            number for number, size in enumerate(sizes) for _ in range(size)
        ]


def test_up_to_a_thousand_shards_have_one_file(single: Path) -> None:
    assert table_names(str(single), INDEX) == [INDEX] == [part_name(INDEX, 0, 1)]
    assert not (single / "index").exists() and not (single / "regions").exists()
    assert "tables" not in json.loads((single / "manifest.json").read_text())


def test_parts_have_the_rows_of_one_file(single: Path, whole: Path) -> None:
    for table in (INDEX, REGIONS):
        folder = table.removesuffix(".parquet")
        assert not (whole / table).exists()
        assert table_names(str(whole), table) == [f"{folder}/{name}" for name in NAMES]
        assert _rows(whole, table) == _rows(single, table)
    one, parts = (json.loads((d / "manifest.json").read_text()) for d in (single, whole))
    tables = parts.pop("tables")
    assert [part["name"] for part in tables["index"]] == [f"index/{name}" for name in NAMES]
    assert sum(part["rows"] for part in tables["index"]) == parts["counts"]["written"]
    for part in (*tables["index"], *tables["regions"]):
        assert part["bytes"] == (whole / part["name"]).stat().st_size
    assert {**parts, "input": ""} == {**one, "input": ""}
    assert (whole / "sizes.json").read_bytes() == (single / "sizes.json").read_bytes()


def test_a_row_group_holds_many_shards(whole: Path) -> None:
    for name in NAMES:
        assert pq.read_metadata(whole / "index" / name).num_row_groups == 1


def test_full_row_groups_are_cut_between_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "_GROUP_ROWS", 1)
    made = dataset(tmp_path, SHARDS, MOST)
    file = pq.ParquetFile(made / "index" / NAMES[0])
    assert [len(set(file.read_row_group(n)["shard"].to_pylist())) for n in range(2)] == [1, 1]
    assert validate(str(made)) == []


def test_samples_are_found_by_key_shard_and_number(single: Path, whole: Path) -> None:
    one, parts = open_dataset(single), open_dataset(whole)
    assert list(one.keys()) == list(parts.keys()) and len(parts) == 16
    for key in one.keys():  # noqa: SIM118  a dataset iterates over samples
        assert parts[key].json["short_caption"] == one[key].json["short_caption"]
        assert parts[key].image_bytes == one[key].image_bytes
    for number in range(SHARDS):
        assert list(parts.shard(number).keys()) == list(one.shard(number).keys())
    assert [sample.key for sample in parts] == [sample.key for sample in one]


def test_only_the_part_of_a_shard_is_read(made: Path) -> None:
    """The others are gone, and nobody notices."""
    files = [str(made / "index" / name) for name in NAMES]
    assert with_shard(files, "finehard-00006-of-00007.tar") == files[3:]
    for name in NAMES[:3]:
        (made / "index" / name).unlink()
    assert len(open_dataset(made).shard(6)) == json.loads(
        (made / "sizes.json").read_text()
    )["finehard-00006-of-00007.tar"]  # fmt: skip


def test_a_dataset_in_parts_is_valid_and_counted(single: Path, whole: Path) -> None:
    assert validate(str(whole)) == []
    counts = [counted(open_dataset(made)) for made in (single, whole)]
    assert {n: c.total for n, c in counts[0].items()} == {n: c.total for n, c in counts[1].items()}
    found = compare(str(single), str(whole))
    assert found["keys"]["both"] == found["keys"]["compared"] == 16


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda d: (d / "index" / NAMES[3]).unlink(), "index/part-00003-of-00004"),
        (lambda d: (d / "index" / NAMES[1]).unlink(), f"index/{NAMES[1]} is missing"),
        (lambda d: (d / "regions" / NAMES[1]).unlink(), f"regions/{NAMES[1]} has 0 bytes"),
        (lambda d: shutil.copy(d / "index" / NAMES[0], d / INDEX), "index.parquet is there"),
        (
            lambda d: [
                shutil.copy(d / "index" / a, d / "index" / b)
                for a, b in ((NAMES[0], "spare"), (NAMES[1], NAMES[0]), ("spare", NAMES[1]))
            ],
            "bytes, not",
        ),
    ],
)
def test_parts_that_are_not_the_manifests_are_told(
    made: Path, change: Callable[[Path], object], problem: str
) -> None:
    change(made)
    assert problem in "\n".join(validate(str(made)))


def test_removed_samples_leave_only_their_parts_changed(made: Path, tmp_path: Path) -> None:
    listed, before = tmp_path / "list.txt", _files(made)
    listed.write_text("k02\n")
    assert remove(str(made), str(listed)).shards == 1
    assert validate(str(made)) == [] and "k02" not in open_dataset(made)
    changed = {name for name, data in _files(made).items() if before.get(name) != data}
    assert len([name for name in changed if name.startswith("index/")]) == 1
    assert len([name for name in changed if name.startswith("regions/")]) == 1


def test_a_published_copy_has_the_same_parts(made: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    publish(str(made), str(copy), About("Still lifes", "mit"), workers=1)
    assert validate(str(copy)) == []
    assert table_names(str(copy), INDEX) == table_names(str(made), INDEX)
    names = pushed(open_dataset(copy))
    assert {*table_names(str(copy), INDEX), *table_names(str(copy), REGIONS)} < {*names}


def test_a_changed_part_makes_a_dataset_unfinished(made: Path) -> None:
    save_finished(str(made), "settings", "source")
    assert finished_with(str(made)) == ("settings", "source")
    path = made / "index" / NAMES[2]
    path.write_bytes(path.read_bytes() + b"!")
    assert finished_with(str(made)) is None


def test_croissant_reads_the_parts(whole: Path) -> None:
    loaded = mlcroissant.Dataset(str(whole / "croissant.json"))
    assert loaded.metadata.ctx.issues.errors == set()
    keys = [record["index/key"] for record in loaded.records("index")]
    assert sorted(k.decode() if isinstance(k, bytes) else k for k in keys) == sorted(
        open_dataset(whole).keys()
    )


def test_a_rebuild_removes_the_parts_of_the_one_before(tmp_path: Path) -> None:
    for most, names in ((2, 4), (3, 3), (9, 1), (2, 4)):
        shutil.rmtree(tmp_path / "in", ignore_errors=True)
        made = dataset(tmp_path, SHARDS, most)
        assert validate(str(made)) == []
        for table in (INDEX, REGIONS):
            found = list(made.glob(table)) + list(made.glob(f"{table.partition('.')[0]}/*"))
            assert len(found) == names == len(table_names(str(made), table))


def _written(folder: Path) -> tuple[Path, list[Any], Origin]:
    """Shards that are written, with their side files, and not completed."""
    store = Store(folder / "in")
    pointers = [store.sample(f"k{n:02d}", n) for n in range(15)] + [store.reject("bad", 22)]
    output = folder / "dataset"
    summaries = [
        shard(output, [p for p in pointers if shard_of(p.key, SHARDS) == n], n, SHARDS)
        for n in range(SHARDS)
    ]
    return output, summaries, Origin("in", {"images": {}}, Provenance(STAGES, ()))


def test_any_step_may_run_twice_and_in_any_order(tmp_path: Path) -> None:
    """As of a runner that tries again, or starts a second copy of a slow step."""
    output, summaries, origin = _written(tmp_path)
    complete(str(output), "run", origin, summaries, 16, most=MOST)
    expected = _files(output)
    grouped = list(enumerate(by_part(summaries, 4)))
    for _ in range(2):
        parts = [merge_part(str(output), "run", n, 4, group) for n, group in reversed(grouped)]
        assert _files(output) == expected
        finish(str(output), origin, parts, 16)
        assert _files(output) == expected


def test_a_merge_that_failed_leaves_no_half_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, summaries, origin = _written(tmp_path)
    part = output / "_journal/_regions/run/finehard-00001-of-00007.parquet"
    data = part.read_bytes()
    part.unlink()
    with pytest.raises(FileNotFoundError):
        complete(str(output), "run", origin, summaries, 16, most=MOST)
    assert not list(output.glob("regions/*")) and not (output / "manifest.json").exists()
    part.write_bytes(data)
    complete(str(output), "run", origin, summaries, 16, most=MOST)
    assert validate(str(output)) == []


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_beam_merges_to_the_same_bytes(tmp_path: Path, workers: int) -> None:
    output, summaries, origin = _written(tmp_path)
    complete(str(output), "run", origin, summaries, 16, most=MOST)
    expected = _files(output)
    for name in expected:
        if not name.startswith(("shards", "rejected")):
            (output / name).unlink()

    def construct(pipeline: beam.Pipeline) -> Any:
        made = pipeline | beam.Create(summaries[::-1], reshuffle=True)
        return made | FinishDataset(str(output), "run", SHARDS, origin, 16, most=MOST)

    run.run(construct, run.options([f"--direct_num_workers={workers}"]))
    assert _files(output) == expected

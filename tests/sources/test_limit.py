"""The first samples of an input, whatever its format and wherever its units end."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finehard.dataset.tables import REJECT_SCHEMA
from finehard.errors import UsageError
from finehard.records import Reject
from finehard.sources import SourceConfig, discover, read, units
from tests.pictures import jpg
from tests.sources.tars import CONFIG, samples, tar_bytes


def _keys(path: Path, limit: int | None, config: SourceConfig = CONFIG) -> list[str]:
    """The keys that a build reads in order, whose number is what was announced."""
    files = discover(str(path), config, limit)
    items = [item for f in files for unit in units(f, config) for item in read(unit, config)]
    assert len(items) == sum(f.samples or 0 for f in files)
    return [item.key if isinstance(item, Reject) else item.record.key for item in items]


def _tars(folder: Path) -> Path:
    for name in ("a", "b", "c"):
        (folder / f"{name}.tar").write_bytes(tar_bytes(samples(20)))
    return folder


def _parquet(folder: Path) -> Path:
    for name in ("a", "b"):
        rows = {"id": [f"{name}{n}" for n in range(20)], "image": [jpg(n) for n in range(20)]}
        pq.write_table(pa.table(rows), folder / f"{name}.parquet", row_group_size=7)
    return folder


def _images(folder: Path) -> Path:
    for number in range(40):
        (folder / f"{number:02d}.jpg").write_bytes(jpg(number))
    return folder


def _rejects(folder: Path) -> Path:
    tar = folder / "in" / "a.tar"
    tar.parent.mkdir()
    tar.write_bytes(tar_bytes(samples(40)))
    config = SourceConfig(unit_size=4)
    sources = [item.record.source for f in discover(str(tar), config)
               for unit in units(f, config) for item in read(unit, config)]  # fmt: skip
    rows = [{"key": "", "source": s, "stage": "caption", "reason": "timeout", "detail": ""}
            for s in sources[::3]]  # fmt: skip
    (folder / "rejected").mkdir()
    pq.write_table(pa.Table.from_pylist(rows, REJECT_SCHEMA), folder / "rejected" / "r.parquet")
    return folder / "rejected"


@pytest.mark.parametrize("make", [_tars, _parquet, _images, _rejects])
@pytest.mark.parametrize("limit", [1, 5, 20, 21, 1000])
def test_the_first_samples_are_read_in_order(tmp_path: Path, make, limit: int) -> None:
    source = make(tmp_path)
    every = _keys(source, None)
    assert len(every) > 10
    assert _keys(source, limit) == every[:limit]


def test_units_keep_their_names(tmp_path: Path) -> None:
    source = str(_tars(tmp_path))
    whole, cut = (
        [unit.id for f in discover(source, CONFIG, limit) for unit in units(f, CONFIG)]
        for limit in (None, 30)
    )
    assert 1 < len(cut) < len(whole) and cut == whole[: len(cut)]


def test_false_statistics_do_not_change_the_number(tmp_path: Path) -> None:
    _tars(tmp_path)
    for successes in (5, 23):
        (tmp_path / "a_stats.json").write_text(json.dumps({"successes": successes}))
        assert len(_keys(tmp_path, 30)) == 30


def test_files_after_the_limit_are_not_opened(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"{number:02d}.tar").write_bytes(tar_bytes(samples(2)))
    (tmp_path / "59.parquet").write_bytes(b"damaged")
    (tmp_path / "59.tar").unlink()
    opened = [f.name for f in discover(str(tmp_path), CONFIG, 3)]
    assert opened == ["00.tar", "01.tar"]


def test_a_limit_below_one_is_a_usage_error(tmp_path: Path) -> None:
    for limit in (0, -3):
        with pytest.raises(UsageError, match=f"limit {limit}: give a number of images"):
            discover(str(tmp_path), CONFIG, limit)

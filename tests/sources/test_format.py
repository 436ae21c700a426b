"""A source format of the user's own: one file, named in the config."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finehard import registry
from finehard.dataset.tables import REJECT_SCHEMA
from finehard.errors import FinehardError, UsageError
from finehard.sources import NOWHERE, SourceConfig, discover, read, units
from tests.pictures import jpg
from tests.sources.tars import outcomes, samples, tar_bytes

_FORMAT = """
import json
import os

from finehard.io import storage
from finehard.records import Bytes, Record, Reject
from finehard.sources import NOWHERE, Loaded, safe_key


class Lines:
    suffixes = (".jsonl",)

    @staticmethod
    def read(unit, config):
        for number, line in enumerate(storage.read_all(unit.file.uri).splitlines()):
            row, source = json.loads(line), f"{unit.file.uri}#line={number}"
            key = safe_key(row["id"])
            path = os.path.join(os.path.dirname(unit.file.uri), row["image"])
            if not os.path.exists(path):
                yield Reject(key, source, "source", "missing_image", row["image"])
                continue
            data = storage.read_all(path)
            yield Loaded(
                Record(key, source, unit.id, NOWHERE, "", alt_text=row["text"]), data
            )
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SourceConfig:
    """A config whose folder has the user's format."""
    folder = tmp_path / "config"
    folder.mkdir()
    name = f"lines_{abs(hash(str(tmp_path)))}"
    (folder / f"{name}.py").write_text(_FORMAT)
    registry.add_path(str(folder))
    return SourceConfig(format=f"{name}:Lines")


def _input(folder: Path, count: int = 3) -> Path:
    folder.mkdir()
    rows = [{"id": f"row {n}", "image": f"{n}.jpg", "text": f"text {n}"} for n in range(count)]
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for n in range(count - 1):  # the last one is missing
        (folder / f"{n}.jpg").write_bytes(jpg(n))
    (folder / "b.tar").write_bytes(tar_bytes(samples(2)))
    return folder


@pytest.mark.parametrize("name", ["", "a.jsonl"])
def test_files_of_a_users_format_are_read(tmp_path: Path, config: SourceConfig, name: str) -> None:
    [file] = discover(str(_input(tmp_path / "in") / name), config)
    assert (file.name, file.samples) == ("a.jsonl", 3)
    [unit] = units(file, config)
    items = list(read(unit, config))
    assert outcomes(items) == ["row_0", "row_1", "missing_image row_2"]
    assert [i.data for i in items[:2]] == [jpg(0), jpg(1)]
    assert items[0].record.image == NOWHERE and items[0].record.alt_text == "text 0"
    assert items[2].unit == unit.id


def test_rejects_of_a_users_format_are_read_again(tmp_path: Path, config: SourceConfig) -> None:
    folder = _input(tmp_path / "in")
    rows = [{"key": "row_1", "source": f"{folder}/a.jsonl#line=1", "stage": "caption",
             "reason": "timeout", "detail": ""}]  # fmt: skip
    (tmp_path / "rejected").mkdir()
    pq.write_table(pa.Table.from_pylist(rows, REJECT_SCHEMA), tmp_path / "rejected/r.parquet")
    for path in (tmp_path / "rejected", tmp_path / "rejected/r.parquet"):
        [file] = discover(str(path), config)
        assert file.samples == 1
        assert [outcomes(read(unit, config)) for unit in units(file, config)] == [["row_1"]]


def test_a_format_named_in_the_config_is_the_only_one_read(tmp_path: Path) -> None:
    folder = _input(tmp_path / "in")
    assert [f.name for f in discover(str(folder), SourceConfig(format="tar"))] == ["b.tar"]
    [loose] = discover(str(folder), SourceConfig(format="folder"))
    assert (loose.format, loose.samples) == ("folder", 2)
    with pytest.raises(FinehardError, match="no images in .*: expected .parquet"):
        discover(str(folder), SourceConfig(format="parquet"))
    pq.write_table(pa.table({"image": [jpg()]}), folder / "c.parquet")
    (folder / "b.tar").unlink()
    with pytest.raises(FinehardError, match="c.parquet is no table of rejects, and no .tar,"):
        discover(str(folder), SourceConfig(format="tar"))


@pytest.mark.parametrize("spec", ["tarr", "no_such_module:x", "finehard.sources.tar:x"])
def test_an_unknown_format_is_a_usage_error(tmp_path: Path, spec: str) -> None:
    with pytest.raises(UsageError, match="^source.format: "):
        discover(str(_input(tmp_path / "in")), SourceConfig(format=spec))

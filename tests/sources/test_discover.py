"""What an input is found to be; and rejects fed back."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finehard.dataset.tables import REJECT_SCHEMA
from finehard.errors import FinehardError, UsageError
from finehard.records import Reject
from finehard.sources import Loaded, count, discover, units
from tests.pictures import jpg
from tests.sources.tars import CONFIG, all_of, sample, samples, tar_bytes, told


def _everything(path: str) -> list[Loaded | Reject]:
    return [item for file in discover(path) for item in all_of(file)]


def _source(item: Loaded | Reject) -> str:
    return item.source if isinstance(item, Reject) else item.record.source


def _rejected(path: Path, items: list[Loaded | Reject]) -> str:
    """Writes `items` as a build's rejects."""
    rows = []
    for item in items:
        key = item.key if isinstance(item, Reject) else item.record.key
        rows.append({"key": key, "source": _source(item), "stage": "caption",
                     "reason": "timeout", "detail": ""})  # fmt: skip
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, REJECT_SCHEMA), path)
    return str(path)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda p: None, UsageError, "does not exist"),
        (lambda p: p.mkdir(), FinehardError, "no images in"),
        (lambda p: p.write_text("x"), UsageError, "neither a folder"),
    ],
)
def test_what_is_no_input_is_told_in_one_line(
    tmp_path: Path, make: object, error: type, says: str
) -> None:
    make(tmp_path / "in")  # type: ignore[operator]
    with pytest.raises(error, match=says):
        discover(str(tmp_path / "in"))


def test_tars_come_before_their_sidecars_and_loose_images(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.tar", "sub/a.tar"):
        (tmp_path / name).write_bytes(tar_bytes(samples(2)))
    (tmp_path / "b.parquet").write_bytes(b"not looked at")
    (tmp_path / "c.jpg").write_bytes(jpg())
    assert [(f.kind, f.name) for f in discover(str(tmp_path))] == [
        ("tar", "b.tar"),
        ("tar", "sub/a.tar"),
    ]


def test_rejects_from_every_kind_of_source_select_exactly_these(tmp_path: Path) -> None:
    inputs = tmp_path / "in #1.tar#"  # names with what separates a source's parts
    for folder in ("x", "y"):
        (inputs / folder).mkdir(parents=True)
        (inputs / folder / "00.tar").write_bytes(tar_bytes([*samples(20), ("z.json", b"{}")]))
    rows = {"key": [f"k{n}" for n in range(20)], "image": [jpg()] * 20}
    pq.write_table(pa.table(rows), inputs / "p.parquet")
    (inputs / "loose/sub").mkdir(parents=True)
    for name in ("a.jpg", "b#1.jpg", "sub/a.jpg"):
        (inputs / "loose" / name).write_bytes(jpg())
    found = {
        source: _everything(str(inputs / source))
        for source in ("x/00.tar", "y/00.tar", "p.parquet", "loose")
    }
    chosen = [*found["x/00.tar"][3:5], found["x/00.tar"][-1], *found["y/00.tar"][3:4],
              *found["p.parquet"][7:9], *found["loose"][1:]]  # fmt: skip
    _rejected(tmp_path / "rejected/one.parquet", chosen[::2])
    _rejected(tmp_path / "rejected/two.parquet", chosen[1::2])
    files = discover(str(tmp_path / "rejected"))
    again = [item for file in files for item in all_of(file)]
    assert sorted(map(_source, again)) == sorted(map(_source, chosen))
    assert sorted(told(again)) == sorted(told(chosen))  # under their own keys
    assert len({file.uri for file in files}) == len(files) == 4
    ids = [unit.id for file in files for unit in units(file, CONFIG)]
    assert len(set(ids)) == len(ids)
    assert sum(count(file, CONFIG) for file in files) == len(chosen)


def test_a_key_that_was_made_unique_is_found_again(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a.jpg").write_bytes(jpg())
    [item] = _everything(str(tmp_path))
    doubled = Reject("sub_a~2", item.record.source, "caption", "timeout", "")
    [again] = _everything(_rejected(tmp_path / "r/r.parquet", [doubled]))
    assert again.record.key == "sub_a"


def test_rejects_of_what_is_gone_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_bytes(sample("a")))
    items = _everything(str(tmp_path / "a.tar"))
    path = _rejected(tmp_path / "r/r.parquet", items)
    (tmp_path / "a.tar").unlink()
    with pytest.raises(FinehardError, match="a.tar, named in the rejects, is no longer there"):
        discover(path)


def test_parquet_that_only_looks_like_rejects_is_read_as_images(tmp_path: Path) -> None:
    columns = {name: ["/etc/hostname.tar"] for name in REJECT_SCHEMA.names}
    pq.write_table(pa.table({**columns, "image": [jpg()]}), tmp_path / "a.parquet")
    [file] = discover(str(tmp_path / "a.parquet"))
    assert file.only is None and told(all_of(file)) == ["_etc_hostname_tar"]
    odd = {name: [1] for name in REJECT_SCHEMA.names}
    pq.write_table(pa.table(odd), tmp_path / "b.parquet")
    [file] = discover(str(tmp_path / "b.parquet"))
    with pytest.raises(FinehardError, match="no column of image bytes"):
        count(file, CONFIG)

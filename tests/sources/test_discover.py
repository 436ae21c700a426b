"""What an input consists of, and rejects fed back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finehard.dataset.tables import REJECT_SCHEMA
from finehard.errors import FinehardError, UsageError
from finehard.io import storage
from finehard.records import Reject
from finehard.sources import Loaded, discover, read, units
from tests.pictures import jpg
from tests.sources.tars import CONFIG, all_of, outcomes, sample, samples, tar_bytes


def _everything(path: str) -> list[Loaded | Reject]:
    return [item for file in discover(path, CONFIG) for item in all_of(file)]


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
def test_an_input_with_nothing_to_read_is_an_error(
    tmp_path: Path, make: object, error: type, says: str
) -> None:
    make(tmp_path / "in")  # type: ignore[operator]
    with pytest.raises(error, match=says):
        discover(str(tmp_path / "in"), CONFIG)


def test_everything_in_a_folder_is_read_whatever_is_beside_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.tar", "sub/a.tar"):
        (tmp_path / name).write_bytes(tar_bytes(samples(2)))
    pq.write_table(pa.table({"image": [jpg()] * 3}), tmp_path / "c.parquet")
    (tmp_path / "d.parquet").write_bytes(b"damaged")
    (tmp_path / "e.jpg").write_bytes(jpg())
    assert [(f.format, f.name, f.samples) for f in discover(str(tmp_path), CONFIG)] == [
        ("tar", "b.tar", 2),
        ("parquet", "c.parquet", 3),
        ("parquet", "d.parquet", 1),
        ("tar", "sub/a.tar", 2),
        ("folder", "", 1),
    ]
    assert outcomes(_everything(str(tmp_path)))[5] == "unreadable_archive d_000000000"


def test_rejects_select_exactly_their_own_samples(tmp_path: Path) -> None:
    inputs = tmp_path / "in #1.tar#"  # names with what separates a source's parts
    for folder in ("x", "y"):
        (inputs / folder).mkdir(parents=True)
        (inputs / folder / "00.tar").write_bytes(tar_bytes([*samples(20), ("z.json", b"{}")]))
    rows = {"key": [f"k{n}" for n in range(20)], "image": [jpg()] * 20}
    pq.write_table(pa.table(rows), inputs / "p.parquet")
    (inputs / "loose/sub").mkdir(parents=True)
    for name in ("a.jpg", "b#1.jpg", "sub/a.jpg"):
        (inputs / "loose" / name).write_bytes(jpg())
    items = {
        source: _everything(str(inputs / source))
        for source in ("x/00.tar", "y/00.tar", "p.parquet", "loose")
    }
    chosen = [*items["x/00.tar"][3:5], items["x/00.tar"][-1], *items["y/00.tar"][3:4],
              *items["p.parquet"][7:9], *items["loose"][1:]]  # fmt: skip
    _rejected(tmp_path / "rejected/one.parquet", chosen[::2])
    _rejected(tmp_path / "rejected/two.parquet", chosen[1::2])
    files = discover(str(tmp_path / "rejected"), CONFIG)
    again = [item for file in files for item in all_of(file)]
    assert sorted(map(_source, again)) == sorted(map(_source, chosen))
    assert sorted(outcomes(again)) == sorted(outcomes(chosen))  # under their own keys
    assert len({file.uri for file in files}) == len(files) == 4
    ids = [unit.id for file in files for unit in units(file, CONFIG)]
    assert len(set(ids)) == len(ids)
    assert sum(file.samples or 0 for file in files) == len(chosen)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What `storage` is asked, as "function name", in order."""
    calls: list[str] = []

    def record(name: str, function: Callable[[str], object], uri: str) -> object:
        calls.append(f"{name} {Path(uri).name}")
        return function(uri)

    for name in ("open_read", "size", "exists", "is_dir"):
        monkeypatch.setattr(storage, name, partial(record, name, getattr(storage, name)))
    return calls


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_each_file_is_opened_once_to_list_and_count(
    tmp_path: Path, kind: str, asked: list[str]
) -> None:
    rows = {"key": [f"{n:03d}" for n in range(20)], "image": [jpg()] * 20}
    for name in ("a", "b"):
        if kind == "tar":
            (tmp_path / f"{name}.tar").write_bytes(tar_bytes(samples(20)))
        else:
            pq.write_table(pa.table(rows), tmp_path / f"{name}.parquet", row_group_size=5)
    files = discover(str(tmp_path), CONFIG)
    assert [file.samples for file in files] == [20, 20]
    assert all(len(list(units(file, CONFIG))) > 2 for file in files)
    opened = [call for call in asked if call.startswith("open") and "_stats" not in call]
    assert sorted(opened) == [f"open_read a.{kind}", f"open_read b.{kind}"]


@pytest.mark.parametrize("source", ["a.tar", "a.parquet", "loose"])
def test_rejects_ask_once_per_file_and_stay_in_their_units(
    tmp_path: Path, source: str, asked: list[str]
) -> None:
    (tmp_path / "a.tar").write_bytes(tar_bytes(samples(60)))
    rows = {"key": [f"k{n}" for n in range(60)], "image": [jpg()] * 60}
    pq.write_table(pa.table(rows), tmp_path / "a.parquet", row_group_size=5)
    (tmp_path / "loose").mkdir()
    for n in range(60):
        (tmp_path / f"loose/{n:03d}.jpg").write_bytes(jpg())
    [file] = discover(str(tmp_path / source), CONFIG)
    every = {unit.id: read(unit, CONFIG) for unit in units(file, CONFIG)}
    sources = {id: {_source(item) for item in items} for id, items in every.items()}
    chosen = [item for item in all_of(file) if "3" in _source(item).removeprefix(str(tmp_path))]
    path = _rejected(tmp_path / "r/r.parquet", chosen)
    del asked[:]
    [again] = discover(path, CONFIG)
    assert len([call for call in asked if source in call]) <= 2 < again.samples == len(chosen)
    split = list(units(again, CONFIG))
    assert 2 < len(split) < len(every)  # units without rejects are left out
    for unit in split:
        items = {_source(item) for item in read(unit, CONFIG)}
        assert items and items <= sources[unit.id]
        assert (unit.file.only or set(unit.names)) == (
            set(unit.names) if source == "loose" else items
        )


def test_a_reject_with_a_renamed_key_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a.jpg").write_bytes(jpg())
    [item] = _everything(str(tmp_path))
    doubled = Reject("sub_a~2", item.record.source, "caption", "timeout", "")
    [again] = _everything(_rejected(tmp_path / "r/r.parquet", [doubled]))
    assert again.record.key == "sub_a"


def test_rejects_of_a_deleted_file_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_bytes(sample("a")))
    items = _everything(str(tmp_path / "a.tar"))
    path = _rejected(tmp_path / "r/r.parquet", items)
    (tmp_path / "a.tar").unlink()
    with pytest.raises(FinehardError, match="a.tar, named in the rejects, is no longer there"):
        discover(path, CONFIG)


def test_a_table_that_resembles_rejects_is_a_source(tmp_path: Path) -> None:
    columns = {name: ["/etc/hostname.tar"] for name in REJECT_SCHEMA.names}
    pq.write_table(pa.table({**columns, "image": [jpg()]}), tmp_path / "a.parquet")
    [file] = discover(str(tmp_path / "a.parquet"), CONFIG)
    assert file.only is None and outcomes(all_of(file)) == ["_etc_hostname_tar"]
    odd = {name: [1] for name in REJECT_SCHEMA.names}
    pq.write_table(pa.table(odd), tmp_path / "b.parquet")
    with pytest.raises(FinehardError, match="no column of image bytes"):
        discover(str(tmp_path / "b.parquet"), CONFIG)

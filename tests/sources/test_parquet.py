"""Parquet as a source: image bytes, the Hub's struct, paths; and files that lie."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finehard.errors import FinehardError
from finehard.records import Reject
from finehard.sources import NOWHERE, Loaded, SourceConfig, SourceFile, discover, read, units
from tests.pictures import jpg
from tests.sources.tars import CONFIG, all_of, outcomes, parts


def _file(path: Path, columns: dict, **options: object) -> SourceFile:
    pq.write_table(pa.table(columns), path, **options)
    [file] = discover(str(path), CONFIG)
    return file


def _rows(number: int) -> dict:
    return {
        "key": [f"k{n}" for n in range(number)],
        "image": [jpg(n % 5) for n in range(number)],
        "caption": [f"text {n}" for n in range(number)],
    }


def test_image_bytes_keys_and_texts_are_read(tmp_path: Path) -> None:
    columns = {**_rows(3), "url": ["u", None, "w"], "license": ["CC0", "", "x"]}
    items = all_of(_file(tmp_path / "a.parquet", columns))
    assert outcomes(items) == ["k0", "k1", "k2"]
    assert [i.data for i in items] == columns["image"]
    assert [i.record.alt_text for i in items] == columns["caption"]
    assert [i.record.url for i in items] == ["u", None, "w"]
    assert [i.record.license for i in items] == ["CC0", None, "x"]
    assert all(i.record.image == NOWHERE for i in items)


def test_the_hubs_image_struct_is_read_with_bytes_or_with_a_path(tmp_path: Path) -> None:
    (tmp_path / "b.jpg").write_bytes(jpg(2))
    image = [{"bytes": jpg(1), "path": "x"}, {"bytes": None, "path": "b.jpg"}, None]
    items = all_of(_file(tmp_path / "a.parquet", {"image": image}))
    assert [i.data for i in items[:2]] == [jpg(1), jpg(2)]
    assert outcomes(items)[2].startswith("missing_image")


def test_paths_are_read_below_the_folder_and_never_outside(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub/a.jpg").write_bytes(jpg())
    (tmp_path / "secret.jpg").write_bytes(jpg())
    (root / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    paths = ["sub/a.jpg", str(root / "sub/a.jpg"), "../secret.jpg", "/etc/passwd", "link.jpg",
             "file:///etc/passwd", "http://127.0.0.1/a.jpg", "a\0b.jpg", "gone.jpg", "sub", None,
             ""]  # fmt: skip
    items = all_of(_file(root / "a.parquet", {"path": paths}))
    reasons = [i.reason if isinstance(i, Reject) else "" for i in items]
    assert (
        reasons
        == ["", ""] + ["unsafe_member"] * 6 + ["unreadable_image"] * 2 + ["missing_image"] * 2
    )
    assert items[0].record.image.uri == str(root / "sub/a.jpg")
    elsewhere = SourceConfig(image_root=str(tmp_path))
    assert isinstance(
        all_of(_file(root / "b.parquet", {"path": ["secret.jpg"]}), elsewhere)[0], Loaded
    )


def test_integers_are_keys_and_keyless_rows_get_their_number(tmp_path: Path) -> None:
    numbered = _file(tmp_path / "a.parquet", {"id": [7, None, -3], "image": [jpg()] * 3})
    assert outcomes(all_of(numbered)) == ["7", "a_000000001", "-3"]


def test_rows_without_image_or_with_bad_values_are_rejected(tmp_path: Path) -> None:
    file = _file(tmp_path / "a.parquet", {"key": ["a", "b"], "image": [None, jpg()]})
    assert outcomes(all_of(file)) == ["missing_image a", "b"]
    small = SourceConfig(max_image_bytes=10)
    assert outcomes(all_of(file, small)) == ["missing_image a", "image_file_too_large b"]


@pytest.mark.parametrize(
    ("columns", "config", "says"),
    [
        ({"x": [1]}, CONFIG, "no column of image bytes"),
        ({"image": ["text"]}, CONFIG, "no column of image bytes"),
        ({"image": [{"path": "x"}]}, CONFIG, "no column of image bytes"),
        ({"image": [{"bytes": "text"}]}, CONFIG, "no column of image bytes"),
        ({"image": [jpg()]}, SourceConfig(image_column="pic"), "no column 'pic'"),
        ({"image": [jpg()]}, SourceConfig(text_column="words"), "no column 'words'"),
    ],
)
def test_unsuitable_columns_are_a_one_line_error(
    tmp_path: Path, columns: dict, config: SourceConfig, says: str
) -> None:
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(FinehardError, match=says) as told_once:
        discover(str(tmp_path / "a.parquet"), config)
    assert "\n" not in str(told_once.value) and "a.parquet" in str(told_once.value)


@pytest.mark.parametrize("per_group", [1, 3, 16, 17, 100, 1000])
def test_every_row_is_in_exactly_one_unit_in_order(tmp_path: Path, per_group: int) -> None:
    rows = _rows(100)
    file = _file(tmp_path / "a.parquet", rows, row_group_size=per_group)
    assert sum(parts(file).values(), []) == rows["key"]
    assert max(map(len, parts(file).values())) <= 4 * CONFIG.unit_size
    assert file.samples == 100


def test_rows_added_change_only_the_units_of_their_group(tmp_path: Path) -> None:
    def written(sizes: list[int]) -> dict[str, list[str]]:
        path = tmp_path / "a.parquet"
        schema = pa.table(_rows(1)).schema
        with pq.ParquetWriter(path, schema) as writer:
            for group, size in enumerate(sizes):
                rows = {**_rows(size), "key": [f"g{group}-{n}" for n in range(size)]}
                writer.write_table(pa.table(rows, schema))
        [file] = discover(str(path), CONFIG)
        return parts(file)

    before, after = written([5, 30, 7, 0, 3]), written([5, 31, 7, 0, 3])
    changed = [keys for unit, keys in before.items() if after.get(unit) != keys]
    assert len(changed) == 1 and changed[0][0].startswith("g1")


def test_a_file_without_rows_has_none(tmp_path: Path) -> None:
    schema = pa.schema([("image", pa.binary())])
    pq.write_table(schema.empty_table(), tmp_path / "a.parquet")
    [file] = discover(str(tmp_path / "a.parquet"), CONFIG)
    assert list(units(file, CONFIG)) == [] and file.samples == 0


def test_a_text_that_is_not_utf_8_loses_no_row(tmp_path: Path) -> None:
    texts = pa.Array.from_buffers(
        pa.string(),
        2,
        [None, pa.py_buffer(b"\0\0\0\0\x02\0\0\0\x04\0\0\0"), pa.py_buffer(b"\xff\xfeok")],
    )
    file = _file(tmp_path / "a.parquet", {"image": [jpg()] * 2, "text": texts})
    assert [i.record.alt_text for i in all_of(file)] == ["\ufffd\ufffd", "ok"]


def test_damaged_pages_cost_each_row_a_reject(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows = _rows(60)
    file = _file(path, rows, row_group_size=20, use_dictionary=False, compression="zstd")
    data = bytearray(path.read_bytes())
    column = pq.ParquetFile(path).metadata.row_group(1).column(1)
    at = column.data_page_offset
    data[at + 60 : at + column.total_compressed_size] = bytes(column.total_compressed_size - 60)
    path.write_bytes(data)
    items = all_of(file)
    assert [i.record.key for i in items if isinstance(i, Loaded)] == rows["key"][:20] + rows["key"][
        40:
    ]
    rejects = [i for i in items if isinstance(i, Reject)]
    assert {r.reason for r in rejects} == {"unreadable_archive"} and len(rejects) == 20


@pytest.mark.parametrize("cut", [0, 3, 100, -1, -9, -200])
def test_a_truncated_file_is_reported_at_discovery(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.parquet"
    file = _file(path, _rows(9))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(FinehardError, match="no readable Parquet file"):
        discover(str(path), CONFIG)
    items = all_of(file)  # truncated after discovery
    assert [i.reason for i in items] == ["unreadable_archive"]


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_mutations_never_raise_and_lose_no_row(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.parquet"
    out = io.BytesIO()
    pq.write_table(pa.table(_rows(12)), out, row_group_size=5)
    whole = bytearray(out.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        new = data.draw(st.binary(min_size=1, max_size=4))
        whole[at : at + len(new)] = new
    path.write_bytes(whole)
    try:
        [file] = discover(str(path), CONFIG)
        promised = file.samples
    except FinehardError:
        return
    taken = list(units(file, CONFIG))
    items = [item for unit in taken for item in read(unit, CONFIG)]
    assert len(items) == promised == sum(unit.stop - unit.start for unit in taken)

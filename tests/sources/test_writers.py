"""Parquet as other tools write it: every type that can hold an image, a path, a text or a key."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finehard.records import Reject
from finehard.sources import Loaded, SourceConfig, read, survey, units
from tests.pictures import jpg
from tests.sources.tars import CONFIG

_IMAGES = [jpg(1), jpg(2), jpg(1), None]
_TEXTS = ["x", "y", "x", None]


def _read(path: Path) -> list[Loaded | Reject]:
    return [item for file in survey(str(path), CONFIG).files for unit in units(file, CONFIG)
            for item in read(unit, CONFIG)]  # fmt: skip


def _check(path: Path) -> None:
    items = _read(path)
    assert [i.data for i in items[:3]] == _IMAGES[:3]
    assert [i.record.alt_text for i in items[:3]] == _TEXTS[:3]
    assert isinstance(items[3], Reject) and items[3].reason == "missing_image"


@pytest.mark.parametrize(
    "encode",
    [
        lambda a: a,
        lambda a: a.cast(pa.large_binary()),
        lambda a: a.cast(pa.binary_view()),
        lambda a: a.dictionary_encode(),
        lambda a: pa.array([v and list(v) for v in a.to_pylist()], pa.list_(pa.uint8())),
        lambda a: pa.array([v and list(v) for v in a.to_pylist()], pa.large_list(pa.uint8())),
        lambda a: pa.StructArray.from_arrays(
            [a, pa.array(["p"] * 3 + [None])], ["bytes", "path"], mask=a.is_null()
        ),
        lambda a: pa.StructArray.from_arrays(
            [a.cast(pa.binary_view()), pa.array(["p"] * 3 + [None])], ["bytes", "path"]
        ),
    ],
    ids=["binary", "large", "view", "dictionary", "bytes", "large bytes", "struct", "view struct"],
)
def test_images_of_every_type_are_read(tmp_path: Path, encode: Callable) -> None:
    images = encode(pa.array(_IMAGES, pa.binary()))
    pq.write_table(pa.table({"image": images, "text": _TEXTS}), tmp_path / "a.parquet")
    _check(tmp_path)


def test_images_of_one_size_can_be_of_a_fixed_type(tmp_path: Path) -> None:
    image = pa.array([jpg()] * 2, pa.binary(len(jpg())))
    pq.write_table(pa.table({"image": image}), tmp_path / "a.parquet")
    assert [i.data for i in _read(tmp_path)] == [jpg()] * 2


@pytest.mark.parametrize(
    "encode",
    [
        lambda a: a.cast(pa.large_string()),
        lambda a: a.cast(pa.string_view()),
        lambda a: a.cast(pa.binary()),
        lambda a: a.dictionary_encode(),
        lambda a: pa.array([v and [v, "more"] for v in a.to_pylist()]),
        lambda a: pa.array([["", v or ""] for v in a.to_pylist()], pa.list_(pa.string(), 2)),
        lambda a: pa.array([[v] if v else [] for v in a.to_pylist()], pa.large_list(pa.string())),
        lambda a: pa.array([v and [v] for v in a.to_pylist()], pa.list_(pa.string())).cast(
            pa.list_(pa.dictionary(pa.int32(), pa.string()))
        ),
    ],
    ids=["large", "view", "binary", "dictionary", "list", "fixed list", "large list", "categories"],
)
def test_texts_of_every_type_are_read(tmp_path: Path, encode: Callable) -> None:
    try:
        texts = encode(pa.array(_TEXTS))
        table = pa.table({"image": pa.array(_IMAGES, pa.binary()), "caption": texts})
        pq.write_table(table, tmp_path / "a.parquet")
    except pa.ArrowNotImplementedError as error:
        pytest.skip(f"pyarrow cannot write it: {error}")
    _check(tmp_path)


def test_paths_and_keys_of_every_type_are_read(tmp_path: Path) -> None:
    for n in range(3):
        (tmp_path / f"{n}.jpg").write_bytes(jpg(n))
    ids = [uuid.UUID(int=n) for n in range(3)]
    keys = [
        pa.array([b.bytes for b in ids], pa.binary(16)).cast(pa.uuid()),
        pa.array([f"k{n}" for n in range(3)]).dictionary_encode(),
        pa.array([f"k{n}" for n in range(3)], pa.string_view()),
        pa.array(range(3), pa.uint8()),
    ]
    for key in keys:
        path = pa.array([f"{n}.jpg" for n in range(3)]).dictionary_encode()
        pq.write_table(pa.table({"path": path, "id": key}), tmp_path / "a.parquet")
        items = _read(tmp_path)
        assert [i.data for i in items] == [jpg(n) for n in range(3)]
        assert [i.record.key for i in items] == [str(value) for value in key.to_pylist()]


def test_files_of_pandas_with_categories_are_read(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"image": _IMAGES, "caption": pd.Categorical(_TEXTS)})
    table.to_parquet(tmp_path / "a.parquet")
    _check(tmp_path)


def test_files_of_polars_are_read(tmp_path: Path) -> None:
    pl = pytest.importorskip("polars")
    texts = pl.Series(_TEXTS, dtype=pl.Categorical)
    pl.DataFrame({"image": _IMAGES, "caption": texts}).write_parquet(tmp_path / "a.parquet")
    _check(tmp_path)
    lists = [None if t is None else [t, "more"] for t in _TEXTS]
    pl.DataFrame({"image": _IMAGES, "caption": lists}).write_parquet(tmp_path / "a.parquet")
    _check(tmp_path)


def test_files_of_duckdb_are_read(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    rows = {"image": pa.array(_IMAGES, pa.binary()), "caption": _TEXTS}
    path = tmp_path / "a.parquet"
    for caption in ("caption", "[caption, 'more']", "caption::ENUM('x', 'y')"):
        made = duckdb.from_arrow(pa.table(rows)).project(f"image, {caption} AS caption")
        made.write_parquet(str(path))
        _check(tmp_path)


def test_folders_of_spark_are_read(tmp_path: Path) -> None:
    """As Spark 3.5 writes them, with its mark of success and its checksums."""
    for part in (0, 1):
        rows = {"image": pa.array(_IMAGES, pa.binary()), "caption": _TEXTS}
        name = f"part-0000{part}-1c6b6b02-3447-4eac-b09a-da706b7f2fcd-c000.snappy.parquet"
        folder = tmp_path / f"split={part}"
        folder.mkdir()
        pq.write_table(pa.table(rows), folder / name, compression="snappy")
        (folder / f".{name}.crc").write_bytes(b"crc\0")
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "._SUCCESS.crc").write_bytes(b"crc\0")
    items = _read(tmp_path)
    assert [i.record.alt_text for i in items if isinstance(i, Loaded)] == _TEXTS[:3] * 2
    assert survey(str(tmp_path), CONFIG).unread == {
        ".crc files": 3,
        "files with an unread column 'split'": 2,
        "files without a suffix": 1,
    }


def test_sparks_table_of_binary_files_is_read(tmp_path: Path) -> None:
    rows = {"path": [f"file:/gone/{n}.jpg" for n in range(2)], "length": [1, 2],
            "content": pa.array(_IMAGES[:2], pa.binary())}  # fmt: skip
    pq.write_table(pa.table(rows), tmp_path / "part-00000.snappy.parquet")
    assert [i.data for i in _read(tmp_path)] == _IMAGES[:2]


@pytest.mark.slow
def test_files_of_spark_are_read(tmp_path: Path) -> None:
    sql = pytest.importorskip("pyspark.sql")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    spark = sql.SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    spark = spark.getOrCreate()
    try:
        rows = [(v and bytearray(v), t) for v, t in zip(_IMAGES, _TEXTS, strict=True)]
        made = spark.createDataFrame(rows, "image binary, caption string").coalesce(1)
        made.write.parquet(str(tmp_path / "plain"))
        lists = made.selectExpr("image", "if(caption is null, null, array(caption)) AS caption")
        lists.write.option("compression", "zstd").parquet(str(tmp_path / "lists"))
    finally:
        spark.stop()
    _check(tmp_path / "plain")
    _check(tmp_path / "lists")


def test_files_of_the_hubs_datasets_are_read(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    images = [value and {"bytes": value, "path": None} for value in _IMAGES]
    features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string")})
    made = datasets.Dataset.from_dict({"image": images, "text": _TEXTS}, features=features)
    made.to_parquet(str(tmp_path / "a.parquet"))
    _check(tmp_path)


def test_columns_that_are_not_read_are_told(tmp_path: Path) -> None:
    for name in ("a", "b"):
        rows = {"image": [jpg()], "caption": ["x"], "width": [1], "text": ["y"]}
        pq.write_table(pa.table(rows), tmp_path / f"{name}.parquet")
    assert survey(str(tmp_path), CONFIG).unread == {
        "files with an unread column 'text'": 2,
        "files with an unread column 'width'": 2,
    }


def test_a_foreign_file_alone_is_an_error_that_says_why(tmp_path: Path) -> None:
    pq.write_table(pa.table({"url": ["http://x.test/a.jpg"]}), tmp_path / "a.parquet")
    for path in (tmp_path, tmp_path / "a.parquet"):
        with pytest.raises(Exception, match="no column of image bytes.*img2dataset first"):
            survey(str(path), CONFIG)


_PROGRAM = """
import resource, sys
from finehard.sources import SourceConfig, discover, read, units
def counted():
    return int(open("/proc/self/io").read().split("rchar: ")[1].split()[0])
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
config = SourceConfig()
discover(sys.argv[2], config)
memory, bytes_read = peak(), counted()
n = sum(1 for f in discover(sys.argv[1], config) for u in units(f, config) for _ in read(u, config))
print(n, counted() - bytes_read, (peak() - memory) * 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bytes", "struct"])
def test_a_huge_row_group_is_read_once_in_little_memory(tmp_path: Path, kind: str) -> None:
    from random import Random

    noise = Random(0)
    images: list = [noise.randbytes(10_000) for _ in range(16_384)]
    if kind == "struct":
        images = [{"bytes": image, "path": None} for image in images]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": images}), path, row_group_size=16_384)
    del images
    pq.write_table(pa.table({"image": [jpg()]}), tmp_path / "small.parquet")
    out = subprocess.check_output(
        [sys.executable, "-c", _PROGRAM, str(path), str(tmp_path / "small.parquet")], text=True
    )
    number, bytes_read, grown = map(int, out.split())
    assert number == 16_384
    assert bytes_read < 1.2 * path.stat().st_size
    assert grown < 100 << 20


def test_a_large_row_group_keeps_the_journals_units(tmp_path: Path) -> None:
    out = io.BytesIO()
    pq.write_table(pa.table({"image": [jpg()] * 40, "key": [str(n) for n in range(40)]}), out)
    (tmp_path / "a.parquet").write_bytes(out.getvalue())
    found = [i.record.unit for i in _read(tmp_path)]
    config = SourceConfig(unit_size=10)
    [file] = survey(str(tmp_path), config).files
    one = [i.record.unit for unit in units(file, config) for i in read(unit, config)]
    assert len(set(one)) == 1 and len(set(found)) == 10  # of 4 rows
    assert found[0] == one[0] == "1fa5b0fda9a809c3"

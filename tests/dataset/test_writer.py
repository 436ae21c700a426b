"""Shards: the same bytes for the same samples, and an index that points right."""

from __future__ import annotations

import io
import json
import random
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import webdataset
from PIL import Image

from finehard.dataset.complete import remove_side_files
from finehard.dataset.layout import ShardsConfig, shard_count, shard_name, shard_of, side_files
from finehard.dataset.packed import around_image, pack, unpack
from finehard.dataset.tables import index_part
from finehard.io.storage import read
from finehard.records import Bytes, Reject, reject
from finehard.stages.min_regions import MinRegions
from tests.dataset.finished import Store, dataset, shard
from tests.pictures import record, region

NAME = "finehard-00000-of-00001"


def _tar(output: Path) -> Path:
    return output / "shards" / f"{NAME}.tar"


def _members(output: Path) -> dict[str, bytes]:
    with tarfile.open(_tar(output)) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]


def test_the_order_in_which_samples_come_changes_no_byte(tmp_path: Path) -> None:
    store = Store(tmp_path / "in")
    pointers = [store.sample(f"k{n % 6}", n, ("JPEG", "PNG")[n % 2]) for n in range(12)]
    pointers += [store.reject(f"k{n}", 50 + n) for n in range(4)]
    results = set()
    for turn in range(5):
        random.Random(turn).shuffle(pointers)
        output = tmp_path / f"out{turn}"
        summary = shard(output, pointers * (1 + turn % 2))  # a pointer come twice is one sample
        rejected = (output / "rejected" / f"{NAME}.parquet").read_bytes()
        index = Path(index_part(str(output), "run", NAME)).read_bytes()
        results.add((_tar(output).read_bytes(), rejected, index, summary.sha256, summary.samples))
    assert len(results) == 1


def test_repeated_keys_are_renamed_within_their_shard(tmp_path: Path) -> None:
    store = Store(tmp_path / "in")
    pointers = [store.sample("a", n) for n in (3, 1, 2)] + [store.reject("a", 0)]
    summary = shard(tmp_path, pointers)
    names = [name.split(".")[0] for name in _members(tmp_path)][::2]
    assert names == ["a~2", "a~3", "a~4"] and summary.renamed == 3
    samples = [json.loads(data) for name, data in _members(tmp_path).items() if "json" in name]
    assert [s["key"] for s in samples] == names
    assert [s["image"]["source_uri"] for s in samples] == ["/in/001", "/in/002", "/in/003"]
    [rejected] = pq.read_table(tmp_path / "rejected" / f"{NAME}.parquet").to_pylist()
    assert rejected["key"] == "a" and rejected["reason"] == "timeout"
    assert {shard_of(name, 7) for name in names} == {shard_of("a", 7)}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("key", ["a", "K" * 80, "_", "-x-"])
def test_the_index_points_at_the_members_data(tmp_path: Path, kind: str, key: str) -> None:
    store = Store(tmp_path / "in")
    shard(tmp_path, [store.sample(key, n, kind) for n in range(3)])
    rows = pq.read_table(index_part(str(tmp_path), "run", NAME)).to_pylist()
    with tarfile.open(_tar(tmp_path)) as tar:
        members = {m.name: (m.offset_data, m.size) for m in tar}
    assert len(members) == 6
    for row in rows:
        assert row["shard"] == f"{NAME}.tar"
        for part, suffix in (("image", row["format"]), ("json", "json")):
            location = (row[f"{part}_offset"], row[f"{part}_size"])
            assert location == members[f"{row['key']}.{suffix}"]
        where = Bytes(str(_tar(tmp_path)), row["json_offset"], row["json_size"])
        assert json.loads(read(where))["key"] == row["key"]


def test_every_tool_opens_a_shard(tmp_path: Path) -> None:
    store = Store(tmp_path / "in")
    kinds = ("JPEG", "PNG", "WEBP")
    shard(tmp_path, [store.sample(f"k{n}", n, kinds[n]) for n in range(3)])
    read_back = list(webdataset.WebDataset(str(_tar(tmp_path)), shardshuffle=False))
    assert [s["__key__"] for s in read_back] == ["k0", "k1", "k2"]
    for sample, suffix in zip(read_back, ("jpg", "png", "webp"), strict=True):
        meta = json.loads(sample["json"])
        assert meta["alt_text"] == "täxt 😀"
        with Image.open(io.BytesIO(sample[suffix])) as image:
            assert image.size == (meta["image"]["width"], meta["image"]["height"])
    with tarfile.open(_tar(tmp_path)) as tar:
        for member in tar:
            assert member.isreg() and member.mtime == 0 and member.uname == "finehard"


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 5000])
@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
@pytest.mark.parametrize("key", ["a", "K" * 80 + "~2"])
def test_members_are_those_of_webdatasets_writer(key: str, kind: str, size: int) -> None:
    image = bytes(n % 251 for n in range(size))
    sample = {"key": key.split("~")[0], "image": {"format": kind}, "alt_text": "täxt 😀" * size}
    head, tail = around_image(key, size, sample)
    out = io.BytesIO()
    writer = webdataset.TarWriter(
        out, user="finehard", group="finehard", mtime=0, encoder=False, compress=False
    )
    text = json.dumps({**sample, "key": key}, indent=2, ensure_ascii=False)
    writer.write({"__key__": key, kind: image, "json": text.encode()})
    end = writer.tarstream.offset
    writer.close()
    assert head + image + tail == out.getvalue()[:end]


def test_a_shard_that_nothing_fell_into_is_a_tar_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "rejected").mkdir()
    (tmp_path / "rejected" / f"{NAME}.parquet").write_bytes(b"of an earlier run")
    summary = shard(tmp_path, [])
    assert (summary.samples, summary.rejects) == (0, 0)
    assert _members(tmp_path) == {} and summary.bytes == _tar(tmp_path).stat().st_size
    assert len(pq.read_table(index_part(str(tmp_path), "run", NAME))) == 0
    assert not (tmp_path / "rejected" / f"{NAME}.parquet").exists()


def test_images_are_made_smaller_where_asked(tmp_path: Path) -> None:
    store = Store(tmp_path / "in")
    shard(tmp_path, [store.sample("a", 1, "PNG", 200), store.sample("b", 2)], image_side=100)
    members = _members(tmp_path)
    assert sorted(members) == ["a.jpg", "a.json", "b.jpg", "b.json"]
    meta = json.loads(members["a.json"])["image"]
    with Image.open(io.BytesIO(members["a.jpg"])) as image:
        assert image.size == (100, 15) == (meta["width"], meta["height"])
    assert meta["format"] == "jpg"
    assert members["b.jpg"] == read(
        Bytes(str(tmp_path / "in/002-JPEG.img"), 0, len(members["b.jpg"]))
    )


@pytest.mark.parametrize("change", ["other bytes", "cut", "gone"])
def test_a_source_changed_during_the_build_is_a_one_line_error(tmp_path: Path, change: str) -> None:
    store = Store(tmp_path / "in")
    pointers = [store.sample("a", 1), store.sample("b", 2)]
    image = tmp_path / "in/002-JPEG.img"
    data = image.read_bytes()
    image.write_bytes(data[:-9] if change == "cut" else data[:-9] + bytes(9))
    if change == "gone":
        image.unlink()
    with pytest.raises(OSError, match="/in/002 changed while the build ran") as raised:
        shard(tmp_path, pointers)
    assert "\n" not in str(raised.value)
    assert list((tmp_path / "shards").iterdir()) == []


def test_unpacking_inverts_packing() -> None:
    value = {"a": [1, None, "ü"], "b": {"c": 0.1}}
    assert unpack(pack(value)) == (value, b"", b"")


def test_keys_are_spread_over_all_shards() -> None:
    counts = [0] * 8
    for number in range(4000):
        counts[shard_of(f"{number:09d}", 8)] += 1
    assert min(counts) > 400
    assert [shard_count(n, ShardsConfig(samples_per_shard=10)) for n in (0, 1, 10, 11)] == [
        1,
        1,
        1,
        2,
    ]
    assert shard_name(3, 16) == "finehard-00003-of-00016"


def test_a_dataset_is_described_by_its_manifest_sizes_and_card(tmp_path: Path) -> None:
    output = dataset(tmp_path)
    manifest = json.loads((output / "manifest.json").read_text())
    assert manifest["counts"] == {
        "read": 20, "written": 16, "rejected": 4, "renamed_keys": 2,
        "regions": 17, "hard_negatives": 34,
    }  # fmt: skip
    assert manifest["rejects"] == {"not_an_image": 1, "timeout": 3}
    assert manifest["usage"]["caption"] == {
        "requests": 16, "prompt_tokens": 160, "completion_tokens": 80
    }  # fmt: skip
    sizes = json.loads((output / "sizes.json").read_text())
    assert sum(sizes.values()) == 16 and list(sizes) == [s["name"] for s in manifest["shards"]]
    index = pq.read_table(output / "index.parquet").to_pylist()
    assert len({row["key"] for row in index}) == 16
    assert "| samples written | 16 |" in (output / "README.md").read_text()
    assert not (output / "_journal/_index").exists()


def test_samples_with_too_few_regions_become_rejects() -> None:
    stage = MinRegions(ShardsConfig(min_regions=2))
    two = record(region("a mug"), region("a bag"))
    assert stage.apply(two) is two
    short = stage.apply(record(region("a mug")))
    assert isinstance(short, Reject) and (short.reason, short.detail) == ("no_regions", "1 of 2")


def test_rejects_know_their_reasons_and_are_short() -> None:
    with pytest.raises(ValueError, match="unknown reject reason"):
        reject(record(), "caption", "whatever")
    assert len(reject(record(), "caption", "timeout", "x" * 1000).detail) == 300


def test_complete_can_be_repeated_and_leaves_other_files(tmp_path: Path) -> None:
    output = dataset(tmp_path)
    before = {p.name: p.read_bytes() for p in output.iterdir() if p.is_file()}
    (output / "shards" / "notes.txt").write_text("mine")
    (output / "shards" / "finehard-00007-of-00009.tar").write_bytes(b"of another build")
    again = dataset(tmp_path)
    assert {p.name: p.read_bytes() for p in again.iterdir() if p.is_file()} == before
    names = {p.name for p in (output / "shards").iterdir()}
    assert "notes.txt" in names and "finehard-00007-of-00009.tar" not in names


def test_a_run_removes_its_own_side_files_only(tmp_path: Path) -> None:
    mine, other = (Path(side_files(str(tmp_path), run, "_records")) for run in ("a", "b"))
    for folder in (mine, other):
        folder.mkdir(parents=True)
        (folder / "x.bin").write_bytes(b"x")
    remove_side_files(str(tmp_path), "a")
    assert not mine.exists() and (other / "x.bin").exists()
    remove_side_files(str(tmp_path), "b")
    assert not other.parent.exists()

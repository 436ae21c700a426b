"""A shard read from a store in batches is the one that is read from a disk sample by sample."""

from __future__ import annotations

from pathlib import Path

import pytest

from finehard.dataset import pointers as reading
from finehard.dataset.pointers import Pointer, SampleChangedError, in_order, pointer_of
from finehard.io import storage
from finehard.records import Bytes
from tests.dataset.finished import Store

COUNT = 40


@pytest.fixture
def local(tmp_path: Path) -> list[Pointer]:
    """Samples and rejects on a disk, some of the same key."""
    store = Store(tmp_path / "in")
    made = [store.sample(f"k{n % 30:02d}", n) for n in range(COUNT)]
    return [*made, store.reject("bad", 1), store.reject("k05", 2)]


def _stored(local: list[Pointer], folder: str) -> list[Pointer]:
    """The same with their packed samples in a store, in two files."""
    moved = []
    for name, some in (("a", local[::2]), ("b", local[1::2])):
        data, uri = b"", f"memory://{folder}/{name}.bin"
        for pointer in some:
            packed = storage.read(pointer.where)
            moved.append(pointer._replace(where=Bytes(uri, len(data), len(packed))))
            data += packed
        storage.write(uri, data)
    return moved


@pytest.mark.parametrize(("at_once", "samples"), [(1 << 20, 256), (5000, 256), (1 << 20, 3)])
def test_batches_give_the_samples_of_single_reads(
    local: list[Pointer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int,
    samples: int,
) -> None:  # fmt: skip
    expected = list(in_order(local))
    assert len(expected) == COUNT + 2
    monkeypatch.setattr(reading, "_AT_ONCE", at_once)
    monkeypatch.setattr(reading, "_SAMPLES", samples)
    assert list(in_order(_stored(local, str(tmp_path)))) == expected


def test_each_side_file_is_read_once(
    local: list[Pointer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, asked = _stored(local, str(tmp_path)), []
    read = storage.read
    monkeypatch.setattr(storage, "read", lambda where: (asked.append(where.uri), read(where))[1])
    list(in_order(stored))
    assert sum(uri.startswith("memory:") for uri in asked) == 2


@pytest.mark.parametrize("change", ["cut", "gone", "other"])
def test_the_image_that_changed_is_named(local: list[Pointer], tmp_path: Path, change: str) -> None:
    image = tmp_path / "in" / "007-JPEG.img"
    data = image.read_bytes()
    image.write_bytes(data[:-9] if change == "cut" else data[:-9] + bytes(9))
    if change == "gone":
        image.unlink()
    with pytest.raises(SampleChangedError, match="/in/007 changed") as raised:
        list(in_order(_stored(local, str(tmp_path))))
    assert raised.value.side_file.startswith("memory:")


@pytest.mark.parametrize("change", ["cut", "gone", "other"])
def test_the_side_file_that_changed_is_named(
    local: list[Pointer], tmp_path: Path, change: str
) -> None:
    stored = _stored(local, str(tmp_path))
    uri = stored[-1].where.uri
    data = storage.read_all(uri)
    storage.write(uri, data[:-9] if change == "cut" else bytes(len(data)))
    if change == "gone":
        storage.delete([uri])
    with pytest.raises(SampleChangedError, match="is damaged or gone") as raised:
        list(in_order(stored))
    assert raised.value.side_file == uri


def test_a_packed_pointer_is_what_it_was() -> None:
    pointer = Pointer("a", "b\udcff.tar\0é", Bytes("s3://b/x.records", 7, 1 << 40))
    assert pointer_of(pointer.packed()) == pointer

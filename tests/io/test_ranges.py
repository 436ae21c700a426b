"""Ranges read together have the bytes of ranges read one by one, with fewer requests."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from finehard.io import ranges, storage
from finehard.io.ranges import read_ranges
from finehard.records import Bytes

SIZE = 300_000


@pytest.fixture(params=["disk", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder with three files."""
    folder = str(tmp_path) if request.param == "disk" else f"memory://ranges{tmp_path}"
    for number in range(3):
        storage.write(f"{folder}/{number}.bin", random.Random(number).randbytes(SIZE))
    return folder


def _counted(monkeypatch: pytest.MonkeyPatch) -> list[Bytes]:
    asked: list[Bytes] = []
    read = storage.read
    monkeypatch.setattr(storage, "read", lambda where: (asked.append(where), read(where))[1])
    return asked


def test_any_ranges_in_any_order_have_their_bytes(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "_GAP", 1000)
    monkeypatch.setattr(ranges, "_MOST", 50_000)
    chance = random.Random(7)
    wanted = []
    for _ in range(300):
        start = chance.randrange(SIZE)
        length = chance.choice((0, 1, chance.randrange(2000), SIZE))
        wanted.append(Bytes(f"{root}/{chance.randrange(3)}.bin", start, min(length, SIZE - start)))
    wanted += wanted[:20]
    assert read_ranges(wanted) == [storage.read(each) for each in wanted]
    assert read_ranges([]) == []


def test_near_ranges_of_one_file_are_one_request(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _counted(monkeypatch)
    near = [Bytes(f"{root}/0.bin", offset, 100) for offset in range(0, 200_000, 20_000)]
    read_ranges([*near[::-1], Bytes(f"{root}/1.bin", 0, 10)])
    assert sorted(asked) == [Bytes(f"{root}/0.bin", 0, 180_100), Bytes(f"{root}/1.bin", 0, 10)]


def test_what_is_far_or_too_long_is_read_alone(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _counted(monkeypatch)
    far = [Bytes(f"{root}/0.bin", 0, 10), Bytes(f"{root}/0.bin", 200_000, 10)]
    read_ranges(far)
    assert sorted(asked) == far
    asked.clear()
    monkeypatch.setattr(ranges, "_MOST", 1000)
    long = [Bytes(f"{root}/0.bin", 0, 900), Bytes(f"{root}/0.bin", 900, 5000)]
    assert [len(data) for data in read_ranges(long)] == [900, 5000] and sorted(asked) == long


def test_a_file_that_is_gone_or_short_raises(root: str) -> None:
    good = Bytes(f"{root}/0.bin", 0, 10)
    with pytest.raises(EOFError):
        read_ranges([good, Bytes(f"{root}/0.bin", SIZE - 5, 10)])
    with pytest.raises(FileNotFoundError):
        read_ranges([good, Bytes(f"{root}/9.bin", 0, 10)])

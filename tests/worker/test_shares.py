"""Processes that joined divide the units of an input among themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finehard.errors import FinehardError
from finehard.sources import SourceConfig, SourceFile, Unit, discover, units
from finehard.state.members import member
from finehard.worker import shares
from finehard.worker.shares import Joined, Shares
from tests.pipelines.world import images

CONFIG = SourceConfig(unit_size=4)


@pytest.fixture
def files(tmp_path: Path) -> list[SourceFile]:
    """A tar of 60 images, with the number of them beside it."""
    return discover(str(images(tmp_path / "in", 60)), CONFIG)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Shares, Shares]]:
    """The shares of two processes."""
    output = str(tmp_path / "out")
    with member(output, {}) as one, member(output, {}) as other:
        yield (
            Shares(output, Joined(one, "settings"), CONFIG),
            Shares(output, Joined(other, "settings"), CONFIG),
        )


def _in_turn(first: Iterator[Unit], second: Iterator[Unit]) -> tuple[list[Unit], list[Unit]]:
    taken: tuple[list[Unit], list[Unit]] = ([], [])
    while True:
        units = next(first, None), next(second, None)
        if units == (None, None):
            return taken
        for unit, into in zip(units, taken, strict=True):
            if unit is not None:
                into.append(unit)


def test_two_divide_a_tar_which_one_of_them_indexes(
    two: tuple[Shares, Shares], files: list[SourceFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    indexed = []

    def index(file: SourceFile, config: SourceConfig) -> Any:
        indexed.append(file.uri)
        return units(file, config)

    monkeypatch.setattr(shares, "units", index)
    first, second = two
    assert first.wait(files) and second.wait(files)
    mine, others = _in_turn(first.take(files), second.take(files))
    assert len(indexed) == 1 and len(mine) > 2 and len(others) > 2
    assert sorted(mine + others) == sorted(units(files[0], CONFIG))
    for share, taken in ((first, mine), (second, others)):
        assert not list(share.take(files))
        for unit in taken:
            share.begin(unit)
            share.end(unit)
    assert not first.wait(files) and not second.wait(files)


def test_a_unit_is_done_when_its_last_part_is_merged(
    two: tuple[Shares, Shares], files: list[SourceFile]
) -> None:
    first, second = two
    taken = list(first.take(files))
    for unit in taken:
        first.begin(unit)
    for unit in taken[:-1]:
        first.end(unit)
    for part in "ab":
        first.begin_part(part, taken[-1])
    first.end_part("b")
    first.end(taken[-1])
    with pytest.raises(FinehardError, match="1 units of work did not come out of the pipeline"):
        first.wait(files)
    first.end_part("a")
    assert not first.wait(files) and not second.wait(files)

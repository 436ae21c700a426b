"""Every declared benchmark, on a complete small copy in its layout, with answers by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from finehard.benchmarks.declared import BENCHMARKS
from finehard.benchmarks.folder import Absent
from finehard.benchmarks.run import measure
from finehard.errors import FinehardError
from tests.benchmarks.colours import ColourModel
from tests.benchmarks.layouts import LAYOUTS


def test_every_declared_benchmark_has_a_small_copy() -> None:
    assert LAYOUTS.keys() == BENCHMARKS.keys()


@pytest.mark.parametrize("name", BENCHMARKS)
def test_figures_are_those_computed_by_hand(name: str, tmp_path: Path) -> None:
    layout, benchmark = LAYOUTS[name], BENCHMARKS[name]
    layout.write(tmp_path / benchmark.folder)
    model = ColourModel(layout.words)
    result = measure(benchmark, model, str(tmp_path))
    figures = {one.name: one.value for one in result.figures}
    assert {key: figures[key] for key in layout.figures} == pytest.approx(layout.figures)
    assert all(one.low <= one.value <= one.high for one in result.figures)
    assert not result.missing and model.images == result.images == result.expected
    assert set(model.kinds) == {
        "region" if "boxes" in name or "box" in name or "fgovd" in name
        else "long" if "texts" in result.protocol and "long" in result.protocol else "short"
    }  # fmt: skip


@pytest.mark.parametrize("name", BENCHMARKS)
def test_without_its_files_one_line_names_them(name: str, tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no such"):
        measure(BENCHMARKS[name], ColourModel(), str(tmp_path))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_damaged_files_are_one_line(name: str, tmp_path: Path) -> None:
    layout, benchmark = LAYOUTS[name], BENCHMARKS[name]
    layout.write(tmp_path / benchmark.folder)
    texts = [f for f in tmp_path.rglob("*") if f.is_file() and f.suffix not in (".jpg", ".JPEG")]
    for file in texts:
        file.write_bytes(b"[{]\xff\n")
    if not texts:
        for file in tmp_path.rglob("*.JPEG"):
            file.write_bytes(b"no image")
    with pytest.raises(FinehardError):
        measure(benchmark, ColourModel(layout.words), str(tmp_path))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_missing_images_are_counted_and_named(name: str, tmp_path: Path) -> None:
    layout, benchmark = LAYOUTS[name], BENCHMARKS[name]
    layout.write(tmp_path / benchmark.folder)
    first = sorted(f for f in tmp_path.rglob("*") if f.suffix in (".jpg", ".JPEG"))[0]
    first.write_bytes(b"no image")
    alone = len({f for f in tmp_path.rglob("*") if f.suffix in (".jpg", ".JPEG")}) == 1
    if alone:
        with pytest.raises(FinehardError, match="none of the benchmark's"):
            measure(benchmark, ColourModel(layout.words), str(tmp_path))
        return
    result = measure(benchmark, ColourModel(layout.words), str(tmp_path))
    if result.missing:  # some of these images are in no item
        assert first.name in result.missing[0].name
        assert result.images == result.expected - len(result.missing)
        assert any("missing" in line for line in result.deviations)
        with pytest.raises(FinehardError, match="strict"):
            measure(benchmark, ColourModel(layout.words), str(tmp_path), strict=True)
    shutil.rmtree(tmp_path)

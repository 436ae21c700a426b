"""Units that an earlier run brought through all stages are not read again, and change no byte."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from finehard.beam import read as reading
from finehard.building import Built, build
from finehard.config import parse_config
from finehard.errors import FinehardError
from finehard.io import storage
from tests.faults.world import Faulty, settings
from tests.io import emulators
from tests.pictures import jpg
from tests.pipelines.world import images, sums


@pytest.fixture
def units_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the units that are read, as they are."""
    ids: list[str] = []
    read = reading.read

    def noted(unit: Any, config: Any) -> Any:
        ids.append(unit.id)
        return read(unit, config)

    monkeypatch.setattr(reading, "read", noted)
    return ids


def _built(values: dict[str, Any], source: Path | str, output: Path | str) -> Built:
    return build(parse_config(values, "test"), str(source), str(output))


def _unfinish(output: Path) -> None:
    """Leaves what a build leaves that was killed while it wrote the last shard."""
    for name in ("manifest.json", "_journal/finished.json"):
        (output / name).unlink()
    shutil.rmtree(output / "shards")


def test_a_finished_build_is_left_as_it_is(
    tmp_path: Path, server: Faulty, units_read: list[str]
) -> None:
    source, output = images(tmp_path / "in", 20), tmp_path / "out"
    first = _built(settings(server.url), source, output)
    files = {p: p.stat().st_mtime_ns for p in output.rglob("*") if p.is_file()}
    del files[output / "_journal" / "lock"]
    units_read.clear()
    server.log.write_text("")
    second = _built(settings(server.url), source, output)
    assert second.manifest == first.manifest
    assert units_read == [] and server.answered() == []
    assert {p: p.stat().st_mtime_ns for p in files} == files


@pytest.mark.parametrize("balance", [False, True])
def test_units_that_are_through_are_not_read_again(
    tmp_path: Path, server: Faulty, units_read: list[str], balance: bool
) -> None:
    values = settings(server.url, negatives={"balance": balance, "balance_loss": 0.3})
    source, output = images(tmp_path / "in", 40), tmp_path / "out"
    first = _built(values, source, output)
    before, index = sums(output), (output / "index.parquet").read_bytes()
    _unfinish(output)
    units_read.clear()
    server.log.write_text("")
    again = _built(values, source, output)
    assert units_read == [] and server.answered() == []
    assert again.counts["through"] == again.counts["done"] == 40
    assert again.manifest == first.manifest
    assert sums(output) == before and (output / "index.parquet").read_bytes() == index


def test_a_changed_setting_goes_by_the_journal(
    tmp_path: Path, server: Faulty, units_read: list[str]
) -> None:
    source, output = images(tmp_path / "in", 20), tmp_path / "out"
    changed = settings(server.url, detect={"backend": "bench.fixed_detector:load", "score": 0.6})
    expected = _built(changed, source, tmp_path / "fresh")
    _built(settings(server.url), source, output)
    units_read.clear()
    again = _built(changed, source, output)
    assert again.counts["through"] == 0 and units_read
    assert sums(output) == sums(tmp_path / "fresh")
    assert again.manifest["counts"] == expected.manifest["counts"]


def test_a_tar_that_was_written_again_is_read_again(
    tmp_path: Path, server: Faulty, units_read: list[str]
) -> None:
    source, output = images(tmp_path / "in", 1020), tmp_path / "out"  # two tars
    values = settings(server.url, source={"unit_size": 64}, shards={"samples_per_shard": 300})
    _built(values, source, output)
    before = sums(output)
    os.utime(source / "00001.tar")
    units_read.clear()
    server.log.write_text("")
    again = _built(values, source, output)
    assert 0 < again.counts["done"] - again.counts["through"] <= 20
    assert server.answered() == [] and sums(output) == before


def test_an_image_that_changed_in_a_folder_is_read_again(
    tmp_path: Path, server: Faulty, units_read: list[str]
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for number in range(24):
        (source / f"{number:02}.jpg").write_bytes(jpg(number))
    first = _built(settings(server.url), source, output)
    assert first.manifest["counts"]["written"] == 24
    (source / "03.jpg").write_bytes(jpg(99))
    (source / "05.txt").write_text("an alternative text")
    again = _built(settings(server.url), source, output)
    assert again.counts["through"] < 24
    _built(settings(server.url), source, tmp_path / "fresh")
    assert sums(output) == sums(tmp_path / "fresh")


def test_only_rejects_that_may_pass_are_tried_again(
    tmp_path: Path, server: Faulty, units_read: list[str]
) -> None:
    source, output = images(tmp_path / "in", 60), tmp_path / "out"
    values = settings(server.url, model={"attempts": 1}, max_rejected=1.0)
    _built(values, source, tmp_path / "fresh")
    server.control(faults=0.05, kinds=["500"], sticky=True)
    first = _built(values, source, output)
    rejected = first.manifest["rejects"]["server_error"]
    assert 0 < rejected < 30
    server.control(faults=0.0)
    again = _built(values, source, output)
    assert again.counts["through"] == 60 - rejected
    assert again.counts["done"] == again.manifest["counts"]["written"] == 60
    assert sums(output) == sums(tmp_path / "fresh")
    _unfinish(output)
    third = _built(values, source, output)  # the checkpoints hold what both runs brought through
    assert third.counts["through"] == 60 and sums(output) == sums(tmp_path / "fresh")


def test_damaged_records_end_one_run_and_not_the_next(tmp_path: Path, server: Faulty) -> None:
    source, output = images(tmp_path / "in", 20), tmp_path / "out"
    values = settings(server.url)
    _built(values, source, output)
    before = sums(output)
    _unfinish(output)
    records = next((output / "_journal" / "_units").rglob("*.records"))
    data = bytearray(records.read_bytes())
    data[5] ^= 255
    records.write_bytes(data)
    server.log.write_text("")
    with pytest.raises(FinehardError, match=r"is damaged or gone .*: run it again"):
        _built(values, source, output)
    _built(values, source, output)
    assert sums(output) == before
    assert len(server.answered()) <= 4  # the rehearsal, one of each stage that asks


@pytest.mark.slow
def test_units_in_a_store_are_not_read_again(
    tmp_path: Path, server: Faulty, units_read: list[str]
) -> None:
    with emulators.start("s3") as store:
        root, values = store.root.rstrip("/"), settings(server.url, storage=store.options)
        storage.configure(store.options)
        for file in images(tmp_path / "in", 24).iterdir():
            storage.write(f"{root}/in/{file.name}", file.read_bytes())
        first = _built(values, f"{root}/in", f"{root}/out")
        units_read.clear()
        assert _built(values, f"{root}/in", f"{root}/out").manifest == first.manifest
        storage.delete([f"{root}/out/manifest.json"])
        again = _built(values, f"{root}/in", f"{root}/out")
        assert units_read == [] and again.counts["through"] == 24
        assert again.manifest == first.manifest


def test_a_build_that_grows_reads_only_what_is_new(
    tmp_path: Path, server: Faulty, units_read: list[str]
) -> None:
    source, output = images(tmp_path / "in", 1020), tmp_path / "out"
    values = settings(server.url, source={"unit_size": 64}, shards={"samples_per_shard": 600})
    added = tmp_path / "added"
    added.mkdir()
    for name in ("00001.tar", "00001_stats.json"):
        (source / name).rename(added / name)
    _built(values, source, output)
    for name in ("00001.tar", "00001_stats.json"):
        (added / name).rename(source / name)
    again = _built(values, source, output)
    assert again.counts["through"] == 1000
    assert again.manifest["counts"]["written"] == 1020

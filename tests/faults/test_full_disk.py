"""Disks that are full and stores that fail: one line, nothing half-written, then the same bytes."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from finehard.dataset.validate import validate
from finehard.errors import FinehardError
from finehard.io import storage
from finehard.records import Bytes
from finehard.state.journal import Journal
from tests.faults.ill_store import IllStore
from tests.faults.world import Faulty, built, faulty, settings
from tests.pipelines.world import images, sums

IMAGES = 24


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, and one file that is none, so that there is a reject."""
    folder = images(tmp_path_factory.mktemp("in"), IMAGES)
    (folder / "cut.tar").write_bytes(b"no tar")
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, source: Path) -> dict[str, str]:
    """The files that a build makes of them where nothing fails, by name."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with faulty(folder / "log") as well:
        built(settings(well.url), source, folder / "out")
    return sums(folder / "out")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of which `_sized` sets the size."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def _sized(disk: Path, kib: int) -> None:
    command = ["mount", "-o", f"remount,size={kib}k", str(disk)]
    subprocess.run(command, check=True, capture_output=True)


def _fails_in_one_line(
    values: dict[str, Any], source: Path | str, output: Path, uri: str = ""
) -> str:
    with pytest.raises(FinehardError) as raised:
        built(values, source, uri or output)
    line = str(raised.value)
    assert "\n" not in line and len(line) < 500
    assert not (output / "manifest.json").exists()
    for tar in (output / "shards").glob("*.tar"):  # what has its name is whole
        assert tar.stat().st_size % 10240 == 0
    for part in output.rglob("*.parquet"):
        pq.read_table(part)
    return line


@pytest.mark.slow
@pytest.mark.parametrize("kib", [40, 200])
def test_a_full_disk_ends_the_build_and_a_rerun_completes(
    disk: Path, server: Faulty, source: Path, undisturbed: dict[str, str], kib: int
) -> None:
    _sized(disk, kib)
    line = _fails_in_one_line(settings(server.url), source, disk / "out")
    assert "No space left on device" in line
    _sized(disk, 64 << 10)
    built(settings(server.url), source, disk / "out")
    assert sums(disk / "out") == undisturbed
    assert validate(str(disk / "out")) == []


@pytest.mark.parametrize(
    "path_part", ["_journal/caption", ".records", "shards/", "rejected/", "manifest.json"]
)
def test_a_failed_rename_ends_the_build_and_a_rerun_completes(
    tmp_path: Path,
    server: Faulty,
    source: Path,
    undisturbed: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    path_part: str,
) -> None:
    rename, output = os.replace, tmp_path / "out"

    def failing(before: str, after: str) -> None:
        if path_part in str(after):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(after))
        rename(before, after)

    if "caption" in path_part:  # so slow that the journal is written before the end
        server.control(slower=40.0)
    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", failing)
        assert "Input/output error" in _fails_in_one_line(settings(server.url), source, output)
    server.control(slower=1.0)
    assert not list(output.rglob("*.tmp"))
    built(settings(server.url), source, output)
    assert sums(output) == undisturbed
    assert json.loads((output / "manifest.json").read_text())["counts"]["read"] == IMAGES + 1


@pytest.mark.parametrize(
    ("operation", "path_part"),
    [
        ("write", "_journal/caption"),
        ("read", "_journal/caption"),
        ("read", ".records"),
        ("read", "_journal/_units"),
        ("commit", "shards/"),
        ("write", "manifest.json"),
    ],
)
def test_store_errors_end_the_build_and_a_rerun_completes(
    tmp_path: Path,
    server: Faulty,
    source: Path,
    undisturbed: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    path_part: str,
) -> None:
    output = tmp_path / "out"
    uri = f"ill://{output}"
    if "caption" in path_part:  # so slow that the journal is written before the end
        server.control(slower=40.0)
    if operation == "read" and path_part.startswith("_journal/"):  # not read by a first run
        built(settings(server.url), source, uri)
        (output / "manifest.json").unlink()
    if operation == "read" and path_part == "_journal/caption":  # read where no unit is through
        shutil.rmtree(output / "_journal" / "_units")
    with monkeypatch.context() as ill:
        ill.setattr(IllStore, "fails", lambda did, path: did == operation and path_part in path)
        assert "answered 503" in _fails_in_one_line(settings(server.url), source, output, uri)
    server.control(slower=1.0)
    built(settings(server.url), source, uri)
    assert sums(output) == undisturbed


def test_a_store_failure_while_reading_rejects_no_image(
    tmp_path: Path, server: Faulty, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, output, reads = f"ill://{source}", tmp_path / "out", itertools.count()
    with monkeypatch.context() as ill:
        ill.setattr(
            IllStore,
            "fails",
            lambda did, path: did == "read" and path.startswith(uri) and next(reads) >= 1,
        )
        line = _fails_in_one_line(settings(server.url), uri, output)
    assert f"cannot read {uri}" in line and "answered 503" in line
    built(settings(server.url), uri, output)
    counts = json.loads((output / "manifest.json").read_text())
    assert counts["counts"]["written"] == IMAGES
    assert counts["rejects"] == {"truncated_archive": 1}


def test_a_missing_object_differs_from_a_failing_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").write_bytes(b"12")
    where = Bytes(f"ill://{tmp_path}/there", 0, 2)
    assert storage.read(where) == b"12"
    with pytest.raises(FileNotFoundError, match="there is no ill://"):
        storage.read(where._replace(uri=f"ill://{tmp_path}/absent"))
    monkeypatch.setattr(IllStore, "fails", lambda did, _: did == "read")
    with pytest.raises(FinehardError, match="answered 503"):
        storage.read(where)


def test_a_store_that_fails_progress_alone_stops_no_build(
    tmp_path: Path,
    server: Faulty,
    source: Path,
    undisturbed: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(IllStore, "fails", lambda _, path: "_status" in path)
    built(settings(server.url), source, f"ill://{tmp_path / 'out'}")
    assert sums(tmp_path / "out") == undisturbed


def test_a_journal_failure_after_completion_is_harmless(
    tmp_path: Path,
    server: Faulty,
    source: Path,
    undisturbed: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    close = Journal.close

    def failing(journal: Journal) -> None:
        close(journal)
        raise FinehardError("cannot write the journal: No space left on device")

    monkeypatch.setattr(Journal, "close", failing)
    built(settings(server.url), source, tmp_path / "out")
    assert sums(tmp_path / "out") == undisturbed
    assert "No space left on device; the dataset is complete" in caplog.text

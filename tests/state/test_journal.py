"""The journal: replies outlive the process, and damage is detected."""

from __future__ import annotations

import logging
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from finehard.errors import FinehardError
from finehard.io import storage
from finehard.records import Usage
from finehard.state.journal import FLUSH_S, Entry, Journal

ROOT = Path(__file__).parents[2]
STAGE = "caption/0123"


def entry(value: Any = "yes") -> Entry:
    return Entry({"says": value}, Usage(2, 100, 7))


def parts(output: Path) -> list[Path]:
    return sorted((output / "_journal" / STAGE).rglob("part-*"))


def written(output: Path, unit: str, *keys: str) -> None:
    journal = Journal(str(output))
    for key in keys:
        journal.put(STAGE, unit, key, entry(key))
    journal.close()


def saved(output: Path, unit: str, *keys: str) -> list[str]:
    journal = Journal(str(output))
    try:
        entries = {key: journal.get(STAGE, unit, key) for key in keys}
    finally:
        journal.close()
    assert all(value in (None, entry(key)) for key, value in entries.items())
    return [key for key, value in entries.items() if value]


def test_a_reply_is_read_back_with_its_usage(tmp_path: Path) -> None:
    value = {"a": [1, 2.5, None, True, "ä \u2028 \x00 \U0001f600"], "b": {"c": -1e-300}}
    journal = Journal(str(tmp_path))
    assert journal.get(STAGE, "u", "k") is None
    journal.put(STAGE, "u", "k", Entry(value, Usage(3, 10, 20)))
    assert journal.get(STAGE, "u", "k") == Entry(value, Usage(3, 10, 20))
    journal.close()
    again = Journal(str(tmp_path))
    assert again.get(STAGE, "u", "k") == Entry(value, Usage(3, 10, 20))
    assert again.get(STAGE, "u", "other") is None
    assert again.get(STAGE, "other", "k") is None
    assert again.get("caption/4567", "u", "k") is None
    again.close()


def test_a_reply_is_written_without_a_flush(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    journal.put(STAGE, "u", "k", entry("k"))
    end = time.monotonic() + FLUSH_S + 10
    while not parts(tmp_path):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert saved(tmp_path, "u", "k") == ["k"]
    journal.close()


def test_a_killed_process_loses_at_most_one_second(tmp_path: Path) -> None:
    program = """
        import sys, time
        from finehard.state.journal import Entry, Journal
        from finehard.records import Usage
        journal = Journal(sys.argv[1])
        for i in range(100000):
            journal.put("caption/0123", "u", f"k{i}", Entry({"says": f"k{i}"}, Usage(2, 100, 7)))
            print(time.time(), f"k{i}", flush=True)
            time.sleep(0.002)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    while len(parts(tmp_path)) < 2:
        time.sleep(0.02)
        assert process.poll() is None
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    killed = time.time()
    lines = process.communicate()[0].split("\n")
    put = [line.split() for line in lines if line.count(" ") == 1]
    due = [key for at, key in put if float(at) < killed - FLUSH_S - 0.5]
    assert len(due) > 20
    assert saved(tmp_path, "u", *due) == due


def test_a_finished_unit_is_merged_and_leaves_memory(tmp_path: Path) -> None:
    for key in ("a", "b", "c"):
        written(tmp_path, "u", key)
    written(tmp_path, "v", "d")
    assert len(parts(tmp_path)) == 4
    journal = Journal(str(tmp_path))
    assert journal.get(STAGE, "u", "a")
    journal.put(STAGE, "u", "e", entry("e"))
    journal.finish("u")
    journal.flush()
    assert len(parts(tmp_path)) == 2
    assert not journal._rows
    journal.finish("u")
    journal.finish("unknown")
    journal.close()
    assert len(parts(tmp_path)) == 2
    assert saved(tmp_path, "u", "a", "b", "c", "d", "e") == ["a", "b", "c", "e"]
    assert saved(tmp_path, "v", "d") == ["d"]


def test_a_unit_without_new_rows_is_not_rewritten(tmp_path: Path) -> None:
    written(tmp_path, "u", "a")
    [before] = parts(tmp_path)
    journal = Journal(str(tmp_path))
    assert journal.get(STAGE, "u", "a")
    journal.finish("u")
    journal.close()
    assert parts(tmp_path) == [before]


def test_units_with_a_common_prefix_are_separate(tmp_path: Path) -> None:
    written(tmp_path, "u-1", "a")
    assert saved(tmp_path, "u", "a") == []
    assert saved(tmp_path, "u-1", "a") == ["a"]


def test_a_flipped_bit_is_detected_and_loses_one_part(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written(tmp_path, "u", "good")
    [good] = parts(tmp_path)
    written(tmp_path, "u", "bad")
    [bad] = [p for p in parts(tmp_path) if p != good]
    data = bad.read_bytes()
    caplog.set_level(logging.CRITICAL)
    for bit in range(0, len(data) * 8, 5):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        bad.write_bytes(damaged)
        journal = Journal(str(tmp_path))
        assert journal.get(STAGE, "u", "bad") is None, f"bit {bit}"
        assert journal.get(STAGE, "u", "good") == entry("good")
        assert not bad.exists()
        journal.close()


@pytest.mark.parametrize("length", [0, 1, 4, 100, -1])
def test_a_truncated_part_is_logged_and_dropped(
    length: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written(tmp_path, "u", "a")
    [part] = parts(tmp_path)
    part.write_bytes(part.read_bytes()[:length])
    assert saved(tmp_path, "u", "a") == []
    assert "is damaged, its questions are asked again" in caplog.text
    written(tmp_path, "u", "a")
    assert saved(tmp_path, "u", "a") == ["a"]


def test_temporary_and_foreign_files_are_ignored(tmp_path: Path) -> None:
    written(tmp_path, "u", "a")
    [part] = parts(tmp_path)
    part.rename(part.with_name(f".{part.name}.1.ab.tmp"))
    part.with_name("part-u-notes.txt").write_text("x")
    part.with_name("part-u-directory.parquet").mkdir()
    assert saved(tmp_path, "u", "a") == []


def test_a_failing_read_raises_and_keeps_the_part(tmp_path: Path) -> None:
    written(tmp_path, "u", "a")
    [part] = parts(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    journal = Journal(str(tmp_path))
    spare = [os.open(os.devnull, os.O_RDONLY) for _ in range(3)]
    lowest = spare[0]
    for fd in spare:
        os.close(fd)
    listed = storage.glob(str(part.parent), "part-u-")  # imports and listing are not the point
    assert listed
    # listing takes one descriptor and gives it back; the read finds none left
    original = storage.read_all

    def out_of_descriptors(uri: str) -> bytes:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        return original(uri)

    storage.read_all = out_of_descriptors
    try:
        with pytest.raises(FinehardError, match="cannot read the journal's .*Too many open files"):
            journal.get(STAGE, "u", "a")
    finally:
        storage.read_all = original
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert part.exists()
    assert journal.get(STAGE, "u", "a") == entry("a")
    journal.close()


def test_two_processes_can_write_the_same_unit(tmp_path: Path) -> None:
    program = """
        import sys
        from finehard.state.journal import Entry, Journal
        from finehard.records import Usage
        _, output, name = sys.argv
        for turn in range(15):
            journal = Journal(output)
            for i in range(5):
                key = f"{name}-{turn}-{i}"
                assert journal.get("caption/0123", "u", key) is None
                journal.put("caption/0123", "u", key, Entry({"says": key}, Usage(2, 100, 7)))
                journal.flush()
            journal.finish("u")
            journal.close()
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    both = [subprocess.Popen([*command, name], cwd=ROOT) for name in ("one", "two")]
    assert [process.wait(120) for process in both] == [0, 0]
    keys = [f"{n}-{t}-{i}" for n in ("one", "two") for t in range(15) for i in range(5)]
    assert saved(tmp_path, "u", *keys) == keys


class _Store:
    """Counts the listings and reads of `storage`, and can make them wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.listings: list[str] = []
        self.reads: list[str] = []
        self.waits_for: threading.Event | None = None
        self.waiting = threading.Event()
        for name, calls in (("glob", self.listings), ("read_all", self.reads)):
            monkeypatch.setattr(storage, name, partial(self._call, getattr(storage, name), calls))

    def _call(self, function: Any, calls: list[str], uri: str, *rest: str) -> Any:
        calls.append(rest[0] if rest else uri)
        if self.waits_for is not None:
            self.waiting.set()
            assert self.waits_for.wait(20)
        return function(uri, *rest)


def test_a_slow_store_holds_up_one_unit_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for unit in ("slow", "other"):
        written(tmp_path, unit, unit)
    journal = Journal(str(tmp_path))
    assert journal.get(STAGE, "other", "other")  # its rows are in memory now
    store = _Store(monkeypatch)
    store.waits_for = answers = threading.Event()
    with ThreadPoolExecutor(4) as pool:
        try:
            slow = [pool.submit(journal.get, STAGE, "slow", "slow") for _ in range(2)]
            assert store.waiting.wait(10)
            pool.submit(journal.put, STAGE, "slow", "new", entry("new")).result(10)
            assert pool.submit(journal.get, STAGE, "other", "other").result(10) == entry("other")
            assert pool.submit(journal.get, STAGE, "slow", "new").result(10) == entry("new")
            assert not any(future.done() for future in slow)
        finally:
            answers.set()
        assert [future.result(10) for future in slow] == [entry("slow")] * 2
    assert len(store.reads) == 1
    journal.close()


def test_a_unit_is_listed_once_and_only_its_parts_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = [f"u{n}" for n in range(5)]
    for unit in units:
        written(tmp_path, unit, "a", "b")
    store = _Store(monkeypatch)
    journal = Journal(str(tmp_path))
    for unit in units:
        assert journal.get(STAGE, unit, "a") and journal.get(STAGE, unit, "b")
        assert journal.get(STAGE, unit, "c") is None
    assert store.listings == ["part-", *(f"part-{unit}-" for unit in units)]
    journal.close()


def test_parts_of_earlier_releases_are_read_and_merged(tmp_path: Path) -> None:
    for unit in ("0u", "0u-1", "1u"):
        written(tmp_path, unit, "a")
    for part in parts(tmp_path):  # they lay together
        part.rename(tmp_path / "_journal" / STAGE / part.name)
    written(tmp_path, "0u", "b")
    journal = Journal(str(tmp_path))
    assert journal.get(STAGE, "0u", "a") == entry("a") and journal.get(STAGE, "0u", "b")
    journal.finish("0u")
    journal.close()
    assert sorted(part.parent.name for part in parts(tmp_path)) == ["0123", "0123", "0u"]
    assert saved(tmp_path, "0u", "a", "b") == ["a", "b"]
    assert saved(tmp_path, "0u-1", "a") == saved(tmp_path, "1u", "a") == ["a"]


def test_parts_written_after_the_listing_are_read(tmp_path: Path) -> None:
    written(tmp_path, "u", "before")
    journal = Journal(str(tmp_path))
    assert journal.get(STAGE, "first", "x") is None
    written(tmp_path, "u", "after")
    written(tmp_path, "new", "n")
    assert journal.get(STAGE, "u", "before") == entry("before")
    assert journal.get(STAGE, "u", "after") == entry("after")
    assert journal.get(STAGE, "new", "n") == entry("n")
    journal.close()


def test_parts_merged_after_the_listing_are_read(tmp_path: Path) -> None:
    for key in ("a", "b"):
        written(tmp_path, "u", key)
    journal = Journal(str(tmp_path))
    assert journal.get(STAGE, "first", "x") is None
    other = Journal(str(tmp_path))
    assert other.get(STAGE, "u", "a")
    other.finish("u")
    other.close()
    assert len(parts(tmp_path)) == 1
    assert journal.get(STAGE, "u", "a") and journal.get(STAGE, "u", "b")
    journal.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("cannot mount a small disk here: needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def _full(output: Path) -> None:
    journal = Journal(str(output))
    journal.put(STAGE, "u", "small", entry("small"))
    journal.flush()
    journal.put(STAGE, "u", "big", entry(os.urandom(100_000).hex()))
    with pytest.raises(
        FinehardError, match="cannot write the journal .*; put that right"
    ) as raised:
        journal.flush()
    for later in (
        lambda: journal.put(STAGE, "u", "after", entry()),
        lambda: journal.finish("u"),
        journal.flush,
        journal.close,
    ):
        with pytest.raises(FinehardError) as again:
            later()
        assert again.value is raised.value
    assert "\n" not in str(raised.value)
    [part] = parts(output)
    assert list(part.parent.iterdir()) == [part]


def test_a_full_disk_is_one_error_without_partial_files(small_disk: Path) -> None:
    _full(small_disk)
    assert saved(small_disk, "u", "small", "big", "after") == ["small"]


def test_a_size_limit_is_one_error_without_partial_files(tmp_path: Path) -> None:
    program = """
        import resource, sys
        from pathlib import Path
        from tests.state.test_journal import _full
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
        _full(Path(sys.argv[1]))
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert saved(tmp_path, "u", "small", "big", "after") == ["small"]


def test_a_failed_background_write_stops_the_next_put(tmp_path: Path) -> None:
    (tmp_path / "_journal").mkdir()
    (tmp_path / "_journal" / "caption").write_text("in the way")
    journal = Journal(str(tmp_path))
    journal.put(STAGE, "u", "k", entry())
    end = time.monotonic() + 10
    with pytest.raises(FinehardError, match="cannot write the journal"):
        while time.monotonic() < end:
            journal.put(STAGE, "u", "k", entry())
            time.sleep(0.02)
    with pytest.raises(FinehardError):
        journal.close()

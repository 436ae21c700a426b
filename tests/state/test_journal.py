"""The journal: what was answered outlives the process, and damage is seen."""

from __future__ import annotations

import logging
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
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
    return sorted((output / "_journal" / STAGE).glob("part-*"))


def written(output: Path, unit: str, *keys: str) -> None:
    journal = Journal(str(output))
    for key in keys:
        journal.put(STAGE, unit, key, entry(key))
    journal.close()


def kept(output: Path, unit: str, *keys: str) -> list[str]:
    journal = Journal(str(output))
    try:
        found = {key: journal.get(STAGE, unit, key) for key in keys}
    finally:
        journal.close()
    assert all(value in (None, entry(key)) for key, value in found.items())
    return [key for key, value in found.items() if value]


def test_a_reply_is_found_again_with_what_it_cost(tmp_path: Path) -> None:
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


def test_a_reply_is_on_disk_soon_without_being_asked(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    journal.put(STAGE, "u", "k", entry("k"))
    end = time.monotonic() + FLUSH_S + 10
    while not parts(tmp_path):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert kept(tmp_path, "u", "k") == ["k"]
    journal.close()


def test_a_killed_process_loses_the_last_second_at_most(tmp_path: Path) -> None:
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
    told = process.communicate()[0].split("\n")
    put = [line.split() for line in told if line.count(" ") == 1]
    due = [key for at, key in put if float(at) < killed - FLUSH_S - 0.5]
    assert len(due) > 20
    assert kept(tmp_path, "u", *due) == due


def test_a_finished_unit_is_one_part_and_is_forgotten(tmp_path: Path) -> None:
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
    assert journal._rows == {} and not journal._fresh and not journal._parts
    journal.finish("u")
    journal.finish("never seen")
    journal.close()
    assert len(parts(tmp_path)) == 2
    assert kept(tmp_path, "u", "a", "b", "c", "d", "e") == ["a", "b", "c", "e"]
    assert kept(tmp_path, "v", "d") == ["d"]


def test_a_unit_that_brought_nothing_new_is_not_written_again(tmp_path: Path) -> None:
    written(tmp_path, "u", "a")
    [before] = parts(tmp_path)
    journal = Journal(str(tmp_path))
    assert journal.get(STAGE, "u", "a")
    journal.finish("u")
    journal.close()
    assert parts(tmp_path) == [before]


def test_a_unit_whose_name_begins_like_another_has_its_own_rows(tmp_path: Path) -> None:
    written(tmp_path, "u-1", "a")
    assert kept(tmp_path, "u", "a") == []
    assert kept(tmp_path, "u-1", "a") == ["a"]


def test_every_flipped_bit_is_seen_and_loses_that_part_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written(tmp_path, "u", "good")
    [good] = parts(tmp_path)
    written(tmp_path, "u", "bad")
    [bad] = [p for p in parts(tmp_path) if p != good]
    data = bad.read_bytes()
    caplog.set_level(logging.CRITICAL)
    journal = Journal(str(tmp_path))
    for bit in range(0, len(data) * 8, 5):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        bad.write_bytes(damaged)
        journal._rows.clear()
        assert journal.get(STAGE, "u", "bad") is None, f"bit {bit}"
        assert journal.get(STAGE, "u", "good") == entry("good")
        assert not bad.exists()
    journal.close()


@pytest.mark.parametrize("length", [0, 1, 4, 100, -1])
def test_a_truncated_part_is_told_and_its_questions_are_asked_again(
    length: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written(tmp_path, "u", "a")
    [part] = parts(tmp_path)
    part.write_bytes(part.read_bytes()[:length])
    assert kept(tmp_path, "u", "a") == []
    assert "is damaged, its questions are asked again" in caplog.text
    written(tmp_path, "u", "a")
    assert kept(tmp_path, "u", "a") == ["a"]


def test_temporary_and_foreign_files_are_never_read(tmp_path: Path) -> None:
    written(tmp_path, "u", "a")
    [part] = parts(tmp_path)
    part.rename(part.with_name(f".{part.name}.1.ab.tmp"))
    part.with_name("part-u-notes.txt").write_text("x")
    part.with_name("part-u-directory.parquet").mkdir()
    assert kept(tmp_path, "u", "a") == []


def test_a_part_that_cannot_be_read_now_is_an_error_and_stays(tmp_path: Path) -> None:
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


def test_two_processes_that_write_the_same_unit_do_not_clash(tmp_path: Path) -> None:
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
    assert kept(tmp_path, "u", *keys) == keys


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
    with pytest.raises(FinehardError, match="cannot write the journal .*; put that right") as told:
        journal.flush()
    for later in (
        lambda: journal.put(STAGE, "u", "after", entry()),
        lambda: journal.finish("u"),
        journal.flush,
        journal.close,
    ):
        with pytest.raises(FinehardError) as again:
            later()
        assert again.value is told.value
    assert "\n" not in str(told.value)
    assert [f.name for f in (output / "_journal" / STAGE).iterdir()] == [parts(output)[0].name]


def test_a_full_disk_is_one_error_and_leaves_nothing_half_written(small_disk: Path) -> None:
    _full(small_disk)
    assert kept(small_disk, "u", "small", "big", "after") == ["small"]


def test_a_file_size_limit_is_one_error_and_leaves_nothing_half_written(tmp_path: Path) -> None:
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
    assert kept(tmp_path, "u", "small", "big", "after") == ["small"]


def test_a_write_that_fails_in_the_background_stops_the_next_put(tmp_path: Path) -> None:
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

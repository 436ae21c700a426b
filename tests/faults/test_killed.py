"""Workers that die, parts that are damaged, what the dead leave behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from bench.kills import kill_and_resume, undisturbed_build
from finehard.errors import FinehardError
from tests.faults import world
from tests.faults.world import Faulty
from tests.pipelines.world import built, config, images, manifest, start, sums


def _workers(group: int) -> list[int]:
    """The worker processes of a build that leads process group `group`."""
    listed = subprocess.run(
        ["ps", "-ww", "-e", "-o", "pid=", "-o", "pgid=", "-o", "args="],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = (line.split(None, 2) for line in listed.splitlines())
    return [
        int(pid)
        for pid, of, command in rows
        if int(of) == group and "sdk_worker_main" in command and "sh -c" not in command
    ]


@pytest.mark.slow
def test_a_killed_worker_is_one_line_and_a_rerun_completes(tmp_path: Path, server: Faulty) -> None:
    settings, source = config(tmp_path, server.url), images(tmp_path / "in", 120)
    undisturbed = built(settings, source, tmp_path / "undisturbed")
    asked = len(server.answered())
    server.log.write_text("")
    process = start(settings, source, tmp_path / "out", "--direct_num_workers=2")
    try:
        while len(server.answered()) < asked // 4:
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(_workers(process.pid)[0], signal.SIGKILL)
        _, printed = process.communicate(timeout=90)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 1, printed
    assert "a worker process died" in printed and "run the same command again" in printed
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert built(settings, source, tmp_path / "out") == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0.5, 0.96])
def test_a_killed_balanced_build_ends_with_the_same_bytes(
    tmp_path: Path, server: Faulty, moment: float
) -> None:
    negatives = {"balance": True, "per_region": 2}
    settings = config(tmp_path, server.url, negatives=negatives)
    source = images(tmp_path / "in", 40)
    well, answers = undisturbed_build(settings, source, tmp_path / "undisturbed", server.log)
    dropped = manifest(tmp_path / "undisturbed")["dropped"]
    assert dropped["negatives.over_limit"] > 10
    killed = kill_and_resume(settings, source, tmp_path / "out", server.log, well, moment, answers)
    assert (killed.again, killed.other) == (0, [])


def test_damaged_journal_parts_alone_are_asked_again(tmp_path: Path, server: Faulty) -> None:
    source = images(tmp_path / "in", 30)
    values = world.settings(server.url)
    world.built(values, source, tmp_path / "out")
    first = sums(tmp_path / "out")
    [cut, flipped, *_] = sorted((tmp_path / "out/_journal/caption").rglob("part-*.parquet"))
    cut.write_bytes(cut.read_bytes()[:-7])
    data = bytearray(flipped.read_bytes())
    data[len(data) // 2] ^= 1
    flipped.write_bytes(data)
    shutil.rmtree(tmp_path / "out/_journal/_units")  # else nothing is looked up
    (tmp_path / "out/manifest.json").unlink()
    server.log.write_text("")
    world.built(values, source, tmp_path / "out")
    assert sums(tmp_path / "out") == first
    asked = [line.split()[1] for line in server.log.read_text().splitlines()]
    assert set(asked) == {"caption"}
    assert 2 <= len(asked) < 30


def test_a_killed_runs_temporary_files_are_removed_by_the_next(
    tmp_path: Path, server: Faulty
) -> None:
    source, output = images(tmp_path / "in", 4), tmp_path / "out"
    values = world.settings(server.url)
    world.built(values, source, output)
    folder = next((output / "_journal/caption").iterdir())
    left = [
        folder / ".part-u-1.parquet.77.0011aabb.tmp",
        output / "shards" / ".finehard-00000-of-00001.tar.77.0011aabb.tmp",
    ]
    ours = [folder / "notes.tmp", folder / ".hidden"]
    for path in (*left, *ours):
        path.write_bytes(b"x")
        os.utime(path, (1, 1))
    (output / "manifest.json").unlink()
    world.built(values, source, output)
    assert [path.exists() for path in left] == [False, False]
    assert all(path.exists() for path in ours)


def test_an_unwritable_journal_is_a_one_line_error(tmp_path: Path, server: Faulty) -> None:
    output = tmp_path / "out"
    (output / "_journal").mkdir(parents=True)
    (output / "_journal" / "caption").write_text("no folder")
    with pytest.raises(FinehardError, match="journal") as raised:
        world.built(world.settings(server.url), images(tmp_path / "in", 4), output)
    assert "\n" not in str(raised.value)
    assert not (output / "manifest.json").exists()
    (output / "_journal" / "caption").unlink()
    world.built(world.settings(server.url), tmp_path / "in", output)

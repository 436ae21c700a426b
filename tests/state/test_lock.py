"""One build at a time on an output."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from finehard.errors import FinehardError
from finehard.state.lock import locked

ROOT = Path(__file__).parents[2]

HOLDS = """
    import subprocess, sys, time
    from finehard.state.lock import locked
    with locked(sys.argv[1]):
        child = subprocess.Popen(["sleep", "60"])      # as a model server would be
        print(child.pid, flush=True)
        time.sleep(60)
"""


def holder(output: Path) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLDS), str(output)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def test_a_second_build_is_refused_but_a_dead_lock_taken_over(tmp_path: Path) -> None:
    process, child = holder(tmp_path)
    try:
        message = f"is being built by process {process.pid} on .*: wait for it"
        for _ in range(2):
            with pytest.raises(FinehardError, match=message), locked(str(tmp_path)):
                raise AssertionError("held twice")
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.kill(child, 0)  # its child lives on without the lock
        with locked(str(tmp_path)):
            pass
    finally:
        process.kill()
        os.kill(child, signal.SIGKILL)


def test_it_is_free_again_after_use_and_after_an_error(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyError), locked(str(tmp_path)):
            raise KeyError
    with locked(str(tmp_path)), locked(str(tmp_path / "another")):
        pass


def test_an_unwritable_output_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FinehardError, match="cannot lock .*file"), locked(str(tmp_path / "file")):
        pass


def test_a_file_system_without_locks_is_no_other_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unsupported(*_: Any) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", unsupported)  # as Lustre mounted without -o flock
    with locked(str(tmp_path)):
        pass
    assert "has no locks" in caplog.text

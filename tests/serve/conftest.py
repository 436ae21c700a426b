"""Gives every test its own temporary folder, and fails it if it leaves processes running."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.processes import mentioning, wait_for


@pytest.fixture(autouse=True)
def no_process_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    # Processes started by a test inherit its TMPDIR, which identifies them.
    mark = f"TMPDIR={tmp_path}"
    yield
    try:
        wait_for(lambda: not mentioning(mark), 30)
    except AssertionError:
        left = mentioning(mark)
        for process in left:
            os.kill(process, signal.SIGKILL)
        pytest.fail(f"processes left behind: {left}")

"""Workers find the run that they work for, or say in one line why not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finehard.errors import FinehardError
from finehard.state import current_run


def test_a_worker_of_the_run_may_work(tmp_path: Path) -> None:
    current_run.begin(str(tmp_path), "one")
    current_run.check_worker(str(tmp_path), "one")
    current_run.check_current(str(tmp_path), "one")


def test_workers_of_a_replaced_run_end(tmp_path: Path) -> None:
    current_run.begin(str(tmp_path), "one")
    current_run.begin(str(tmp_path), "two")
    for check in (current_run.check_worker, current_run.check_current):
        with pytest.raises(FinehardError, match="another build of .* has begun since"):
            check(str(tmp_path), "one")
    current_run.check_current(str(tmp_path), "two")


def test_another_python_is_told_before_anything_fails(tmp_path: Path) -> None:
    current_run.begin(str(tmp_path), "one")
    [file] = (tmp_path / "_journal/_begun").iterdir()
    file.write_text(json.dumps({**json.loads(file.read_text()), "Python": "2.7"}))
    with pytest.raises(FinehardError, match="has Python 3.*, the command .* has 2.7: give"):
        current_run.check_worker(str(tmp_path), "one")

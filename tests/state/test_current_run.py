"""Workers find the run that they work for, or say in one line why not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finehard.errors import FinehardError
from finehard.state import current_run
from finehard.state.current_run import Job


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


def test_workers_of_a_run_that_was_ended_end_too(tmp_path: Path) -> None:
    current_run.begin(str(tmp_path), "one")
    (tmp_path / "_journal/lock").write_text("")
    current_run.end(str(tmp_path), "one")
    for check in (current_run.check_worker, current_run.check_current):
        with pytest.raises(FinehardError, match="this build of .* was cancelled; it ends here"):
            check(str(tmp_path), "one")


def test_a_job_is_found_by_what_was_recorded_of_it(tmp_path: Path) -> None:
    output, made_of = str(tmp_path), {"settings": "s", "input": "i", "removals": "r"}
    assert current_run.last(output) is None
    current_run.begin(output, "one", made_of)
    job = Job("PortableRunner", "job-001", "finehard-one", endpoint="localhost:8073")
    current_run.submitted(output, "one", job)
    current_run.check_worker(output, "one")
    run = current_run.last(output)
    assert run is not None and run.job == job and run.made_of == made_of
    current_run.begin(output, "two")
    run = current_run.last(output)
    assert run is not None and run.name == "two" and run.job is None
    current_run.end(output, "two")
    assert current_run.last(output) is None


@pytest.mark.parametrize("damaged", ["", "{}", "[]", '{"began": 1, "made_of": {}, "job": {}}'])
def test_a_damaged_record_is_none(tmp_path: Path, damaged: str) -> None:
    current_run.begin(str(tmp_path), "one")
    (tmp_path / "_journal/_begun/one").write_text(damaged)
    assert current_run.last(str(tmp_path)) is None


def test_a_run_is_complete_while_its_manifest_is_there(tmp_path: Path) -> None:
    output, manifest = str(tmp_path), tmp_path / "manifest.json"
    current_run.begin(output, "one")
    assert current_run.completed_at(output, "one") is None
    manifest.write_text("{}")
    current_run.completed(output, "one")
    run = current_run.last(output)
    assert run is not None and current_run.completed_at(output, run.name) is not None
    manifest.write_text('{"of": "another"}')
    assert current_run.completed_at(output, "one") is None
    manifest.unlink()
    assert current_run.completed_at(output, "one") is None


def test_another_python_is_told_before_anything_fails(tmp_path: Path) -> None:
    current_run.begin(str(tmp_path), "one")
    [file] = (tmp_path / "_journal/_begun").iterdir()
    file.write_text(json.dumps({**json.loads(file.read_text()), "Python": "2.7"}))
    with pytest.raises(FinehardError, match="has Python 3.*, the command .* has 2.7: give"):
        current_run.check_worker(str(tmp_path), "one")

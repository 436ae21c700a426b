"""A job that outlives its command: cancelled, left, attached to, finished once."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from finehard import building
from finehard.attaching import cancel
from finehard.cli.main import main
from finehard.config import Config, parse_config
from finehard.dataset.validate import validate
from finehard.errors import FinehardError
from finehard.state import current_run
from tests.pipelines import services
from tests.pipelines.jobs import (
    Jobs,
    asked_twice,
    at_work,
    jobs_at,
    road,
    saved_and_asked_again,
    until,
)
from tests.pipelines.world import Server, build, config, images, manifest, start

pytestmark = pytest.mark.slow
IMAGES = 240


@pytest.fixture(scope="module")
def jobs() -> Iterator[Jobs]:
    """Beam's job service in Python, with a pool of workers."""
    with services.python_job_service() as options:
        yield jobs_at(options)


def loaded(settings: Path) -> Config:
    return parse_config(json.loads(settings.read_text()), "test")


def built_here(settings: Path, source: Path, output: Path, beam: list[str]) -> building.Built:
    """Builds in this process."""
    return building.build(loaded(settings), str(source), str(output), beam=beam)


def is_finished(output: Path) -> bool:
    """Whether the dataset is whole, and known to be."""
    assert validate(str(output)) == [] and (output / "report.html").exists()
    return (output / "_journal/finished.json").exists() and not current_run.last(str(output))


def test_a_killed_commands_job_is_attached_to_and_finished_once(
    tmp_path: Path, server: Server, jobs: Jobs
) -> None:
    settings, source = config(tmp_path, server.url), images(tmp_path / "in", IMAGES)
    output = tmp_path / "out"
    first = start(settings, source, output, *jobs.options)
    until(lambda: at_work(output), first)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert jobs.state() == "RUNNING"
    second = start(settings, source, output, *jobs.options)
    assert second.stderr is not None
    assert re.match(rf"job \S+ at \S+ builds {output} already", second.stderr.readline())
    with pytest.raises(FinehardError, match=f"being built by process {second.pid}"):
        built_here(settings, source, output, jobs.options)
    out, err = second.communicate(timeout=120)
    assert second.returncode == 0 and f"{IMAGES} read = " in out, err
    assert jobs.state() == "DONE" and asked_twice(server) == 0 and is_finished(output)
    assert not list(output.glob("_journal/_records/*"))
    assert len(list(output.glob("_journal/_runs/*"))) == 1


def test_a_job_that_ended_alone_is_finished_without_a_question(
    tmp_path: Path, server: Server, jobs: Jobs
) -> None:
    settings, source = config(tmp_path, server.url), images(tmp_path / "in", IMAGES)
    output = tmp_path / "out"
    left = build(settings, source, output, *jobs.options, options=["--detach"])
    assert left.returncode == 0, left.stderr
    [line] = left.stdout.splitlines()
    watched, cancelled = re.fullmatch(
        r"job \S+ at \S+ goes on by itself\. To watch and finish it: (.*); to cancel it: (.*)", line
    ).groups()  # type: ignore[union-attr]
    assert "--detach" not in watched and cancelled == f"finehard cancel {output}"
    by = rf"{output} is being built by job \S+ at \S+,"
    with pytest.raises(FinehardError, match=f"{by} which no process can join: .* finehard cancel "):
        building.join(loaded(settings), str(source), str(output))
    other = config(output, server.url, verify={"text_true": 0.9})
    with pytest.raises(FinehardError, match=f"{by} with other settings or input: wait .* cancel "):
        built_here(other, source, output, [])
    until(lambda: jobs.state() == "DONE")
    asked, written = len(server.answered()), (output / "manifest.json").stat()
    assert asked_twice(server) == 0 and current_run.last(str(output))
    done = build(settings, source, output, *jobs.options)
    assert done.returncode == 0 and f"{IMAGES} read = " in done.stdout, done.stderr
    assert re.search(r"\n[1-9]\d* requests", done.stdout), "those of the job"
    assert len(server.answered()) == asked and is_finished(output)
    assert (output / "manifest.json").stat() == written
    with pytest.raises(FinehardError, match=f"^no job builds {output}$"):
        cancel(str(output))


@pytest.mark.parametrize("how", ["SIGINT", pytest.param("cancel", marks=pytest.mark.full)])
def test_a_cancelled_job_ends_and_the_command_goes_on(
    tmp_path: Path, server: Server, jobs: Jobs, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, source = config(tmp_path, server.url), images(tmp_path / "in", IMAGES)
    output = tmp_path / "out"
    first = start(settings, source, output, *jobs.options)
    until(lambda: at_work(output), first)
    if how == "cancel":
        assert main(["cancel", str(output)]) == 0
        assert re.match(r"cancelled job \S+ at \S+; everything", capsys.readouterr().out)
    else:
        first.send_signal(signal.SIGINT)
    _, err = first.communicate(timeout=60)
    assert (
        first.returncode == (1 if how == "cancel" else 130)
        and len(re.findall("(?m)^finehard: ", err)) == 1
    ), err
    assert re.search(r"cancelled job|was cancelled; everything answered so far is kept", err)
    assert not (output / "manifest.json").exists() and not current_run.last(str(output))
    until(lambda: jobs.state() == "FAILED")  # this service only calls a job cancelled
    if how == "SIGINT":
        before = server.answered()
        again = build(settings, source, output)
        assert again.returncode == 0 and is_finished(output), again.stderr
        assert saved_and_asked_again(server, before) == 0


def test_a_job_out_of_reach_is_superseded_and_destroys_nothing(
    tmp_path: Path, server: Server, jobs: Jobs
) -> None:
    settings, source = config(tmp_path, server.url), images(tmp_path / "in", 600)
    output = tmp_path / "out"
    with road(jobs.options) as (way, options):
        first = start(settings, source, output, *options)
        until(lambda: at_work(output), first)
        way.block()
        first.send_signal(signal.SIGINT)
        first.send_signal(signal.SIGINT)
        _, err = first.communicate(timeout=60)
        assert first.returncode == 130 and "may go on; to cancel it: finehard cancel" in err
    assert jobs.state() == "RUNNING"
    with pytest.raises(FinehardError, match="cannot ask about job"):
        built_here(settings, source, output, options)
    assert jobs.state() == "RUNNING"
    here = start(settings, source, output)
    until(lambda: jobs.state() == "FAILED", here)
    out, err = here.communicate(timeout=120)
    assert here.returncode == 0 and "600 read = " in out, err
    assert manifest(output)["counts"]["read"] == 600 and is_finished(output)

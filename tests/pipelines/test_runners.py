"""The same build on every runner that runs here."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from finehard.state import current_run
from tests.pipelines.services import python_job_service
from tests.pipelines.world import Server, build, built, config, images, start


@pytest.mark.slow
def test_all_runners_give_the_same_bytes(tmp_path: Path, server: Server) -> None:
    settings = config(tmp_path, server.url)
    source = images(tmp_path / "in", 60)
    in_process = built(settings, source, tmp_path / "one")
    assert len([name for name in in_process if name.endswith(".tar")]) == 6
    two = built(settings, source, tmp_path / "two", "--direct_num_workers=2")
    assert two == in_process
    with python_job_service() as options:
        portable = built(settings, source, tmp_path / "three", *options)
    assert portable == in_process


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give workers a disk of their own")
def test_workers_that_do_not_see_the_output_ask_nothing(tmp_path: Path, server: Server) -> None:
    """Each server was asked once a stage before the build: by the command, which sees it."""
    settings, output = config(tmp_path, server.url), tmp_path / "out"
    output.mkdir()
    mounted = f'mount -t tmpfs none {output} && exec "$@"'
    with python_job_service(("unshare", "--mount", "sh", "-c", mounted, "sh")) as options:
        began = time.monotonic()
        done = build(settings, images(tmp_path / "in", 60), output, *options)
    assert done.returncode == 1 and time.monotonic() - began < 60, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("finehard: ")]
    assert "Traceback" not in done.stderr
    assert re.search(rf"worker on \S+ does not see {output}: mount the same disk", line)
    answered = [stage for _, stage, _ in server.answered()]
    assert len(answered) == len(set(answered)), "more than was asked before the build"


@pytest.mark.slow
def test_a_run_that_another_replaced_ends_at_its_next_unit(tmp_path: Path, server: Server) -> None:
    """As of a command that was killed, whose job on a cluster goes on."""
    settings, output = config(tmp_path, server.url), tmp_path / "out"
    process = start(settings, images(tmp_path / "in", 2000), output)
    while not list(output.glob("_journal/caption/*/*/part-*")):
        time.sleep(0.1)
    current_run.begin(str(output), "another")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"another build of {output} has begun since; this one ends here" in err
    assert "Traceback" not in err and not (output / "manifest.json").exists()

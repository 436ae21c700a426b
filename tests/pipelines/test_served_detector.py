"""Builds whose detector is served: the bytes of a local one, whichever servers come and go."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.detect.served import Served, write_config
from tests.pipelines.world import Server, build, built, config, images, manifest, start, sums

pytestmark = pytest.mark.slow

COUNT = 24
FAILING = {"FAILS_ON": "red"}
"""Some images fail in the detector, and must become the same rejects wherever it runs."""


class World:
    """Images, what a build with a local detector makes of them, and detector servers."""

    def __init__(self, folder: Path, url: str, stack: ExitStack) -> None:
        self.folder, self.url, self._stack = folder, url, stack
        self.served = write_config(folder)
        self.source = images(folder / "in", COUNT)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FAILS_ON", FAILING["FAILS_ON"])
            self.expected = built(self.config(), self.source, folder / "local")
        assert manifest(folder / "local")["rejects"].keys() == {"detector_failed"}

    def serve(self, port: int = 0, **environment: str) -> Served:
        running = Served(self.served, port=port, **FAILING, **environment)
        self._stack.callback(running.kill)
        return running

    def config(self, *endpoints: str, **detect: Any) -> Path:
        section = {"backend": "pixel_detector:load", "device": "cpu", "batch_size": 2}
        return config(self.folder, self.url, detect={**section, "endpoints": endpoints, **detect})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    server = Server(folder / "answered.log")
    with ExitStack() as stack:
        stack.callback(server.close)
        yield World(folder, server.url, stack)


def test_bytes_are_those_of_a_local_detector(world: World, tmp_path: Path) -> None:
    """A later build with a local one finds all boxes in the journal."""
    running = world.serve()
    output = tmp_path / "out"
    assert built(world.config(running.url), world.source, output) == world.expected
    running.kill()
    rejected = manifest(output)["rejects"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAILS_ON", " ")  # whatever it is asked
        assert built(world.config(score=0.6), world.source, output) != world.expected
    assert manifest(output)["rejects"] == rejected


def test_one_of_two_servers_killed_costs_no_image(world: World, tmp_path: Path) -> None:
    first, second = (world.serve(SLEEPS_S="0.3") for _ in range(2))
    process = start(world.config(first.url, second.url), world.source, tmp_path / "out")
    _wait_for_boxes(process, tmp_path / "out")
    first.kill()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err
    assert sums(tmp_path / "out") == world.expected


def test_without_servers_it_ends_and_the_command_goes_on(world: World, tmp_path: Path) -> None:
    first = world.serve(SLEEPS_S="0.5")
    settings, output = world.config(first.url, outage_s=3), tmp_path / "out"
    process = start(settings, world.source, output)
    _wait_for_boxes(process, output)
    first.kill()
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1 and "Traceback" not in err
    [line] = [line for line in err.splitlines() if line.startswith("finehard: ")]
    assert "no detector answered for" in line and "nothing was rejected" in line
    world.serve(port=int(first.url.rpartition(":")[2]))
    assert built(settings, world.source, output) == world.expected


def test_servers_join_and_leave_by_a_file(world: World, tmp_path: Path) -> None:
    first, second = world.serve(SLEEPS_S="1"), world.serve()
    listed = tmp_path / "detectors"
    listed.write_text(f"# one a line\n{first.url}\n")
    process = start(world.config(f"file:{listed}"), world.source, tmp_path / "out")
    _wait_for_boxes(process, tmp_path / "out")
    listed.write_text(f"{second.url}\n")
    time.sleep(7)  # the list is read every 5 s
    first.kill()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err
    assert sums(tmp_path / "out") == world.expected


def test_another_detector_ends_before_anything_is_written(world: World, tmp_path: Path) -> None:
    running = world.serve()
    done = build(world.config(running.url, floor=0.1), world.source, tmp_path / "out")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"detect.endpoints: {running.url} serves floor 0.05, not 0.1" in done.stderr
    assert not (tmp_path / "out").exists()


def _wait_for_boxes(process: subprocess.Popen[str], output: Path) -> None:
    until = time.monotonic() + 240
    while not list(output.glob("_journal/detect/**/*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)

"""Builds whose detector is served: the bytes of a local one, whichever servers come and go."""

from __future__ import annotations

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


class World:
    """Detector servers and builds with them, of the same images."""

    def __init__(self, folder: Path, url: str, stack: ExitStack) -> None:
        self.folder, self.url, self._stack = folder, url, stack
        self.served = write_config(folder)
        self.source = images(folder / "in", COUNT)

    def serve(self, **options: Any) -> Served:
        running = Served(self.served, **options)
        self._stack.callback(running.kill)
        return running

    def config(self, *endpoints: str, **detect: Any) -> Path:
        section = {"backend": "pixel_detector:load", "device": "cpu", "batch_size": 2}
        return config(self.folder, self.url, detect={**section, "endpoints": endpoints, **detect})


@pytest.fixture
def world(tmp_path: Path, server: Server) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(tmp_path, server.url, stack)


def captions(server: Server) -> int:
    return sum(stage == "caption" for _, stage, _ in server.answered())


def test_bytes_are_the_same_with_none_one_and_two_servers(world: World, tmp_path: Path) -> None:
    """Some images fail in the detector, and become the same rejects."""
    urls = [world.serve(FAILS_ON="red").url for _ in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAILS_ON", "red")
        local = built(world.config(), world.source, tmp_path / "local")
    assert manifest(tmp_path / "local")["rejects"].keys() == {"detector_failed"}
    for count in (1, 2):
        output = tmp_path / f"served{count}"
        assert built(world.config(*urls[:count]), world.source, output) == local


def test_a_journal_is_shared_with_a_local_detector(
    world: World, tmp_path: Path, server: Server
) -> None:
    running = world.serve()
    output = tmp_path / "out"
    served = built(world.config(running.url), world.source, output)
    before = manifest(output)
    running.kill()
    asked = captions(server)
    assert built(world.config(score=0.6), world.source, output) != served
    assert built(world.config(), world.source, output) == served
    assert captions(server) == asked + 1 or captions(server) == asked  # at most the trial
    after = manifest(output)
    assert before["stages"] == after["stages"] and before["counts"] == after["counts"]


def test_a_killed_server_costs_no_image(world: World, tmp_path: Path) -> None:
    expected = built(world.config(), world.source, tmp_path / "local")
    first, second = (world.serve(SLEEPS_S="0.3") for _ in range(2))
    output = tmp_path / "out"
    process = start(world.config(first.url, second.url), world.source, output)
    _wait_for_boxes(output)
    first.kill()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err
    assert sums(output) == expected and manifest(output)["counts"]["rejected"] == 0


def test_without_servers_it_ends_and_the_command_goes_on(world: World, tmp_path: Path) -> None:
    expected = built(world.config(), world.source, tmp_path / "local")
    first = world.serve(SLEEPS_S="0.3")
    output = tmp_path / "out"
    process = start(world.config(first.url, outage_s=3), world.source, output)
    _wait_for_boxes(output)
    first.kill()
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1 and "Traceback" not in err
    [line] = [line for line in err.splitlines() if line.startswith("finehard: ")]
    assert "no detector answered for" in line and "nothing was rejected" in line
    second = world.serve()
    assert built(world.config(second.url), world.source, output) == expected


def test_servers_join_and_leave_by_a_file(world: World, tmp_path: Path) -> None:
    expected = built(world.config(), world.source, tmp_path / "local")
    first, second = (world.serve(SLEEPS_S="0.5") for _ in range(2))
    listed = tmp_path / "detectors"
    listed.write_text(f"# one a line\n{first.url}\n")
    output = tmp_path / "out"
    process = start(world.config(f"file:{listed}"), world.source, output)
    _wait_for_boxes(output)
    listed.write_text(f"{second.url}\n")
    time.sleep(7)
    first.kill()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, out + err
    assert sums(output) == expected


def test_another_detector_ends_before_anything_is_written(world: World, tmp_path: Path) -> None:
    running = world.serve()
    done = build(world.config(running.url, floor=0.1), world.source, tmp_path / "out")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"detect.endpoints: {running.url} serves floor 0.05, not 0.1" in done.stderr
    assert not (tmp_path / "out").exists()


def _wait_for_boxes(output: Path) -> None:
    until = time.monotonic() + 120
    while not list(output.glob("_journal/detect/**/*")):
        assert time.monotonic() < until
        time.sleep(0.05)

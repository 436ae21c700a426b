"""Processes that build an output together, some of which are killed, others come late."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finehard import registry
from finehard.building import Built, build, join
from finehard.config import parse_config
from finehard.errors import FinehardError, UsageError
from finehard.io import storage
from finehard.state import lease
from finehard.state.claims import Claims
from finehard.state.lock import locked
from finehard.state.members import Watch, member
from tests.io import emulators
from tests.pictures import jpg
from tests.pipelines.test_resume import UNFLUSHED_S
from tests.pipelines.world import ROOT, Server, config, images, sums

BEAT_S = 1.0
JOINS = f"""
import sys
from finehard.state import lease
lease.HEARTBEAT_S = {BEAT_S}
from finehard.cli.main import main
sys.exit(main(["build", "--join", *sys.argv[1:]]))
"""


class World:
    """An input, a dataset that was built of it alone, and another output to join."""

    def __init__(self, folder: Path, server: Server, images: Path, **sections: Any) -> None:
        self.settings = config(folder, server.url, **sections)
        self.config = parse_config(json.loads(self.settings.read_text()), "test")
        self.source, self.output = images, folder / "out"
        self.server = server
        self.started: list[subprocess.Popen[str]] = []
        build(self.config, str(images), str(folder / "alone"))
        self.alone = sums(folder / "alone")
        self.asked = len(server.answered())
        server.log.write_text("")
        (self.output / "_journal").mkdir(parents=True)  # what the servers take is known
        shutil.copy(folder / "alone" / "_journal" / "servers.json", self.output / "_journal")

    def start(self, output: str | None = None) -> subprocess.Popen[str]:
        """Starts a process that joins."""
        command = [sys.executable, "-c", JOINS, "--config", str(self.settings),
                   "--input", str(self.source), "--output", output or str(self.output)]  # fmt: skip
        pipe = subprocess.PIPE
        self.started.append(
            subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)
        )
        return self.started[-1]

    def join(self) -> Built | None:
        """Joins in this process."""
        return join(self.config, str(self.source), str(self.output))

    def questions(self) -> dict[str, list[float]]:
        """When each question was answered."""
        times: dict[str, list[float]] = {}
        for at, _, question in self.server.answered():
            times.setdefault(question, []).append(at)
        return times


@pytest.fixture(autouse=True)
def like_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process beats as fast as those it starts, and has no code that other tests loaded."""
    monkeypatch.setattr(lease, "HEARTBEAT_S", BEAT_S)
    everything = registry.user_code

    def of_the_pipeline() -> registry.UserCode:
        sources = everything().sources
        return registry.UserCode({name: sources[name] for name in ("build_finehard",)})

    monkeypatch.setattr(registry, "user_code", of_the_pipeline)


@pytest.fixture
def world(tmp_path: Path, server: Server, request: pytest.FixtureRequest) -> Iterator[World]:
    """As many images as the test asks for."""
    made = World(tmp_path, server, images(tmp_path / "in", request.param))
    yield made
    for process in made.started:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.communicate()


def _ended(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert bool(out) != ("nothing is left to do here" in err), out + err
    return out + err


@pytest.mark.parametrize("world", [40], indirect=True)
def test_two_that_join_share_the_questions_of_one_build(world: World) -> None:
    other = world.start()
    while not world.questions():  # it has begun to ask
        assert other.poll() is None
        time.sleep(0.02)
    built = world.join()
    printed = _ended(other)
    assert sums(world.output) == world.alone
    assert (built is None) == ("40 read = 40 written" in printed)
    assert built is None or built.counts["through"] == 40
    assert built is not None or "0 requests" in printed
    assert all(len(times) == 1 for times in world.questions().values())
    runs = [json.loads(file.read_text()) for file in world.output.glob("_journal/_runs/*")]
    asked = [run["stages"]["caption"].get("requests", 0) for run in runs]
    assert sorted(asked)[0] == 0 and sum(asked) == 40 and 40 not in asked
    assert not list(world.output.glob("_journal/_joined/*/*"))


@pytest.mark.slow
@pytest.mark.parametrize("world", [160], indirect=True)
def test_of_four_that_join_two_are_killed_and_one_comes_late(world: World) -> None:
    processes = [world.start() for _ in range(4)]
    killed: list[float] = []
    for share in (0.3, 0.5):
        while len(world.server.answered()) < share * world.asked:
            assert all(process.poll() is None for process in processes)
            time.sleep(0.01)
        processes.pop().kill()
        killed.append(time.time())
    late = world.join()
    printed = [_ended(process) for process in processes]
    assert sums(world.output) == world.alone
    wrote = [text for text in printed if "160 read = 160 written" in text]
    assert len(wrote) + (late is not None) == 1
    assert "0 requests" in wrote[0] if wrote else late and late.counts["through"] == 160
    twice = [times[0] for times in world.questions().values() if len(times) > 1]
    kept = [at for at in twice if not any(one - UNFLUSHED_S <= at <= one + 0.3 for one in killed)]
    assert not kept, f"{len(kept)} of {len(twice)} asked again had been answered long before"


@pytest.mark.parametrize("world", [4], indirect=True)
def test_a_build_alone_and_those_that_join_exclude_each_other(world: World) -> None:
    output = str(world.output)
    with locked(output), pytest.raises(FinehardError, match="is being built by process .*: wait"):
        world.join()
    with (
        member(output, {}),
        pytest.raises(FinehardError, match="is being built by process .*, which joined: wait"),
    ):
        build(world.config, str(world.source), output)
    with (
        member(output, {"input": "other", "settings (or another finehard)": "other"}),
        pytest.raises(FinehardError, match="with other settings .* and input.*: processes that"),
    ):
        world.join()
    with member(output, {}) as writing:
        assert Claims(Watch(output), writing).take_writing()
        assert world.join() is None, "one is writing"
    with member(output, {}) as writing, locked(output, writing):
        assert world.join() is None, "one has written, and deleted all claims"
    with pytest.raises(UsageError, match="without a runner or workers of Beam"):
        join(world.config, str(world.source), output, beam=["--direct_num_workers=2"])
    with pytest.raises(FinehardError, match="no conditional writes"):
        join(world.config, str(world.source), "memory://bucket/out")
    assert world.questions() == {} and not (world.output / "shards").exists()


@pytest.mark.slow
def test_an_output_in_a_store_is_joined(tmp_path: Path, server: Server) -> None:
    with emulators.start("s3") as store:
        world = World(tmp_path, server, images(tmp_path / "in", 40), storage=store.options)
        output = f"{store.root}/out"
        other = world.start(output)
        while not world.questions():
            assert other.poll() is None
            time.sleep(0.02)
        join(world.config, str(world.source), output)
        _ended(other)
        manifest = json.loads(storage.read_all(f"{output}/manifest.json"))
        shards = {shard["name"]: shard["sha256"] for shard in manifest["shards"]}
        assert shards == {name: sha for name, sha in world.alone.items() if name in shards}
        assert len(shards) == 4
        asked = [stage for _, stage, _ in server.answered()]
        assert len(asked) - len(world.questions()) <= len(set(asked)), "more than each's rehearsal"
        assert not [file for file in storage.everything(output) if "_joined" in file.uri]


def test_row_groups_that_are_joined_are_asked_about_once(tmp_path: Path, server: Server) -> None:
    source = tmp_path / "in"
    source.mkdir()
    rows = {"key": [f"{n:02}" for n in range(36)], "image": [jpg(n) for n in range(36)]}
    pq.write_table(pa.table(rows), source / "00000.parquet", row_group_size=18)
    world = World(tmp_path, server, source, source={"unit_size": 4})
    built = world.join()
    assert built is not None and sums(world.output) == world.alone
    assert len(world.server.answered()) == len(world.questions())
    assert sum(stage.get("requests", 0) for stage in built.counts["stages"].values()) == 0
    assert not list(world.output.glob("_journal/_images/*"))

"""Processes that build an output together claim what they do, and take over from the dead."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from finehard.io import storage
from finehard.state import lease, members
from finehard.state.claims import UNCLAIMED, Claims, State, writer
from finehard.state.lock import locked
from finehard.state.members import Watch
from tests.io import emulators


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT_S", 0.2)


@pytest.fixture(
    params=["disk", *(pytest.param(name, marks=pytest.mark.slow) for name in ("s3", "az"))]
)
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An output on a disk, and on stores; Google's emulator ignores conditions of writes."""
    if request.param == "disk":
        yield str(tmp_path / "out")
        return
    with emulators.start(request.param) as store:
        storage.configure(store.options)
        yield f"{store.root}/out"


def _stopped(output: str, name: str = "node-77-0011") -> str:
    """A member that was killed."""
    storage.write(f"{output}/_journal/_joined/members/{name}.json", b'{"beat": 3, "notes": {}}')
    return name


def test_of_many_that_claim_a_unit_one_gets_it(output: str) -> None:
    got: list[str] = []
    start = threading.Barrier(8)

    def claim(me: str) -> None:
        mine = Claims(Watch(output), me)
        start.wait()
        got.extend(me for name in "ab" if mine.take("x/file", name, UNCLAIMED))

    threads = [threading.Thread(target=claim, args=[f"node-{n}-00"]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 2
    states = Claims(Watch(output), "node-9-00").states("x/file")
    assert states == {"a": State(1), "b": State(1)}


def test_the_claims_of_a_killed_member_alone_are_taken_over(output: str) -> None:
    dead = _stopped(output)
    with members.member(output, {}) as living, members.member(output, {}) as me:
        mine = Claims(Watch(output), me)
        assert Claims(Watch(output), dead).take("x", "old", UNCLAIMED)
        assert Claims(Watch(output), living).take("x", "new", UNCLAIMED)
        started = time.monotonic()
        while not mine.is_free("x", "old", mine.states("x")["old"]):
            assert time.monotonic() - started < 5
            assert not mine.is_free("x", "new", mine.states("x")["new"])
            time.sleep(0.05)
        assert time.monotonic() - started >= 3 * lease.HEARTBEAT_S
        assert mine.take("x", "old", State(1))
        assert not Claims(Watch(output), living).take("x", "old", State(1))
        assert not mine.is_free("x", "new", mine.states("x")["new"])
        mine.mark_done("x", "old")
        assert mine.states("x")["old"] == State(2, done=True)
        assert not mine.is_free("x", "old", mine.states("x")["old"])
    assert mine.is_free("x", "new", mine.states("x")["new"]), "its holder ended in order"
    assert members.members(output) == [dead]


def test_one_member_writes_and_another_when_it_was_killed(output: str) -> None:
    assert writer(Watch(output)) is None
    with members.member(output, {}) as first, members.member(output, {}) as second:
        assert Claims(Watch(output), first).take_writing()
        assert not Claims(Watch(output), second).take_writing()
        assert writer(Watch(output)) == first
    assert writer(Watch(output)) is None
    with members.member(output, {}) as third:
        assert Claims(Watch(output), _stopped(output)).take_writing()  # and is killed
        assert Claims(Watch(output), third).take_writing()
        members.bury(output, [_stopped(output)])
        members.forget(output)
        assert Claims(Watch(output), "node-1-00").states("") == {}
        assert members.members(output) == [third]


def test_a_claim_that_was_cut_off_is_taken_over(tmp_path: Path) -> None:
    claim = tmp_path / "_journal" / "_joined" / "x" / "unit.0"
    claim.parent.mkdir(parents=True)
    claim.touch()  # killed between creating and writing it
    mine = Claims(Watch(str(tmp_path)), "node-1-00")
    assert mine.is_free("x", "unit", State(1)) and mine.take("x", "unit", State(1))


def test_a_member_whose_file_is_gone_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(members, "_stop", lambda _: ended.set())
    with members.member(str(tmp_path), {}) as me:
        (tmp_path / "_journal" / "_joined" / "members" / f"{me}.json").unlink()
        assert ended.wait(5)


def test_a_build_alone_begins_when_members_show_no_life(tmp_path: Path) -> None:
    _stopped(str(tmp_path))
    started = time.monotonic()
    with locked(str(tmp_path)):
        assert time.monotonic() - started >= 3 * lease.HEARTBEAT_S
        assert members.members(str(tmp_path)) == []


def test_waiting_until_alone_ends_with_the_others(tmp_path: Path) -> None:
    _stopped(str(tmp_path))
    with members.member(str(tmp_path), {}) as me:
        other = members.member(str(tmp_path), {})
        other.__enter__()
        timer = threading.Timer(1.0, other.__exit__, [None, None, None])
        timer.start()
        started = time.monotonic()
        members.wait_until_alone(str(tmp_path), me)
        assert time.monotonic() - started >= 0.9
        timer.join()
        assert members.members(str(tmp_path)) == [me], "the dead are buried"

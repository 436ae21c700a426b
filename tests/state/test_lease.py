"""One build at a time on a remote output."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from finehard.errors import FinehardError
from finehard.io import storage
from finehard.state import lease
from finehard.state.lock import locked
from tests.faults.ill_store import IllStore
from tests.io import emulators

ROOT = Path(__file__).parents[2]
HOLDS = """
    import json, sys, time
    import tests.faults.ill_store
    from finehard.io import storage
    from finehard.state import lease
    storage.configure(json.loads(sys.argv[2]))
    lease.HEARTBEAT_S = lease.SETTLE_S = 0.2
    with lease.leased(sys.argv[1]):
        print(flush=True)
        time.sleep(60)
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT_S", 0.4)
    monkeypatch.setattr(lease, "SETTLE_S", 0.2)


def test_a_second_build_is_refused_but_a_dead_lease_taken_over(tmp_path: Path) -> None:
    output = f"ill://{tmp_path}"
    command = [sys.executable, "-c", textwrap.dedent(HOLDS), output, "{}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        message = f"is being built by process {process.pid} on .*: wait for it"
        with pytest.raises(FinehardError, match=message), locked(output):
            raise AssertionError("held twice")
        process.kill()
        process.wait()
        assert list(tmp_path.rglob("lease.json"))
        with locked(output):
            pass
    assert not list(tmp_path.rglob("lease.json"))


def test_of_two_that_begin_at_once_one_goes_on(tmp_path: Path) -> None:
    went_on, refused, both = [], [], threading.Barrier(2)

    def begin() -> None:
        both.wait()
        try:
            with lease.leased(f"ill://{tmp_path}"):
                went_on.append(1)
                threading.Event().wait(1.0)
        except FinehardError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=begin) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(went_on) == 1 and len(refused) == 1


def test_an_error_frees_the_lease_and_brief_outages_are_harmless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = f"ill://{tmp_path}"
    with pytest.raises(KeyError), locked(output):
        monkeypatch.setattr(IllStore, "fails", lambda did, _: did == "write")
        threading.Event().wait(1.0)  # beats that fail
        monkeypatch.setattr(IllStore, "fails", None)
        raise KeyError
    with locked(output), locked(f"{output}/another"):
        pass


@pytest.fixture(params=["s3", "az", "ill"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """An output on a store with conditional writes, and on one without; the store's options."""
    if request.param == "ill":
        yield f"ill://{tmp_path}/out", "{}"
        return
    with emulators.start(request.param) as store:
        storage.configure(store.options)
        yield f"{store.root}/out", json.dumps(store.options)


@pytest.mark.slow
def test_a_build_that_lost_its_lease_ends_in_one_line(output: tuple[str, str]) -> None:
    command = [sys.executable, "-c", textwrap.dedent(HOLDS), *output]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None and process.stdout.readline()
        time.sleep(0.7)  # some heartbeats
        assert process.poll() is None
        uri = f"{output[0]}/_journal/lease.json"
        storage.write(uri, b'{"holder": "somebody else", "beat": 0}')
        _, error = process.communicate(timeout=20)
        assert process.returncode == 1
        assert "was taken over by somebody else" in error and error.count("\n") == 1
        assert b"somebody else" in storage.read_all(uri)


@pytest.mark.slow
@pytest.mark.parametrize("ended", [False, True], ids=["still-built", "built-and-free"])
def test_a_stalled_build_that_was_superseded_ends(output: tuple[str, str], ended: bool) -> None:
    command = [sys.executable, "-c", textwrap.dedent(HOLDS), *output]
    pipe = subprocess.PIPE
    uri = f"{output[0]}/_journal/lease.json"
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None and process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        with locked(output[0]):
            if not ended:
                process.send_signal(signal.SIGCONT)
                _, error = process.communicate(timeout=20)
                assert f"process {os.getpid()} ".encode() in storage.read_all(uri)
        if ended:
            process.send_signal(signal.SIGCONT)
            _, error = process.communicate(timeout=20)
            assert not storage.exists(uri)
        assert process.returncode == 1 and error.count("\n") == 1
        said = "is free: its lease was deleted" if ended else f"taken over by process {os.getpid()}"
        assert said in error and "which stops therefore" in error


@pytest.mark.slow
def test_one_of_many_builds_gets_the_lease(output: tuple[str, str]) -> None:
    won, refused, start = [], [], threading.Barrier(6)

    def begin() -> None:
        start.wait()
        try:
            with lease.leased(output[0]):
                won.append(1)
                time.sleep(1.5)
        except FinehardError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and all("is being built by" in line for line in refused)
    assert not storage.exists(f"{output[0]}/_journal/lease.json")


def test_a_lost_answer_to_an_own_write_is_no_lost_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = lease._encode("me", 3)
    monkeypatch.setattr(storage, "write_if", lambda *_: None)  # the retry meets the first attempt
    monkeypatch.setattr(storage, "read_version", lambda _: (mine, "v3"))
    assert lease._renew("s3://x", lease._Lease("me", 2, "v2")) == lease._Lease("me", 3, "v3")
    assert lease._renew("s3://x", lease._Lease("you", 2, "v2")) is None

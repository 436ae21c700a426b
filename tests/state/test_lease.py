"""One build at a time on a remote output."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from finehard.errors import FinehardError
from finehard.state import lease
from finehard.state.lock import locked
from tests.faults.ill_store import IllStore

ROOT = Path(__file__).parents[2]
HOLDS = """
    import sys, time
    import tests.faults.ill_store
    from finehard.state import lease
    lease.BEAT_S = lease.SETTLE_S = 0.2
    with lease.leased(sys.argv[1]):
        print(flush=True)
        time.sleep(60)
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.4)
    monkeypatch.setattr(lease, "SETTLE_S", 0.2)


def test_a_second_build_is_refused_and_a_dead_ones_lease_is_taken_over(tmp_path: Path) -> None:
    output = f"ill://{tmp_path}"
    command = [sys.executable, "-c", textwrap.dedent(HOLDS), output]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        told = f"is being built by process {process.pid} on .*: wait for it"
        with pytest.raises(FinehardError, match=told), locked(output):
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


def test_it_is_free_again_after_an_error_and_a_store_that_stutters_loses_nothing(
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

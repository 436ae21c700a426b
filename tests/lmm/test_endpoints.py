"""Endpoints that a file or a DNS name lists: servers join and leave while requests run."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finehard.errors import FinehardError, UsageError
from finehard.fleet import endpoints
from finehard.lmm.client import Client
from finehard.lmm.config import ModelConfig
from tests.lmm.conftest import question
from tests.lmm.faulty_server import MODEL, FaultyServer

Start = Callable[[], FaultyServer]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "READ_AGAIN_S", 0.1)
    monkeypatch.setattr(endpoints, "FIRST_WAIT_S", 1.0)
    monkeypatch.setattr(endpoints, "_FIRST_AGAIN_S", 0.05)


def listing(path: Path, **settings: Any) -> Client:
    """A client of the servers that the file lists."""
    values = {"window": 4, "attempts": 1, "outage_s": 20.0, "timeout_s": 5.0, **settings}
    return Client(ModelConfig(model=MODEL, endpoints=(f"file:{path}",), **values))


def write(path: Path, *servers: FaultyServer) -> None:
    path.write_text("# servers\n\n" + "".join(f"{server.url}/\n" for server in servers))


def wait_for(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


def test_an_endpoint_that_joins_gets_waiting_requests(tmp_path: Path, start: Start) -> None:
    path, first, second = tmp_path / "list", start(), start()
    first.delay_s = second.delay_s = 0.2
    write(path, first)
    asking = listing(path)
    futures = [asking.submit(question(str(i))) for i in range(60)]
    write(path, first, second)
    wait_for(lambda: second.answered > 4)
    assert asking.window == 8
    assert all(future.result(30).value == {"ok": True} for future in futures)
    asking.close()


def test_an_endpoint_that_left_gets_no_more_requests(tmp_path: Path, start: Start) -> None:
    path, stays, leaves = tmp_path / "list", start(), start()
    stays.delay_s = leaves.delay_s = 0.1
    write(path, stays, leaves)
    asking = listing(path)
    futures = [asking.submit(question(str(i), affinity=str(i))) for i in range(100)]
    wait_for(lambda: leaves.answered > 2)
    write(path, stays)
    wait_for(lambda: asking.window == 4)
    asked = len(leaves.asked)
    assert all(future.result(30).value == {"ok": True} for future in futures)
    assert len(leaves.asked) == asked and leaves.answered == asked, "not drained"
    asking.close()


def test_requests_of_a_server_that_left_fail_over(tmp_path: Path, start: Start) -> None:
    path, stays, leaves = tmp_path / "list", start(), start()
    leaves.delay_s = 0.5
    write(path, stays, leaves)
    asking = listing(path)
    futures = [asking.submit(question(str(i), affinity=str(i))) for i in range(40)]
    wait_for(lambda: leaves.busy > 0)
    write(path, stays)
    wait_for(lambda: asking.window == 4)
    leaves.stop()
    assert all(future.result(30).value == {"ok": True} for future in futures)
    asking.close()


@pytest.mark.parametrize("now", [None, "", "# none\n", "nonsense\n"])
def test_a_list_that_is_gone_or_wrong_changes_nothing(
    now: str | None, tmp_path: Path, server: FaultyServer
) -> None:
    path = tmp_path / "list"
    write(path, server)
    asking = listing(path)
    path.unlink()
    if now is not None:
        path.write_text(now)
    time.sleep(0.4)
    assert asking.submit(question()).result(30).value == {"ok": True}
    asking.close()


def test_a_list_may_appear_a_little_later(tmp_path: Path, server: FaultyServer) -> None:
    import threading

    path = tmp_path / "list"
    writing = threading.Timer(0.3, write, (path, server))
    writing.start()
    asking = listing(path)
    assert asking.problems() == {server.url: None}
    asking.close()


def test_a_list_that_stays_empty_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(FinehardError, match="names no endpoint of model 'tiny' after 1 s") as error:
        listing(tmp_path / "none")
    assert "\n" not in str(error.value)


def test_a_wrong_line_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("http://a/v1\nhost:8000\n")
    with pytest.raises(UsageError, match="list, line 2: endpoint 'host:8000' is not http"):
        listing(tmp_path / "list")


@pytest.mark.parametrize(
    "entries",
    [
        ["file:relative"],
        ["file:"],
        ["file:/list", "http://a/v1"],
        ["dns+http://name/v1"],
        ["dns+https://name:1/v1"],
        ["dns+http://me:secret@name:1/v1"],
    ],
)
def test_a_malformed_list_is_a_usage_error(entries: list[str]) -> None:
    with pytest.raises(UsageError, match=r"^models: model 'm': endpoint ") as error:
        ModelConfig(model="m", endpoints=tuple(entries))
    assert "me:secret" not in str(error.value)


def test_each_address_of_a_name_is_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        if host == "none":
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        found = [(socket.AF_INET6, 1, 6, "", ("fd00::1", port, 0, 0))]
        if host == "both":
            found += [(socket.AF_INET, 1, 6, "", (f"10.0.0.{n}", port)) for n in (2, 1, 1)]
        return found

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    def read(name: str) -> tuple[str, ...]:
        return asyncio.run(endpoints.read(f"dns+http://{name}:8000/v1"))

    assert read("both") == ("http://10.0.0.1:8000/v1", "http://10.0.0.2:8000/v1")
    assert read("six") == ("http://[fd00::1]:8000/v1",)
    assert read("none") == ()


def test_a_name_is_resolved_and_asked(server: FaultyServer) -> None:
    config = ModelConfig(model=MODEL, endpoints=(f"dns+http://localhost:{server.port}/v1",))
    asking = Client(config)
    assert asking.problems() == {server.url: None}
    assert asking.submit(question()).result(30).value == {"ok": True}
    asking.close()

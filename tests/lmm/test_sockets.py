"""A server that vanishes without a word, as when a machine loses its power or its link.

A packet filter on the server's sockets drops all that arrives, so its kernel acknowledges nothing;
unlike a firewall it needs no rights. With rights, a network link is taken down.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from finehard.lmm.client import Client
from tests.lmm.conftest import question
from tests.lmm.faulty_server import FaultyServer, hang

Make = Callable[..., Client]

SO_ATTACH_FILTER = 26
NOTHING = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF: "return 0"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="socket filters are Linux's")


def vanish(server: FaultyServer) -> None:
    """Lets nothing reach `server` from now on."""
    program = struct.pack("HP", 1, ctypes.addressof(NOTHING))
    assert server._runner is not None and server._runner.server is not None
    open_sockets = [c.transport.get_extra_info("socket") for c in server._runner.server.connections]
    for site in server._runner.sites:
        open_sockets += site._server.sockets  # type: ignore[attr-defined]
    for each in open_sockets:
        each.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def answered_in(asking: Client) -> float:
    """Seconds until ten questions are answered."""
    started = time.monotonic()
    for future in [asking.submit(question(str(i), affinity=str(i))) for i in range(10)]:
        assert future.result(60).value == {"ok": True}
    return time.monotonic() - started


def wait_for(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


def test_waiting_requests_leave_a_server_that_vanished(
    start: Callable[[], FaultyServer], client: Make
) -> None:
    vanishing, other = start(), start()
    vanishing.always = hang
    asking = client(vanishing, other, timeout_s=60.0, attempts=1)
    futures = [asking.submit(question(str(i), affinity=str(i))) for i in range(10)]
    wait_for(lambda: vanishing.busy > 1)
    time.sleep(0.3)  # all is acknowledged: only probes can tell
    vanish(vanishing)
    started = time.monotonic()
    for future in futures:
        assert future.result(60).value == {"ok": True}
    assert time.monotonic() - started < 7


def test_requests_sent_to_a_vanished_server_go_elsewhere(
    start: Callable[[], FaultyServer], client: Make
) -> None:
    vanishing, other = start(), start()
    asking = client(vanishing, other, timeout_s=60.0, attempts=1)
    answered_in(asking)
    assert vanishing.asked
    vanish(vanishing)  # open connections wait in the pool: what is sent there is not acknowledged
    assert answered_in(asking) < 9


@pytest.mark.slow
def test_a_body_that_is_read_late_is_no_dead_connection(client: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

        class Late:
            url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"

        asking = client(Late(), timeout_s=60.0)  # type: ignore[arg-type]
        future = asking.submit(question("x" * 8_000_000))
        connection, _ = listening.accept()
        time.sleep(7)
        assert not future.done() and asking.tally["caption"].retries == 0
        connection.setblocking(False)
        read = connection.recv(65536)
        assert read.startswith(b"POST")
        connection.close()


SILENT = """
import asyncio
from aiohttp import web

async def silent(request):
    await request.read()
    await asyncio.sleep(60)

async def main():
    app = web.Application()
    app.router.add_post("/v1/chat/completions", silent)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "10.231.7.2", 8000).start()
    print("ready", flush=True)
    await asyncio.sleep(300)

asyncio.run(main())
"""


@pytest.fixture
def linked() -> Iterator[Any]:
    """A server that never answers, on the other end of a network link."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    space, here, there = (f"fh{os.getpid() % 100_000}{end}" for end in "sab")

    def ip(*arguments: str, inside: bool = False) -> None:
        prefix = ["ip", "netns", "exec", space] if inside else []
        subprocess.run([*prefix, "ip", *arguments], check=True, capture_output=True)

    try:
        ip("netns", "add", space)
        ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", space)
    except subprocess.CalledProcessError as error:
        subprocess.run(["ip", "netns", "del", space], capture_output=True)
        pytest.skip(f"no network namespaces: {error.stderr.decode().strip()}")
    try:
        ip("addr", "add", "10.231.7.1/24", "dev", here)
        ip("link", "set", here, "up")
        ip("addr", "add", "10.231.7.2/24", "dev", there, inside=True)
        ip("link", "set", there, "up", inside=True)
        command = ["ip", "netns", "exec", space, sys.executable, "-c", SILENT]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            down = ("link", "set", there, "down")
            yield SimpleNamespace(
                url="http://10.231.7.2:8000/v1", vanish=lambda: ip(*down, inside=True)
            )
            process.kill()
    finally:
        ip("netns", "del", space)


@pytest.mark.slow
def test_a_link_that_goes_down_stops_no_answers(
    linked: Any, server: FaultyServer, client: Make
) -> None:
    asking = client(linked, server, timeout_s=100.0, attempts=1)
    futures = [asking.submit(question(str(i), affinity=str(i))) for i in range(20)]
    time.sleep(1.0)
    assert not all(future.done() for future in futures)
    linked.vanish()
    started = time.monotonic()
    for future in futures:
        assert future.result(60).value == {"ok": True}
    assert time.monotonic() - started < 7

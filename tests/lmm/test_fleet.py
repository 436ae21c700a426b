"""Many requests on many endpoints: window, affinity, and endpoints that fail and recover."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import as_completed
from typing import Any

import pytest

from finehard.errors import FinehardError
from finehard.lmm.client import Client
from finehard.lmm.question import RequestFailed
from tests.lmm.conftest import question
from tests.lmm.faulty_server import FaultyServer, hang, says, status

Make = Callable[..., Client]
Start = Callable[[], FaultyServer]


class Traffic:
    """Keeps `size` questions in flight, from another thread, until it exits."""

    def __init__(self, client: Client, size: int) -> None:
        self.failed: list[BaseException] = []
        self.answered = 0
        self._client = client
        self._ended = threading.Event()
        self._slots = threading.Semaphore(size)
        self._thread = threading.Thread(target=self._run)
        self._sent = 0
        self._size = size

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for _ in range(self._size):
            assert self._slots.acquire(timeout=60)

    def _run(self) -> None:
        while not self._ended.is_set():
            if self._slots.acquire(timeout=0.1):
                self._sent += 1
                asked = question(str(self._sent), affinity=f"image {self._sent // 4}")
                self._client.submit(asked).add_done_callback(self._done)

    def _done(self, future: Any) -> None:
        if future.exception():
            self.failed.append(future.exception())
        else:
            self.answered += 1
        self._slots.release()


def wait_for(true: Callable[[], bool], within_s: float) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


def test_the_window_is_filled_and_never_exceeded(start: Start, client: Make) -> None:
    servers = [start() for _ in range(2)]
    for server in servers:
        server.delay_s = 0.02
    asking = client(*servers, window=5)
    assert asking.window == 10
    for future in [asking.submit(question(str(i), affinity=str(i))) for i in range(200)]:
        future.result(30)
    assert [s.most_busy for s in servers] == [5, 5]
    assert asking.tally["caption"].in_flight == 0


def test_results_arrive_as_they_complete(server: FaultyServer, client: Make) -> None:
    async def slow(request: Any) -> Any:
        import asyncio

        await asyncio.sleep(1.0)
        return await says('{"ok": false}')(request)

    server.on_question["slow"] = slow
    asking = client(server)
    futures = {asking.submit(question("slow" if i == 0 else str(i))): i for i in range(40)}
    order = [futures[future] for future in as_completed(futures, 30)]
    assert order[-1] == 0


def test_questions_on_one_image_go_to_one_endpoint(start: Start, client: Make) -> None:
    servers = [start() for _ in range(4)]
    asking = client(*servers, window=24)
    growing = [asking.submit(question("grow", f"other {number}")) for number in range(400)]
    for future in growing:
        future.result(30)
    for server in servers:
        server.asked.clear()
    for turn in range(4):
        futures = [asking.submit(question(f"image {i}.", f"image {i}")) for i in range(24)]
        for future in futures[turn:] + futures[:turn]:
            future.result(30)
    endpoints: dict[str, Counter[int]] = {}
    for number, server in enumerate(servers):
        for asked in server.asked:
            endpoints.setdefault(asked["messages"][0]["content"], Counter())[number] += 1
    assert len(endpoints) == 24
    assert all(len(where) == 1 for where in endpoints.values())
    assert all(server.asked for server in servers), "the images are not distributed"


def test_an_idle_endpoint_serves_the_queue_of_another(start: Start, client: Make) -> None:
    servers = [start() for _ in range(2)]
    for server in servers:
        server.delay_s = 0.05
    asking = client(*servers, window=4)
    futures = [asking.submit(question(str(i), affinity="the same")) for i in range(40)]
    for future in futures:
        future.result(30)
    assert min(len(s.asked) for s in servers) >= 12


def test_refused_connections_use_up_no_attempts(start: Start, client: Make) -> None:
    healthy, dead = start(), start()
    healthy.delay_s = 0.02
    dead.stop()
    asking = client(dead, healthy, attempts=1)
    futures = [asking.submit(question(str(i), affinity=str(i))) for i in range(300)]
    for future in futures:
        assert future.result(60).value == {"ok": True}


def test_traffic_avoids_a_dead_endpoint_until_it_recovers(start: Start, client: Make) -> None:
    healthy, unhealthy = start(), start()
    healthy.delay_s = unhealthy.delay_s = 0.02
    with Traffic(client(healthy, unhealthy), 32) as traffic:
        wait_for(lambda: unhealthy.answered > 20, 10)
        unhealthy.stop()
        before = traffic.answered
        wait_for(lambda: traffic.answered > before + 300, 10)
        unhealthy.start()
        before = unhealthy.answered
        wait_for(lambda: unhealthy.answered > before + 50, 10)
        wait_for(lambda: unhealthy.busy > 1, 10)  # all its slots, no longer one at a time
    assert traffic.failed == []


@pytest.mark.slow
@pytest.mark.parametrize("fault", [status(500), status(503), status(404), says("x", model="other")])
def test_traffic_avoids_a_failing_endpoint_until_it_recovers(
    fault: Any, start: Start, client: Make
) -> None:
    healthy, unhealthy = start(), start()
    healthy.delay_s = 0.02
    with Traffic(client(healthy, unhealthy, attempts=6), 32) as traffic:
        wait_for(lambda: unhealthy.answered > 20, 10)
        unhealthy.always = fault
        time.sleep(1.0)  # by now it cools down between single requests
        asked, before = len(unhealthy.asked), traffic.answered
        wait_for(lambda: traffic.answered > before + 300, 10)
        assert len(unhealthy.asked) - asked < 10
        unhealthy.always = None
        before = unhealthy.answered
        wait_for(lambda: unhealthy.answered > before + 50, 10)
    assert traffic.failed == []


def test_a_slow_endpoint_delays_only_its_own_requests(start: Start, client: Make) -> None:
    healthy, slow = start(), start()
    healthy.delay_s, slow.delay_s = 0.02, 0.02
    with Traffic(client(healthy, slow), 32) as traffic:
        wait_for(lambda: slow.answered > 20, 10)
        slow.delay_s = 1.0
        time.sleep(0.3)
        before, at, slowly = traffic.answered, healthy.answered, slow.answered
        wait_for(lambda: traffic.answered > before + 500, 20)
        share = (slow.answered - slowly) / (traffic.answered - before)
        assert share < 0.25
        assert healthy.answered - at > 400
        assert healthy.most_busy == 8
        slow.delay_s = 0.02
        before = slow.answered
        wait_for(lambda: slow.answered > before + 100, 10)
    assert traffic.failed == []


def test_a_hanging_endpoint_fails_no_request(start: Start, client: Make) -> None:
    healthy, hanging = start(), start()
    healthy.delay_s = 0.02
    with Traffic(client(healthy, hanging, timeout_s=1.0), 32) as traffic:
        wait_for(lambda: hanging.answered > 20, 10)
        hanging.always = hang
        before = traffic.answered
        wait_for(lambda: traffic.answered > before + 300, 15)
        hanging.always = None
        before = hanging.answered
        wait_for(lambda: hanging.answered > before + 50, 15)
    assert traffic.failed == []


@pytest.mark.slow
@pytest.mark.parametrize("fault", [None, status(502), status(503), status(503, Retry_After="1")])
def test_work_resumes_at_once_after_a_short_outage(
    fault: Any, server: FaultyServer, client: Make
) -> None:
    server.delay_s = 0.02
    with Traffic(client(server, attempts=2), 10) as traffic:
        wait_for(lambda: server.answered > 20, 10)
        if fault is None:
            server.stop()
        server.always = server.list_fault = fault
        time.sleep(4.0)
        if fault is None:
            server.start()
        server.always = server.list_fault = None
        before = server.answered
        wait_for(lambda: server.answered > before + 100, 10)
    assert traffic.failed == []


@pytest.mark.slow
@pytest.mark.parametrize("gone", ["dead", "refuses", "busy", "hangs", "another model"])
def test_a_long_outage_stops_the_build_without_rejects(
    gone: str, start: Start, client: Make
) -> None:
    servers = [start() for _ in range(2)]
    asking = client(*servers, outage_s=2.0, timeout_s=0.5, attempts=2)
    faults = {
        "refuses": status(503),
        "busy": status(429),
        "hangs": hang,
        "another model": says("x", model="other"),
    }
    for server in servers:
        if gone == "dead":
            server.stop()
        else:
            server.always = faults[gone]
            server.list_fault = (
                status(200, b'{"data": [{"id": "other"}]}') if gone[0] == "a" else faults[gone]
            )
    futures = [asking.submit(question(str(i), affinity=str(i))) for i in range(100)]
    for future in futures:
        with pytest.raises(
            FinehardError,
            match="(no model server answered for|refuses every request).* same command",
        ):
            future.result(30)
    assert "\n" not in str(futures[0].exception())


def test_a_server_that_was_given_up_stops_the_build_at_once(
    server: FaultyServer, client: Make
) -> None:
    def check() -> None:
        raise FinehardError("the server crashed 3 times in a row: out of memory")

    asking = client(server, check=check, outage_s=300.0)
    server.stop()
    futures = [asking.submit(question(str(i))) for i in range(40)]
    for future in futures:
        with pytest.raises(FinehardError, match="crashed 3 times"):
            future.result(30)


def test_one_good_endpoint_passes_the_check(start: Start, client: Make) -> None:
    healthy, dead = start(), start()
    dead.stop()
    client(dead, healthy).check()
    healthy.stop()
    with pytest.raises(FinehardError, match="no model server at"):
        client(dead, healthy).check()


def test_a_client_without_endpoints_is_an_error(client: Make) -> None:
    with pytest.raises(FinehardError, match="has no endpoints: set its endpoints"):
        client()


@pytest.mark.slow
@pytest.mark.parametrize("fault", [status(500), hang], ids=["500", "hangs"])
def test_many_bad_requests_are_not_an_outage(
    fault: Any, server: FaultyServer, client: Make
) -> None:
    server.on_question["poison"] = fault
    asking = client(server, outage_s=4.0, timeout_s=0.5, attempts=4)
    futures = [asking.submit(question(f"poison {i}", affinity=str(i))) for i in range(20)]
    for future in futures:
        with pytest.raises(RequestFailed):
            future.result(60)

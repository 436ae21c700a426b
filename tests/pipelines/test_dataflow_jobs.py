"""A job on Dataflow is found again and cancelled, by a server that answers as Dataflow does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from finehard.beam import jobs, run
from finehard.errors import FinehardError
from finehard.serve.replica import free_port
from finehard.state.current_run import Job

JOB = Job("DataflowRunner", "2026-1", "finehard-1", project="mine", region="us-central1")
PATH = "/v1b3/projects/mine/locations/us-central1/jobs/"


class Dataflow(ThreadingHTTPServer):
    """Knows one job."""

    def __init__(self) -> None:
        self.job = {"id": JOB.id, "currentState": "JOB_STATE_RUNNING"}
        super().__init__(("localhost", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Dataflow

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        known = self.path.partition("?")[0] == PATH + JOB.id
        self._answer(200 if known else 404, self.server.job if known else {})

    def do_PUT(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path.partition("?")[0] == PATH + JOB.id
        self.server.job["requestedState"] = asked["requestedState"]
        self._answer(200, self.server.job)

    def _answer(self, code: int, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def dataflow() -> Iterator[Dataflow]:
    with Dataflow() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def parsed(port: int) -> Any:
    return run.options(
        ["--runner=DataflowRunner", "--no_auth", f"--dataflow_endpoint=http://localhost:{port}"]
    )


def test_a_live_job_on_dataflow_is_found_and_cancelled(dataflow: Dataflow) -> None:
    options = parsed(dataflow.server_address[1])
    found = jobs.find(JOB, options)
    assert found is not None and jobs.is_live(found) and jobs.is_running(found)
    assert jobs.job_of(found, options, "DataflowRunner") is not None
    found.cancel()
    assert dataflow.job["requestedState"] in (5, "JOB_STATE_CANCELLED")
    dataflow.job["currentState"] = "JOB_STATE_CANCELLING"
    assert not jobs.is_live(found) and jobs.is_cancelled(found)


def test_an_unknown_job_on_dataflow_is_told_at_once(dataflow: Dataflow) -> None:
    assert jobs.find(JOB._replace(id="2026-2"), parsed(dataflow.server_address[1])) is None


def test_dataflow_out_of_reach_is_no_unknown_job() -> None:
    with pytest.raises(FinehardError, match="cannot ask about job 2026-1 at mine/us-central1"):
        jobs.find(JOB, parsed(free_port()))

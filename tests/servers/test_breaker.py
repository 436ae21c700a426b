"""A server that refuses everything from some request on ends the build, and costs no record."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.world import build, manifest, sums
from tests.servers.asked import Asked
from tests.servers.server import Dialect, Response, StrictServer
from tests.servers.test_dialects import settings, source

FROM = 40
"""The first request that is refused: in the middle of the build."""

pytestmark = pytest.mark.slow


def _error(code: int, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "code": code, "type": "invalid_request_error"}}


REFUSALS: dict[str, Response] = {
    "400": (400, _error(400, "The deployment was changed.")),
    "401": (401, _error(401, "Incorrect API key provided.")),
    "402": (402, _error(402, "Insufficient credits.")),
    "403": (403, _error(403, "Key limit exceeded.")),
    "404": (404, _error(404, "The model was removed.")),
    "422": (422, _error(422, "Input is not accepted.")),
    "200 with 402": (200, _error(402, "Insufficient credits.")),
    "200 with 400": (200, _error(400, "The provider does not take this.")),
    "200 with 502": (200, _error(502, "Provider returned error")),
}


def _server(refuse: Callable[[Asked, int], Response | None]) -> Dialect:
    return Dialect("breaking", refuse)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The input of all builds here: its path is in the shards."""
    return source(tmp_path_factory.mktemp("in"))


@pytest.fixture(scope="module")
def whole(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The sums of a build that nothing came in the way of."""
    folder = tmp_path_factory.mktemp("whole")
    with StrictServer(_server(lambda asked, number: None)) as server:
        done = build(settings(folder, server, server), pictures, folder / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    return sums(folder / "out")


@pytest.mark.parametrize("said", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_server_that_refuses_all_ends_the_build(
    tmp_path: Path, pictures: Path, whole: dict[str, str], said: Response
) -> None:
    broken = True
    output = tmp_path / "out"
    refusing = _server(lambda asked, number: said if broken and number >= FROM else None)
    with StrictServer(refusing) as server:
        chosen = settings(tmp_path, server, server)
        done = build(chosen, pictures, output)
        assert done.returncode == 1, done.stdout + done.stderr
        assert server.times[-1] - server.times[FROM - 1] < 60, "seconds from the first refusal on"
        [line] = re.findall(r"^finehard: .*$", done.stderr, re.MULTILINE)
        assert said[1]["error"]["message"] in line
        assert "Traceback" not in done.stderr
        broken = False
        asked_before = len(server.asked)
        done = build(chosen, pictures, output)
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(server.asked) > asked_before
    assert manifest(output)["counts"]["rejected"] == 0
    assert sums(output) == whole


def test_one_refused_record_of_many_is_a_reject(tmp_path: Path, pictures: Path) -> None:
    refused = 400, _error(400, "This picture is not accepted.")

    def refuse(asked: Asked, number: int) -> Response | None:
        return refused if (123, 45) in asked.sizes else None

    with StrictServer(_server(refuse)) as server:
        done = build(settings(tmp_path, server, server), pictures, tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert manifest(tmp_path / "out")["rejects"] == {"request_refused": 1}

"""A simulated server for a module, well at the start of each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.world import Faulty, faulty


@pytest.fixture(scope="module")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    with faulty(tmp_path_factory.mktemp("server") / "answered.log") as running:
        yield running


@pytest.fixture
def server(_running: Faulty) -> Faulty:
    """The server, whose log begins anew."""
    _running.control(faults=0.0, sticky=False, slower=1.0)
    _running.log.write_text("")
    return _running

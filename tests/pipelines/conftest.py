"""A simulated server for a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipelines.world import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A simulated model server; 10 to 50 ms an answer."""
    running = Server(tmp_path / "answered.log")
    yield running
    running.close()

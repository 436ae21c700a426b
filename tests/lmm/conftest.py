"""Fixtures for servers and clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from finehard.lmm.client import Client
from finehard.lmm.config import ModelConfig
from finehard.lmm.question import Question
from finehard.schemas import ReplySchema
from tests.lmm.faulty_server import MODEL, FaultyServer

SCHEMA = ReplySchema(
    {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
        "additionalProperties": False,
    }
)


def question(text: str = "well?", affinity: str = "") -> Question:
    """Returns a question whose only valid replies are {"ok": true} and {"ok": false}."""
    return Question("caption", text, SCHEMA, 64, affinity=affinity)


@pytest.fixture
def start() -> Iterator[Callable[[], FaultyServer]]:
    """A function that starts a server, stopped after the test."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(FaultyServer())


@pytest.fixture
def server(start: Callable[[], FaultyServer]) -> FaultyServer:
    """One server."""
    return start()


@pytest.fixture
def client() -> Iterator[Callable[..., Client]]:
    """A function that makes a client of servers, with short waits; closed after the test."""
    with ExitStack() as stack:

        def make(*servers: FaultyServer, check: Any = None, **settings: Any) -> Client:
            settings = {"timeout_s": 2.0, "window": 8, "attempts": 3, "outage_s": 20.0, **settings}
            endpoints = tuple(s.url for s in servers)
            made = Client(ModelConfig(model=MODEL, endpoints=endpoints, **settings), check)
            stack.callback(made.close)
            return made

        yield make

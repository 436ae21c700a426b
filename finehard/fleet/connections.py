"""An HTTP session whose connections are given up within seconds when a server is gone."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

import aiohttp

from finehard.fleet.sockets import WATCH_S, Sockets

MAX_BODY = 4 << 20
"""The most bytes read of a response; no valid one is longer."""

CONNECT_S = 5.0
"""The longest that making a connection may take."""

NOT_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""Errors of connections that were not made."""

FAILURES = (aiohttp.ClientError, TimeoutError, OSError)
"""All that an exchange can raise."""

_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")


class TooLong(Exception):
    """A response has more bytes than any valid one."""


class Connections:
    """The session of a fleet's connections, made on first use. Used on one event loop only."""

    def __init__(
        self, timeout_s: float, headers: Mapping[str, str] | None = None, trust_env: bool = False
    ) -> None:
        self._timeout_s = timeout_s
        # compressed responses are neither requested nor read: they could be decompression bombs
        self._headers = {"Accept-Encoding": "identity", **(headers or {})}
        self._trust_env = trust_env
        self._session: aiohttp.ClientSession | None = None
        self._sockets = Sockets()

    def session(self) -> aiohttp.ClientSession:
        """Returns the session."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, keepalive_timeout=30, socket_factory=self._sockets.make
                ),
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(
                    total=self._timeout_s, sock_connect=min(CONNECT_S, self._timeout_s)
                ),
                auto_decompress=False,
                trust_env=self._trust_env,
            )
            self._watch(self._session)
        return self._session

    async def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _watch(self, session: aiohttp.ClientSession) -> None:
        """Breaks dead connections every second until `session` is closed."""
        if not session.closed:
            self._sockets.break_dead()
            asyncio.get_running_loop().call_later(WATCH_S, self._watch, session)


async def read_body(response: aiohttp.ClientResponse) -> bytes:
    """Returns the body of `response`. Raises `TooLong` beyond `MAX_BODY` bytes, or as aiohttp."""
    chunks, length = [], 0
    async for chunk in response.content.iter_chunked(1 << 16):
        chunks.append(chunk)
        length += len(chunk)
        if length > MAX_BODY:
            response.close()
            raise TooLong(f"the response has more than {MAX_BODY} bytes")
    return b"".join(chunks)


def is_lost(failure: Exception) -> bool:
    """Returns whether a connection broke before a response, or was not made at all."""
    if isinstance(failure, NOT_CONNECTED):
        return True
    broken = isinstance(failure, (aiohttp.ClientConnectionError, OSError))
    return broken and not isinstance(failure, TimeoutError)


def describe(failure: BaseException) -> str:
    """Returns what failed, in a few words."""
    if isinstance(failure, TimeoutError):
        return "timed out"
    text = " ".join(str(failure).split())
    return f"{type(failure).__name__}: {text[:120]}" if text else type(failure).__name__


def retry_after(response: aiohttp.ClientResponse) -> float | None:
    """Returns the pause in seconds that an overloaded server asks for; None if it names none."""
    value = response.headers.get("Retry-After", "")
    return min(float(value), 300.0) if _SECONDS.fullmatch(value) else None

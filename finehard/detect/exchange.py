"""One HTTP exchange with one server of the detector, and what its failure says."""

from __future__ import annotations

import io
from typing import Any, Literal, NamedTuple

import aiohttp
import orjson

from finehard.detect.boxes import Detection
from finehard.detect.service import DETECT, IDENTITY
from finehard.errors import FinehardError
from finehard.fleet.connections import (
    FAILURES,
    NOT_CONNECTED,
    Connections,
    TooLong,
    describe,
    is_lost,
    read_body,
    retry_after,
)

IDENTITY_S = 15.0
"""The longest that a server may take to tell its identity."""

Kind = Literal["busy", "away", "broken", "timeout", "server", "stranger", "image"]


class Asked(NamedTuple):
    """An image's bytes, the phrases to detect, and the same name for the same image."""

    image: bytes
    phrases: list[str]
    affinity: str


class Failed(Exception):
    """An exchange that brought no boxes.

    busy        turned away, for `retry_after_s`
    away        not connected, or the server stops
    broken      the connection broke before the response
    timeout     no response in time
    server      an error of the server's
    stranger    no server of this detector
    image       the detector failed on this image
    """

    def __init__(self, kind: Kind, line: str, retry_after_s: float = 0.0) -> None:
        super().__init__(line)
        self.kind = kind
        self.retry_after_s = retry_after_s


class DetectorFault(FinehardError):
    """The detector itself is at fault: it would fail on every image."""


class Exchange:
    """The connections to a detector's servers. Used on one event loop only.

    `expected` is the digest of the description that boxes are wanted of.
    """

    def __init__(self, timeout_s: float, max_side: int = 0, expected: str = "") -> None:
        self._connections = Connections(timeout_s)
        self._max_side = max_side
        self._expected = expected

    async def close(self) -> None:
        """Closes the connections."""
        await self._connections.close()

    async def identity(self, url: str) -> dict[str, Any]:
        """Returns what the server at `url` tells of itself. Raises `Failed`."""
        timeout = aiohttp.ClientTimeout(total=IDENTITY_S)
        session = self._connections.session()
        try:
            async with session.get(url + IDENTITY, timeout=timeout) as response:
                told = await _answer(url, response)
        except FAILURES as failure:
            raise _failed(url, failure) from None
        if not isinstance(told.get("detector"), dict):
            raise Failed("stranger", f"{url} is no detector of finehard's")
        return told

    async def detect(self, url: str, asked: Asked) -> list[Detection]:
        """Returns the boxes that the server at `url` finds.

        Raises `Failed`, or `DetectorFault` where every image would fail.
        """
        form = aiohttp.FormData()
        form.add_field("expected", self._expected)
        form.add_field("max_side", str(self._max_side))
        form.add_field("phrases", orjson.dumps(asked.phrases), filename="phrases")
        form.add_field("image", io.BytesIO(asked.image), filename="image")
        session = self._connections.session()
        try:
            async with session.post(url + DETECT, data=form, allow_redirects=False) as response:
                told = await _answer(url, response)
        except FAILURES as failure:
            raise _failed(url, failure) from None
        try:
            return [
                Detection(int(phrase), tuple(map(float, box)), float(score))  # type: ignore[arg-type]
                for phrase, box, score in told["boxes"]
            ]
        except (KeyError, TypeError, ValueError):
            raise Failed("server", f"{url}: the response holds no boxes") from None


def _failed(url: str, failure: Exception) -> Failed:
    line = f"{url}: {describe(failure)}"
    if isinstance(failure, NOT_CONNECTED):
        return Failed("away", line)
    if is_lost(failure):
        return Failed("broken", line)
    return Failed("timeout" if isinstance(failure, TimeoutError) else "server", line)


async def _answer(url: str, response: aiohttp.ClientResponse) -> dict[str, Any]:
    """Returns the JSON object of `response`. Raises `Failed` or `DetectorFault`, or as aiohttp."""
    try:
        data = await read_body(response)
    except TooLong as error:
        raise Failed("server", f"{url}: {error}") from None
    try:
        told = orjson.loads(data)
    except ValueError:
        told = None
    own = isinstance(told, dict)  # a proxy's answer, or another program's, is none of the server's
    status = response.status
    if status == 200:
        if not own:
            raise Failed("stranger", f"{url} is no detector of finehard's")
        return dict(told)
    words = told["error"] if own and isinstance(told.get("error"), str) else _words(data)
    line = f"{url} answered {status}: {words}"
    if own and told.get("ends"):
        raise DetectorFault(words)
    wait_s = retry_after(response)
    if status == 429 or (status == 503 and wait_s is not None):
        raise Failed("busy", line, wait_s or 1.0)
    if status in (502, 503, 504):
        raise Failed("away", line)
    if status >= 500:
        raise Failed("server", line)
    if own and status == 422:
        raise Failed("image", words)
    if own and status in (400, 413, 415):
        raise Failed("image", line)
    raise Failed("stranger", line)


def _words(data: bytes) -> str:
    return " ".join(data[:200].decode("utf-8", "replace").split())

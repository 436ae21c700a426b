"""The faults of a model server that `bench.simulated_server` can show, one function each.

A fault gets the request and the body of the right reply, and answers in its place.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

Fault = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


def _status(code: int, **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def fault(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        return web.Response(body=b"sorry", status=code, headers=named)

    return fault


def _bytes(make: Callable[[bytes], bytes]) -> Fault:
    async def fault(_: web.Request, reply: dict[str, Any]) -> web.StreamResponse:
        return web.Response(body=make(json.dumps(reply).encode()))

    return fault


def _content(make: Callable[[str], str], finish_reason: str = "stop", **fields: Any) -> Fault:
    async def fault(_: web.Request, reply: dict[str, Any]) -> web.StreamResponse:
        content = make(reply["choices"][0]["message"]["content"])
        message = {"role": "assistant", "content": content}
        choice = {"message": message, "finish_reason": finish_reason}
        return web.json_response({**reply, "choices": [choice], **fields})

    return fault


async def reset(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
    """Breaks the connection without an answer."""
    assert request.transport is not None
    request.transport.abort()
    raise asyncio.CancelledError


async def hang(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
    """Never answers."""
    await asyncio.sleep(3600)
    raise AssertionError


async def half(request: web.Request, reply: dict[str, Any]) -> web.StreamResponse:
    """Announces the whole reply but sends half of it."""
    body = json.dumps(reply).encode()
    response = web.StreamResponse(headers={"Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    assert request.transport is not None
    request.transport.close()
    return response


async def endless(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
    """Sends for as long as the client reads."""
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):  # the client stopped reading
        while True:
            await response.write(b" " * 65536)
    return response


FAULTS: dict[str, Fault] = {
    "429": _status(429),
    "429-wait": _status(429, Retry_After="1"),
    "500": _status(500),
    "502": _status(502),
    "503": _status(503),
    "503-wait": _status(503, Retry_After="1"),
    "400": _status(400),
    "reset": reset,
    "hang": hang,
    "half": half,
    "endless": endless,
    "utf8": _bytes(lambda body: body[:20] + b"\xff\xfe\x80" + body[20:]),
    "json": _bytes(lambda body: body[:-2] + b",}"),
    "list": _bytes(lambda _: b"[1, 2]"),
    "shape": _bytes(lambda _: b'{"choices": {"message": 7}}'),
    "schema": _content(lambda _: '{"something": "else"}'),
    "prose": _content(lambda _: "Sure! Here is what I see."),
    "cut": _content(lambda text: text[: len(text) // 2], "length"),
    "empty": _content(lambda _: ""),
    "model": _content(lambda text: text, model="another"),
}
"""All faults by name."""

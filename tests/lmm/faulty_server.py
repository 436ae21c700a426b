"""A model server on a real socket with scripted faults, request by request.

    with FaultyServer() as server:
        server.script = [status(500), reset, None]     # the next three requests

A fault is a coroutine function of the request; None gives a valid reply. `always` applies to every
request after the end of the script.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

MODEL = "tiny"

Fault = Callable[[web.Request], Awaitable[web.StreamResponse]]


def completion(content: Any = '{"ok": true}', **fields: Any) -> dict[str, Any]:
    """Returns the body of a reply; `fields` replace or add keys."""
    return {
        "model": MODEL,
        "choices": [
            {"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 3},
        **fields,
    }


def says(content: Any, finish_reason: str = "stop", **fields: Any) -> Fault:
    """Replies 200 with this content."""
    body = completion(content, **fields)
    body["choices"][0]["finish_reason"] = finish_reason
    return raw(json.dumps(body).encode())


def raw(body: bytes, code: int = 200, **headers: str) -> Fault:
    """Replies with these bytes. `Retry_After="1"` sets the header Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def fault(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, status=code, headers=named)

    return fault


def status(code: int, body: bytes = b"sorry", **headers: str) -> Fault:
    """Replies with an error status."""
    return raw(body, code, **headers)


async def reset(request: web.Request) -> web.StreamResponse:
    """Resets the connection without a reply."""
    assert request.transport is not None
    request.transport.abort()
    raise asyncio.CancelledError


async def hang(_: web.Request) -> web.StreamResponse:
    """Never replies."""
    await asyncio.sleep(3600)
    raise AssertionError


async def half(request: web.Request) -> web.StreamResponse:
    """Announces more bytes than it sends."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"choices": [{"message"')
    assert request.transport is not None
    request.transport.close()
    return response


async def endless(request: web.Request) -> web.StreamResponse:
    """Sends bytes without end."""
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    while True:
        await response.write(b" " * 65536)


class FaultyServer:
    """The server, in its own thread on a free port. Its attributes may be set at any time."""

    def __init__(self) -> None:
        self.script: deque[Fault | None] = deque()
        self.always: Fault | None = None
        self.on_question: dict[str, Fault] = {}
        """Text -> the fault of every request that contains it."""
        self.delay_s = 0.0
        self.list_fault: Fault | None = None
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.answered = 0
        self.busy = 0
        self.most_busy = 0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._runner: web.AppRunner | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}/v1"

    def play(self, *faults: Fault | None) -> None:
        """Applies these faults to the next requests."""
        self.script.extend(faults)

    def start(self) -> None:
        """Starts to listen, on the previous port after `stop`."""
        self._call(self._start())

    def stop(self) -> None:
        """Closes its port and all connections, like a killed server."""
        self._call(self._stop())

    def __enter__(self) -> FaultyServer:
        self._thread.start()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    async def _start(self) -> None:
        app = web.Application(client_max_size=1 << 28)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        if self._runner is not None:
            for connection in list(self._runner.server.connections if self._runner.server else ()):
                if connection.transport is not None:
                    connection.transport.abort()
            await self._runner.cleanup()
            self._runner = None
            handlers = asyncio.all_tasks() - {asyncio.current_task()}
            for task in handlers:
                task.cancel()
            await asyncio.gather(*handlers, return_exceptions=True)

    async def _models(self, request: web.Request) -> web.StreamResponse:
        if self.list_fault is not None:
            return await self.list_fault(request)
        return web.json_response({"object": "list", "data": [{"id": MODEL}]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.times.append(time.monotonic())
        asked = await request.json()
        self.asked.append(asked)
        self.headers.append(dict(request.headers))
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        try:
            fault = self.script.popleft() if self.script else self.always
            text = json.dumps(asked["messages"])
            fault = next((f for part, f in self.on_question.items() if part in text), fault)
            await asyncio.sleep(self.delay_s)
            if fault is not None:
                return await fault(request)
            self.answered += 1
            return web.json_response(completion())
        finally:
            self.busy -= 1

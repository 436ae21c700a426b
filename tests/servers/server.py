"""A strict server of one dialect on a thread: it answers what its dialect allows, and no more."""

from __future__ import annotations

import asyncio
import json
import math
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.servers.asked import Asked

Response = tuple[int, Any]
"""Status and body; a body that is a string is sent as it is."""


@dataclass(frozen=True)
class Dialect:
    """How a kind of server behaves.

    `refuse` returns what a request is refused with, or None; it is given the request and its
    number, from 1. `reply` may change the body of a good reply. `models` are the names that
    /models lists, None where there is no such path, and empty where it fails. `served` is the name
    in replies, where that is not the one asked for.
    """

    name: str
    refuse: Callable[[Asked, int], Response | None] = lambda asked, number: None
    reply: Callable[[Asked, dict[str, Any]], dict[str, Any]] = lambda asked, body: body
    model: str = "qwen2.5-vl-7b"
    served: str | None = None
    models: tuple[str, ...] | None = ("qwen2.5-vl-7b",)
    key: str | None = None
    """The API key that it demands."""


class StrictServer:
    """A server of `dialect`; `url` is its base URL. `asked` holds the requests it answered,
    `refused` the bodies of its refusals."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.requests = 0
        self.times: list[float] = []
        """When each request came (time.monotonic)."""
        self.asked: list[Asked] = []
        self.refused: list[Response] = []
        self.stages: Counter[str | None] = Counter()
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> StrictServer:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    async def _start(self) -> None:
        app = web.Application(client_max_size=1 << 28)
        app.router.add_post("/v1/chat/completions", self._chat)
        if self.dialect.models is not None:
            app.router.add_get("/v1/models", self._models)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def _models(self, request: web.Request) -> web.Response:
        if refusal := self._wrong_key(request):
            return _response(*refusal)
        if not self.dialect.models:
            return _response(500, "Internal Server Error")
        data = [{"id": name, "object": "model"} for name in self.dialect.models]
        return _response(200, {"object": "list", "data": data})

    async def _chat(self, request: web.Request) -> web.Response:
        if refusal := self._wrong_key(request):
            return _response(*refusal)
        asked = Asked(await request.json())
        self.requests += 1
        self.times.append(time.monotonic())
        if asked.body["model"] != self.dialect.model:
            said = f"The model `{asked.body['model']}` does not exist"
            refusal = 404, {"error": {"message": said, "code": "model_not_found"}}
        else:
            refusal = self.dialect.refuse(asked, self.requests)
        if refusal:
            self.refused.append(refusal)
            return _response(*refusal)
        self.asked.append(asked)
        self.stages[asked.stage] += 1
        return _response(200, self.dialect.reply(asked, self._reply(asked)))

    def _wrong_key(self, request: web.Request) -> Response | None:
        key = self.dialect.key
        if key is None or request.headers.get("Authorization") == f"Bearer {key}":
            return None
        message = "You didn't provide an API key."
        return 401, {"error": {"message": message, "type": "invalid_request_error", "code": None}}

    def _reply(self, asked: Asked) -> dict[str, Any]:
        text = asked.answer()
        choice: dict[str, Any] = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": "stop",
            "logprobs": None,
        }
        if asked.body.get("logprobs"):
            choice["logprobs"] = {"content": logprobs(text, asked.body.get("top_logprobs") or 0)}
        return {
            "id": f"chatcmpl-{self.requests}",
            "object": "chat.completion",
            "model": self.dialect.served or asked.body["model"],
            "choices": [choice],
            "usage": {
                "prompt_tokens": asked.prompt_tokens,
                "completion_tokens": len(text) // 4,
                "total_tokens": asked.prompt_tokens + len(text) // 4,
            },
        }


def logprobs(text: str, top: int) -> list[dict[str, Any]]:
    """The log-probabilities of a reply; yes and no are nearly certain."""
    other = {"yes": "no", "no": "yes"}
    content = []
    for token in re.findall(r"\w+|\W", text):
        tops = [(token, math.log(0.95)), (other.get(token, " "), math.log(0.04))][:top]
        content.append(
            {
                "token": token,
                "logprob": math.log(0.95),
                "bytes": list(token.encode()),
                "top_logprobs": [{"token": t, "logprob": p} for t, p in tops],
            }
        )
    return content


def _response(status: int, body: Any) -> web.Response:
    if isinstance(body, str):
        return web.Response(text=body, status=status, content_type="text/html")
    return web.Response(text=json.dumps(body), status=status, content_type="application/json")

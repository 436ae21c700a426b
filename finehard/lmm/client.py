"""The client: a window of requests in flight, retried where that can help, replies always checked.

One client per process and model. It runs on an event loop in a thread of its own, so that requests
go on while the pipeline's thread decodes images.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import aiohttp
import orjson

from finehard.errors import FinehardError, UsageError
from finehard.lmm.choices import probabilities
from finehard.lmm.fleet import ILL_AFTER, Endpoint, Fleet
from finehard.lmm.question import Answer, Question, RequestFailed, messages
from finehard.lmm.reply import InvalidReply, parse_reply
from finehard.records import Usage

MAX_BODY = 4 << 20
"""Bytes of a reply that are read at most: no honest reply is longer."""

CHECK_S = 2.0
"""Seconds between looks at whether a failing server was given up."""

_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")

ASK_AGAIN = (
    "That reply is not usable: {why}. "
    "Answer again, with the JSON that was asked for and nothing else."
)


@dataclass(frozen=True)
class ModelConfig:
    """A model and where it is served."""

    model: str = ""
    revision: str | None = None
    endpoints: tuple[str, ...] = ()
    """Base URLs ending in /v1; empty when `server` starts one."""
    api_key_env: str | None = None
    """Environment variable that holds the API key; the key itself is never written anywhere."""
    window: int = 64
    """Requests in flight per endpoint and process."""
    timeout_s: float = 120.0
    """Longest wait for one reply."""
    attempts: int = 6
    """Tries of a request before its sample is rejected."""
    outage_s: float = 300.0
    """Without any success for so long, the build stops instead of rejecting everything."""
    temperature: float = 0.0
    seed: int = 0
    extra_body: dict[str, Any] = field(default_factory=dict)
    """Added to every request, for what an engine wants beyond the protocol."""

    def __post_init__(self) -> None:
        """Checks every value. Raises `UsageError`."""
        for name, least in (("window", 1), ("attempts", 1), ("timeout_s", 0.001), ("outage_s", 0)):
            value = getattr(self, name)
            if not least <= value < float("inf"):
                raise UsageError(f"models.*.{name}: {value} is not a number from {least} up")
        for url in self.endpoints:
            if not re.fullmatch(r"https?://[^\s@/]+(/[^\s@]*)?", url):
                raise UsageError(
                    f"models.*.endpoints: {url.rpartition('@')[2]!r} is not http(s)://HOST:PORT/v1 "
                    "(keys and passwords belong in the variable that api_key_env names)"
                )

    def identity(self) -> dict[str, Any]:
        """What of this changes the answers: goes into fingerprints."""
        return {
            "model": self.model,
            "revision": self.revision,
            "temperature": self.temperature,
            "seed": self.seed,
            "extra_body": self.extra_body,
        }


@dataclass
class Tally:
    """What one stage asked in this process, in this run."""

    requests: int = 0
    in_flight: int = 0
    retries: int = 0
    invalid: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Transient(Exception):
    """A failure that can pass. `reason` is for the reject; `rest_s` are the seconds to wait where
    the server said that it has too much to do."""

    def __init__(self, reason: str, detail: str, rest_s: float | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.rest_s = rest_s


@cache
def _event_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="finehard-requests", daemon=True).start()
    return loop


def _on_loop(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run_coroutine_threadsafe(coroutine, _event_loop()).result()


class Client:
    """Asks one model, on all its endpoints. Thread-safe.

    `check` is called when no server was reached; it raises `FinehardError` where that will not
    pass (a supervised server that was given up), and the build stops.
    """

    def __init__(self, config: ModelConfig, check: Callable[[], None] | None = None) -> None:
        if not config.endpoints:
            raise FinehardError(
                f"model {config.model or '?'} has no endpoint: set models.*.endpoints, or server"
            )
        self.config = config
        self._key = os.environ.get(config.api_key_env or "", "").strip()
        if config.api_key_env and not self._key:
            raise FinehardError(
                f"the environment variable {config.api_key_env} is not set: it should hold the "
                f"API key for model {config.model}"
            )
        self.tally: dict[str, Tally] = {}
        self._fleet = Fleet(list(config.endpoints), config.window)
        self._handed: deque[tuple[Question, Future[Answer]]] = deque()
        self._waking = False
        self._tasks: set[asyncio.Task[None]] = set()  # a loop holds its tasks weakly
        self._session: aiohttp.ClientSession | None = None
        self._check_server = check
        self._checked = 0.0
        self._telling: set[Endpoint] = set()

    @property
    def window(self) -> int:
        """Requests that can be in flight at once."""
        return self.config.window * len(self._fleet.endpoints)

    def submit(self, question: Question) -> Future[Answer]:
        """Asks; the future gives an `Answer`, or raises `RequestFailed` or `FinehardError`."""
        future: Future[Answer] = Future()
        self._handed.append((question, future))
        if not self._waking:  # waking the loop is a system call: one for all that wait by then
            self._waking = True
            _event_loop().call_soon_threadsafe(self._take)
        return future

    def _take(self) -> None:
        self._waking = False  # before the queue is emptied: what comes later wakes again
        while self._handed:
            task = asyncio.create_task(self._ask_for(*self._handed.popleft()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask_for(self, question: Question, future: Future[Answer]) -> None:
        try:
            answer = await self._ask(question)
        except BaseException as error:  # handed to whoever waits for the answer
            future.set_exception(error)
        else:
            future.set_result(answer)

    def check(self) -> None:
        """Raises `FinehardError` unless at least one endpoint answers and serves the model."""
        problems = [p for p in _on_loop(self._check_all()) if p]
        if len(problems) == len(self._fleet.endpoints):
            raise FinehardError(problems[0])

    def close(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            _on_loop(self._session.close())
            self._session = None

    async def _check_all(self) -> list[str | None]:
        return await asyncio.gather(*map(self._check, self._fleet.endpoints))

    async def _check(self, endpoint: Endpoint) -> str | None:
        hint = "is the server running, and is models.*.endpoints right?"
        try:
            async with self._http().get(
                f"{endpoint.url}/models",
                timeout=aiohttp.ClientTimeout(total=min(15.0, self.config.timeout_s)),
                allow_redirects=False,
            ) as response:
                body = await self._body(response)
                if response.status != 200:
                    return f"{endpoint.url}/models answered {response.status}; {hint}"
                served = [m.get("id") for m in orjson.loads(body).get("data", [])]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return f"no model server at {endpoint.url} ({_name(error)}); {hint}"
        except (ValueError, AttributeError, TypeError, _Transient):
            return f"{endpoint.url}/models gave no model list; {hint}"
        if served and self.config.model not in served:
            return f"{endpoint.url} serves {served[0]!r}, not {self.config.model!r}; {hint}"
        return None

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            authorization = {"Authorization": f"Bearer {self._key}"} if self._key else {}
            # compressed replies are not asked for and not read: they could be bombs
            plain = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
                headers=plain | authorization,
                timeout=aiohttp.ClientTimeout(
                    total=self.config.timeout_s, sock_connect=min(10.0, self.config.timeout_s)
                ),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    async def _ask(self, question: Question) -> Answer:
        tally = self.tally.setdefault(question.stage, Tally())
        asked = chat = messages(question)
        usage = Usage()
        for last in (False, False, True):  # asked again at most twice
            try:
                reply = await self._send(self._payload(question, chat), question.affinity, tally)
            except RequestFailed as failed:
                raise RequestFailed(failed.reason, failed.detail, usage) from None
            prompt_tokens, completion_tokens = _spent(reply)
            tally.prompt_tokens += prompt_tokens
            tally.completion_tokens += completion_tokens
            usage = Usage(
                usage.requests + 1,
                usage.prompt_tokens + prompt_tokens,
                usage.completion_tokens + completion_tokens,
            )
            text, cut = _content(reply)
            try:
                value = parse_reply(text, question.schema)
                if question.choices:
                    value = probabilities(value, question.choices, text, reply["choices"][0])
                return Answer(value, self.config.model, usage)
            except InvalidReply as error:
                tally.invalid += 1
                if last:
                    reason = "truncated_reply" if cut else "invalid_reply"
                    raise RequestFailed(reason, f"{error}; reply: {text[:80]!r}", usage) from None
                why = (
                    f"it was cut at {question.max_tokens} tokens; be shorter" if cut else str(error)
                )
                chat = [
                    *asked,
                    {"role": "assistant", "content": text[:2000] or "(nothing)"},
                    {"role": "user", "content": ASK_AGAIN.format(why=why)},
                ]
        raise AssertionError("unreachable")

    def _payload(self, question: Question, chat: list[dict[str, Any]]) -> bytes:
        return orjson.dumps(
            {
                "model": self.config.model,
                "messages": chat,
                "max_tokens": question.max_tokens,
                "temperature": self.config.temperature,
                "seed": self.config.seed,
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": question.stage, "schema": question.schema.value},
                },
                **({"logprobs": True, "top_logprobs": 5} if question.choices else {}),
                **self.config.extra_body,
            }
        )

    async def _send(self, body: bytes, affinity: str, tally: Tally) -> dict[str, Any]:
        """One good HTTP reply to `body`, tried on the fleet until one comes."""
        avoid: Endpoint | None = None
        first = time.monotonic()
        attempt = 0
        while True:
            started = time.monotonic()
            endpoint = await self._fleet.acquire(affinity, avoid)
            try:
                return await self._post(endpoint, body, tally)
            except _Transient as error:
                tally.retries += 1
                attempt += await self._may_be_its_fault(error, endpoint, started, first)
                last = attempt >= self.config.attempts
                if endpoint.failures >= ILL_AFTER + last:
                    await self._tell_apart(endpoint)
                if last:
                    raise RequestFailed(error.reason, str(error)) from None
                await self._give_up_if_gone(str(error), first)
                avoid = endpoint
                rest_s = min(error.rest_s or 0.0, 120.0)
            finally:
                self._fleet.release(endpoint)
            pause = min(20.0, 0.25 * 2**attempt) * random.uniform(0.5, 1.0)
            await asyncio.sleep(max(pause, rest_s))

    async def _may_be_its_fault(
        self, error: _Transient, endpoint: Endpoint, started: float, first: float
    ) -> bool:
        """Whether a failure counts against the request: not while its server is down or busy."""
        if error.rest_s is not None:
            return time.monotonic() - first > self.config.outage_s
        return self._fleet.last_success > started or await self._check(endpoint) is None

    async def _tell_apart(self, endpoint: Endpoint) -> None:
        """Asks an endpoint that seems ill something harmless: where it answers, the requests are
        poisonous. Else the last few of a build would be taken for an outage, run after run."""
        if endpoint in self._telling:
            return
        self._telling.add(endpoint)
        harmless = {
            "model": self.config.model,
            "messages": [{"role": "user", "content": "Say yes."}],
            "max_tokens": 4,
            **self.config.extra_body,
        }
        try:
            async with self._http().post(
                f"{endpoint.url}/chat/completions",
                data=orjson.dumps(harmless),
                allow_redirects=False,
            ) as response:
                data = await self._body(response)
                if response.status != 200:
                    return
            self._reply(endpoint, data)
        except (aiohttp.ClientError, TimeoutError, OSError, _Transient):
            return
        finally:
            self._telling.discard(endpoint)
        self._fleet.succeeded(endpoint)

    async def _give_up_if_gone(self, detail: str, first: float) -> None:
        now = time.monotonic()
        if self._check_server and now - self._checked > CHECK_S:
            self._checked = now
            try:
                await asyncio.to_thread(self._check_server)
            except FinehardError as error:
                self._fleet.give_up(error)
                raise
        silent = now - max(self._fleet.last_success, first)
        if silent > self.config.outage_s:
            gone = FinehardError(
                f"no model server answered for {silent:.0f} s ({detail}); everything answered so "
                "far is kept: start the server, then run the same command again"
            )
            self._fleet.give_up(gone)
            raise gone

    async def _post(self, endpoint: Endpoint, body: bytes, tally: Tally) -> dict[str, Any]:
        tally.requests += 1
        tally.in_flight += 1
        try:
            async with self._http().post(
                f"{endpoint.url}/chat/completions",
                data=body,
                allow_redirects=False,
            ) as response:
                data = await self._body(response)
                if response.status != 200:
                    raise self._refusal(endpoint, response, data)
            reply = self._reply(endpoint, data)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = "timeout" if isinstance(error, TimeoutError) else "server_error"
            self._fleet.failed(endpoint)
            raise _Transient(reason, f"{endpoint.url}: {_name(error)}") from None
        except _Transient as error:
            if error.rest_s is None:
                self._fleet.failed(endpoint)
            else:
                self._fleet.overloaded(endpoint, error.rest_s)
            raise
        except RequestFailed:
            self._fleet.succeeded(endpoint)  # it is well: the request is wrong
            raise
        finally:
            tally.in_flight -= 1
        self._fleet.succeeded(endpoint)
        return reply

    def _reply(self, endpoint: Endpoint, data: bytes) -> dict[str, Any]:
        try:
            reply = orjson.loads(data)
        except ValueError:
            reply = None
        if not isinstance(reply, dict):
            raise _Transient("server_error", f"{endpoint.url}: the reply is not a JSON object")
        served = reply.get("model")  # transformers serve says NAME@REVISION
        if served is not None and str(served).split("@")[0] != self.config.model.split("@")[0]:
            named = self._told(str(served).encode("utf-8", "replace"))
            raise _Transient("wrong_model", f"{endpoint.url} answered as {named!r}")
        return reply

    def _refusal(
        self, endpoint: Endpoint, response: aiohttp.ClientResponse, data: bytes
    ) -> Exception:
        status, rest_s = response.status, _retry_after(response)
        detail = f"{endpoint.url} answered {status}: {self._told(data)}"
        if status == 429 or (status == 503 and rest_s is not None):
            return _Transient("server_error", detail, rest_s or 1.0)
        if status == 408 or status >= 500:
            return _Transient("server_error", detail)
        if status in (401, 404) or status < 400:  # about the endpoint: another may be right
            return _Transient("request_refused", detail)
        return RequestFailed("request_refused", detail)

    def _told(self, data: bytes) -> str:
        """The beginning of what a server said, on one line, without the key it may have echoed."""
        if self._key:
            data = data.replace(self._key.encode(), b"***")
        return " ".join(data[:200].decode("utf-8", "replace").split())

    @staticmethod
    async def _body(response: aiohttp.ClientResponse) -> bytes:
        chunks, length = [], 0
        async for chunk in response.content.iter_chunked(1 << 16):
            chunks.append(chunk)
            length += len(chunk)
            if length > MAX_BODY:
                response.close()
                raise _Transient("server_error", f"a reply of more than {MAX_BODY} bytes")
        return b"".join(chunks)


def _content(reply: dict[str, Any]) -> tuple[str, bool]:
    """The text of a reply, "" where there is none, and whether it was cut at max_tokens."""
    try:
        choice = reply["choices"][0]
        text = choice["message"]["content"]
        return text if isinstance(text, str) else "", choice.get("finish_reason") == "length"
    except (KeyError, IndexError, TypeError):
        return "", False


def _spent(reply: dict[str, Any]) -> tuple[int, int]:
    """Prompt and completion tokens, as far as the server says."""
    usage = reply.get("usage")
    if not isinstance(usage, dict):
        return 0, 0
    return _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))


def _count(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 1 << 40 else 0


def _name(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:120]}" if text else type(error).__name__


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    value = response.headers.get("Retry-After", "")
    return min(float(value), 300.0) if _SECONDS.fullmatch(value) else None

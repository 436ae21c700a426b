"""The client: a window of requests in flight, retried where that can help, replies always checked.

One client per process and model. It runs on an event loop in a thread of its own, so that requests
go on while the pipeline's thread decodes images.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import orjson

from finehard.errors import FinehardError
from finehard.lmm.choices import probabilities
from finehard.lmm.config import ModelConfig
from finehard.lmm.fleet import ILL_AFTER, Endpoint, Fleet
from finehard.lmm.loop import event_loop, on_loop
from finehard.lmm.question import Answer, Question, RequestFailed, messages
from finehard.lmm.reply import InvalidReply, parse_reply
from finehard.lmm.transport import Transient, Transport
from finehard.records import Usage

CHECK_S = 2.0
"""Seconds between looks at whether a failing server was given up."""

ASK_AGAIN = (
    "That reply is not usable: {why}. "
    "Answer again, with the JSON that was asked for and nothing else."
)


@dataclass
class Tally:
    """What one stage asked in this process, in this run."""

    requests: int = 0
    in_flight: int = 0
    retries: int = 0
    invalid: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Client:
    """Asks one model, on all its endpoints. Thread-safe.

    `check` is called when no server was reached; it raises `FinehardError` where that will not
    pass (a supervised server that was given up), and the build stops.
    """

    def __init__(self, config: ModelConfig, check: Callable[[], None] | None = None) -> None:
        if not config.endpoints:
            raise FinehardError(
                f"model {config.model or '?'} has no endpoints: set its endpoints, or add a "
                "server section to the config"
            )
        self.config = config
        self._transport = Transport(config)
        self.tally: dict[str, Tally] = {}
        self._fleet = Fleet(list(config.endpoints), config.window)
        self._handed: deque[tuple[Question, Future[Answer]]] = deque()
        self._waking = False
        self._tasks: set[asyncio.Task[None]] = set()  # a loop holds its tasks weakly
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
            event_loop().call_soon_threadsafe(self._take)
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
        problems = [p for p in on_loop(self._check_all()) if p]
        if len(problems) == len(self._fleet.endpoints):
            raise FinehardError(problems[0])

    def close(self) -> None:
        """Closes the connections."""
        on_loop(self._transport.close())

    async def _check_all(self) -> list[str | None]:
        return await asyncio.gather(
            *(self._transport.problem(endpoint.url) for endpoint in self._fleet.endpoints)
        )

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
            except Transient as error:
                tally.retries += 1
                attempt += await self._may_be_its_fault(error, endpoint, started, first)
                last = attempt >= self.config.attempts
                if endpoint.failures >= ILL_AFTER + last:
                    await self._tell_apart(endpoint)
                if last:
                    raise RequestFailed(error.reason, str(error)) from None
                await self._give_up_if_gone(str(error), first)
                avoid = endpoint
                rest_s = min(error.retry_after_s or 0.0, 120.0)
            finally:
                self._fleet.release(endpoint)
            pause = min(20.0, 0.25 * 2**attempt) * random.uniform(0.5, 1.0)
            await asyncio.sleep(max(pause, rest_s))

    async def _may_be_its_fault(
        self, error: Transient, endpoint: Endpoint, started: float, first: float
    ) -> bool:
        """Returns whether a failure counts against the request, not against its endpoint."""
        if not error.connected:
            return False
        if error.retry_after_s is not None:
            return time.monotonic() - first > self.config.outage_s
        return (
            self._fleet.last_success > started
            or await self._transport.problem(endpoint.url) is None
        )

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
            await self._transport.chat(endpoint.url, orjson.dumps(harmless))
        except (Transient, RequestFailed):
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
                f"no model server answered for {silent:.0f} s ({detail}); all replies so far are "
                "saved: once a server answers, run the same command again"
            )
            self._fleet.give_up(gone)
            raise gone

    async def _post(self, endpoint: Endpoint, body: bytes, tally: Tally) -> dict[str, Any]:
        tally.requests += 1
        tally.in_flight += 1
        sent = time.monotonic()
        try:
            reply = await self._transport.chat(endpoint.url, body)
        except Transient as error:
            if error.retry_after_s is None:
                self._fleet.failed(endpoint)
            else:
                self._fleet.overloaded(endpoint, error.retry_after_s, sent)
            raise
        except RequestFailed:
            self._fleet.succeeded(endpoint)  # it is well: the request is wrong
            raise
        finally:
            tally.in_flight -= 1
        self._fleet.succeeded(endpoint)
        return reply


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

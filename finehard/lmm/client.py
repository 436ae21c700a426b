"""The client: concurrent requests with retries, every reply validated.

There is one client per process and model. Requests run on an event loop in another thread, so that
they go on while the pipeline's thread decodes images.
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
from finehard.lmm.fleet import UNHEALTHY_AFTER, Endpoint, Fleet
from finehard.lmm.loop import event_loop, on_loop
from finehard.lmm.message import content, token_counts
from finehard.lmm.question import Answer, Question, RequestFailed, messages
from finehard.lmm.reply import InvalidReply, parse_reply
from finehard.lmm.transport import Transient, Transport
from finehard.records import Usage

SERVER_CHECK_S = 2.0
"""Least seconds between two checks whether a failing server was given up by its supervisor."""

ASK_AGAIN = (
    "That reply is not usable: {why}. "
    "Answer again, with the JSON that was asked for and nothing else."
)


@dataclass
class Tally:
    """Counts of one stage's requests in this process and run."""

    requests: int = 0
    in_flight: int = 0
    retries: int = 0
    invalid: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Client:
    """Sends questions to one model, on all its endpoints. Thread-safe.

    `check` is called when a request fails; if it raises `FinehardError` (a supervised server was
    given up), the build stops. Raises `FinehardError` if `config` has no endpoints, or if the
    environment variable with its API key is not set.
    """

    def __init__(self, config: ModelConfig, check: Callable[[], None] | None = None) -> None:
        if not config.endpoints:
            raise FinehardError(
                f"model {config.model or '?'} has no endpoints: set its endpoints, or add a "
                "server section to the config"
            )
        self.config = config
        self.tally: dict[str, Tally] = {}
        """Counts by stage."""
        self._transport = Transport(config)
        self._fleet = Fleet(list(config.endpoints), config.window)
        self._submitted: deque[tuple[Question, Future[Answer]]] = deque()
        self._wakeup_scheduled = False
        self._tasks: set[asyncio.Task[None]] = set()  # a loop references its tasks weakly
        self._check_server = check
        self._last_server_check = 0.0
        self._probing: set[Endpoint] = set()

    @property
    def window(self) -> int:
        """The most requests in flight at once."""
        return self.config.window * len(self._fleet.endpoints)

    def submit(self, question: Question) -> Future[Answer]:
        """Sends a question; returns a future of its `Answer`.

        The future raises `RequestFailed`, or `FinehardError` if the build must stop.
        """
        future: Future[Answer] = Future()
        self._submitted.append((question, future))
        if not self._wakeup_scheduled:  # a wake-up is a system call: one serves many questions
            self._wakeup_scheduled = True
            event_loop().call_soon_threadsafe(self._start_submitted)
        return future

    def check(self) -> None:
        """Raises `FinehardError` unless at least one endpoint responds and serves the model."""
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

    def _start_submitted(self) -> None:
        self._wakeup_scheduled = False  # before the queue is emptied, so that no question is missed
        while self._submitted:
            task = asyncio.create_task(self._complete(*self._submitted.popleft()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _complete(self, question: Question, future: Future[Answer]) -> None:
        try:
            answer = await self._ask(question)
        except BaseException as error:  # raised where the future's result is read
            future.set_exception(error)
        else:
            future.set_result(answer)

    async def _ask(self, question: Question) -> Answer:
        """Asks `question`, up to three times if the replies are invalid."""
        tally = self.tally.setdefault(question.stage, Tally())
        first_chat = chat = messages(question)
        usage = Usage()
        for last in (False, False, True):
            try:
                reply = await self._send(self._payload(question, chat), question.affinity, tally)
            except RequestFailed as failed:
                raise RequestFailed(failed.reason, failed.detail, usage) from None
            prompt_tokens, completion_tokens = token_counts(reply)
            tally.prompt_tokens += prompt_tokens
            tally.completion_tokens += completion_tokens
            usage = Usage(
                usage.requests + 1,
                usage.prompt_tokens + prompt_tokens,
                usage.completion_tokens + completion_tokens,
            )
            text, truncated = content(reply)
            try:
                value = parse_reply(text, question.schema)
                if question.choices:
                    value = probabilities(value, question.choices, text, reply["choices"][0])
                return Answer(value, usage)
            except InvalidReply as error:
                tally.invalid += 1
                if last:
                    reason = "truncated_reply" if truncated else "invalid_reply"
                    raise RequestFailed(reason, f"{error}; reply: {text[:80]!r}", usage) from None
                why = str(error)
                if truncated:
                    why = f"it was cut at {question.max_tokens} tokens; be shorter"
                chat = [
                    *first_chat,
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
        """Returns the response to `body`, retried on the fleet until an endpoint gives one."""
        avoid: Endpoint | None = None
        first_sent = time.monotonic()
        attempt = 0
        while True:
            started = time.monotonic()
            endpoint = await self._fleet.acquire(affinity, avoid)
            try:
                return await self._post(endpoint, body, tally)
            except Transient as error:
                tally.retries += 1
                attempt += await self._counts_against_request(error, endpoint, started, first_sent)
                last = attempt >= self.config.attempts
                if endpoint.failures >= UNHEALTHY_AFTER + last:
                    await self._probe(endpoint)
                if last:
                    raise RequestFailed(error.reason, str(error)) from None
                await self._give_up_if_down(str(error), first_sent)
                avoid = endpoint
                retry_after_s = min(error.retry_after_s or 0.0, 120.0)
            finally:
                self._fleet.release(endpoint)
            backoff_s = min(20.0, 0.25 * 2**attempt) * random.uniform(0.5, 1.0)
            await asyncio.sleep(max(backoff_s, retry_after_s))

    async def _post(self, endpoint: Endpoint, body: bytes, tally: Tally) -> dict[str, Any]:
        """Sends `body` to `endpoint` once, and records the outcome in the fleet."""
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
            self._fleet.succeeded(endpoint)  # the endpoint is healthy, the request is wrong
            raise
        finally:
            tally.in_flight -= 1
        self._fleet.succeeded(endpoint)
        return reply

    async def _counts_against_request(
        self, error: Transient, endpoint: Endpoint, started: float, first_sent: float
    ) -> bool:
        """Returns whether a failure uses up an attempt: not if its server is down or busy."""
        if not error.connected:
            return False
        if error.retry_after_s is not None:
            return time.monotonic() - first_sent > self.config.outage_s
        return (
            self._fleet.last_success > started
            or await self._transport.problem(endpoint.url) is None
        )

    async def _probe(self, endpoint: Endpoint) -> None:
        """Sends a trivial request to a failing endpoint; if it is answered, the requests are at
        fault and the endpoint is healthy.

        Without this, the last few bad requests of a build would look like an outage in every run.
        """
        if endpoint in self._probing:
            return
        self._probing.add(endpoint)
        body = {
            "model": self.config.model,
            "messages": [{"role": "user", "content": "Say yes."}],
            "max_tokens": 4,
            **self.config.extra_body,
        }
        try:
            await self._transport.chat(endpoint.url, orjson.dumps(body))
        except (Transient, RequestFailed):
            return
        finally:
            self._probing.discard(endpoint)
        self._fleet.succeeded(endpoint)

    async def _give_up_if_down(self, detail: str, first_sent: float) -> None:
        """Raises `FinehardError`, for all requests, if the server will not recover."""
        now = time.monotonic()
        if self._check_server and now - self._last_server_check > SERVER_CHECK_S:
            self._last_server_check = now
            try:
                await asyncio.to_thread(self._check_server)
            except FinehardError as error:
                self._fleet.give_up(error)
                raise
        silent_s = now - max(self._fleet.last_success, first_sent)
        if silent_s > self.config.outage_s:
            outage = FinehardError(
                f"no model server answered for {silent_s:.0f} s ({detail}); all replies so far "
                "are saved: once a server answers, run the same command again"
            )
            self._fleet.give_up(outage)
            raise outage

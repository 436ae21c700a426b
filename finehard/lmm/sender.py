"""Sends a chat request on the fleet until an endpoint answers it, or it is known to be at fault."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import orjson

from finehard.errors import FinehardError
from finehard.fleet.fleet import Endpoint, Fleet
from finehard.lmm import dialect as dialects
from finehard.lmm.config import ModelConfig
from finehard.lmm.control import Controls
from finehard.lmm.dialect import Dialect
from finehard.lmm.message import content, token_counts
from finehard.lmm.question import Question, RequestFailed
from finehard.lmm.reply import InvalidReply, parse_reply
from finehard.lmm.transport import Refused, Transient, Transport, trivial

SERVER_CHECK_S = 2.0
"""Least seconds between two checks whether a failing server was given up by its supervisor."""

UNANSWERED = 30
"""Requests of a stage that may be given up before one of them is answered."""

BROKEN_SHARE = 0.1
"""Share of `outage_s` for which a request's connections must break, and `attempts` times at least,
before it may be at fault: it is, if the endpoint then answers another."""

LEAST_TOKENS = 16
"""A reply that may only have fewer tokens is not asked for."""


class ServerGone(FinehardError):
    """The servers of a model answer no more, for `cause`."""

    cause = ""


@dataclass
class Tally:
    """Counts of one stage's requests in this process and run."""

    requests: int = 0
    in_flight: int = 0
    retries: int = 0
    invalid: int = 0
    unusable: int = 0
    """Valid replies that were not worth keeping, and were asked for once more."""
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Request(NamedTuple):
    """What is sent next for a question, and what it was made with."""

    max_tokens: int
    dialect: Dialect
    body: dict[str, Any]
    encoded: bytes


class Sender:
    """Sends requests to one model, on all its endpoints. Used on one event loop only.

    `urls` are the endpoints to begin with. `check` is called when a request fails; if it raises
    `FinehardError` (a supervised server was given up), the build stops.
    """

    def __init__(
        self,
        config: ModelConfig,
        urls: Sequence[str],
        dialect: Dialect | None,
        check: Callable[[], None] | None,
    ) -> None:
        self.config = config
        self.dialect = dialect or dialects.configured(config)
        self.transport = Transport(config)
        self.fleet = Fleet(urls, config.window, config.timeout_s)
        self.cut: dict[str, int] = {}
        """By stage, the fewest tokens that the context's length left for a reply."""
        self._controls = Controls(self._send_control)
        self._failed: Counter[str] = Counter()
        self._proven: set[tuple[str, Dialect]] = set()
        self._check_server = check
        self._last_server_check = 0.0

    async def send(
        self, question: Question, turns: list[dict[str, Any]], tally: Tally
    ) -> dict[str, Any]:
        """Returns the response to `question`, followed by `turns` of earlier replies.

        Raises `RequestFailed` if this request is at fault, `FinehardError` if the build must stop.
        """
        avoid: Endpoint | None = None
        first_sent = time.monotonic()
        attempt = broken = 0
        broken_since = 0.0
        request = self._request(question, turns, question.max_tokens)
        while True:
            started = time.monotonic()
            endpoint = await self.fleet.acquire(question.affinity, avoid)
            if request.dialect != self.dialect:  # learnt while this one waited for a slot
                request = self._request(question, turns, request.max_tokens)
            try:
                reply = await self._post(endpoint, question.stage, request.encoded, tally)
            except (Refused, Transient) as failed:
                error: Refused | Transient = failed
            else:
                self._controls.add(question)
                self._proven.add((question.stage, request.dialect))
                return reply
            finally:
                self.fleet.release(endpoint)
            changed = self._changed(question, turns, request, error.words)
            if changed is not None:
                self.fleet.succeeded(endpoint)  # one that names a fault of the request is well
                request = changed
                continue
            tally.retries += 1
            if error.lost and error.connected:
                broken_since = broken_since or time.monotonic()
                broken += 1
            attempt += await self._counts_against_request(error, endpoint, started, first_sent)
            last = attempt >= self._attempts(error) or (
                broken >= self.config.attempts
                and time.monotonic() - broken_since > BROKEN_SHARE * self.config.outage_s
            )
            refused = isinstance(error, Refused)
            if refused and error.elsewhere and not last and self.fleet.has_other(endpoint):
                self.fleet.failed(endpoint)
            elif refused or (endpoint.unhealthy and not error.lost) or last:
                accepts = await self._controls.accepts(endpoint, question.stage, time.monotonic())
                if accepts and last:
                    self._count_failed(question.stage, error)
                    raise RequestFailed(error.reason, str(error))
                if accepts is False and (last or refused) and self.fleet.refuses(endpoint):
                    self._end(str(error), "the server refuses every request now")
            await self._give_up_if_down(str(error), first_sent)
            avoid = endpoint
            backoff_s = min(20.0, 0.25 * 2 ** min(attempt + broken, 7)) * random.uniform(0.5, 1.0)
            await asyncio.sleep(max(backoff_s, min(error.retry_after_s or 0.0, 120.0)))

    async def try_dialects(self, question: Question) -> bool:
        """Returns whether a server that refuses `question`, known to be good, without saying why
        answers it usably in another dialect, which is then used."""
        request = self._request(question, [], question.max_tokens)
        for dialect in dialects.guesses(request.dialect, self.config, request.body):
            guess = self._request(question, [], question.max_tokens, dialect)
            try:
                reply = await self.transport.chat(self.fleet.endpoints[0].url, guess.encoded)
                parse_reply(content(reply)[0], question.schema)
            except (Refused, Transient, InvalidReply):
                continue
            self.dialect = dialect
            return True
        return False

    def _request(
        self,
        question: Question,
        turns: list[dict[str, Any]],
        max_tokens: int,
        dialect: Dialect | None = None,
    ) -> _Request:
        chosen = dialect or self.dialect
        body = dialects.payload(self.config, chosen, question, turns, max_tokens)
        return _Request(max_tokens, chosen, body, orjson.dumps(body))

    def _changed(
        self, question: Question, turns: list[dict[str, Any]], request: _Request, words: str
    ) -> _Request | None:
        """Returns what to send instead of a `request` that was refused with `words`; None if they
        name nothing that can be changed."""
        if self.dialect != request.dialect:  # changed while this one was on its way
            return self._request(question, turns, request.max_tokens)
        if not words:
            return None
        tokens = dialects.room(words, request.max_tokens)
        if tokens is not None and tokens >= LEAST_TOKENS:
            self.cut[question.stage] = min(tokens, self.cut.get(question.stage, tokens))
            return self._request(question, turns, tokens)
        if (question.stage, request.dialect) in self._proven:
            return None
        dialect = dialects.adapted(request.dialect, self.config, request.body, words)
        if dialect is None:
            return None
        self.dialect = dialect
        return self._request(question, turns, request.max_tokens)

    async def _post(
        self, endpoint: Endpoint, stage: str, body: bytes, tally: Tally
    ) -> dict[str, Any]:
        """Sends `body`, a request of `stage`, to `endpoint` once, and records the outcome."""
        tally.requests += 1
        tally.in_flight += 1
        sent = time.monotonic()
        try:
            reply = await self.transport.chat(endpoint.url, body)
        except Transient as error:
            if error.retry_after_s is not None:
                self.fleet.overloaded(endpoint, error.retry_after_s, sent)
            elif error.reason == "timeout" and error.connected:
                self.fleet.timed_out(endpoint, sent)
            else:
                self.fleet.failed(endpoint)
            raise
        finally:
            tally.in_flight -= 1
        self.fleet.answered(endpoint, stage, token_counts(reply)[1], sent)
        return reply

    async def _send_control(self, endpoint: Endpoint, question: Question | None) -> None:
        if question is None:
            body = trivial(self.config, self.dialect.token_field)
        else:
            body = self._request(question, [], question.max_tokens).encoded
        sent = time.monotonic()
        await self.transport.chat(endpoint.url, body)
        self.fleet.succeeded(endpoint, sent)

    def _attempts(self, error: Refused | Transient) -> int:
        """Returns how many attempts a request has. A refusal that speaks of the request is final,
        as soon as the endpoint accepts others."""
        return self.config.attempts if error.elsewhere else 1

    async def _counts_against_request(
        self, error: Refused | Transient, endpoint: Endpoint, started: float, first_sent: float
    ) -> bool:
        """Returns whether a failure uses up an attempt: not if its server is down, busy or has
        left, and never for a lost connection, which says nothing of the request."""
        if endpoint.left and error.elsewhere:
            return False
        if isinstance(error, Refused):
            return True
        if error.lost:
            return False
        if error.retry_after_s is not None:
            return time.monotonic() - first_sent > self.config.outage_s
        return (
            self.fleet.last_success > started or await self.transport.problem(endpoint.url) is None
        )

    async def _give_up_if_down(self, detail: str, first_sent: float) -> None:
        """Raises `FinehardError`, for all requests, if the server will not recover."""
        now = time.monotonic()
        if self._check_server and now - self._last_server_check > SERVER_CHECK_S:
            self._last_server_check = now
            try:
                await asyncio.to_thread(self._check_server)
            except FinehardError as error:
                self.fleet.give_up(error)
                raise
        silent_s = now - max(self.fleet.last_success, first_sent)
        if silent_s > self.config.outage_s:
            self._end(
                f"no model server answered for {silent_s:.0f} s ({detail})", "no server answers"
            )

    def _count_failed(self, stage: str, error: Refused | Transient) -> None:
        """Counts a request that is given up, in a stage none of whose requests was answered."""
        if stage in self._controls:
            return
        self._failed[stage] += 1
        if self._failed[stage] >= UNANSWERED:
            self._end(str(error), f"no request of stage {stage} was answered")

    def _end(self, cause: str, why: str) -> NoReturn:
        """Ends the build: all requests, present and future, raise `ServerGone`."""
        error = ServerGone(
            f"{cause}; nothing was rejected for it, as {why}; all replies so far are saved: once "
            "that is mended, run the same command again"
        )
        error.cause = cause
        self.fleet.give_up(error)
        raise error

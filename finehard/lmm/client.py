"""The client: concurrent questions to a model, every reply validated.

There is one client per process and model. Requests run on an event loop in another thread, so that
they go on while the pipeline's thread decodes images.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from finehard.errors import FinehardError, typed_error_line
from finehard.fleet import endpoints
from finehard.fleet.following import follow
from finehard.fleet.loop import event_loop, on_loop
from finehard.lmm.choices import probabilities
from finehard.lmm.config import ModelConfig
from finehard.lmm.dialect import Dialect
from finehard.lmm.message import content, refusal, token_counts
from finehard.lmm.question import Answer, Question, RequestFailed
from finehard.lmm.reply import InvalidReply, RefusedInProse, parse_reply
from finehard.lmm.sender import Sender, Tally
from finehard.records import Usage

ASK_AGAIN = (
    "That reply is not usable: {why}. "
    "Answer again, with the JSON that was asked for and nothing else."
)


class Client:
    """Sends questions to one model, on all its endpoints. Thread-safe.

    `dialect` is what is known of the servers; what they refuse is left out of later requests.
    `check` is called when a request fails; if it raises `FinehardError` (a supervised server was
    given up), the build stops. Raises `FinehardError` if `config` has no endpoints, or their list
    stays empty, or if the environment variable with its API key is not set.
    """

    def __init__(
        self,
        config: ModelConfig,
        check: Callable[[], None] | None = None,
        dialect: Dialect | None = None,
    ) -> None:
        if not config.endpoints:
            raise FinehardError(
                f"model {config.model or '?'} has no endpoints: set its endpoints, or add a "
                "server section to the config"
            )
        self.config = config
        self.tally: dict[str, Tally] = {}
        """Counts by stage."""
        served = f"model {config.model!r}"
        urls = on_loop(endpoints.first(config.endpoints, served))
        self._sender = Sender(config, urls, dialect, check)
        self._submitted: deque[tuple[Question, Future[Answer]]] = deque()
        self._wakeup_scheduled = False
        self._tasks: set[asyncio.Task[None]] = set()  # a loop references its tasks weakly
        self._following = follow(self._sender.fleet, config.endpoints, served)

    @property
    def window(self) -> int:
        """The most requests in flight at once, on the endpoints that are there now."""
        return self.config.window * len(self._sender.fleet.endpoints)

    @property
    def dialect(self) -> Dialect:
        """What the servers are known to accept."""
        return self._sender.dialect

    @property
    def cut(self) -> dict[str, int]:
        """By stage, the fewest tokens that the context's length left for a reply."""
        return self._sender.cut

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

    def try_dialects(self, question: Question) -> bool:
        """Returns whether a server that refuses `question`, known to be good, without saying why
        accepts it in another dialect, which is then used."""
        return bool(on_loop(self._sender.try_dialects(question)))

    def problems(self) -> dict[str, str | None]:
        """Returns what is wrong with each endpoint, by URL; None if nothing is seen."""
        problems: dict[str, str | None] = on_loop(self._problems())
        return problems

    def check(self) -> None:
        """Raises `FinehardError` unless at least one endpoint responds and serves the model."""
        problems = list(self.problems().values())
        if all(problems):
            raise FinehardError(problems[0])

    def close(self) -> None:
        """Closes the connections."""
        if self._following is not None:
            self._following.cancel()
        on_loop(self._sender.transport.close())

    async def _problems(self) -> dict[str, str | None]:
        urls = [endpoint.url for endpoint in self._sender.fleet.endpoints]
        problems = await asyncio.gather(*map(self._sender.transport.problem, urls))
        return dict(zip(urls, problems, strict=True))

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
        """Asks `question`, up to three times if the replies are invalid, and once more if one is
        not worth keeping."""
        tally = self.tally.setdefault(question.stage, Tally())
        turns: list[dict[str, Any]] = []
        usage = Usage()
        judged: Any = None
        for last in (False, False, True):
            try:
                reply = await self._sender.send(question, turns, tally)
            except RequestFailed as failed:
                raise RequestFailed(failed.reason, failed.detail, usage) from None
            usage = _add(usage, *token_counts(reply), tally)
            if words := refusal(reply):
                raise RequestFailed("refused_by_model", words, usage)
            text, truncated = content(reply)
            try:
                value = parse_reply(text, question.schema, partial=last)
            except RefusedInProse as error:
                raise RequestFailed("refused_by_model", str(error), usage) from None
            except InvalidReply as error:
                tally.invalid += 1
                why = str(error)
                if last:
                    if judged is not None:
                        return Answer(judged, usage)
                    reason = "truncated_reply" if truncated else "invalid_reply"
                    raise RequestFailed(reason, f"{why}; reply: {text[:80]!r}", usage) from None
                if truncated:
                    why = f"it was cut at {question.max_tokens} tokens; be shorter"
            else:
                if question.choices:
                    value = probabilities(value, question.choices, text, reply["choices"][0])
                fault = _judge(question, value) if judged is None and not last else None
                if fault is None:
                    return Answer(value, usage)
                judged, why = value, fault
                tally.unusable += 1
            turns = [
                {"role": "assistant", "content": text[:2000] or "(nothing)"},
                {"role": "user", "content": ASK_AGAIN.format(why=why)},
            ]
        raise AssertionError("unreachable")


def _add(usage: Usage, prompt_tokens: int, completion_tokens: int, tally: Tally) -> Usage:
    """Returns `usage` with one more request, which `tally` counts too."""
    tally.prompt_tokens += prompt_tokens
    tally.completion_tokens += completion_tokens
    return Usage(
        usage.requests + 1,
        usage.prompt_tokens + prompt_tokens,
        usage.completion_tokens + completion_tokens,
    )


def _judge(question: Question, value: Any) -> str | None:
    """Returns why `value` is not worth keeping, by its stage; None if it is."""
    if question.judge is None:
        return None
    try:
        return question.judge(value)
    except FinehardError:
        raise
    except Exception as error:  # a user's stage can fail in any way
        line = typed_error_line(error)
        raise FinehardError(f"stage {question.stage} failed to judge a reply: {line}") from error

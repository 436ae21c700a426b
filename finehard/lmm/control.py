"""Whose fault a refusal is: the same endpoint is asked something that it has accepted before.

If it refuses that too, it refuses everything, and no record must pay for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from finehard.fleet.fleet import Endpoint
from finehard.lmm.question import Question
from finehard.lmm.transport import Refused, Transient

CONTROL_TOKENS = 16
"""The most tokens of a control's reply: only whether it is accepted is of interest."""

PAUSES_S = (0.2, 0.4, 0.8, 1.6)
"""Seconds after each refused control; all must be refused, and every request that was
sent meanwhile: some gateways refuse at random."""

Send = Callable[[Endpoint, Question | None], Awaitable[None]]
"""Sends a question, or where there is none a trivial request, once. Raises as `Transport.chat`."""


class Controls:
    """The last question of each stage that was answered. Used on one event loop only."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._answered: dict[str, Question] = {}
        self._running: dict[tuple[str, Endpoint], tuple[float, asyncio.Task[bool | None]]] = {}

    def __contains__(self, stage: str) -> bool:
        """Returns whether a question of `stage` was answered."""
        return stage in self._answered

    def add(self, question: Question) -> None:
        """Makes `question`, which was answered, the control of its stage."""
        self._answered[question.stage] = question

    async def accepts(self, endpoint: Endpoint, stage: str, since: float) -> bool | None:
        """Returns whether `endpoint`, some time after `since` (time.monotonic), accepts a question
        of `stage` that is known to be good; None if it does not tell. Requests that were refused
        at the same time share one control."""
        key = (stage, endpoint)
        started, task = self._running.get(key, (0.0, None))
        if task is not None and started < since and not task.done():
            await asyncio.wait([task])  # it may have been accepted before the refusal
            started, task = self._running[key]
        if task is None or started < since:
            task = asyncio.create_task(self._run(endpoint, stage))
            self._running[key] = (time.monotonic(), task)
        return await asyncio.shield(task)

    async def _run(self, endpoint: Endpoint, stage: str) -> bool | None:
        question = self._answered.get(stage)
        if question is not None:
            question = replace(question, max_tokens=min(question.max_tokens, CONTROL_TOKENS))
        started = time.monotonic()
        for pause_s in PAUSES_S:
            try:
                await self._send(endpoint, question)
            except Refused:
                await asyncio.sleep(pause_s)
            except Transient as error:
                if not error.stated:
                    return None
                await asyncio.sleep(pause_s)
            if endpoint.accepted >= started:  # this control, or a request sent meanwhile
                return True
        return False

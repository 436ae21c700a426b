"""The event loop of all clients of a process, in a thread of its own."""

from __future__ import annotations

import asyncio
import selectors
import threading
import time
from collections.abc import Coroutine
from functools import cache
from typing import Any

GATHER_S = 0.02
"""Seconds for which events are gathered where they come thick and fast. Hundreds of replies a
second, dealt with one by one, would each wake two threads with cold caches: a fifth of all CPU."""


class _Gathering(selectors.DefaultSelector):  # type: ignore[misc,valid-type]
    """Where the last events were a moment ago, waits for more to come with the next."""

    _last = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        events: list[Any] = super().select(timeout)
        if events and timeout != 0:
            if time.monotonic() < self._last + 2 * GATHER_S:
                time.sleep(GATHER_S)
                events = super().select(0)
            self._last = time.monotonic()
        return events


@cache
def event_loop() -> asyncio.AbstractEventLoop:
    """The loop, running."""
    loop = asyncio.SelectorEventLoop(_Gathering())
    threading.Thread(target=loop.run_forever, name="finehard-requests", daemon=True).start()
    return loop


def on_loop(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What `coroutine` returns, run on the loop while the calling thread waits."""
    return asyncio.run_coroutine_threadsafe(coroutine, event_loop()).result()

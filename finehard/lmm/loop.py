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
"""Seconds for which what happens is gathered before it is dealt with. Hundreds of replies a second
that come one by one would else cost a waking of two threads each, caches cold: a third of all CPU.
A reply waits that long at most, and was a hundred times longer on its way."""


class _Gathering(selectors.DefaultSelector):  # type: ignore[misc,valid-type]
    """Sees what has happened only some time after the first of it."""

    def select(self, timeout: float | None = None) -> list[Any]:
        events: list[Any] = super().select(timeout)
        if events and (timeout is None or timeout > 0):
            time.sleep(GATHER_S)
            events = super().select(0)
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

"""A fleet of endpoints: each request goes to the one that has its image, or to one that is free.

Every endpoint has a queue and a number of slots. A request joins the queue of its favourite
(rendezvous hashing of its affinity); a free slot takes from its own queue first, then from the
longest other. So caches hit while all are well, and nothing waits for an endpoint that is slow,
resting after failures, or gone.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

from finehard.digest import number

ILL_AFTER = 3
"""Failures in a row after which an endpoint is taken for ill; fewer may be the requests' fault."""

REST_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds an ill endpoint rests, longer each time; then one request tries it."""


@dataclass(eq=False)
class Endpoint:
    """One server, who waits for it, and how it does."""

    url: str
    slots: int
    queue: deque[asyncio.Future[Endpoint]] = field(default_factory=deque)
    busy: int = 0
    failures: int = 0
    rest_until: float = 0.0

    def free(self, now: float) -> bool:
        """Whether it may take a request; an ill one takes one at a time until one succeeds."""
        slots = 1 if self.failures >= ILL_AFTER else self.slots
        return now >= self.rest_until and self.busy < slots


class Fleet:
    """Gives out slots of endpoints. Lives on one event loop; only called from there."""

    def __init__(self, urls: list[str], slots: int) -> None:
        self.endpoints = [Endpoint(url.rstrip("/"), slots) for url in urls]
        self.last_success = time.monotonic()

    async def acquire(self, affinity: str, avoid: Endpoint | None) -> Endpoint:
        """Waits for a slot, and gives the endpoint that has one; to be given back by `release`.

        The favourite of `affinity` is preferred, unless it is the one to `avoid`.
        """
        candidates = [e for e in self.endpoints if e is not avoid] or self.endpoints
        if len(candidates) == 1:
            favourite = candidates[0]
        else:
            favourite = max(candidates, key=lambda e: number(f"{affinity} {e.url}"))
        granted = asyncio.get_running_loop().create_future()
        favourite.queue.append(granted)
        self._grant()
        return await granted

    def release(self, endpoint: Endpoint) -> None:
        """Gives a slot back."""
        endpoint.busy -= 1
        self._grant()

    def succeeded(self, endpoint: Endpoint) -> None:
        """`endpoint` answered: it is well, with all its slots."""
        endpoint.failures = 0
        endpoint.rest_until = 0.0
        self.last_success = time.monotonic()

    def failed(self, endpoint: Endpoint, rest_s: float | None = None) -> None:
        """`endpoint` failed: when it is ill it rests, `rest_s` seconds if it said so itself."""
        now = time.monotonic()
        if rest_s is None:
            if endpoint.rest_until > now:  # others that were under way failed with it
                return
            endpoint.failures += 1
            if endpoint.failures < ILL_AFTER:
                return
            rest_s = REST_S[min(endpoint.failures - ILL_AFTER, len(REST_S) - 1)]
        endpoint.rest_until = max(endpoint.rest_until, now + rest_s)
        asyncio.get_running_loop().call_later(rest_s + 0.001, self._grant)

    def _grant(self) -> None:
        now = time.monotonic()
        for endpoint in self.endpoints:
            while endpoint.free(now):
                waiting = self._next(endpoint)
                if waiting is None:
                    break
                if not waiting.done():  # its request may have been given up
                    endpoint.busy += 1
                    waiting.set_result(endpoint)

    def _next(self, endpoint: Endpoint) -> asyncio.Future[Endpoint] | None:
        if endpoint.queue:
            return endpoint.queue.popleft()
        longest = max(self.endpoints, key=lambda e: len(e.queue))
        return longest.queue.popleft() if longest.queue else None

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
"""Failures in a row after which an endpoint is taken for ill; fewer may be the requests' fault.
Also how often in a row it turns requests away before it is left alone."""

REST_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds an ill endpoint rests, longer each time; then one request tries it."""

CUT = 0.7
"""What is left of an endpoint's limit after it turned a request away (RFC 9438, section 4.6)."""


@dataclass(eq=False)
class Endpoint:
    """One server, who waits for it, and how it does."""

    url: str
    slots: int
    queue: deque[asyncio.Future[Endpoint]] = field(default_factory=deque)
    busy: int = 0
    failures: int = 0
    rest_until: float = 0.0
    limit: float = 0.0
    """Requests it may have at once: `slots`, or fewer after it said that they are too many."""
    limited_at: float = 0.0
    turned_away: int = 0
    """How often in a row it said so."""

    def __post_init__(self) -> None:
        self.limit = self.slots

    def free(self, now: float) -> bool:
        """Whether it may take a request; an ill one takes one at a time until one succeeds."""
        limit = 1 if self.failures >= ILL_AFTER else self.limit
        return self.busy + 1 <= limit and now >= self.rest_until


class Fleet:
    """Gives out slots of endpoints. Lives on one event loop; only called from there."""

    def __init__(self, urls: list[str], slots: int) -> None:
        self.endpoints = [Endpoint(url.rstrip("/"), slots) for url in urls]
        self.last_success = time.monotonic()
        self._given_up: Exception | None = None

    async def acquire(self, affinity: str, avoid: Endpoint | None) -> Endpoint:
        """Waits for a slot, and gives the endpoint that has one; to be given back by `release`.

        The favourite of `affinity` is preferred, unless it is the one to `avoid`. Raises what
        `give_up` was told.
        """
        if self._given_up:
            raise self._given_up
        candidates = [e for e in self.endpoints if e is not avoid] or self.endpoints
        if len(candidates) == 1:
            favourite = candidates[0]
        else:
            favourite = max(candidates, key=lambda e: number(f"{affinity} {e.url}"))
        now = time.monotonic()
        for endpoint in (favourite, *self.endpoints):
            if endpoint.free(now):  # so nobody waits: a free slot takes from every queue
                endpoint.busy += 1
                return endpoint
        granted = asyncio.get_running_loop().create_future()
        favourite.queue.append(granted)
        return await granted

    def release(self, endpoint: Endpoint) -> None:
        """Gives a slot back."""
        endpoint.busy -= 1
        self._serve(endpoint)

    def succeeded(self, endpoint: Endpoint) -> None:
        """`endpoint` answered: it is well, with all its slots."""
        if endpoint.failures >= ILL_AFTER:
            endpoint.rest_until = 0.0
        endpoint.failures = endpoint.turned_away = 0
        endpoint.limit = min(endpoint.slots, endpoint.limit + 0.5)
        self.last_success = time.monotonic()

    def failed(self, endpoint: Endpoint) -> None:
        """`endpoint` failed: when it is ill it rests."""
        if endpoint.rest_until > time.monotonic():  # others that were under way failed with it
            return
        endpoint.failures += 1
        if endpoint.failures >= ILL_AFTER:
            self._rest(endpoint, REST_S[min(endpoint.failures - ILL_AFTER, len(REST_S) - 1)])

    def overloaded(self, endpoint: Endpoint, rest_s: float, sent: float) -> None:
        """`endpoint` turned a request away that was sent at `sent`: its limit is cut.

        When it answers none between them it rests for the `rest_s` seconds that it asked for;
        where others are answered (one of many servers behind one address), that would be waste.
        """
        if sent >= endpoint.limited_at:  # what was under way then was of the old limit
            endpoint.limit = max(1.0, endpoint.limit * CUT)
            endpoint.limited_at = time.monotonic()
        endpoint.turned_away += 1
        if endpoint.turned_away >= ILL_AFTER:
            self._rest(endpoint, rest_s)

    def give_up(self, error: Exception) -> None:
        """No endpoint will come back: who waits for a slot, now or later, gets `error`."""
        self._given_up = error
        for endpoint in self.endpoints:
            while endpoint.queue:
                waiting = endpoint.queue.popleft()
                if not waiting.done():
                    waiting.set_exception(error)

    def _rest(self, endpoint: Endpoint, rest_s: float) -> None:
        endpoint.rest_until = max(endpoint.rest_until, time.monotonic() + rest_s)
        asyncio.get_running_loop().call_later(rest_s + 0.001, self._serve, endpoint)

    def _serve(self, endpoint: Endpoint) -> None:
        now = time.monotonic()
        while endpoint.free(now):
            queue = endpoint.queue or max((e.queue for e in self.endpoints), key=len)
            if not queue:
                return
            waiting = queue.popleft()
            if not waiting.done():  # its request may have been given up
                endpoint.busy += 1
                waiting.set_result(endpoint)

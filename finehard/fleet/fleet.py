"""Distributes requests over endpoints: by cache affinity first, then to any free endpoint.

Every endpoint has a queue and a window. A request joins the queue of its preferred endpoint
(rendezvous hashing of its affinity); a free slot of a window serves its own queue first, then the
longest other one. So caches hit while all endpoints are healthy, and no request waits for one that
is slow, cooling down, or dead. Endpoints may join and leave at any time.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from finehard.digest import number
from finehard.fleet.window import EndpointWindow

UNHEALTHY_AFTER = 3
"""Consecutive failures after which an endpoint is unhealthy; fewer may be the requests' fault.
Also the consecutive overload responses after which an endpoint gets a pause."""

COOLDOWN_S = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds an unhealthy endpoint gets no requests, longer each time; then one request tests it."""


@dataclass(eq=False)
class Endpoint:
    """One server: its queue, its load and its health."""

    url: str
    window: EndpointWindow
    queue: deque[asyncio.Future[Endpoint]] = field(default_factory=deque)
    busy: int = 0
    failures: int = 0
    """Consecutive failures."""
    cooldown_until: float = 0.0
    """No requests before this time (time.monotonic)."""
    overloads: int = 0
    """Consecutive overload responses."""
    accepted: float = 0.0
    """When the latest request that it answered was sent (time.monotonic)."""
    refuses: bool = False
    """Whether it refused even a control since its last success."""
    left: bool = False
    """Whether it is no longer one of the fleet's: it gets no more requests."""

    @property
    def unhealthy(self) -> bool:
        """Whether it gets only one request at a time, until one succeeds."""
        return self.failures >= UNHEALTHY_AFTER

    def has_free_slot(self, now: float) -> bool:
        """Returns whether it may get a request at time `now` (time.monotonic)."""
        limit = 1 if self.unhealthy else self.window.size
        return self.busy + 1 <= limit and now >= self.cooldown_until and not self.left


class Fleet:
    """Grants slots of endpoints. Used on one event loop only."""

    def __init__(self, urls: Sequence[str], window: int, timeout_s: float) -> None:
        self.endpoints: list[Endpoint] = []
        self.last_success = time.monotonic()
        self._window = window
        self._timeout_s = timeout_s
        self._error: Exception | None = None
        self.update(urls)

    def update(self, urls: Sequence[str]) -> None:
        """Makes `urls` the fleet's endpoints. One that joins gets waiting requests at once; one
        that leaves gets no more, and those that wait for it go to others."""
        known = {endpoint.url: endpoint for endpoint in self.endpoints}
        before = self.endpoints
        self.endpoints = [
            known.get(url) or Endpoint(url, EndpointWindow(self._window, self._timeout_s))
            for url in dict.fromkeys(url.rstrip("/") for url in urls)
        ]
        others = itertools.cycle(self.endpoints)
        for endpoint in before:
            if endpoint not in self.endpoints:
                endpoint.left = True
                while endpoint.queue:
                    next(others).queue.append(endpoint.queue.popleft())
        for endpoint in self.endpoints:
            if endpoint.url not in known and before:  # else nothing waits yet
                self._grant(endpoint)

    async def acquire(self, affinity: str, avoid: Endpoint | None) -> Endpoint:
        """Waits for a slot and returns its endpoint; the caller must `release` it.

        Prefers the endpoint of `affinity`, unless that is the one to `avoid`. Raises the error
        passed to `give_up`.
        """
        if self._error:
            raise self._error
        candidates = [e for e in self.endpoints if e is not avoid] or self.endpoints
        if len(candidates) == 1:
            preferred = candidates[0]
        else:
            preferred = max(candidates, key=lambda e: number(f"{affinity} {e.url}"))
        now = time.monotonic()
        for endpoint in (preferred, *self.endpoints):
            if endpoint.has_free_slot(now):  # then all queues are empty: free slots serve any
                endpoint.busy += 1
                return endpoint
        granted = asyncio.get_running_loop().create_future()
        preferred.queue.append(granted)
        return await granted

    def release(self, endpoint: Endpoint) -> None:
        """Returns a slot."""
        endpoint.busy -= 1
        self._grant(endpoint)

    def answered(self, endpoint: Endpoint, stage: str, tokens: int, sent: float) -> None:
        """Records an answer of `endpoint`, of `tokens` tokens, to a request of `stage` that was
        sent at `sent`; its window follows the latency."""
        endpoint.window.answered(stage, tokens, sent, endpoint.busy)
        self.succeeded(endpoint, sent)

    def taken(self, endpoint: Endpoint, sent: float) -> None:
        """Records an answer of `endpoint`, one that turns away what it cannot take, to a request
        that was sent at `sent`; its window follows that, not the latency."""
        endpoint.window.taken(sent, endpoint.busy)
        self.succeeded(endpoint, sent)

    def succeeded(self, endpoint: Endpoint, sent: float = 0.0) -> None:
        """Records a response of `endpoint` to a request sent at `sent`: it is healthy."""
        endpoint.accepted = max(endpoint.accepted, sent)
        if endpoint.unhealthy:
            endpoint.cooldown_until = 0.0
        endpoint.failures = endpoint.overloads = 0
        endpoint.refuses = False
        self.last_success = time.monotonic()

    def failed(self, endpoint: Endpoint) -> None:
        """Records a failure of `endpoint`; an unhealthy one cools down."""
        if endpoint.cooldown_until > time.monotonic():  # was in flight: one failure counts for all
            return
        endpoint.failures += 1
        if endpoint.unhealthy:
            step = min(endpoint.failures - UNHEALTHY_AFTER, len(COOLDOWN_S) - 1)
            self._cool_down(endpoint, COOLDOWN_S[step])

    def timed_out(self, endpoint: Endpoint, sent: float) -> None:
        """Records that a request sent to `endpoint` at `sent` was not answered in time."""
        endpoint.window.timed_out(sent)
        self.failed(endpoint)

    def has_other(self, endpoint: Endpoint) -> bool:
        """Returns whether an endpoint other than `endpoint` is healthy."""
        return any(e is not endpoint and not e.unhealthy for e in self.endpoints)

    def refuses(self, endpoint: Endpoint) -> bool:
        """Records that `endpoint` refuses everything; it cools down. Returns whether all do."""
        endpoint.refuses = True
        endpoint.failures = max(endpoint.failures, UNHEALTHY_AFTER - 1)
        self.failed(endpoint)
        return all(e.refuses for e in self.endpoints)

    def overloaded(self, endpoint: Endpoint, retry_after_s: float, sent: float) -> None:
        """Records that `endpoint` refused a request sent at `sent`, and cuts its window.

        After several refusals without a success between them, it cools down for the
        `retry_after_s` seconds it asked for. If it still answers others (many servers behind one
        address), a pause would waste capacity.
        """
        endpoint.window.cut(sent)
        endpoint.overloads += 1
        if endpoint.overloads >= UNHEALTHY_AFTER:
            self._cool_down(endpoint, retry_after_s)

    def give_up(self, error: Exception) -> None:
        """Makes all present and future calls of `acquire` raise `error`."""
        self._error = error
        for endpoint in self.endpoints:
            while endpoint.queue:
                waiting = endpoint.queue.popleft()
                if not waiting.done():
                    waiting.set_exception(error)

    def _cool_down(self, endpoint: Endpoint, seconds: float) -> None:
        endpoint.cooldown_until = max(endpoint.cooldown_until, time.monotonic() + seconds)
        asyncio.get_running_loop().call_later(seconds + 0.001, self._grant, endpoint)

    def _grant(self, endpoint: Endpoint) -> None:
        """Grants the free slots of `endpoint` to waiting requests."""
        now = time.monotonic()
        while endpoint.has_free_slot(now):
            queue = endpoint.queue or max((e.queue for e in self.endpoints), key=len)
            if not queue:
                return
            waiting = queue.popleft()
            if not waiting.done():  # it may have been cancelled
                endpoint.busy += 1
                waiting.set_result(endpoint)

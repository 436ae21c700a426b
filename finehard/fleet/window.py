"""How many requests an endpoint gets at once, by the latency of its answers.

An endpoint is shared with other processes, whose number nobody tells. A window starts at two
requests and doubles each round trip while answers take about as long as they ever did, then grows
slowly, and is cut where the server says that it has too much, lets requests time out, or has become
several times slower.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

START = 2.0
"""Requests at once before anything is known. With one, a first one that hangs would stop all."""

LOADED = 1.5
"""Latency, relative to its floor, from which on a window grows slowly. A server with slots has a
queue by then; an engine that works in batches answers more per second up to several times the
floor (`bench.fleet`), so the window is not held there."""

OVERLOADED = 4.0
"""Latency, relative to its floor, at which a window is cut."""

QUICK, IN_TIME = 1 / 8, 1 / 2
"""Shares of the timeout. Only answers quicker than the first double a window, so that many
processes that begin together do not overrun a server; only those in time let it grow under load."""

UNLOADED = 1.1
"""Latency, relative to its floor, up to which answers that are not in time let a window grow: then
each of them takes that long."""

BACKOFF_FACTOR = 0.7
"""Multiplies a window that is cut (as in RFC 9438, section 4.6)."""

RELAXED = 1.25
"""Multiplies the floors when a window is cut for its latency: a server that is slow for good is not
held to what it once was."""

_AVERAGED = 32
"""Answers of one kind over which latency is averaged."""

_LEAST = 8
"""Answers of one kind before there is a floor."""

_SMOOTHED = 16.0
"""The most answers over which the latency of all kinds is smoothed."""


@dataclass
class _Level:
    """Latency per token of answers of one kind: a moving average and its lowest value so far."""

    count: int = 0
    average: float = 0.0
    floor: float = 0.0

    def add(self, latency: float) -> float:
        """Returns `latency` relative to the floor, of which it is now a part."""
        self.count += 1
        self.average += (latency - self.average) / min(self.count, _AVERAGED)
        if self.count <= _LEAST or self.average < self.floor:
            self.floor = self.average
        return latency / self.floor if self.floor else 1.0


@dataclass
class EndpointWindow:
    """The requests allowed at once at one endpoint, at most `most` of them."""

    most: int
    timeout_s: float
    size: float = START
    cut_at: float = 0.0
    """When it was last cut (time.monotonic); 0 if never."""
    ceiling: float = float("inf")
    """What requests that timed out left of it; beyond, it grows much more slowly."""
    pressure: float = 1.0
    """Latency relative to its floor, smoothed over answers of all kinds."""
    _levels: dict[tuple[str, int], _Level] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.size = min(self.size, self.most)

    def answered(self, stage: str, tokens: int, sent: float, busy: int) -> None:
        """Grows or cuts the window for an answer of `tokens` tokens to a request that was sent at
        `sent` (time.monotonic), one of `busy`.

        Latency is taken per token, and compared among answers of a stage with about as many, so
        that long captions and short verifications do not look like a change of the server's.
        """
        latency_s = time.monotonic() - sent
        level = self._levels.setdefault((stage, tokens.bit_length()), _Level())
        ratio = level.add(latency_s / max(tokens, 1))
        self.pressure += (ratio - self.pressure) / max(1.0, min(self.size, _SMOOTHED))
        if self.pressure >= OVERLOADED:
            if self.cut(sent):
                for each in self._levels.values():
                    each.floor *= RELAXED
        else:
            self._grow(latency_s, busy)

    def taken(self, sent: float, busy: int) -> None:
        """Grows the window for an answer of a server that turns away what it cannot take, and so
        tells itself when to cut it; however long the answer took."""
        self._grow(time.monotonic() - sent, busy)

    def cut(self, sent: float) -> bool:
        """Cuts the window for what happened to a request sent at `sent`. Returns whether it did:
        one that was sent before the last cut says nothing of the window since."""
        if sent < self.cut_at:
            return False
        self.size = max(1.0, self.size * BACKOFF_FACTOR)
        self.cut_at = time.monotonic()
        return True

    def timed_out(self, sent: float) -> None:
        """Cuts the window for a request sent at `sent` that was not answered in time."""
        if self.cut(sent):
            self.ceiling = self.size

    def _grow(self, latency_s: float, busy: int) -> None:
        if 2 * busy >= self.size:  # one that is not used proves nothing
            self.size = min(self.most, self.size + self._growth(latency_s))

    def _growth(self, latency_s: float) -> float:
        """Returns what an answer adds: 1 doubles the window in a round trip."""
        share = latency_s / self.timeout_s
        if share >= IN_TIME:
            if self.pressure >= UNLOADED:
                return 0.0
            return 1 / 16 if self.size < self.ceiling else 1 / 256
        if self.pressure >= LOADED:
            return 1 / 8
        if share >= QUICK:
            return 1 / 4
        return 1 / 2 if self.cut_at else 1.0

"""Detects on servers (`finehard serve-detector`): which one, and what if it fails."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from concurrent.futures import Future
from typing import Any, NoReturn

from finehard.detect.boxes import Detection
from finehard.detect.config import DetectConfig
from finehard.detect.exchange import Asked, DetectorFault, Exchange, Failed
from finehard.detect.service import SERVED, description_digest
from finehard.errors import FinehardError
from finehard.fleet import endpoints
from finehard.fleet.fleet import Endpoint, Fleet
from finehard.fleet.following import follow
from finehard.fleet.loop import event_loop, on_loop

_log = logging.getLogger(__name__)

ATTEMPTS = 6
"""Attempts of an image on which servers fail while they answer others."""

BATCHES = 4
"""Batches in flight at once per server and process, at most; the window is often smaller."""

BROKEN_SHARE = 0.1
"""Share of `detect.outage_s` for which an image's connections must break, and `ATTEMPTS` times at
least, before it may be at fault: it is, if the server then answers another."""


class DetectionFailed(Exception):
    """The detector fails on this image for good; the text says how."""


class RemoteDetector:
    """The detector on all its servers. Thread-safe.

    `identity` is the detector's; no boxes of another are taken. `max_side` is that of images.
    Raises `FinehardError` if the list of servers stays empty.
    """

    def __init__(self, config: DetectConfig, max_side: int, identity: dict[str, Any]) -> None:
        self._outage_s = config.outage_s
        self._per_server = BATCHES * config.batch_size
        self._exchange = Exchange(config.timeout_s, max_side, description_digest(identity))
        urls = on_loop(endpoints.first(config.endpoints, SERVED))
        self._fleet = Fleet(urls, self._per_server, config.timeout_s)
        self._known: Asked | None = None
        """The last image that was detected; see `_answers_others`."""
        self._strangers: set[str] = set()
        self._following = follow(self._fleet, config.endpoints, SERVED)

    @property
    def window(self) -> int:
        """The most images in flight at once, on the servers that are there now."""
        return self._per_server * len(self._fleet.endpoints)

    def submit(self, image: bytes, phrases: list[str], affinity: str) -> Future[list[Detection]]:
        """Returns the future detections of `phrases` in the file `image`, best first.

        The future raises `DetectionFailed`, or `FinehardError` if the build must stop. Images are
        spread by `affinity`.
        """
        asked = Asked(image, phrases, affinity)
        return asyncio.run_coroutine_threadsafe(self._detect(asked), event_loop())

    def close(self) -> None:
        """Closes the connections."""
        if self._following is not None:
            self._following.cancel()
        on_loop(self._exchange.close())

    async def _detect(self, asked: Asked) -> list[Detection]:
        avoid: Endpoint | None = None
        first_sent = time.monotonic()
        attempts = broken = waits = 0
        broken_since = 0.0
        while True:
            endpoint = await self._fleet.acquire(asked.affinity, avoid)
            sent = time.monotonic()
            try:
                found = await self._exchange.detect(endpoint.url, asked)
            except Failed as failed:
                error = failed
            except DetectorFault as fault:
                self._fleet.give_up(fault)
                raise
            else:
                self._fleet.taken(endpoint, sent)
                self._known = asked
                return found
            finally:
                self._fleet.release(endpoint)
            self._record(endpoint, error, sent)
            if error.kind == "image":
                attempts = attempts + 1 if self._fleet.has_other(endpoint) else ATTEMPTS
                attempts = ATTEMPTS if attempts > 1 else attempts  # once elsewhere is enough
            elif error.kind in ("timeout", "server"):  # of no weight where the server is down
                attempts += self._fleet.last_success > sent
            elif error.kind == "broken":
                broken_since = broken_since or sent
                broken += 1
            lasting = time.monotonic() - broken_since > BROKEN_SHARE * self._outage_s
            if attempts >= ATTEMPTS or (broken >= ATTEMPTS and lasting):
                if await self._answers_others(endpoint, sent):
                    raise DetectionFailed(str(error))
                if error.kind == "image" and self._fleet.refuses(endpoint):
                    self._end(str(error), "the detector fails on every image now")
            self._give_up_if_down(str(error), first_sent)
            avoid = endpoint
            waits += error.kind != "busy"
            pause_s = max(min(20.0, 0.25 * 2 ** min(waits, 7)), error.retry_after_s)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))

    def _record(self, endpoint: Endpoint, error: Failed, sent: float) -> None:
        """Records what `error` says of `endpoint`. Raises `FinehardError` if no server is left."""
        if error.kind == "busy":
            self._fleet.overloaded(endpoint, error.retry_after_s, sent)
        elif error.kind == "timeout":
            self._fleet.timed_out(endpoint, sent)
        elif error.kind == "stranger":
            if endpoint.url not in self._strangers:
                self._strangers.add(endpoint.url)
                _log.warning("%s; it is not asked", error)
            if self._fleet.refuses(endpoint):
                self._end(str(error), "no endpoint is a server of this detector")
        elif error.kind != "image":
            self._fleet.failed(endpoint)

    async def _answers_others(self, endpoint: Endpoint, since: float) -> bool:
        """Returns whether `endpoint` detects in an image that is known to be good, or did so in any
        that was sent after `since`. Where none is known, it counts as one that does: what becomes
        of a detector that fails on all, `max_rejected` decides."""
        known = self._known
        if known is None or endpoint.accepted >= since:
            return True
        sent = time.monotonic()
        try:
            await self._exchange.detect(endpoint.url, known)
        except Failed:
            return endpoint.accepted >= since
        self._fleet.succeeded(endpoint, sent)
        return True

    def _give_up_if_down(self, line: str, first_sent: float) -> None:
        silent_s = time.monotonic() - max(self._fleet.last_success, first_sent)
        if silent_s > self._outage_s:
            self._end(f"no detector answered for {silent_s:.0f} s ({line})", "no server answers")

    def _end(self, cause: str, why: str) -> NoReturn:
        """Ends the build: all images, present and future, raise `FinehardError`."""
        error = FinehardError(
            f"{cause}; nothing was rejected for it, as {why}; all boxes so far are saved: once "
            "that is mended, run the same command again"
        )
        self._fleet.give_up(error)
        raise error

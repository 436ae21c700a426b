"""Keeps a fleet as a list of its endpoints names it, while servers join and leave."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Future
from typing import NoReturn

from finehard.errors import FinehardError
from finehard.fleet import endpoints
from finehard.fleet.fleet import Fleet
from finehard.fleet.loop import event_loop

_log = logging.getLogger(__name__)


def follow(fleet: Fleet, entries: Sequence[str], served: str) -> Future[NoReturn] | None:
    """Keeps `fleet`, the servers of what is `served`, as the list in `entries` of a config names
    it, until the future is cancelled. None where they are no list, and so never change.

    A list that cannot be read, or names no endpoint, changes nothing.
    """
    listed = endpoints.endpoint_list(entries)
    if listed is None:
        return None
    return asyncio.run_coroutine_threadsafe(_follow(fleet, listed, served), event_loop())


async def _follow(fleet: Fleet, listed: str, served: str) -> NoReturn:
    told = ""
    while True:
        await asyncio.sleep(endpoints.READ_AGAIN_S)
        try:
            urls = await endpoints.read(listed)
        except FinehardError as error:
            if str(error) != told:
                told = str(error)
                _log.warning("%s; the endpoints of before stay", told)
            continue
        before = {endpoint.url for endpoint in fleet.endpoints}
        if urls and set(urls) != before:
            fleet.update(urls)
            _log.info(
                "%s: %d endpoints, %d joined, %d left",
                served, len(urls), len(set(urls) - before), len(before - set(urls)),
            )  # fmt: skip

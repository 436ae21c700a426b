"""Keeps a fleet as a list of its endpoints names it, while servers join and leave."""

from __future__ import annotations

import asyncio
import logging
from typing import NoReturn

from finehard.errors import FinehardError
from finehard.fleet import endpoints
from finehard.fleet.fleet import Fleet

_log = logging.getLogger(__name__)


async def follow(fleet: Fleet, listed: str, served: str) -> NoReturn:
    """Keeps `fleet`, the servers of what is `served`, as `listed` names it; ends when cancelled.

    A list that cannot be read, or names no endpoint, changes nothing.
    """
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

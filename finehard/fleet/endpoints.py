"""Where servers are: URLs in the config, or a file or DNS name that lists them.

A list is read again while the build runs, so servers may join and leave.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from finehard.errors import FinehardError, UsageError

_log = logging.getLogger(__name__)

READ_AGAIN_S = 5.0
"""Seconds between two readings of a list."""

FIRST_WAIT_S = 30.0
"""Seconds to wait for a list that does not exist yet or is empty."""

_FIRST_AGAIN_S = 0.5

_NO_SECRETS = (
    "without keys and passwords (a model's belong in the environment variable named by api_key_env)"
)

_LISTS = ("file:", "dns+http:")
_URL = re.compile(r"https?://[^\s@/]+(/[^\s@]*)?")
_DNS = re.compile(r"dns\+http://([A-Za-z0-9._-]+):([0-9]{1,5})(/[^\s@]*)?")


def endpoint_list(endpoints: Sequence[str]) -> str | None:
    """Returns the list that `endpoints` of a config name; None if they are URLs."""
    return next((entry for entry in endpoints if entry.startswith(_LISTS)), None)


def fault(endpoints: Sequence[str]) -> str | None:
    """Returns what is wrong with `endpoints` of a config; None if they are well formed."""
    listed = endpoint_list(endpoints)
    if listed is None:
        return next(filter(None, map(_url_fault, endpoints)), None)
    if len(endpoints) > 1:
        return f"endpoint {listed!r} stands alone: it lists all endpoints"
    if listed.startswith("file:"):
        if listed.startswith("file:/"):
            return None
        return f"endpoint {listed!r} needs an absolute path: every worker reads it"
    if _DNS.fullmatch(listed):
        return None
    return f"endpoint {listed.rpartition('@')[2]!r} is not dns+http://NAME:PORT/PATH"


async def first(entries: Sequence[str], served: str) -> tuple[str, ...]:
    """Returns the endpoints of what is `served`: `entries` of a config, or what the list that they
    name holds, for which it waits a while.

    Raises `FinehardError` if that holds none by then, or a line that is not an endpoint.
    """
    listed = endpoint_list(entries)
    if listed is None:
        return tuple(entries)
    until = time.monotonic() + FIRST_WAIT_S
    told = False
    while not (urls := await read(listed)):
        if time.monotonic() > until:
            what = "is the file" if listed.startswith("file:") else "are the name and the servers"
            raise FinehardError(
                f"{listed} names no endpoint of {served} after {FIRST_WAIT_S:.0f} s: {what} there?"
            )
        if not told:
            _log.info("waiting for endpoints of %s in %s ...", served, listed)
            told = True
        await asyncio.sleep(_FIRST_AGAIN_S)
    return urls


async def read(listed: str) -> tuple[str, ...]:
    """Returns the endpoints that `listed` names now: a URL for each line of a file, or for each
    address of a DNS name; () where the file or the name is missing or empty.

    Raises `UsageError` if a line is not an endpoint.
    """
    if listed.startswith("file:"):
        return await asyncio.to_thread(_in_file, Path(listed.removeprefix("file:")))
    matched = _DNS.fullmatch(listed)
    assert matched  # checked when the config was read
    name, port, path = matched.groups()
    return tuple(f"http://{host}:{port}{path or ''}" for host in await _addresses(name, int(port)))


def _in_file(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ()
    urls: dict[str, None] = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        if problem := _url_fault(line):
            raise UsageError(f"{path}, line {number}: {problem}")
        urls[line.rstrip("/")] = None
    return tuple(urls)


async def _addresses(name: str, port: int) -> list[str]:
    """Returns the addresses of `name`: of the fourth version of IP where it has any."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    by_family: dict[int, set[str]] = {}
    for family, _, _, _, address in found:
        by_family.setdefault(family, set()).add(str(address[0]))
    if socket.AF_INET in by_family:
        return sorted(by_family[socket.AF_INET])
    return [f"[{address}]" for address in sorted(by_family.get(socket.AF_INET6, ()))]


def _url_fault(url: str) -> str | None:
    if _URL.fullmatch(url):
        return None
    return f"endpoint {url.rpartition('@')[2]!r} is not http(s)://HOST:PORT/PATH, {_NO_SECRETS}"

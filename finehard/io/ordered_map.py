"""Maps a slow function, such as a request to an object store, over items in parallel, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 16
"""Calls in flight; as many results again may wait to be taken."""


def ordered_map(
    function: Callable[[T], R], items: Iterable[T], at_once: int = AT_ONCE
) -> Iterator[R]:
    """Yields `function` of each item, in the order of `items`; `at_once` calls are in flight.

    An error, also one in getting an item, is raised after the results before it.
    """
    with ThreadPoolExecutor(at_once) as pool:
        in_flight: deque[Future[R]] = deque()
        try:
            error = None
            rest = iter(items)
            while True:
                try:
                    item = next(rest)
                except StopIteration:
                    break
                except Exception as raised:
                    error = raised
                    break
                in_flight.append(pool.submit(function, item))
                if len(in_flight) == 2 * at_once:
                    yield in_flight.popleft().result()
            while in_flight:
                yield in_flight.popleft().result()
            if error:
                raise error
        finally:
            for future in in_flight:
                future.cancel()

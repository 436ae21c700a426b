"""Work that waits for an object store, done some at a time, its results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 16
"""Pieces of work under way; as many results again may wait to be taken."""


def ahead(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`work` of each of `items`, in their order. What fails, also in getting an item, is raised
    after the results of all before it."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        under_way: deque[Future[R]] = deque()
        try:
            broken = None
            left = iter(items)
            while True:
                try:
                    item = next(left)
                except StopIteration:
                    break
                except Exception as error:
                    broken = error
                    break
                under_way.append(pool.submit(work, item))
                if len(under_way) == 2 * AT_ONCE:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
            if broken:
                raise broken
        finally:
            for future in under_way:
                future.cancel()

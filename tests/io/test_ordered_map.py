"""Work done ahead: results in order, errors in their place."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from finehard.io.ordered_map import AT_ONCE, ordered_map


def test_results_come_in_order_though_later_ones_are_ready_first() -> None:
    def slow(n: int) -> int:
        time.sleep(0.02 if n % 7 == 0 else 0)
        return n * n

    assert list(ordered_map(slow, range(100))) == [n * n for n in range(100)]
    assert list(ordered_map(slow, [])) == []


def test_much_is_under_way_at_once_but_no_more_than_said() -> None:
    most = now = 0
    lock = threading.Lock()
    taken: list[int] = []

    def work(n: int) -> int:
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.01)
        with lock:
            now -= 1
        return n

    def items() -> Iterator[int]:
        for n in range(200):
            taken.append(n)
            yield n

    for n in ordered_map(work, items()):
        assert len(taken) <= n + 2 * AT_ONCE
    assert 2 <= most <= AT_ONCE


def test_an_error_comes_after_the_results_before_it() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise OSError("the page is damaged")

    got = []
    with pytest.raises(OSError, match="damaged"):
        for n in ordered_map(lambda n: n, items()):
            got.append(n)
    assert got == [0, 1, 2, 3, 4]
    got = []
    with pytest.raises(ZeroDivisionError):
        for n in ordered_map(lambda n: 1 // (3 - n), range(9)):
            got.append(n)
    assert got == [0, 0, 1]

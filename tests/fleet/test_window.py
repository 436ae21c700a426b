"""The window of an endpoint follows the latency of its answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from finehard.fleet import window as module
from finehard.fleet.window import EndpointWindow


class Clock:
    """The time that a window sees."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    yield made


def test_a_server_that_turns_away_is_not_cut_for_latency(clock: Clock) -> None:
    """A detector works its queue off: twice the requests take twice as long."""
    window = EndpointWindow(32, 120.0)
    for _ in range(40):
        sent, busy = clock.now, int(window.size)
        clock.now += busy / 60
        window.taken(sent, busy)
    assert window.size == 32
    assert window.cut(clock.now) and window.size < 32


def round_trip(
    window: EndpointWindow, clock: Clock, latency_s: float, stage: str = "caption", tokens: int = 50
) -> None:
    """All requests that the window allows are answered after `latency_s`."""
    sent, busy = clock.now, int(window.size)
    clock.now += latency_s
    for _ in range(busy):
        window.answered(stage, tokens, sent, busy)


def test_a_window_doubles_each_round_trip_up_to_its_most(clock: Clock) -> None:
    window = EndpointWindow(most=64, timeout_s=120.0)
    sizes = []
    for _ in range(6):
        sizes.append(window.size)
        round_trip(window, clock, 1.0)
    assert sizes == [2, 4, 8, 16, 32, 64] and window.size == 64


def test_a_window_of_one_is_never_exceeded(clock: Clock) -> None:
    window = EndpointWindow(most=1, timeout_s=120.0)
    for _ in range(5):
        round_trip(window, clock, 1.0)
        assert window.size == 1


def test_a_window_on_sixteen_slots_stops_doubling(clock: Clock) -> None:
    window = EndpointWindow(most=1000, timeout_s=120.0)
    for _ in range(8):
        round_trip(window, clock, max(1.0, window.size / 16))
    assert 16 < window.size < 64


def test_long_and_short_answers_are_not_confused(clock: Clock) -> None:
    window = EndpointWindow(most=64, timeout_s=1000.0)
    for turn in range(20):
        round_trip(window, clock, 20.0, "caption", 300)
        round_trip(window, clock, 0.5, "verify", 3)
        round_trip(window, clock, 8.0 + turn % 2, "caption", 110 + 14 * (turn % 2))
    assert window.size == 64 and window.pressure < 1.3


def test_a_window_is_cut_once_for_a_round_of_timeouts(clock: Clock) -> None:
    window = EndpointWindow(most=64, timeout_s=10.0)
    for _ in range(8):
        round_trip(window, clock, 1.0)
    sent = clock.now
    clock.now += 10.0
    for _ in range(64):
        window.timed_out(sent)
    assert window.size == pytest.approx(64 * module.BACKOFF_FACTOR)


def test_answers_close_to_the_timeout_grow_no_window(clock: Clock) -> None:
    window = EndpointWindow(most=64, timeout_s=10.0)
    round_trip(window, clock, 1.0)
    before = window.size
    for _ in range(20):
        round_trip(window, clock, 8.0)
    assert window.size <= before


def test_a_server_that_always_takes_that_long_is_filled(clock: Clock) -> None:
    window = EndpointWindow(most=16, timeout_s=10.0)
    for _ in range(60):
        round_trip(window, clock, 7.0)
    assert window.size == 16


def test_a_much_slower_server_is_cut_and_then_accepted(clock: Clock) -> None:
    window = EndpointWindow(most=64, timeout_s=120.0)
    for _ in range(8):
        round_trip(window, clock, 0.5)
    for _ in range(2):
        round_trip(window, clock, 5.0)
    assert window.size < 64
    for _ in range(60):
        round_trip(window, clock, 5.0)
    assert window.size == 64

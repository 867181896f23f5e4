"""A clock for periods in which somebody has to answer: it stands still while this process does."""

from collections.abc import Callable

MAX_GAP_S = 1.0
"""The most that counts between two readings. Whoever relies on the clock reads it more often than that."""


class WakingClock:
    """Seconds during which this process was awake, from 0.

    A process that was stopped, starved or swapped out, or whose machine was, has heard from nobody meanwhile, and must
    not take that for silence.
    """

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._read_s = monotonic_s()
        self._awake_s = 0.0

    def __call__(self) -> float:
        read_s = self._monotonic_s()
        self._awake_s += min(read_s - self._read_s, MAX_GAP_S)
        self._read_s = read_s
        return self._awake_s

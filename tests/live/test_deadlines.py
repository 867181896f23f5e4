"""The calendar of deadlines against a plain dictionary: never late by more than a page, hardly ever early."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manager.deadlines import PAGE_S, Deadlines
from tests.manager.test_crowd import UNTIL_CAUGHT

FAR_S = 120.0
MOST_EARLY_S = 60.0
ROUNDING = 1e-9  # of a float, relative

keys = st.integers(0, 5)
spans_s = st.one_of(st.floats(0, 1), st.floats(0, 300), st.floats(0, 2000), st.just(math.inf), st.floats(-10, 0))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("set"), keys, spans_s),
        st.tuples(st.just("advance"), keys, spans_s),
        st.tuples(st.just("discard"), keys, st.just(0.0)),
        st.tuples(st.just("later"), keys, st.one_of(st.floats(0, 0.2), st.floats(0, 200), st.floats(0, 500))),
    ),
    max_size=40,
)


def slack_s(now_s: float) -> float:
    return PAGE_S + now_s * ROUNDING


class Watched:
    """A calendar, and beside it the deadlines that it was given and whether each was far away then."""

    def __init__(self, calendar: type[Deadlines], now_s: float) -> None:
        self.now_s = now_s
        self.calendar = calendar(now_s)
        self.deadlines: dict[int, tuple[float, bool]] = {}

    def do(self, action: str, key: int, span_s: float) -> None:
        deadline_s = self.now_s + span_s
        is_far = span_s > FAR_S
        match action:
            case "set":
                self.calendar.set(key, deadline_s, self.now_s)
                self.deadlines[key] = deadline_s, is_far
            case "advance":
                self.calendar.advance(key, deadline_s, self.now_s)
                if key not in self.deadlines or deadline_s < self.deadlines[key][0]:
                    self.deadlines[key] = deadline_s, is_far or self.deadlines.get(key, (0, False))[1]
            case "discard":
                self.calendar.discard(key)
                self.deadlines.pop(key, None)
            case "later":
                self.now_s += span_s
                self.look()
        self.deadlines = {key: kept for key, kept in self.deadlines.items() if kept[0] != math.inf}
        assert len(self.calendar) == len(self.deadlines)

    def look(self) -> None:
        """Takes what is due, and sets it again where it came early, as whoever is told does."""
        told = list(self.calendar.due(self.now_s))
        assert len(told) == len(set(told))
        for key, (deadline_s, is_far) in self.deadlines.items():
            is_due = key in told
            assert is_due or self.now_s <= deadline_s + slack_s(self.now_s), "late"
            assert not is_due or self.now_s >= deadline_s - is_far * MOST_EARLY_S - slack_s(self.now_s), "early"
            assert not is_due or self.calendar.is_due(key, self.now_s + slack_s(self.now_s))
        for key in told:
            deadline_s, _ = self.deadlines.pop(key)
            self.calendar.discard(key)
            if deadline_s > self.now_s:
                self.do("set", key, deadline_s - self.now_s)


def check(calendar: type[Deadlines], start_s: float, actions: list[Any]) -> None:
    watched = Watched(calendar, start_s)
    for action, key, span_s in actions:
        watched.do(action, key, span_s)
    while watched.deadlines:
        watched.do("later", 0, max(0.0, min(at_s for at_s, _ in watched.deadlines.values()) - watched.now_s) + PAGE_S)
    assert not watched.calendar._pages, "nothing stays behind"


@settings(max_examples=200, deadline=None)
@given(start_s=st.floats(0, 1e9), actions=steps)
def test_every_deadline_is_told_in_its_page_or_up_to_a_minute_early_when_it_was_far_away(
    start_s: float, actions: list[Any]
) -> None:
    check(Deadlines, start_s, actions)


class _TurnsPagesTooFast(Deadlines):
    def due(self, now_s: float) -> Any:
        yield from super().due(now_s)
        self._turned += 2


class _NeverGoesBack(Deadlines):
    def advance(self, key: int, deadline_s: float, now_s: float) -> None:
        if key not in self._page_of:
            self.set(key, deadline_s, now_s)


class _ForgetsToTakeOut(Deadlines):
    def discard(self, key: int) -> None:
        self._page_of.pop(key, None)


@pytest.mark.parametrize("planted", [_TurnsPagesTooFast, _NeverGoesBack, _ForgetsToTakeOut])
def test_a_planted_bug_is_caught(planted: type[Deadlines]) -> None:
    @UNTIL_CAUGHT
    @given(start_s=st.floats(0, 1e9), actions=steps)
    def checked(start_s: float, actions: list[Any]) -> None:
        check(planted, start_s, actions)

    with pytest.raises((AssertionError, KeyError, ExceptionGroup)):
        checked()


def test_what_is_due_is_told_earliest_first() -> None:
    calendar = Deadlines(0)
    for key, deadline_s in enumerate([3.0, 1.0, 2.0, 1.5]):
        calendar.set(key, deadline_s, 0)
    assert list(calendar.due(2.6)) == [1, 3, 2]


def test_what_is_due_stays_due_until_it_is_set_again() -> None:
    calendar = Deadlines(0)
    calendar.set(7, 1.0, 0)
    assert not calendar.is_due(7, 0.99)
    assert list(calendar.due(5)) == [7]
    assert calendar.is_due(7, 5)
    calendar.set(7, 9.0, 5)
    assert not calendar.is_due(7, 8.9)
    assert list(calendar.due(9)) == [7]


def test_a_deadline_that_has_passed_already_is_due_at_the_next_look() -> None:
    calendar = Deadlines(0)
    list(calendar.due(1000))
    calendar.set(7, 10.0, 1000)
    assert list(calendar.due(1000)) == [7]


def test_a_hundred_thousand_deadlines_far_away_share_a_page_a_minute() -> None:
    calendar = Deadlines(0)
    for key in range(100_000):
        calendar.set(key, 86_400 + key / 1000, 0)
    assert len(calendar) == 100_000
    assert len(calendar._pages) <= 3

"""Rate limits: what may be taken when, what a refusal says, and how much is remembered."""

import math
import random
import tracemalloc
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from chassis.answer import Answer
from chassis.errors import StorageFull, TooManyRequests
from chassis.http import answer, new_app
from chassis.lifetime import Lifetime
from chassis.limits import Claim, Key, Limit, RateLimit, Unlimited
from chassis.telemetry import new_registry
from tests.talking import ask, serving

A_MOMENT_S = 1e-5
ANN, BOB = b"ann", b"bob"

quotas = st.integers(1, 50)
periods_s = st.sampled_from([0.1, 1.0, 7.0, 60.0, 3600.0])
starts_s = st.floats(0, 1e7)


class Clock:
    """Stands still until it is moved."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def admitted(limit: Limit, key: Key = ANN) -> bool:
    """Takes one if there is one."""
    try:
        limit.take(key)
    except TooManyRequests:
        return False
    return True


def use_up(limit: RateLimit, key: Key = ANN) -> int:
    """Takes all that there is, and says how much that was."""
    taken = 0
    while admitted(limit, key):
        taken += 1
        assert taken < 1000, "this limits nothing"
    return taken


def refusal_of(limit: RateLimit, key: Key = ANN) -> TooManyRequests:
    """The refusal of a key whose quota is used up."""
    with pytest.raises(TooManyRequests) as refused:
        limit.take(key)
    return refused.value


def test_a_quota_can_be_taken_at_once_and_no_more() -> None:
    limit = RateLimit("create", 10, 3600, Clock())
    assert [admitted(limit) for _ in range(12)] == [True] * 10 + [False] * 2


def test_after_the_quota_they_come_one_by_one_at_its_pace() -> None:
    clock = Clock()
    limit = RateLimit("create", 10, 3600, clock)
    use_up(limit)
    for second in range(1, 1801):
        clock.now_s = second
        assert admitted(limit) == (second % 360 == 0), second


def test_a_key_that_rests_for_the_period_has_its_whole_quota_again_and_not_more() -> None:
    clock = Clock()
    limit = RateLimit("create", 3, 60, clock)
    for now_s in (0, 60, 120, 10_000):
        clock.now_s = now_s
        assert [admitted(limit) for _ in range(4)] == [True, True, True, False]


def test_keys_are_counted_apart() -> None:
    limit = RateLimit("create", 1, 60, Clock())
    keys: list[Key] = [b"a", "a", ("a", True), ("a", 6)]
    assert [admitted(limit, key) for key in keys] == [True] * 4
    assert [admitted(limit, key) for key in keys] == [False] * 4


def test_who_is_refused_loses_nothing_by_asking() -> None:
    clock = Clock()
    limit = RateLimit("create", 2, 60, clock)
    use_up(limit)
    for _ in range(100):
        assert not admitted(limit)
    clock.now_s = 30
    assert admitted(limit)


def test_checking_takes_nothing_and_refuses_what_taking_would() -> None:
    limit = RateLimit("failed-lookups", 1, 60, Clock())
    for _ in range(5):
        limit.check(ANN)
    limit.take(ANN)
    with pytest.raises(TooManyRequests) as checked:
        limit.check(ANN)
    assert str(checked.value) == str(refusal_of(limit))


def test_counting_never_refuses_and_makes_later_checks_refuse() -> None:
    limit = RateLimit("failed-lookups", 3, 60, Clock())
    for _ in range(3):
        limit.check(ANN)
        limit.count(ANN)
    with pytest.raises(TooManyRequests):
        limit.check(ANN)
    limit.check(BOB)


def test_however_much_is_counted_at_once_nobody_owes_more_than_a_quota() -> None:
    clock = Clock()
    limit = RateLimit("failed-lookups", 3, 60, clock)
    for _ in range(1000):
        limit.count(ANN)
    assert refusal_of(limit).retry_after_s == 20
    clock.now_s = 20
    limit.check(ANN)


def test_a_refusal_says_which_limit_it_was_and_when_to_come_back() -> None:
    limit = RateLimit("create", 10, 3600, Clock())
    use_up(limit)
    refusal = refusal_of(limit)
    assert (refusal.status, refusal.code, refusal.retry_after_s) == (429, "too_many_requests", 360)
    assert refusal.detail == "The limit create of 10 an hour is used up; come back in 360 s."


@pytest.mark.parametrize(
    ("per_s", "period"), [(1, "a second"), (60.0, "a minute"), (86_400, "a day"), (2.5, "in 2.5 s"), (90, "in 90 s")]
)
def test_a_refusal_names_the_period_as_people_say_it(per_s: float, period: str) -> None:
    limit = RateLimit("join", 1, per_s, Clock())
    limit.take(ANN)
    assert f"of 1 {period} is used up" in refusal_of(limit).detail


def test_the_time_to_wait_is_whole_seconds_and_at_least_one() -> None:
    limit = RateLimit("requests", 20, 1, Clock())
    use_up(limit)
    assert refusal_of(limit).retry_after_s == 1


@given(quotas, periods_s, starts_s, st.lists(st.floats(0, 2), max_size=200))
def test_no_stretch_of_time_has_more_than_the_quota_and_what_the_pace_gives(
    quota: int, per_s: float, start_s: float, pauses: list[float]
) -> None:
    """Pauses are in paces: those around one are where a mistake would show."""
    clock = Clock(start_s)
    limit = RateLimit("create", quota, per_s, clock)
    taken_s: list[float] = []
    for pause in pauses:
        taken_s += [clock.now_s] * use_up(limit)
        clock.now_s += pause * per_s / quota
    for first, begin_s in enumerate(taken_s):
        for last in range(first, len(taken_s)):
            given_s = taken_s[last] - begin_s + A_MOMENT_S
            assert last - first + 1 <= quota + math.floor(given_s * quota / per_s)


@given(quotas, periods_s, starts_s, st.lists(st.floats(0, 1), max_size=50))
def test_the_time_to_wait_is_honest(quota: int, per_s: float, start_s: float, pauses: list[float]) -> None:
    clock = Clock(start_s)
    limit = RateLimit("create", quota, per_s, clock)
    for pause in [*pauses, 0]:
        use_up(limit)
        refused_at_s, retry_after_s = clock.now_s, refusal_of(limit).retry_after_s
        assert retry_after_s is not None
        # Whole seconds are rounded up, so the last moment at which it surely fails is one second earlier.
        clock.now_s = refused_at_s + retry_after_s - 1 - A_MOMENT_S
        assert retry_after_s == 1 or not admitted(limit)
        clock.now_s = refused_at_s + retry_after_s
        limit.check(ANN)
        assert admitted(limit)
        clock.now_s += pause * per_s


@pytest.mark.parametrize("per_s", [1.0, 60.0, 3600.0])
def test_a_moment_before_the_time_is_over_it_still_fails(per_s: float) -> None:
    clock = Clock(123_456.789)
    limit = RateLimit("create", 1, per_s, clock)
    limit.take(ANN)
    clock.now_s += per_s - A_MOMENT_S
    assert not admitted(limit)
    clock.now_s += A_MOMENT_S
    assert admitted(limit)


@pytest.mark.parametrize("spare_s", [0, 1e-6])
def test_whoever_comes_back_exactly_when_told_is_not_turned_away_by_the_last_bit_of_a_float(spare_s: float) -> None:
    for number in range(2000):
        clock = Clock(number / 7)
        limit = RateLimit("create", 10, 3600, clock)
        use_up(limit)
        clock.now_s += 359 - spare_s
        clock.now_s += refusal_of(limit).retry_after_s or 0
        limit.check(ANN)


@given(st.lists(st.tuples(st.integers(0, 20), st.floats(0, 1.5)), max_size=300), st.integers(1, 5), st.integers(1, 8))
def test_never_more_keys_than_the_bound_are_kept(calls: list[tuple[int, float]], quota: int, max_keys: int) -> None:
    clock = Clock()
    limit = RateLimit("create", quota, 1, clock, max_keys)
    for key, pause_s in calls:
        (limit.count if key % 2 else lambda key: admitted(limit, key))(str(key))
        assert len(limit) <= max_keys
        clock.now_s += pause_s


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 0.5)), max_size=100), quotas)
def test_what_is_dropped_changes_nothing_for_anybody(calls: list[tuple[int, float]], quota: int) -> None:
    clock = Clock()
    together = RateLimit("create", quota, 1, clock)
    apart = {key: RateLimit("create", quota, 1, clock) for key in range(6)}
    for key, pause_s in calls:
        assert admitted(together, str(key)) == admitted(apart[key], str(key))
        clock.now_s += pause_s


def test_a_million_random_keys_stay_within_the_bound() -> None:
    limit = RateLimit("failed-lookups", 300, 3600, Clock(), max_keys=10_000)
    draw = random.Random(1).randbytes
    for _ in range(1_000_000):
        limit.count(draw(16))
    assert len(limit) == 10_000


def test_a_key_takes_about_200_bytes_also_when_others_made_room_for_it() -> None:
    limit = RateLimit("failed-lookups", 300, 3600, Clock(), max_keys=10_000)
    keys = [number.to_bytes(8, "big") for number in range(50_000)]
    tracemalloc.start()
    try:
        for key in keys:
            limit.count(key)
        taken_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken_bytes / len(limit) < 300


def test_when_it_is_full_whoever_has_rested_longest_is_forgiven() -> None:
    clock = Clock()
    limit = RateLimit("create", 2, 60, clock, max_keys=2)
    for key in (ANN, BOB, ANN, b"cid"):
        limit.take(key)
    assert not admitted(limit, ANN)
    assert len(limit) == 2
    assert [admitted(limit, BOB) for _ in range(3)] == [True, True, False]


def test_nobody_is_counted_at_first_and_again_when_all_debts_are_paid() -> None:
    clock = Clock()
    limit = RateLimit("failed-lookups", 20, 3600, clock)
    assert not limit
    for number in range(100):
        limit.count(str(number))
    assert limit
    clock.now_s = 3600
    for _ in range(50):
        limit.check(ANN)
    assert not limit


def test_one_who_owes_for_long_holds_up_the_others_no_longer_than_the_period() -> None:
    clock = Clock()
    limit = RateLimit("create", 10, 100, clock)
    for _ in range(10):
        limit.take(ANN)
    limit.take(BOB)
    clock.now_s = 50
    limit.check(ANN)
    assert len(limit) == 2
    clock.now_s = 100
    limit.check(ANN)
    assert len(limit) == 0


def test_a_paid_debt_that_is_still_remembered_is_no_credit() -> None:
    clock = Clock()
    limit = RateLimit("create", 10, 100, clock)
    use_up(limit, ANN)
    limit.take(BOB)
    clock.now_s = 50
    assert use_up(limit, BOB) == 10


def test_unlimited_admits_everything_and_counts_nobody() -> None:
    limit: Limit = Unlimited()
    for _ in range(1000):
        limit.take(ANN)
        limit.count(ANN)
        limit.check(ANN)
    assert not limit


@pytest.mark.parametrize(
    ("name", "quota", "per_s", "max_keys"),
    [
        ("create", 0, 60, 1),
        ("create", -1, 60, 1),
        ("create", 1, 0, 1),
        ("create", 1, math.inf, 1),
        ("create", 1, math.nan, 1),
        ("create", 1, 60, 0),
        ('cre"ate', 1, 60, 1),
        ("", 1, 60, 1),
    ],
)
def test_what_can_not_be_a_limit_is_none(name: str, quota: int, per_s: float, max_keys: int) -> None:
    with pytest.raises(ValueError, match="can't be a limit"):
        RateLimit(name, quota, per_s, Clock(), max_keys)


async def test_a_refused_client_reads_the_limit_from_the_headers() -> None:
    lifetime = Lifetime()
    async with serving(_limited_app(RateLimit("create", 2, 2.5, Clock()), lifetime), lifetime) as port:
        for _ in range(2):
            reply = await ask(port, "POST", "/things")
            assert (reply.status, reply.header("ratelimit"), reply.header("retry-after")) == (200, None, None)
        reply = await ask(port, "POST", "/things")
    assert reply.refusal() == (429, "too_many_requests")
    assert reply.header("retry-after") == "2"
    assert reply.header("ratelimit-policy") == '"create";q=2;w=3'
    assert reply.header("ratelimit") == '"create";r=0;t=2'
    assert reply.header("cache-control") == "no-store"


def _limited_app(limit: Limit, lifetime: Lifetime) -> web.Application:
    async def make(_: web.Request) -> Answer:
        limit.take(ANN)
        return answer({})

    return new_app(
        service="things",
        routes=[web.post("/things", make)],
        openapi=Path(__file__),
        registry=new_registry(),
        lifetime=lifetime,
        unready=list,
    )


def fail(limit: Limit, key: Key) -> None:
    with Claim(limit, key) as claim:
        claim.take()
        claim.take()
        raise StorageFull("storage_full", "The disk is full.")


def test_what_fails_gives_back_what_it_took_and_what_is_tried_twice_takes_once() -> None:
    limit = RateLimit("creates", 1, 3600, lambda: 0.0)
    with pytest.raises(StorageFull):
        fail(limit, ANN)
    with Claim(limit, ANN) as claim:
        claim.take()
    with pytest.raises(TooManyRequests), Claim(limit, ANN) as claim:
        claim.take()

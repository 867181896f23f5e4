"""Drawing party codes: evenly over all own area codes, never one that is taken."""

import random
from collections import Counter
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.codes import CODES_PER_AREA, area_code_of
from chassis.errors import Unavailable
from manager.codes import draw

AREA_CODES = (200, 201, 457, 998, 999)
DRAWS = 20_000


def free(_: int) -> bool:
    return False


def chi_square(counts: Counter[int], kinds: Iterable[int]) -> float:
    """How far the counts are from even; its mean is one less than the number of kinds."""
    kinds = list(kinds)
    expected = counts.total() / len(kinds)
    return sum((counts[kind] - expected) ** 2 / expected for kind in kinds)


def drawn(below: Callable[[int], int], area_codes: tuple[int, ...] = AREA_CODES) -> list[int]:
    return [draw(area_codes, is_taken=free, below=below) for _ in range(DRAWS)]


def unevenness(codes: list[int], area_codes: tuple[int, ...] = AREA_CODES) -> float:
    """In standard deviations, the worst of area codes, the two leading digits after them and the last two."""
    worst = 0.0
    for kind_of, kinds in (
        (area_code_of, area_codes),
        (lambda code: code // 10_000 % 100, range(100)),
        (lambda code: code % 100, range(100)),
    ):
        freedom = len(kinds) - 1
        statistic = chi_square(Counter(map(kind_of, codes)), kinds)
        worst = max(worst, (statistic - freedom) / (2 * freedom) ** 0.5)
    return worst


def test_codes_are_drawn_evenly_over_all_own_area_codes() -> None:
    codes = drawn(random.Random(1).randrange)
    assert set(map(area_code_of, codes)) == set(AREA_CODES)
    assert unevenness(codes) < 5


@pytest.mark.parametrize(
    "below",
    [
        lambda n: int(n * random.betavariate(1, 1.3)),
        lambda n: random.randrange(n) // 8 * 8,
        lambda n: random.randrange(n - CODES_PER_AREA),
    ],
    ids=["leans to the front", "every eighth only", "misses the last area code"],
)
def test_uneven_draws_are_told_from_even_ones(below: Callable[[int], int]) -> None:
    random.seed(2)
    assert unevenness(drawn(below)) > 5


@given(st.sets(st.integers(100, 999), min_size=1, max_size=20), st.integers(0, 2**32))
@settings(deadline=None)
def test_a_code_is_of_an_own_area_code_and_has_nine_digits(area_codes: set[int], seed: int) -> None:
    code = draw(sorted(area_codes), is_taken=free, below=random.Random(seed).randrange)
    assert area_code_of(code) in area_codes
    assert len(str(code)) == 9


def test_every_code_of_an_area_code_can_be_drawn_and_no_other() -> None:
    def at(number: int) -> int:
        return draw((457, 999), is_taken=free, below=lambda _: number)

    assert at(0) == 457_000_000
    assert at(CODES_PER_AREA - 1) == 457_999_999
    assert at(CODES_PER_AREA) == 999_000_000
    assert at(2 * CODES_PER_AREA - 1) == 999_999_999


def test_the_draw_asks_for_a_number_below_the_count_of_all_own_codes() -> None:
    asked = []

    def below(n: int) -> int:
        asked.append(n)
        return n - 1

    assert draw(AREA_CODES, is_taken=free, below=below) == 999_999_999
    assert asked == [len(AREA_CODES) * CODES_PER_AREA]


def test_a_taken_code_is_never_drawn() -> None:
    taken: set[int] = set()
    below = random.Random(3).randrange
    for _ in range(2000):  # a thousand codes for two thousand draws: most numbers come up again
        code = draw((457,), is_taken=lambda one: one in taken, below=lambda n: below(4000) % n)
        assert code not in taken
        taken.add(code)


@pytest.mark.parametrize("last", [457_000_000, 457_499_999, 457_999_999])
def test_the_last_free_code_is_found(last: int) -> None:
    assert (
        draw(
            (457,),
            is_taken=lambda code: code != last,
            below=random.Random(4).randrange,
        )
        == last
    )


def test_the_last_free_code_is_found_in_another_area_code_across_the_end() -> None:
    assert (
        draw(
            (457, 999),
            is_taken=lambda code: code != 457_000_003,
            below=lambda n: n - 5,
        )
        == 457_000_003
    )


def test_when_none_is_left_it_says_so_and_when_to_ask_again() -> None:
    with pytest.raises(Unavailable, match="no_codes_left") as refused:
        draw((457,), is_taken=lambda _: True, below=random.Random(5).randrange)
    assert refused.value.retry_after_s

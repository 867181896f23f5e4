"""The nearest manager and its alternates, against brute force with the haversine package."""

import random
from collections.abc import Sequence
from itertools import pairwise
from math import asin, degrees, inf

import pytest
from haversine import haversine
from hypothesis import example, given
from hypothesis import strategies as st

from chassis.codes import AreaCodes
from chassis.roster import Manager
from dispatcher.nearest import ALTERNATES, Nearest

Place = tuple[float, float]

POLES = [(90.0, 0.0), (90.0, 180.0), (-90.0, 0.0), (-90.0, -77.0)]
ANTIMERIDIAN = [(0.0, 180.0), (0.0, -180.0), (-17.7, 179.99999), (-17.7, -179.99999), (66.0, 180.0)]
CORNERS = [(0.0, 0.0), (10.0, 10.0), (-33.0, 151.0), (-34.000001, 18.0), (89.0, 7.0), (-89.999999, 0.0)]

ANYWHERE = st.tuples(st.floats(-90, 90), st.floats(-180, 180))
SOUTH = st.tuples(st.floats(-60, -10), st.floats(110, 180))
SPECIAL = st.sampled_from([*POLES, *ANTIMERIDIAN, *CORNERS])
CROWD = st.tuples(st.floats(45.4, 45.6), st.floats(-73.7, -73.5))
PLACES = ANYWHERE | SOUTH | SPECIAL | CROWD


def at(places: Sequence[Place]) -> list[Manager]:
    return [Manager(f"m{n}", "r", lat, lng, AreaCodes(()), "", "") for n, (lat, lng) in enumerate(places)]


def scattered(count: int, seed: int) -> list[Place]:
    """Places all over the globe, every square kilometre alike."""
    draw = random.Random(seed)
    return [(degrees(asin(draw.uniform(-1, 1))), draw.uniform(-180, 180)) for _ in range(count)]


def mistakes(answer: tuple[tuple[int, ...], float], places: Sequence[Place], asker: Place) -> list[str]:
    """What is wrong with the answer. Distances may differ by a metre: the haversine formula's own worst case."""
    order, distance_km = answer
    distances = [haversine(asker, place) for place in places]
    wrong = []
    if len(set(order)) != min(len(places), 1 + ALTERNATES):
        wrong.append("too few, too many or twice the same")
    for index, best in zip(order, sorted(distances), strict=False):
        if distances[index] != pytest.approx(best, abs=0.001):
            wrong.append(f"{index} is {distances[index]} km away where one at {best} km belongs")
    if distance_km != pytest.approx(min(distances), abs=0.001):
        wrong.append(f"the nearest is {min(distances)} km away, not {distance_km}")
    wrong += [
        f"{first} before {second} of the same place"
        for first, second in pairwise(order)
        if places[first] == places[second] and first > second
    ]
    return wrong


@given(st.lists(PLACES, min_size=1, max_size=60), st.lists(PLACES, min_size=1, max_size=8))
@example(POLES, POLES)
@example(ANTIMERIDIAN, ANTIMERIDIAN)
@example(CORNERS * 3, CORNERS)
def test_the_nearest_and_its_alternates_are_those_of_brute_force(places: list[Place], askers: list[Place]) -> None:
    nearest = Nearest(at(places))
    # The first question opens cells, the second finds them open.
    for asker in [*askers, *askers]:
        assert mistakes(nearest.ranked(*asker), places, asker) == []


@pytest.mark.parametrize("count", [3, 14, 900])
def test_every_part_of_a_cell_is_answered_as_by_brute_force(count: int) -> None:
    places = scattered(count, seed=count)
    nearest = Nearest(at(places))
    draw = random.Random(count)
    for south, west in [(89, -180), (-90, 179), (45, -74), (-34, 151), (0, 0), (60, 179)]:
        for _ in range(50):
            asker = (south + draw.random(), west + draw.random())
            assert mistakes(nearest.ranked(*asker), places, asker) == []


@pytest.mark.parametrize(
    "asker", [(45.5, -73.57), (-45.5, 106.43), (90.0, 0.0), (-90.0, 12.0), (0.0, 180.0), (0.0, -180.0)]
)
@pytest.mark.parametrize("count", [2, 3, 4, 5, 20])
def test_managers_at_one_place_come_in_the_order_of_the_roster(count: int, asker: Place) -> None:
    nearest = Nearest(at([(45.5, -73.57)] * count))
    assert nearest.ranked(*asker)[0] == tuple(range(min(count, 4)))


@pytest.mark.parametrize(
    ("places", "asker"),
    [
        ([(0.0, 10.0), (0.0, -10.0), (10.0, 0.0), (-10.0, 0.0)], (0.0, 0.0)),
        ([(20.0, 40.0), (20.0, 20.0)], (20.0, 30.0)),
        ([(20.0, 20.0), (20.0, 40.0)], (20.0, 30.0)),
        ([(-17.7, 179.0), (-17.7, -179.0)], (-17.7, 180.0)),
        ([(-17.7, -179.0), (-17.7, 179.0)], (-17.7, -180.0)),
        ([(70.0, lng) for lng in (100.0, -33.0, 12.0, 7.0, 180.0)], (90.0, 0.0)),
        ([(-70.0, lng) for lng in (-180.0, 33.0, -12.0, 7.0, 1.0)], (-90.0, 123.0)),
        ([(90.0, 0.0), (90.0, 120.0), (90.0, -120.0)], (90.0, 77.0)),
        ([(0.0, 180.0), (0.0, -180.0), (0.0, 180.0)], (0.0, -180.0)),
    ],
)
def test_equal_distances_come_in_the_order_of_the_roster(places: list[Place], asker: Place) -> None:
    for roster in (places, places[::-1]):
        assert Nearest(at(roster)).ranked(*asker)[0] == (0, 1, 2, 3)[: len(roster)]


def test_equals_among_the_alternates_come_in_the_order_of_the_roster_too() -> None:
    places = [(0.0, -90.0), (-90.0, 0.0), (90.0, 0.0), (0.0, 90.0), (0.0, 0.0)]
    assert Nearest(at(places)).ranked(0.0, 45.0)[0] == (3, 4, 1, 2)
    assert Nearest(at(places[::-1])).ranked(0.0, 45.0)[0] == (0, 1, 2, 3)


def test_equals_are_in_order_also_where_the_last_alternate_is_one_of_many() -> None:
    ring = [(60.0, float(lng)) for lng in (5, 140, -20, 77, -150, 33)]
    assert Nearest(at([*ring, (80.0, 0.0), (85.0, 0.0)])).ranked(90.0, 0.0)[0] == (7, 6, 0, 1)


def test_the_antimeridian_is_no_border() -> None:
    fiji, samoa, nairobi = (-17.71, 178.06), (-13.83, -171.77), (-1.29, 36.82)
    nearest = Nearest(at([nairobi, samoa, fiji]))
    assert nearest.ranked(-17.0, 179.9)[0] == (2, 1, 0)
    assert nearest.ranked(-17.0, -179.9)[0] == (2, 1, 0)
    (west, west_km), (east, east_km) = nearest.ranked(-14.0, -180.0), nearest.ranked(-14.0, 180.0)
    assert west == east
    assert west_km == pytest.approx(east_km)


def test_montreal_is_given_montreal_then_virginia_then_frankfurt() -> None:
    nearest = Nearest(at([(38.13, -78.45), (45.50, -73.57), (50.11, 8.68)]))
    assert nearest.ranked(45.50, -73.57) == ((1, 0, 2), 0.0)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6])
def test_as_many_are_given_as_there_are_up_to_four(count: int) -> None:
    order, _ = Nearest(at(scattered(count, seed=1))).ranked(10.0, 10.0)
    assert sorted(set(order)) == sorted(order)
    assert len(order) == min(count, 1 + ALTERNATES)


def test_of_no_managers_none_is_given() -> None:
    assert Nearest([]).ranked(45.5, -73.57) == ((), inf)


def test_what_is_kept_stays_within_its_bound_and_answers_stay_right() -> None:
    places = [*scattered(20, seed=4), *[(45.5, -73.57)] * 20]
    nearest = Nearest(at(places), max_kept=100)
    for asker in scattered(300, seed=5):
        assert mistakes(nearest.ranked(*asker), places, asker) == []
        assert nearest.kept <= 100


def test_the_comparison_with_brute_force_catches_wrong_answers() -> None:
    places = [(0.0, 0.0), (0.0, 1.0), (0.0, 2.0), (0.0, 3.0), (0.0, 3.0), (0.0, 4.0)]
    right, distance_km = (0, 1, 2, 3), haversine((0.0, 0.1), (0.0, 0.0))
    assert mistakes((right, distance_km), places, (0.0, 0.1)) == []
    assert mistakes(((0, 2, 1, 3), distance_km), places, (0.0, 0.1)) != []
    assert mistakes(((0, 1, 2, 5), distance_km), places, (0.0, 0.1)) != []
    assert mistakes(((0, 1, 2), distance_km), places, (0.0, 0.1)) != []
    assert mistakes(((0, 1, 2, 2), distance_km), places, (0.0, 0.1)) != []
    assert mistakes((right, distance_km + 0.01), places, (0.0, 0.1)) != []
    assert mistakes(((4, 3), 0.0), places[:5], (0.0, 3.0)) != []

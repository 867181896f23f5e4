"""The index of places against brute force, from everywhere."""

import random
from collections.abc import Callable
from math import isclose, pi

import h3.api.basic_int as h3
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chassis.geo import EARTH_RADIUS_KM, Point, distance_km
from manager.places import Places, at_resolution, centre, snap

RESOLUTIONS = (0, 1, 5, 8, 9, 15)
EVERYWHERE_KM = 30_000.0
NEARLY_HALF_WAY_ROUND_KM = 19_900.0
BOUNDED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

Party = tuple[int, int]  # cell, code


def near(lat: float, lng: float, spread_deg: float) -> st.SearchStrategy[Point]:
    """Points around one, across pole and antimeridian where it comes to that."""
    offset = st.floats(-spread_deg, spread_deg)
    return st.builds(
        lambda d_lat, d_lng: Point(max(-90.0, min(90.0, lat + d_lat)), (lng + d_lng + 540.0) % 360.0 - 180.0),
        offset,
        offset,
    )


ANYWHERE = st.builds(Point, st.floats(-90, 90), st.floats(-180, 180))
AT_POLES = st.builds(Point, st.sampled_from([90.0, -90.0, 89.999, -89.999, 89.0]), st.floats(-180, 180))
AT_ANTIMERIDIAN = st.builds(Point, st.floats(-80, 80), st.sampled_from([180.0, -180.0, 179.9999, -179.9999, 179.9]))
AT_PENTAGONS = st.sampled_from([h3.cell_to_latlng(cell) for cell in h3.get_pentagons(5)]).flatmap(
    lambda at: st.sampled_from([0.0, 0.001, 0.1, 5.0]).flatmap(lambda spread: near(at[0], at[1], spread))
)
IN_A_CROWD = st.sampled_from([0.00001, 0.001, 0.02]).flatmap(lambda spread: near(45.5, -73.57, spread))
POINTS = ANYWHERE | AT_POLES | AT_ANTIMERIDIAN | AT_PENTAGONS | IN_A_CROWD
RADII_KM = st.floats(0.001, EVERYWHERE_KM) | st.sampled_from([0.001, 0.5, 5.0, 500.0, pi * EARTH_RADIUS_KM, 1e9])


def index_of(parties: list[Party], resolution: int) -> Places:
    places = Places(resolution)
    for cell, code in parties:
        places.add(cell, code)
    return places


def crowd_of(points: list[Point], resolution: int) -> list[Party]:
    return [(snap(point, resolution), code) for code, point in enumerate(points)]


def distance_to(cell: int, point: Point) -> float:
    return distance_km(point, Point(*h3.cell_to_latlng(cell)))


def is_same(a_km: float, b_km: float) -> bool:
    """To a hair; an arcsine near one is only good to some metres."""
    return isclose(a_km, b_km, rel_tol=1e-9, abs_tol=1e-8 if max(a_km, b_km) < NEARLY_HALF_WAY_ROUND_KM else 0.1)


def check(places: Places, parties: list[Party], point: Point, *, radius_km: float, limit: int) -> None:
    """What the index finds is what a look at every party finds."""
    found = places.nearest(point, radius_km=radius_km, limit=limit)
    cells = {code: cell for cell, code in parties}
    distances = sorted((distance_to(cell, point), code) for cell, code in parties)
    within = [one for one in distances if one[0] <= radius_km]
    on_the_edge = sum(is_same(distance, radius_km) for distance, _ in distances)
    assert abs(len(found) - min(limit, len(within))) <= on_the_edge
    assert len({code for code, _ in found}) == len(found)
    for (code, its_distance_km), (expected_km, _) in zip(found, distances, strict=False):
        assert is_same(its_distance_km, distance_to(cells[code], point)), "a distance is wrong"
        assert is_same(its_distance_km, expected_km), "a nearer one is missing"
    of_cells: dict[int, list[int]] = {}
    for code, _ in found:
        of_cells.setdefault(cells[code], []).append(code)
    for cell, codes in of_cells.items():
        assert codes == sorted(code for its_cell, code in parties if its_cell == cell)[: len(codes)]


@given(
    st.sampled_from(RESOLUTIONS), st.lists(POINTS, max_size=40), POINTS, RADII_KM, st.sampled_from([1, 2, 5, 20, 100])
)
@BOUNDED
@example(8, [Point(90.0, 0.0), Point(90.0, 180.0), Point(89.9, -90.0)], Point(90.0, 77.0), 500.0, 20)
@example(8, [Point(0.0, 180.0), Point(0.0, -180.0), Point(0.0, 179.99)], Point(0.0, -179.99), 5.0, 20)
@example(8, [Point(0.0, 0.0)], Point(0.0, 180.0), 1e9, 20)
@example(8, [Point(-40.0, -130.0)], Point(40.0, 50.0), 500.0, 20)
@example(8, [Point(10.0, 10.0)] * 40, Point(10.0, 10.0), 0.5, 20)
def test_what_is_found_is_what_brute_force_finds(
    resolution: int, points: list[Point], point: Point, radius_km: float, limit: int
) -> None:
    parties = crowd_of(points, resolution)
    check(index_of(parties, resolution), parties, point, radius_km=radius_km, limit=limit)


@given(
    st.sampled_from(RESOLUTIONS),
    st.lists(st.tuples(POINTS, st.booleans()), max_size=40),
    st.randoms(use_true_random=False),
    POINTS,
    RADII_KM,
)
@BOUNDED
def test_parties_come_and_go_in_any_order(
    resolution: int, points: list[tuple[Point, bool]], chance: random.Random, point: Point, radius_km: float
) -> None:
    places = Places(resolution)
    living: list[Party] = []
    for code, (where, comes_back) in enumerate(points):
        party = (snap(where, resolution), code)
        places.add(*party)
        living.append(party)
        if chance.random() < 0.5:
            gone = living.pop(chance.randrange(len(living)))
            places.remove(*gone)
            if comes_back:
                places.add(*gone)
                living.append(gone)
    check(places, living, point, radius_km=radius_km, limit=20)
    chance.shuffle(living)
    for party in living:
        places.remove(*party)
    assert not vars(places)["_leaves"]
    assert not vars(places)["_earth"].children
    assert places.nearest(point, radius_km=EVERYWHERE_KM, limit=1) == []


@pytest.mark.parametrize("resolution", [3, 8, 15])
def test_long_coming_and_going_leaves_no_trace(resolution: int) -> None:
    rng = random.Random(resolution)
    towns = [Point(rng.uniform(-89, 89), rng.uniform(-179, 179)) for _ in range(6)]
    places = Places(resolution)
    living: list[Party] = []
    for code in range(3000):
        town, spread = rng.choice(towns), 10 ** rng.uniform(-6, 0)
        where = Point(town.lat + rng.uniform(-spread, spread), town.lng + rng.uniform(-spread, spread))
        living.append((snap(where, resolution), code))
        places.add(*living[-1])
        while living and rng.random() < (0.3 if code < 1500 else 0.55):
            places.remove(*living.pop(rng.randrange(len(living))))
        if code % 300 == 0:
            check(places, living, where, radius_km=EVERYWHERE_KM, limit=50)
    assert living
    check(places, living, towns[0], radius_km=500, limit=10_000)


@given(st.sampled_from(RESOLUTIONS), st.lists(POINTS, max_size=30), st.randoms(use_true_random=False), POINTS)
@BOUNDED
def test_the_order_of_coming_makes_no_difference(
    resolution: int, points: list[Point], chance: random.Random, point: Point
) -> None:
    parties = crowd_of(points, resolution)
    first = index_of(parties, resolution).nearest(point, radius_km=EVERYWHERE_KM, limit=100)
    chance.shuffle(parties)
    assert index_of(parties, resolution).nearest(point, radius_km=EVERYWHERE_KM, limit=100) == first


def test_parties_of_one_cell_come_in_the_order_of_their_codes() -> None:
    cell = snap(Point(10.0, 10.0), 8)
    places = index_of([(cell, code) for code in (5, 3, 9, 1, 7)], 8)
    found = places.nearest(Point(10.0, 10.0), radius_km=5, limit=4)
    assert [code for code, _ in found] == [1, 3, 5, 7]
    assert len({distance for _, distance in found}) == 1


def test_the_same_code_leaves_only_the_cell_it_is_taken_from() -> None:
    here, there = snap(Point(10.0, 10.0), 8), snap(Point(10.0, 10.1), 8)
    places = index_of([(here, 1), (there, 1), (here, 2)], 8)
    places.remove(here, 1)
    assert [code for code, _ in places.nearest(Point(10.0, 10.0), radius_km=50, limit=9)] == [2, 1]


def test_the_limit_ends_a_search_within_a_cell() -> None:
    cell = snap(Point(10.0, 10.0), 8)
    places = index_of([(cell, code) for code in range(50)], 8)
    for limit in (1, 19, 20, 49, 50, 51):
        found = places.nearest(Point(10.0, 10.0), radius_km=5, limit=limit)
        assert [code for code, _ in found] == list(range(min(limit, 50)))


def test_the_radius_ends_a_search_between_two_cells() -> None:
    parties = crowd_of([Point(10.0, 10.0), Point(10.0, 10.1), Point(10.0, 10.2)], 8)
    places = index_of(parties, 8)
    start = Point(10.0, 10.0)
    distances = [distance_to(cell, start) for cell, _ in parties]
    for reached, distance in enumerate(distances):
        short, far = distance * (1 - 1e-9), distance * (1 + 1e-9)
        assert len(places.nearest(start, radius_km=short, limit=9)) == reached
        assert len(places.nearest(start, radius_km=far, limit=9)) == reached + 1


def test_in_an_empty_ocean_nothing_is_found() -> None:
    rng = random.Random(7)
    parties = crowd_of([Point(rng.uniform(30, 60), rng.uniform(-10, 40)) for _ in range(2000)], 8)
    assert index_of(parties, 8).nearest(Point(-45.0, -130.0), radius_km=500, limit=20) == []


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_a_place_is_snapped_to_its_cell_and_forgotten_finer(resolution: int) -> None:
    cell = snap(Point(45.50, -73.57), resolution)
    assert h3.get_resolution(cell) == resolution
    assert snap(Point(*h3.cell_to_latlng(cell)), resolution) == cell
    lat, lng = centre(cell)
    assert distance_km(Point(lat, lng), Point(*h3.cell_to_latlng(cell))) < 0.0002


@given(POINTS, st.integers(0, 15), st.integers(0, 15))
def test_a_cell_is_known_at_every_resolution(point: Point, kept: int, wanted: int) -> None:
    cell = at_resolution(snap(point, kept), wanted)
    assert h3.get_resolution(cell) == wanted
    if wanted >= kept:
        assert at_resolution(cell, kept) == snap(point, kept)


# Checkers that catch nothing prove nothing.


class Shortsighted(Places):
    """Takes every cell to reach no farther than its own centre."""

    def add(self, cell: int, code: int) -> None:
        super().add(cell, code)
        opened = [*self._earth.children.values()]
        for one in opened:
            one.reach = 0.0
            opened += one.children.values()


class Forgetful(Places):
    """Lets a whole cell go with one of its parties."""

    def remove(self, cell: int, code: int) -> None:
        assert code in self._leaves[cell].codes
        for one in [*self._leaves[cell].codes]:
            super().remove(cell, one)


@pytest.mark.parametrize("planted", [Shortsighted, Forgetful])
def test_brute_force_catches_a_planted_bug(planted: Callable[[int], Places]) -> None:
    rng = random.Random(8)
    points = [Point(45 + rng.gauss(0, 0.2), -73 + rng.gauss(0, 0.2)) for _ in range(200)]
    parties = crowd_of(points, 8)
    places = planted(8)
    for party in parties:
        places.add(*party)

    def look_and_leave() -> None:
        for point in points:
            check(places, parties, point, radius_km=50, limit=20)
            places.remove(*parties.pop())

    with pytest.raises(AssertionError):
        look_and_leave()

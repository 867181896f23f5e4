"""Points and distances."""

import math

import pytest
from haversine import haversine
from hypothesis import example, given
from hypothesis import strategies as st

from chassis.errors import Malformed
from chassis.geo import EARTH_RADIUS_KM, Point, chord_to_km, distance_km, unit_vector

LATS = st.floats(-90, 90)
LNGS = st.floats(-180, 180)
POINTS = st.builds(Point, LATS, LNGS)
HALF_WAY_ROUND_KM = math.pi * EARTH_RADIUS_KM


def chord_squared(a: Point, b: Point) -> float:
    return sum((p - q) ** 2 for p, q in zip(unit_vector(a), unit_vector(b), strict=True))


@pytest.mark.parametrize("lat", [-90.0, 0.0, 90.0])
@pytest.mark.parametrize("lng", [-180.0, 0.0, 180.0])
def test_a_point_may_lie_on_every_bound(lat: float, lng: float) -> None:
    assert (Point(lat, lng).lat, Point(lat, lng).lng) == (lat, lng)


@pytest.mark.parametrize("lat", [90.0001, -90.0001, math.nan, math.inf, -math.inf])
def test_a_latitude_out_of_bounds_is_refused_by_name(lat: float) -> None:
    with pytest.raises(Malformed, match=r"lat must be from -90 to 90 degrees") as refusal:
        Point(lat, 0.0)
    assert (refusal.value.status, refusal.value.code, refusal.value.field) == (400, "bad_coordinates", "lat")


@pytest.mark.parametrize("lng", [180.0001, -180.0001, math.nan, math.inf, -math.inf])
def test_a_longitude_out_of_bounds_is_refused_by_name(lng: float) -> None:
    with pytest.raises(Malformed, match=r"lng must be from -180 to 180 degrees") as refusal:
        Point(0.0, lng)
    assert (refusal.value.status, refusal.value.code, refusal.value.field) == (400, "bad_coordinates", "lng")


def test_montreal_is_504_km_from_toronto() -> None:
    assert distance_km(Point(45.5019, -73.5674), Point(43.6532, -79.3832)) == pytest.approx(504.3, abs=0.5)


def test_a_quarter_of_the_way_round_is_from_the_equator_to_a_pole() -> None:
    assert distance_km(Point(0, 10), Point(90, -120)) == pytest.approx(HALF_WAY_ROUND_KM / 2)


@given(POINTS, POINTS)
def test_the_distance_is_that_of_the_haversine_package(a: Point, b: Point) -> None:
    assert distance_km(a, b) == haversine((a.lat, a.lng), (b.lat, b.lng))


@given(POINTS)
def test_antipodes_are_half_way_round(point: Point) -> None:
    antipode = Point(-point.lat, point.lng - 180 if point.lng > 0 else point.lng + 180)
    assert distance_km(point, antipode) == pytest.approx(HALF_WAY_ROUND_KM, abs=0.001)


@given(LATS, POINTS)
@example(lat=0.0, other=Point(0, 0))
def test_180_and_minus_180_are_one_meridian(lat: float, other: Point) -> None:
    east, west = Point(lat, 180), Point(lat, -180)
    assert unit_vector(east) == unit_vector(west)
    assert distance_km(east, west) == pytest.approx(0, abs=1e-9)
    assert distance_km(east, other) == pytest.approx(distance_km(west, other), abs=0.001)


@given(LNGS, LNGS)
def test_a_pole_is_one_place_under_all_longitudes(one: float, another: float) -> None:
    assert unit_vector(Point(90, one)) == unit_vector(Point(90, another)) == (0, 0, 1)
    assert unit_vector(Point(-90, one)) == unit_vector(Point(-90, another)) == (0, 0, -1)


@given(POINTS)
def test_a_unit_vector_has_length_one(point: Point) -> None:
    assert math.hypot(*unit_vector(point)) == pytest.approx(1)


def test_the_axes_run_through_the_equator_and_the_north_pole() -> None:
    assert unit_vector(Point(0, 0)) == (1, 0, 0)
    assert unit_vector(Point(0, 90)) == pytest.approx((0, 1, 0))
    assert unit_vector(Point(90, 0)) == (0, 0, 1)


@given(POINTS, POINTS)
def test_the_chord_gives_the_same_distance_as_haversine(a: Point, b: Point) -> None:
    # Close to antipodes both take the arcsine of nearly one, where 16 digits are good for decimetres.
    precision_km = 1e-6 if distance_km(a, b) < 20_000 else 0.001
    assert chord_to_km(chord_squared(a, b)) == pytest.approx(distance_km(a, b), abs=precision_km)


@pytest.mark.parametrize("metres", [0.1, 1.0, 100.0])
def test_the_chord_is_exact_for_neighbours(metres: float) -> None:
    here = Point(45.5, -73.57)
    there = Point(45.5 + math.degrees(metres / 1000 / EARTH_RADIUS_KM), -73.57)
    assert chord_to_km(chord_squared(here, there)) * 1000 == pytest.approx(metres, rel=1e-6)


def test_a_chord_that_rounding_made_too_long_is_half_way_round() -> None:
    assert chord_to_km(math.nextafter(4.0, 5.0)) == HALF_WAY_ROUND_KM

"""Points on the earth and the distance between them."""

from dataclasses import dataclass
from math import asin, cos, pi, radians, sin, sqrt

from haversine import Unit, haversine

from chassis.errors import Malformed

EARTH_RADIUS_KM = 6371.0088
"""The mean radius, as the haversine package has it (IUGG: (2a + b) / 3 of WGS 84)."""

HALF_WAY_ROUND_KM = pi * EARTH_RADIUS_KM


def checked_lat(lat: float) -> float:
    """The latitude itself, in decimal degrees; NaN and all outside [-90, 90] raise Malformed."""
    if -90.0 <= lat <= 90.0:
        return lat
    raise Malformed("bad_coordinates", f"lat must be from -90 to 90 degrees, not {lat}.", field="lat")


def checked_lng(lng: float) -> float:
    """The longitude itself, in decimal degrees; NaN and all outside [-180, 180] raise Malformed."""
    if -180.0 <= lng <= 180.0:
        return lng
    raise Malformed("bad_coordinates", f"lng must be from -180 to 180 degrees, not {lng}.", field="lng")


@dataclass(frozen=True, slots=True)
class Point:
    """A place in decimal degrees (WGS 84). Out of bounds raises Malformed `bad_coordinates`.

    Longitudes 180 and -180 are the same meridian: both are kept as given, the distance between them is zero.
    """

    lat: float
    lng: float

    def __post_init__(self) -> None:
        checked_lat(self.lat)
        checked_lng(self.lng)


def distance_km(a: Point, b: Point) -> float:
    """Great-circle distance by the haversine package."""
    try:
        distance: float = haversine((a.lat, a.lng), (b.lat, b.lng), unit=Unit.KILOMETERS)
    except ValueError:
        # The points are in range, so it can only be the arcsine of a hair more than one: antipodes, rounded.
        return HALF_WAY_ROUND_KM
    return distance


def unit_vector(point: Point) -> tuple[float, float, float]:
    """The point on a sphere of radius one: x towards (0, 0), y towards (0, 90), z towards the north pole.

    One place has one vector, also a pole under all its longitudes and the meridian 180 under both its names.
    """
    lat, lng = radians(point.lat), radians(point.lng)
    # The cosine of 90 degrees and the sine of 180 come out as a hair beside zero.
    ring = cos(lat) if abs(point.lat) < 90.0 else 0.0
    y = ring * sin(lng) if abs(point.lng) < 180.0 else 0.0
    return ring * cos(lng), y, sin(lat)


def chord_to_km(chord_squared: float) -> float:
    """Great-circle distance from the squared straight line between two unit vectors.

    Half the chord is the sine of half the angle, so this is the haversine formula from its root on: the same
    number, for a caller who compares by vectors and needs no trigonometry to do so.
    """
    if chord_squared >= 4.0:
        return HALF_WAY_ROUND_KM
    return 2.0 * EARTH_RADIUS_KM * asin(sqrt(chord_squared) * 0.5)

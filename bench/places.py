"""Where the benchmark's managers, parties and callers are."""

import math
import random
from dataclasses import dataclass
from typing import Literal

# Montreal. A degree of latitude is 111.2 km anywhere, one of longitude is that times cos(lat).
CENTRE_LAT, CENTRE_LNG = 45.50, -73.57
KM_PER_DEGREE = 111.2
REGION_KM = 100.0
CROWD_KM = 1.0
# Callers keep away from the region's edge by nearby's default radius.
EDGE_KM = 5.0

Around = Literal["nowhere", "region", "crowd"]


@dataclass(frozen=True, slots=True)
class Place:
    """A position in decimal degrees."""

    lat: float
    lng: float

    @property
    def query(self) -> str:
        """As a query string, in the order of the README's example."""
        return f"lng={self.lng:.5f}&lat={self.lat:.5f}"


def on_the_globe(draw: random.Random) -> Place:
    """Anywhere on the sphere, every square kilometre alike."""
    return Place(math.degrees(math.asin(draw.uniform(-1, 1))), draw.uniform(-180, 180))


def somewhere(around: Around, draw: random.Random) -> Place | None:
    """A party's position: in the whole square, edges included, or none."""
    if around == "nowhere":
        return None
    return in_square(draw, REGION_KM if around == "region" else CROWD_KM)


def in_the_region(draw: random.Random) -> Place:
    """A caller somewhere in the square of REGION_KM where parties are scattered."""
    return in_square(draw, REGION_KM - 2 * EDGE_KM)


def in_the_crowd(draw: random.Random) -> Place:
    """A caller in the square of CROWD_KM where all the parties are."""
    return in_square(draw, CROWD_KM)


def in_square(draw: random.Random, side_km: float) -> Place:
    """Anywhere in the square of this side around the centre."""
    half = side_km / 2 / KM_PER_DEGREE
    lng_half = half / math.cos(math.radians(CENTRE_LAT))
    return Place(CENTRE_LAT + draw.uniform(-half, half), CENTRE_LNG + draw.uniform(-lng_half, lng_half))

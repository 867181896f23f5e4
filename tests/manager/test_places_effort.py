"""How much a search for places looks at: counted, since a clock would say something else on each machine."""

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from chassis.geo import Point
from manager import places
from manager.places import Places, snap

STEPS = 10_000
"""Lines of places.py that a search for 20 may run. It takes three or four to weigh a cell, so a scan runs 300,000."""


@contextmanager
def counting_steps() -> Iterator[list[int]]:
    """Counts the lines run in places.py, whatever it does there."""
    count = [0]

    def on_line(_: FrameType, event: str, __: object) -> object:
        count[0] += event == "line"
        return on_line

    def on_call(frame: FrameType, *_: object) -> object:
        return on_line if frame.f_code.co_filename == places.__file__ else None

    before = sys.gettrace()
    sys.settrace(on_call)  # type: ignore[arg-type]
    try:
        yield count
    finally:
        sys.settrace(before)


def most_steps(index: Places, points: list[Point], *, radius_km: float) -> int:
    most = 0
    for point in points:
        with counting_steps() as count:
            index.nearest(point, radius_km=radius_km, limit=20)
        assert count[0], "the count must count"
        most = max(most, count[0])
    return most


CITIES = [Point(lat, lng) for lat in range(-60, 61, 8) for lng in range(-180, 180, 12)]


def scattered(rng: random.Random) -> Point:
    """Within some ten kilometres of a city."""
    city = rng.choice(CITIES)
    return Point(city.lat + rng.uniform(-0.1, 0.1), max(-180.0, city.lng + rng.uniform(-0.1, 0.1)))


def crowded(rng: random.Random) -> Point:
    """Somewhere in one square kilometre of Montreal."""
    return Point(45.5 + rng.uniform(0, 0.009), -73.57 + rng.uniform(0, 0.0128))


@pytest.mark.parametrize(
    ("where", "resolution"), [(scattered, 8), (crowded, 8), (crowded, 15)], ids=["scattered", "crowded", "crowded fine"]
)
def test_a_search_among_100_000_weighs_few_cells(where: Callable[[random.Random], Point], resolution: int) -> None:
    rng = random.Random(9)
    index = Places(resolution)
    for code in range(100_000):
        index.add(snap(where(rng), resolution), code)
    points = [where(rng) for _ in range(50)]
    outside = [Point(45.6, -73.57), Point(45.5, -73.0), Point(44.0, -73.57)]
    for radius_km in (5.0, 500.0):
        assert most_steps(index, points + outside, radius_km=radius_km) <= STEPS


def test_a_scan_is_told_from_a_search() -> None:
    class Flat(Places):
        def _plant(self, leaf: Any) -> None:
            self._earth.children[leaf.key] = leaf

    rng = random.Random(10)
    index = Flat(8)
    for code in range(STEPS):
        index.add(snap(Point(rng.uniform(-90, 90), rng.uniform(-180, 180)), 8), code)
    assert most_steps(index, [Point(0.0, 0.0)], radius_km=500.0) > STEPS

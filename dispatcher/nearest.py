"""Which manager is nearest, and which are the next best. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import cos, inf, radians, sin, sqrt
from operator import itemgetter
from typing import Final

from chassis.geo import EARTH_RADIUS_KM, Point, chord_to_km, unit_vector
from chassis.roster import Manager

ALTERNATES: Final = 3
"""How many are named besides the nearest."""

MAX_KEPT: Final = 1_000_000
"""Candidates kept in all cells together. Only crowds of managers come near; then they are picked afresh."""

_GIVEN = 1 + ALTERNATES
_COARSE_DEG = 10
# Cells count from latitude -90 and longitude -180. Latitude 90 and longitude 180 are a row and a column of
# their own, without extent in that direction, so that no position needs a case of its own.
_COLUMNS = 361
_SLACK_KM = 0.001  # Rounding stays far below a metre.

# A squared chord that is longer than another by less than this share is as long, but for rounding: the share is
# five millimetres in 10,000 km.
_AS_FAR = 1.0 + 1e-9
# That share of the longest squared chord, 4, is less than twice this, so a cell settles nothing that may be a tie.
_CLEAR_LEAD = 4e-9

_Vector = tuple[float, float, float]
# A manager's unit vector and its index.
_Candidate = tuple[float, float, float, int]
# Who may be given somewhere in the cell; and the order of the given, if it is the same everywhere in it.
_Cell = tuple[tuple[_Candidate, ...], tuple[int, ...] | None]


class Nearest:
    """An immutable index of managers by nearness: exact by haversine, ties in the order of `managers`.

    The first question from a cell of one degree picks those who may be given anywhere in it, out of those of
    the ten degrees around, and keeps them. From then on an answer costs the asker's unit vector and a squared
    chord to each of them; or to one alone, where the order is the same all over the cell. They are few more than
    the given, however long the roster, unless many managers stand close together. Kilometres are worked out for
    the nearest only.
    """

    __slots__ = ("_areas", "_cells", "_everyone", "_max_kept", "kept", "managers")

    def __init__(self, managers: Sequence[Manager], *, max_kept: int = MAX_KEPT) -> None:
        self.managers: Final = tuple(managers)
        points = (Point(manager.lat, manager.lng) for manager in self.managers)
        self._everyone: Final = [(*unit_vector(point), index) for index, point in enumerate(points)]
        self._areas: dict[tuple[int, int], list[_Candidate]] = {}
        self._cells: dict[int, _Cell] = {}
        self._max_kept: Final = max_kept
        self.kept = 0

    def ranked(self, lat: float, lng: float) -> tuple[tuple[int, ...], float]:
        """Indices into `managers`, of the nearest and up to ALTERNATES next best, and the km to the nearest.

        Takes decimal degrees within bounds. Of no managers none is given, and infinitely far.
        """
        try:
            candidates, order = self._cells[int(lat + 90.0) * _COLUMNS + int(lng + 180.0)]
        except KeyError:
            if not self.managers:
                return (), inf
            candidates, order = self._open(int(lat + 90.0), int(lng + 180.0))
        lat, lng = radians(lat), radians(lng)
        ring = cos(lat)
        x, y, z = ring * cos(lng), ring * sin(lng), sin(lat)
        if order is not None:
            a, b, c, _ = candidates[0]
            return order, chord_to_km((a - x) * (a - x) + (b - y) * (b - y) + (c - z) * (c - z))
        found: list[tuple[float, int]] = []
        for a, b, c, index in candidates:
            a -= x
            b -= y
            c -= z
            found.append((a * a + b * b + c * c, index))
        found.sort()
        near = -1.0
        given: list[int] = []
        for far, index in found[: _GIVEN + 1]:
            if far <= near * _AS_FAR:
                return _given_with_ties(found)
            given.append(index)
            near = far
        return tuple(given[:_GIVEN]), chord_to_km(found[0][0])

    def _open(self, row: int, column: int) -> _Cell:
        """Find out who may be given in a cell of one degree, and keep it."""
        area = _Area.of(row, column, extent_deg=1)
        near = area.sieve(self._around(row, column))
        given = near[:_GIVEN]
        rivals = [one for one in near[_GIVEN:] if not all(area.is_led(best, one) for best in given)]
        if not rivals and all(area.is_led(*pair) for pair in pairwise(given)):
            cell: _Cell = (given[0],), tuple(index for *_, index in given)
        else:
            cell = (*given, *rivals), None
        self._make_room(len(cell[0]))
        self._cells[row * _COLUMNS + column] = cell
        return cell

    def _around(self, row: int, column: int) -> list[_Candidate]:
        """Who may be given somewhere in the ten degrees around a cell."""
        key = row // _COARSE_DEG, column // _COARSE_DEG
        around = self._areas.get(key)
        if around is None:
            area = _Area.of(key[0] * _COARSE_DEG, key[1] * _COARSE_DEG, extent_deg=_COARSE_DEG)
            around = area.sieve(self._everyone)
            self._make_room(len(around))
            self._areas[key] = around
        return around

    def _make_room(self, candidates: int) -> None:
        if self.kept + candidates > self._max_kept:
            self._areas.clear()
            self._cells.clear()
            self.kept = 0
        self.kept += candidates


@dataclass(frozen=True, slots=True)
class _Area:
    """A piece of the grid as the circle around its corners."""

    centre: _Vector
    radius_km: float

    @classmethod
    def of(cls, row: int, column: int, *, extent_deg: int) -> "_Area":
        south, west = row - 90.0, column - 180.0
        north, east = min(south + extent_deg, 90.0), min(west + extent_deg, 180.0)
        centre = unit_vector(Point((south + north) / 2, (west + east) / 2))
        # A corner is farthest: along a parallel the distance grows with the longitude, and along the meridian
        # of a side it falls to one least value and grows again. The eastern corners mirror the western ones.
        corners = (unit_vector(Point(lat, west)) for lat in (south, north))
        return cls(centre, max(_distance_km(centre, corner) for corner in corners) + _SLACK_KM)

    def sieve(self, candidates: Iterable[_Candidate]) -> list[_Candidate]:
        """Who may be given somewhere in here, by distance from the centre.

        From the centre to elsewhere in here no distance changes by more than the radius. So those given at the
        centre stay ahead of whoever is farther from it than the last of them by more than twice the radius.
        """
        by_distance = sorted((_distance_km(self.centre, one), one) for one in candidates)
        if len(by_distance) <= _GIVEN:
            return [one for _, one in by_distance]
        limit_km = by_distance[_GIVEN - 1][0] + 2 * self.radius_km
        return [one for distance_km, one in by_distance if distance_km <= limit_km]

    def is_led(self, first: _Candidate, second: _Candidate) -> bool:
        """Whether the first is nearer than the second from everywhere in here, and by more than a tie.

        The places as far from both lie on the plane at right angles to the difference of their vectors. So
        this asks if the centre is on the first one's side of it, and farther from it than the radius.
        """
        x, y, z = first[0] - second[0], first[1] - second[1], first[2] - second[2]
        lead = x * self.centre[0] + y * self.centre[1] + z * self.centre[2]
        return lead > sqrt(x * x + y * y + z * z) * sin(self.radius_km / EARTH_RADIUS_KM) + _CLEAR_LEAD


def _distance_km(a: _Vector, b: _Vector | _Candidate) -> float:
    x, y, z = a[0] - b[0], a[1] - b[1], a[2] - b[2]
    return chord_to_km(x * x + y * y + z * z)


def _given_with_ties(found: list[tuple[float, int]]) -> tuple[tuple[int, ...], float]:
    """What `ranked` gives, from sorted squared chords and indices; those as far as each other by index."""
    runs = [[found[0]]]
    for one in found[1:]:
        if one[0] <= runs[-1][-1][0] * _AS_FAR:
            runs[-1].append(one)
        else:
            runs.append([one])
    ranked = [one for run in runs for one in sorted(run, key=itemgetter(1))]
    return tuple(index for _, index in ranked[:_GIVEN]), chord_to_km(ranked[0][0])

"""Where parties are: positions snapped to H3 cells, and the index that finds the nearest ones. Pure."""

from bisect import bisect_left, insort
from collections.abc import Iterable
from heapq import heappop, heappush
from math import asin, dist, pi, sin

import h3.api.basic_int as h3

from chassis.geo import EARTH_RADIUS_KM, Point, unit_vector

FINEST_RESOLUTION = 15  # H3's own


def snap(point: Point, resolution: int) -> int:
    """The H3 cell that holds the point. What is finer than the cell is forgotten here."""
    cell: int = h3.latlng_to_cell(point.lat, point.lng, resolution)
    return cell


def at_resolution(cell: int, resolution: int) -> int:
    """The cell as if snapped at this resolution: coarser by its parent, finer by the child at its centre."""
    if h3.get_resolution(cell) >= resolution:
        coarser: int = h3.cell_to_parent(cell, resolution)
        return coarser
    finer: int = h3.cell_to_center_child(cell, resolution)
    return finer


def centre(cell: int) -> tuple[float, float]:
    """Latitude and longitude of a cell's centre, to six decimals (0.1 m)."""
    lat, lng = h3.cell_to_latlng(cell)
    return round(lat, 6), round(lng, 6)


class Places:
    """Party codes by cell, nearest first from anywhere.

    A tree of the occupied H3 cells, from the 122 coarsest down to those that parties were snapped to. Each cell
    knows its `reach`: the farthest centre that lies below it. So no party below it is nearer than the distance to its
    centre less its reach, and a search that always opens the cell with the least such bound meets parties in order of
    distance, leaves whole continents shut, and misses none: a bound on what is there holds at the poles, across the
    antimeridian and around H3's pentagons alike. Distances inside are chords of the unit sphere, which grow with
    great-circle distance and obey the triangle inequality.
    """

    def __init__(self, resolution: int) -> None:
        """`resolution` is that of all cells that will be added, 0 to 15."""
        self._levels = range(resolution - 1, -1, -1)  # of the cells above the leaves, finest first
        self._cells: dict[int, _Cell] = {}
        self._roots: list[_Cell] = []

    def add(self, cell: int, code: int) -> None:
        """Puts a party into its cell."""
        leaf = self._cells.get(cell)
        if leaf is None:
            leaf = self._grow(cell)
        insort(leaf.codes, code)

    def remove(self, cell: int, code: int) -> None:
        """Takes a party out of its cell, and with it every cell that is empty then."""
        below = self._cells[cell]
        del below.codes[bisect_left(below.codes, code)]
        for level in self._levels:
            if below.codes or below.children:
                return
            del self._cells[below.key]
            above = self._cells[h3.cell_to_parent(cell, level)]
            above.children = tuple(child for child in above.children if child is not below)
            below = above
        if not below.codes and not below.children:
            del self._cells[below.key]
            self._roots.remove(below)

    def nearest(self, point: Point, *, radius_km: float, limit: int) -> list[tuple[int, float]]:
        """Up to `limit` codes within `radius_km` with their distances in km, nearest first.

        Distances are to the centres of cells; parties of one cell come in the order of their codes.
        """
        here = unit_vector(point)
        farthest = 2.0 * sin(min(radius_km / EARTH_RADIUS_KM, pi) / 2.0)
        found: list[tuple[int, float]] = []
        # Entries carry the cell's key, so that cells at one distance are opened in a fixed order.
        shut: list[tuple[float, int, _Cell]] = []
        cells: Iterable[_Cell] = self._roots
        while True:
            for cell in cells:
                bound = dist(here, cell.at) - cell.reach
                if bound <= farthest:
                    heappush(shut, (bound, cell.key, cell))
            if not shut:
                return found
            chord, _, cell = heappop(shut)
            if cell.codes:
                distance_km = 2.0 * EARTH_RADIUS_KM * asin(min(1.0, chord / 2.0))
                found += [(code, distance_km) for code in cell.codes[: limit - len(found)]]
                if len(found) == limit:
                    return found
            cells = cell.children

    def _grow(self, cell: int) -> "_Cell":
        """A new leaf, with those above it that aren't there yet, and every reach stretched to it."""
        leaf = self._cells[cell] = _Cell(cell)
        leaf.codes = []
        orphan: _Cell | None = leaf
        for level in self._levels:
            key = h3.cell_to_parent(cell, level)
            above = self._cells.get(key)
            is_new = above is None
            if above is None:
                above = self._cells[key] = _Cell(key)
            if orphan is not None:
                above.children = (*above.children, orphan)
            orphan = above if is_new else None
            above.reach = max(above.reach, dist(above.at, leaf.at))
        if orphan is not None:
            self._roots.append(orphan)
        return leaf


class _Cell:
    __slots__ = ("at", "children", "codes", "key", "reach")

    def __init__(self, key: int) -> None:
        lat, lng = h3.cell_to_latlng(key)
        self.key = key
        self.at = unit_vector(Point(lat, lng))
        self.reach = 0.0
        self.children: tuple[_Cell, ...] = ()
        self.codes: list[int] = _NO_CODES


_NO_CODES: list[int] = []  # shared by all cells that aren't leaves: an empty list of its own is 56 bytes

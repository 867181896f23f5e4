"""Where parties are: positions snapped to H3 cells, and the index that finds the nearest ones. Pure."""

from bisect import bisect_left, insort
from collections.abc import Iterable
from heapq import heappop, heappush
from math import asin, dist, pi, sin

import h3.api.basic_int as h3

from chassis.geo import EARTH_RADIUS_KM, Point, unit_vector

FINEST_RESOLUTION = 15  # H3's own
_NO_CELL = 1 << 63  # an H3 index leaves the highest of its 64 bits free


def snap(point: Point, resolution: int) -> int:
    """The H3 cell that holds the point. What is finer than the cell is forgotten here."""
    cell: int = h3.latlng_to_cell(point.lat, point.lng, resolution)
    return cell


def at_resolution(cell: int, resolution: int) -> int:
    """The cell as if snapped at this resolution: coarser by its parent, finer by the child at its centre.

    Raises ValueError for what is no cell.
    """
    if not (0 < cell < _NO_CELL and h3.is_valid_cell(cell)):
        raise ValueError(f"{cell} is no H3 cell")
    its_own: int = h3.get_resolution(cell)
    if its_own == resolution:
        return cell
    if its_own > resolution:
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

    A tree of H3 cells: its leaves are the cells that parties were snapped to, and above them stand only those coarser
    cells in which paths part. Each cell knows its `reach`: no centre below it is farther from its own. So no party
    below it is nearer than the distance to its centre less its reach, and a search that always opens the cell with the
    least such bound meets parties in order of distance, leaves whole continents shut, and misses none: a bound on what
    is there holds at the poles, across the antimeridian and around H3's pentagons alike. Distances inside are chords
    of the unit sphere, which grow with great-circle distance and obey the triangle inequality.
    """

    def __init__(self, resolution: int) -> None:
        """`resolution` is that of all cells that will be added, 0 to 15."""
        self._resolution = resolution
        self._leaves: dict[int, _Cell] = {}
        self._earth = _Earth()

    def add(self, cell: int, code: int) -> None:
        """Puts a party into its cell."""
        leaf = self._leaves.get(cell)
        if leaf is None:
            leaf = self._leaves[cell] = _Cell(cell, self._resolution)
            leaf.codes = []
            self._plant(leaf)
        insort(leaf.codes, code)

    def remove(self, cell: int, code: int) -> None:
        """Takes a party out of its cell, and the cell out of the tree once it is empty."""
        leaf = self._leaves[cell]
        del leaf.codes[bisect_left(leaf.codes, code)]
        if not leaf.codes:
            del self._leaves[cell]
            self._fell(leaf)

    def nearest(self, point: Point, *, radius_km: float, limit: int) -> list[tuple[int, float]]:
        """Up to `limit` codes within `radius_km` with their distances in km, nearest first.

        Distances are to the centres of cells; parties of one cell come in the order of their codes.
        """
        here = unit_vector(point)
        farthest = 2.0 * sin(min(radius_km / EARTH_RADIUS_KM, pi) / 2.0)
        found: list[tuple[int, float]] = []
        # Entries carry the cell's key, so that cells at one distance are opened in a fixed order.
        shut: list[tuple[float, int, _Cell]] = []
        cells: Iterable[_Cell] = self._earth.children.values()
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
            cells = cell.children.values()

    def _plant(self, leaf: "_Cell") -> None:
        """Hangs a new leaf below the finest cell that holds it, parting a path where it has to."""
        above: _Earth | _Cell = self._earth
        while True:
            branch = _digit(leaf.key, above.resolution + 1)
            below = above.children.get(branch)
            if below is None:
                above.children[branch] = leaf
                return
            shared = _shared_resolution(below.key, leaf.key, below.resolution)
            if shared < below.resolution:
                fork = _Cell(h3.cell_to_parent(leaf.key, shared), shared)
                fork.children = {_digit(one.key, shared + 1): one for one in (below, leaf)}
                fork.reach = max(dist(fork.at, below.at) + below.reach, dist(fork.at, leaf.at))
                above.children[branch] = fork
                return
            below.reach = max(below.reach, dist(below.at, leaf.at))
            above = below

    def _fell(self, leaf: "_Cell") -> None:
        """Takes a leaf off, and with it the cell above it where paths no longer part."""
        trail: list[_Earth | _Cell] = [self._earth]
        while (below := trail[-1].children[_digit(leaf.key, trail[-1].resolution + 1)]) is not leaf:
            trail.append(below)
        above = trail.pop()
        del above.children[_digit(leaf.key, above.resolution + 1)]
        if trail and len(above.children) == 1:
            (only,) = above.children.values()
            trail[-1].children[_digit(leaf.key, trail[-1].resolution + 1)] = only


class _Earth:
    """The root: all cells of resolution 0 are below it."""

    resolution = -1

    def __init__(self) -> None:
        self.children: dict[int, _Cell] = {}


class _Cell:
    __slots__ = ("at", "children", "codes", "key", "reach", "resolution")

    def __init__(self, key: int, resolution: int) -> None:
        lat, lng = h3.cell_to_latlng(key)
        self.key = key
        self.resolution = resolution
        self.at = unit_vector(Point(lat, lng))
        self.reach = 0.0
        self.children: dict[int, _Cell] = _NO_CHILDREN
        self.codes: list[int] = _NO_CODES


# Shared by all cells that have none: an empty container of its own is 56 bytes and more.
_NO_CHILDREN: dict[int, _Cell] = {}
_NO_CODES: list[int] = []

# An H3 index holds the resolution in bits 52-55, the base cell in bits 45-51, and below it one digit of three bits for
# each resolution from 1 to 15 (h3geo.org, "H3 Index Bit Layout").
_BASE_CELL_BIT = 45
_PATH_BITS = (1 << 52) - 1


def _digit(key: int, resolution: int) -> int:
    """Which child of its parent the cell's ancestor at this resolution is; at resolution 0 its base cell."""
    if resolution == 0:
        return (key & _PATH_BITS) >> _BASE_CELL_BIT
    return key >> 3 * (FINEST_RESOLUTION - resolution) & 7


def _shared_resolution(a: int, b: int, finest: int) -> int:
    """The finest resolution, up to `finest`, at which two cells of one base cell have the same ancestor."""
    shift = 3 * (FINEST_RESOLUTION - finest)
    parted = ((a ^ b) & _PATH_BITS) >> shift
    if not parted:
        return finest
    return FINEST_RESOLUTION - (parted.bit_length() - 1 + shift) // 3 - 1

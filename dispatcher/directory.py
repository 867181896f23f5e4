"""Everything the dispatcher answers, worked out once per roster: a whole, to be swapped as one."""

from datetime import datetime

import msgspec

from chassis.errors import Unavailable
from chassis.roster import Manager, Roster
from dispatcher.nearest import Nearest

TTL_S = 30
"""How long a client may keep an answer, in seconds."""

MAX_TAILS = 65_536
"""How many orders of managers are kept as JSON; there are about as many as one-degree cells on land."""

_RETRY_AFTER_S = 5
_json = msgspec.json.encode


class _Listed(msgspec.Struct):
    hostname: str
    region: str
    url: str
    lat: float
    lng: float
    area_codes: tuple[str, ...]
    healthy: bool
    since: datetime


class Directory:
    """The answers for one roster. Whoever watches health makes a new one of the managers that can take parties."""

    def __init__(self, roster: Roster, *, since: datetime) -> None:
        """`since` is when the managers came to be seen as they are now."""
        managers = roster.managers
        self._roster = roster
        self._nearest = Nearest(managers)
        self._heads = [_head(manager) for manager in managers]
        self._tails: dict[tuple[int, ...], bytes] = {}
        self.listed = _json({"managers": [_listed(manager, since) for manager in managers]})

    def nearest(self, lat: float, lng: float) -> bytes:
        """The nearest manager as JSON. Decimal degrees within bounds; raises Unavailable when there is none.

        Only the distance differs from answer to answer, so the rest is put together once.
        """
        indices, distance_km = self._nearest.ranked(lat, lng)
        if not indices:
            raise Unavailable("no_managers", "No manager is configured.", retry_after_s=_RETRY_AFTER_S)
        tail = self._tails.get(indices)
        if tail is None:
            if len(self._tails) == MAX_TAILS:
                self._tails.clear()
            tail = self._tails[indices] = self._tail(indices)
        return b'%b"distance_km":%.3f%b' % (self._heads[indices[0]], distance_km, tail)

    def owner(self, area_code: int) -> bytes | None:
        """The manager that owns the area code as JSON, or None."""
        manager = self._roster.of_area_code(area_code)
        if manager is None:
            return None
        return _head(manager) + b'"healthy":true,"degraded":false,"ttl_s":%d}' % TTL_S

    def _tail(self, indices: tuple[int, ...]) -> bytes:
        alternates = _json([self._nearest.managers[index].hostname for index in indices[1:]])
        return b',"alternates":%b,"degraded":false,"ttl_s":%d}' % (alternates, TTL_S)


def _head(manager: Manager) -> bytes:
    named = _json({"hostname": manager.hostname, "region": manager.region, "url": manager.url})
    return named[:-1] + b","


def _listed(manager: Manager, since: datetime) -> _Listed:
    return _Listed(
        hostname=manager.hostname,
        region=manager.region,
        url=manager.url,
        lat=manager.lat,
        lng=manager.lng,
        area_codes=manager.area_codes.ranges(),
        healthy=True,
        since=since,
    )

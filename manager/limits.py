"""How often devices may call, and how often networks may guess codes."""

from collections.abc import Callable
from typing import NamedTuple

from chassis.limits import Limit, RateLimit, Unlimited

HOUR_S = 3600.0


class Limits(NamedTuple):
    """The first three are by device, the look-ups that find no party by IPv4 address or IPv6 /64."""

    creates: Limit
    joins: Limit
    requests: Limit
    lookups_ipv4: Limit
    lookups_ipv6: Limit


UNLIMITED = Limits(*[Unlimited()] * 5)


def new_limits(
    *,
    creates_per_h: int,
    joins_per_h: int,
    requests_per_s: int,
    failed_lookups_per_h: int,
    failed_lookups_per_h_ipv6: int,
    clock_s: Callable[[], float],
) -> Limits:
    """Limits by a clock that never goes back."""
    return Limits(
        RateLimit("creates", creates_per_h, HOUR_S, clock_s),
        RateLimit("joins", joins_per_h, HOUR_S, clock_s),
        RateLimit("requests", requests_per_s, 1.0, clock_s),
        RateLimit("lookups", failed_lookups_per_h, HOUR_S, clock_s),
        RateLimit("lookups", failed_lookups_per_h_ipv6, HOUR_S, clock_s),
    )

"""What can be set about a manager."""

from dataclasses import dataclass
from pathlib import Path

from chassis.origins import NO_ORIGINS, AllowedOrigins
from chassis.settings import ProcessSettings, decimal, one_of, setting, whole

_LIMIT = whole(1, 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ProcessSettings):
    port: int = setting("port to listen on, 0 for any free one", default=8081, read=whole(0, 65535))
    config: Path = setting("the roster of all managers", default=Path("config/managers.yaml"), read=Path)
    hostname: str = setting("which of the roster's managers this is")
    database: Path = setting("the SQLite file; made where there is none", read=Path)
    metrics_port: int = setting("a port of its own for /metrics, 0 for the main one", default=0, read=whole(0, 65535))
    discovery_resolution: int = setting(
        "H3 resolution of the places that are kept; 8 is about 0.7 square km", default=8, read=whole(0, 15)
    )
    default_capacity: int = setting("seats of a party whose creator doesn't say", default=50, read=whole(1, 10_000))
    max_capacity: int = setting("most seats that a creator can ask for", default=500, read=whole(1, 10_000))
    beat_s: float = setting(
        "seconds between two beats of a stream; who misses three is offline", default=10.0, read=decimal(0.05, 3600)
    )
    grace_s: float = setting(
        "seconds for which somebody offline keeps their seat", default=60.0, read=decimal(0, 86_400)
    )
    idle_expiry_h: float = setting(
        "hours without a call after which somebody who never was online is out",
        default=24.0,
        read=decimal(0.0001, 8760),
    )
    rate_limits: str = setting("on, or off for load tests", default="on", read=one_of("on", "off"))
    creates_per_h: int = setting("parties that a device may start in an hour", default=10, read=_LIMIT)
    joins_per_h: int = setting("seats that a device may take in an hour", default=60, read=_LIMIT)
    requests_per_s: int = setting("requests that a device may send in a second", default=20, read=_LIMIT)
    streams_per_device: int = setting("streams that a device may have open", default=5, read=_LIMIT)
    failed_lookups_per_h: int = setting(
        "look-ups that find no party which an IPv4 address may make in an hour", default=300, read=_LIMIT
    )
    failed_lookups_per_h_ipv6: int = setting("the same for an IPv6 /64", default=20, read=_LIMIT)
    trusted_proxies: int = setting(
        "proxies in front that append to X-Forwarded-For; 0: the caller is who connects", default=0, read=whole(0, 10)
    )
    allowed_origins: AllowedOrigins = setting(
        "origins of web pages that may use this from a browser, with commas between them, or *",
        default=NO_ORIGINS,
        read=AllowedOrigins.parse,
    )

"""What can be set about a dispatcher."""

from dataclasses import dataclass
from pathlib import Path

from chassis.origins import NO_ORIGINS, AllowedOrigins
from chassis.settings import ProcessSettings, setting, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ProcessSettings):
    config: Path = setting("the roster of all managers", default=Path("config/managers.yaml"), read=Path)
    workers: int = setting(
        "processes that share the port; with 2 or more, other dispatchers can share it too",
        default=1,
        read=whole(1, 64),
    )
    metrics_port: int = setting(
        "a port of its own for /metrics, 0 for the main one; further workers take the next ones",
        default=0,
        read=whole(0, 65535),
    )
    allowed_origins: AllowedOrigins = setting(
        "origins of web pages that may use this from a browser, with commas between them, or *",
        default=NO_ORIGINS,
        read=AllowedOrigins.parse,
    )

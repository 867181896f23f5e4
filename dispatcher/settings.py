"""What can be set about a dispatcher."""

from dataclasses import dataclass
from pathlib import Path

from chassis.settings import one_of, seconds, setting, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    config: Path = setting("the roster of all managers", default=Path("config/managers.yaml"), read=Path)
    host: str = setting("address to listen on", default="127.0.0.1")
    port: int = setting("port to listen on, 0 for any free one", default=8080, read=whole(0, 65535))
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
    log_format: str = setting(
        "json, text, or auto: text on a terminal", default="auto", read=one_of("auto", "json", "text")
    )
    lame_duck_s: float = setting(
        "seconds from SIGTERM during which requests are still answered", default=3.0, read=seconds
    )

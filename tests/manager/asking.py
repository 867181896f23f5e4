"""A manager served as its process serves it, and short ways to ask it for things."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from chassis.lifetime import Lifetime
from chassis.roster import read_roster
from manager.app import manager_app
from manager.settings import Settings
from tests.processes import ROOT
from tests.talking import Reply, ask, serving

CONFIG = ROOT / "config/managers.yaml"
HOSTNAME = "us-east-1.app.local"
ANN = {"device_id": "phone-of-ann"}


@contextlib.asynccontextmanager
async def managing(
    database: Path,
    *,
    config: Path = CONFIG,
    hostname: str = HOSTNAME,
    clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    monotonic_s: Callable[[], float] = time.monotonic,
    **more: Any,
) -> AsyncIterator[int]:
    """A manager on that database; yields its port. `more` are settings such as `beat_s`; rate limits are off."""
    lifetime = Lifetime()
    settings = Settings(config=config, hostname=hostname, database=database, **{"rate_limits": "off", **more})
    app = manager_app(settings, read_roster(config), lifetime, clock_ms=clock_ms, monotonic_s=monotonic_s)
    async with serving(app, lifetime) as port:
        yield port


async def create(port: int, device_id: str, **more: Any) -> Any:
    """A new party; the answer."""
    reply = await ask(port, "POST", "/parties", body={"device_id": device_id, **more})
    assert reply.status == 201, reply
    return reply.json()


async def join(port: int, code: str, device_id: str, name: str | None = None) -> Any:
    """A seat in the party; the answer."""
    reply = await try_to_join(port, code, device_id, name)
    assert reply.status in {200, 201}, reply
    return reply.json()


async def try_to_join(port: int, code: str, device_id: str, name: str | None = None) -> Reply:
    """The whole reply, whatever it is."""
    body = {"device_id": device_id} if name is None else {"device_id": device_id, "participant_name": name}
    return await ask(port, "POST", f"/parties/{code}/participants", body=body)


async def remove(port: int, code: str, participant_id: int, token: str | None) -> Reply:
    """The reply to the wish that this participant go."""
    return await ask(port, "DELETE", f"/parties/{code}/participants/{participant_id}", token=token)


async def show(port: int, code: str) -> Any:
    """The party."""
    return (await ask(port, "GET", f"/parties/{code}")).json()


async def seats(port: int, code: str) -> list[tuple[int, str | None, bool]]:
    """Who is in the party: id, name, whether they lead it."""
    reply = await ask(port, "GET", f"/parties/{code}/participants")
    assert reply.json()["party_code"] == code
    return [(one["participant_id"], one["participant_name"], one["is_leader"]) for one in reply.json()["participants"]]


async def near(port: int, lat: float, lng: float, **more: object) -> list[Any]:
    """The parties around a place, nearest first."""
    words: Mapping[str, object] = {"lat": lat, "lng": lng, **more}
    reply = await ask(port, "GET", "/parties/nearby?" + "&".join(f"{name}={value}" for name, value in words.items()))
    assert reply.json()["complete"] is True, reply
    parties: list[Any] = reply.json()["parties"]
    return parties

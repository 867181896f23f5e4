"""A manager wired together: roster, store, parties, routes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge

from chassis.clocks import WakingClock
from chassis.database import DatabaseError
from chassis.docs import document
from chassis.http import new_app
from chassis.lifetime import Lifetime
from chassis.roster import Manager, Roster
from chassis.serve import StartError
from chassis.telemetry import new_registry
from manager import api, live
from manager.announcements import Announcements
from manager.api import ATTENDANCE, PARTIES, ROSTER, SELF
from manager.attendance import Attendance
from manager.callers import Callers
from manager.limits import UNLIMITED, Limits, new_limits
from manager.listening import Listening
from manager.live import LISTENING
from manager.lookups import LOOKUPS, Lookups, guarded
from manager.parties import Parties
from manager.presence import Presence
from manager.settings import Settings
from manager.store import Change
from manager.store.sqlite import SqliteStore, open_sqlite

_log = structlog.get_logger()

OPENAPI = Path(__file__).parent.parent / "openapi" / "manager.yaml"
EVENTS = OPENAPI.with_name("events.yaml")


def manager_app(
    settings: Settings,
    roster: Roster,
    lifetime: Lifetime,
    *,
    clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    monotonic_s: Callable[[], float] | None = None,
) -> web.Application:
    """The application of one manager. Raises StartError; opening its database, at start-up, may too.

    `clock_ms` is the time since 1970 as people are shown it; periods of presence are measured by
    `monotonic_s`, by default while the process is awake.
    """
    myself = _myself(settings, roster)
    registry = new_registry()
    stores: list[SqliteStore] = []
    app = new_app(
        service="manager",
        routes=[*map(guarded, [*api.routes, *live.routes]), document("/events.yaml", EVENTS)],
        openapi=OPENAPI,
        registry=registry,
        lifetime=lifetime,
        origins=settings.allowed_origins,
        unready=lambda: [reason for store in stores if (reason := store.unwritable())],
        serves_metrics=not settings.metrics_port,
    )
    app[ROSTER] = roster
    app[SELF] = myself
    announcements = Announcements()

    async def parties(app: web.Application) -> AsyncIterator[None]:
        try:
            async with open_sqlite(
                settings.database,
                area_codes=myself.area_codes,
                resolution=settings.discovery_resolution,
                clock_ms=clock_ms,
                announce=lambda change: _announce(app, announcements, change),
                broken=lifetime.fail,
                registry=registry,
            ) as store:
                stores.append(store)
                clocks = _Clocks(clock_ms, _running(store, monotonic_s or WakingClock(time.monotonic)))
                _furnish(app, settings, store, announcements, clocks)
                _show(store, app, registry)
                async with _at_work(app[ATTENDANCE].keep(), app[LISTENING].beat()):
                    yield
        except DatabaseError as error:
            raise StartError(str(error)) from None

    app.cleanup_ctx.append(parties)
    app.on_shutdown.append(_drain)
    return app


def _myself(settings: Settings, roster: Roster) -> Manager:
    myself = roster.of_hostname(settings.hostname)
    if myself is None:
        raise StartError(f"{settings.config} has no manager {settings.hostname}.")
    if settings.default_capacity > settings.max_capacity:
        raise StartError(
            f"--default-capacity {settings.default_capacity} is over --max-capacity {settings.max_capacity}."
        )
    return myself


def _announce(app: web.Application, announcements: Announcements, change: Change) -> None:
    """Tells what has been committed. That stands, whatever becomes of telling it."""
    party = change.after or change.before
    assert party is not None
    try:
        app[ATTENDANCE].follow(change)
        announcements.publish(party.id, change)
    except Exception:
        _log.exception("announcing failed")
        app[LISTENING].fail(party.id)


async def _drain(app: web.Application) -> None:
    app[ATTENDANCE].rest()
    await app[LISTENING].drain()


class _Clocks(NamedTuple):
    clock_ms: Callable[[], int]
    running_s: Callable[[], float]


def _running(store: SqliteStore, monotonic_s: Callable[[], float]) -> Callable[[], float]:
    """How long this manager has run, in seconds, before its last start too: outages and stepping clocks don't count."""
    began_s = monotonic_s() - store.ran_ms / 1000
    return lambda: monotonic_s() - began_s


def _furnish(
    app: web.Application, settings: Settings, store: SqliteStore, announcements: Announcements, clocks: _Clocks
) -> None:
    presence = Presence(
        started_s=clocks.running_s(),
        beat_s=settings.beat_s,
        grace_s=settings.grace_s,
        idle_s=settings.idle_expiry_h * 3600,
    )
    limits = _limits(settings)
    callers = Callers(store.keys, limits)
    app[LOOKUPS] = Lookups(limits, settings.trusted_proxies)
    app[ATTENDANCE] = Attendance(
        store, callers, presence, announcements, clock_ms=clocks.clock_ms, running_s=clocks.running_s
    )
    app[LISTENING] = Listening(
        app[ATTENDANCE],
        announcements,
        beat_s=settings.beat_s,
        streams_per_device=settings.streams_per_device if settings.rate_limits == "on" else None,
        clock_ms=clocks.clock_ms,
    )
    app[PARTIES] = Parties(
        store,
        callers,
        app[ATTENDANCE],
        announcements,
        clock_ms=clocks.clock_ms,
        running_s=clocks.running_s,
        resolution=settings.discovery_resolution,
        default_capacity=settings.default_capacity,
        max_capacity=settings.max_capacity,
    )


def _limits(settings: Settings) -> Limits:
    if settings.rate_limits == "off":
        return UNLIMITED
    return new_limits(
        creates_per_h=settings.creates_per_h,
        joins_per_h=settings.joins_per_h,
        requests_per_s=settings.requests_per_s,
        failed_lookups_per_h=settings.failed_lookups_per_h,
        failed_lookups_per_h_ipv6=settings.failed_lookups_per_h_ipv6,
        clock_s=time.monotonic,
    )


@asynccontextmanager
async def _at_work(*watches: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """These run for as long as this lasts."""
    tasks = [asyncio.create_task(watch) for watch in watches]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _show(store: SqliteStore, app: web.Application, registry: CollectorRegistry) -> None:
    for name, text, value in (
        ("partyline_parties", "Living parties.", lambda: len(store.image.parties)),
        ("partyline_participants", "People in them.", lambda: store.image.participant_count),
        ("partyline_participants_online", "Of those, who are online.", lambda: app[ATTENDANCE].presence.online_count),
        ("partyline_streams", "Open streams of events.", lambda: app[LISTENING].stream_count),
    ):
        Gauge(name, text, registry=registry).set_function(value)

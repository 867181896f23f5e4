"""A manager wired together: roster, store, parties, routes."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge

from chassis.database import DatabaseError
from chassis.http import new_app
from chassis.lifetime import Lifetime
from chassis.roster import Roster
from chassis.serve import StartError
from chassis.telemetry import new_registry
from manager.api import PARTIES, ROSTER, SELF, routes
from manager.parties import Parties
from manager.settings import Settings
from manager.store.sqlite import SqliteStore, open_sqlite

OPENAPI = Path(__file__).parent.parent / "openapi" / "manager.yaml"


def manager_app(settings: Settings, roster: Roster, lifetime: Lifetime) -> web.Application:
    """The application of one manager. Raises StartError; opening its database, at start-up, may too."""
    myself = roster.of_hostname(settings.hostname)
    if myself is None:
        raise StartError(f"{settings.config} has no manager {settings.hostname}.")
    if settings.default_capacity > settings.max_capacity:
        raise StartError(
            f"--default-capacity {settings.default_capacity} is over --max-capacity {settings.max_capacity}."
        )
    registry = new_registry()
    stores: list[SqliteStore] = []
    app = new_app(
        service="manager",
        routes=routes,
        openapi=OPENAPI,
        registry=registry,
        lifetime=lifetime,
        unready=lambda: [reason for store in stores if (reason := store.unwritable())],
        serves_metrics=not settings.metrics_port,
    )
    app[ROSTER] = roster
    app[SELF] = myself

    async def parties(app: web.Application) -> AsyncIterator[None]:
        try:
            async with open_sqlite(
                settings.database,
                area_codes=myself.area_codes,
                resolution=settings.discovery_resolution,
                clock_ms=clock_ms,
                broken=lifetime.fail,
                registry=registry,
            ) as store:
                stores.append(store)
                _show(store, registry)
                app[PARTIES] = _parties(store, settings)
                yield
        except DatabaseError as error:
            raise StartError(str(error)) from None

    app.cleanup_ctx.append(parties)
    return app


def _parties(store: SqliteStore, settings: Settings) -> Parties:
    return Parties(
        store,
        clock_ms=clock_ms,
        resolution=settings.discovery_resolution,
        default_capacity=settings.default_capacity,
        max_capacity=settings.max_capacity,
    )


def clock_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def _show(store: SqliteStore, registry: CollectorRegistry) -> None:
    parties = Gauge("partyline_parties", "Living parties.", registry=registry)
    parties.set_function(lambda: len(store.image.parties))
    participants = Gauge("partyline_participants", "People in them.", registry=registry)
    participants.set_function(lambda: store.image.participant_count)

"""A dispatcher wired together: roster, directory, routes."""

from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from chassis.http import new_app
from chassis.lifetime import Lifetime
from chassis.roster import Roster
from chassis.telemetry import new_registry
from dispatcher.api import DIRECTORY, routes
from dispatcher.directory import Directory
from dispatcher.settings import Settings

OPENAPI = Path(__file__).parent.parent / "openapi" / "dispatcher.yaml"


def dispatcher_app(settings: Settings, roster: Roster, lifetime: Lifetime) -> web.Application:
    """The application of one dispatcher. It is ready as soon as it runs: it needs no manager to answer."""
    app = new_app(
        service="dispatcher",
        routes=routes,
        openapi=OPENAPI,
        registry=new_registry(),
        lifetime=lifetime,
        origins=settings.allowed_origins,
        unready=list,
        serves_metrics=not settings.metrics_port,
    )
    app[DIRECTORY] = Directory(roster, since=datetime.now(UTC))
    return app

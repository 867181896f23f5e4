"""What probes and people ask of every service: does it live, is it ready, which version, how is it doing."""

import platform
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from chassis.answer import NO_STORE, Answer
from chassis.errors import Unavailable
from chassis.lifetime import Lifetime

VERSION = "0.1.0"
_RETRY_AFTER_S = 5


def routes(service: str, *, lifetime: Lifetime, unready: Callable[[], list[str]]) -> list[web.RouteDef]:
    """`/livez`, `/readyz` and `/version`."""
    version = _json({"service": service, "version": VERSION, "python": platform.python_version()})

    async def livez(_: web.Request) -> Answer:
        return Answer(b'{"status":"alive"}', headers=NO_STORE)

    async def readyz(_: web.Request) -> Answer:
        reasons = ["draining"] if lifetime.is_lame_duck else unready()
        if reasons:
            raise Unavailable(
                "not_ready",
                f"Not ready: {', '.join(reasons)}.",
                retry_after_s=_RETRY_AFTER_S,
                extra={"reasons": reasons},
            )
        return Answer(b'{"status":"ready"}', headers=NO_STORE)

    async def show_version(_: web.Request) -> Answer:
        return Answer(version)

    return [web.get("/livez", livez), web.get("/readyz", readyz), web.get("/version", show_version)]


def metrics_route(registry: CollectorRegistry) -> web.RouteDef:
    """`/metrics` as Prometheus reads it."""
    return web.get("/metrics", _metrics(registry))


def _metrics(registry: CollectorRegistry) -> Callable[[web.Request], Awaitable[Answer]]:
    async def metrics(_: web.Request) -> Answer:
        return Answer(generate_latest(registry), content_type=CONTENT_TYPE_LATEST, headers=NO_STORE)

    return metrics


_json = msgspec.json.encode

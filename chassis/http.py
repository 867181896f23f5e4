"""What every service's HTTP has in common: refusals as problem+json, request ids, durations, health, docs."""

import re
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from time import perf_counter
from typing import cast

import msgspec
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from chassis import docs, health
from chassis.answer import NO_STORE, Answer
from chassis.errors import NotFound, Refusal
from chassis.lifetime import Lifetime
from chassis.origins import NO_ORIGINS, ORIGINS, AllowedOrigins, preflight_answer, sharing
from chassis.problem import MethodNotAllowed, Unexpected, problem, request_id_of
from chassis.reading import MAX_BODY_BYTES
from chassis.telemetry import Observe, RequestMeter

REGISTRY = web.AppKey("registry", CollectorRegistry)

Handler = Callable[[web.Request], Awaitable[Answer]]

_PATTERN = re.compile(r"\{(\w+):[^{}]+\}")  # what a path's variable has to look like; metrics go without it
_ANYWHERE = "/{anything:.*}"
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_log = structlog.get_logger()


def new_app(
    *,
    service: str,
    routes: Iterable[web.AbstractRouteDef],
    openapi: Path,
    registry: CollectorRegistry,
    lifetime: Lifetime,
    unready: Callable[[], list[str]],
    serves_metrics: bool = True,
    origins: AllowedOrigins = NO_ORIGINS,
) -> web.Application:
    """An application that answers `routes` and what every service answers.

    `unready` gives the reasons for which the service can't do its work now; none means ready. `origins` are those of
    the web pages that may read its answers. Handlers are wrapped once, here: a middleware costs more on each request
    than all that the wrapper does.
    """
    meter = RequestMeter()
    registry.register(meter)
    everywhere = [
        *health.routes(service, lifetime=lifetime, unready=unready),
        *([health.metrics_route(registry)] if serves_metrics else []),
        *docs.routes(service, openapi),
    ]
    app = _app([*routes, *everywhere], meter, lifetime, origins)
    app[REGISTRY] = registry
    return app


def metrics_app(app: web.Application, port: int, lifetime: Lifetime) -> tuple[web.Application, int] | None:
    """What answers `/metrics` of `app` on a port of its own; None where the port is 0."""
    if not port:
        return None
    return _app([health.metrics_route(app[REGISTRY])], RequestMeter(), lifetime, NO_ORIGINS), port


def _app(
    routes: Iterable[web.AbstractRouteDef], meter: RequestMeter, lifetime: Lifetime, origins: AllowedOrigins
) -> web.Application:
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app[ORIGINS] = origins
    for route in routes:
        assert isinstance(route, web.RouteDef)
        handler = cast(Handler, route.handler)
        name = _PATTERN.sub(r"{\1}", route.path)
        for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
            answering = _answering(handler, meter.series(method, name), lifetime)
            app.router.add_route(method, route.path, sharing(answering, origins))
    for method in (*_METHODS, "*"):
        answering = _answering(_nowhere, meter.series(method, "unmatched"), lifetime)
        app.router.add_route(method, _ANYWHERE, sharing(answering, origins))
    return app


def answer(value: object, *, status: int = 200, headers: str = NO_STORE) -> Answer:
    """`value`, a struct or anything msgspec encodes, as JSON."""
    return Answer(msgspec.json.encode(value), status=status, headers=headers)


def bearer_token(request: web.Request) -> str | None:
    """The token of `Authorization: Bearer`, or None when there is none that could be one."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.isascii() else None


def _answering(handler: Handler, observe: Observe, lifetime: Lifetime) -> Handler:
    async def answering(request: web.Request) -> Answer:
        started = perf_counter()
        request_id = request_id_of(request)
        try:
            response = await handler(request)
        except Refusal as refusal:
            response = problem(refusal, request_id)
        except ConnectionError:
            raise
        except Exception:
            _log.exception("request failed", request_id=request_id, method=request.method)
            response = problem(Unexpected("internal_error", "Something broke here; it has been logged."), request_id)
        response.request_id = request_id
        if lifetime.is_lame_duck:
            response.force_close()
        observe(response.status, perf_counter() - started)
        return response

    return answering


async def _nowhere(request: web.Request) -> Answer:
    """No route took it: 405 where another method would have (or what a browser may ask there), 404 elsewhere."""
    allowed: set[str] = set()
    for resource in request.app.router.resources():
        if resource.canonical != "/{anything}":
            allowed |= (await resource.resolve(request))[1]
    if allowed:
        methods = ", ".join(sorted(allowed))
        if request.method == "OPTIONS" and request.app[ORIGINS].are_asked(request.headers):
            return preflight_answer(methods)
        raise MethodNotAllowed("method_not_allowed", f"This path takes {methods}.", allow=methods)
    raise NotFound("not_found", "Nothing is at this path.")

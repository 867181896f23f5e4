"""What every service's HTTP has in common: refusals as problem+json, request ids, durations, health, docs."""

import itertools
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from time import perf_counter
from typing import cast

import msgspec
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from chassis import docs, health
from chassis.answer import Answer, header
from chassis.errors import NotFound, Refusal
from chassis.lifetime import Lifetime
from chassis.reading import MAX_BODY_BYTES
from chassis.telemetry import Observe, RequestMeter

REGISTRY = web.AppKey("registry", CollectorRegistry)

Handler = Callable[[web.Request], Awaitable[Answer]]

NO_STORE = "Cache-Control: no-store\r\n"  # on every answer about people and places

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_WELL_FORMED_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_id_prefix = secrets.token_hex(8)
_id_counter = itertools.count(1)
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
) -> web.Application:
    """An application that answers `routes` and what every service answers.

    `unready` gives the reasons for which the service can't do its work now; none means ready. Handlers are wrapped
    once, here: a middleware costs more on each request than all that the wrapper does.
    """
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app[REGISTRY] = registry
    meter = RequestMeter()
    registry.register(meter)
    everywhere = [
        *health.routes(service, lifetime=lifetime, unready=unready),
        *([health.metrics_route(registry)] if serves_metrics else []),
        *docs.routes(service, openapi),
    ]
    for route in [*routes, *everywhere]:
        assert isinstance(route, web.RouteDef)
        for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
            observe = meter.series(method, route.path)
            app.router.add_route(method, route.path, _answering(cast(Handler, route.handler), observe, lifetime))
    for method in _METHODS:
        app.router.add_route(
            method, "/{anything:.*}", _answering(_nowhere, meter.series(method, "unmatched"), lifetime)
        )
    app.router.add_route("*", "/{anything:.*}", _answering(_nowhere, meter.series("other", "unmatched"), lifetime))
    return app


def metrics_app(app: web.Application, port: int) -> tuple[web.Application, int] | None:
    """What answers `/metrics` of `app` on a port of its own; None where the port is 0."""
    if not port:
        return None
    apart = web.Application()
    apart.add_routes([health.metrics_route(app[REGISTRY])])
    return apart, port


def answer(value: object, *, status: int = 200, headers: str = NO_STORE) -> Answer:
    """`value`, a struct or anything msgspec encodes, as JSON."""
    return Answer(msgspec.json.encode(value), status=status, headers=headers)


def bearer_token(request: web.Request) -> str | None:
    """The token of `Authorization: Bearer`, or None when there is none."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _answering(handler: Handler, observe: Observe, lifetime: Lifetime) -> Handler:
    async def answering(request: web.Request) -> Answer:
        started = perf_counter()
        request_id = request.headers.get("X-Request-Id")
        if request_id is None or not _WELL_FORMED_ID.fullmatch(request_id):
            request_id = f"{_id_prefix}-{next(_id_counter)}"
        try:
            response = await handler(request)
        except Refusal as refusal:
            response = _problem(refusal, request_id)
        except ConnectionError:
            raise
        except Exception:
            _log.exception("request failed", request_id=request_id, method=request.method)
            response = _problem(_Unexpected("internal_error", "Something broke here; it has been logged."), request_id)
        response.request_id = request_id
        if lifetime.is_lame_duck:
            response.force_close()
        observe(response.status, perf_counter() - started)
        return response

    return answering


async def _nowhere(request: web.Request) -> Answer:
    """No route took it: 405 where another method would have, 404 elsewhere."""
    allowed: set[str] = set()
    for resource in request.app.router.resources():
        if resource.canonical != "/{anything}":
            allowed |= (await resource.resolve(request))[1]
    if allowed:
        methods = ", ".join(sorted(allowed))
        raise _MethodNotAllowed("method_not_allowed", f"This path takes {methods}.", extra={"allow": methods})
    raise NotFound("not_found", "Nothing is at this path.")


class _MethodNotAllowed(Refusal):
    status = 405


class _Unexpected(Refusal):
    status = 500


def _problem(refusal: Refusal, request_id: str) -> Answer:
    """A refusal as RFC 9457 wants it, with the headers that go with it."""
    document: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(refusal.status).phrase,
        "status": refusal.status,
        "code": refusal.code,
        "detail": refusal.detail,
        "request_id": request_id,
    }
    if refusal.field is not None:
        document["field"] = refusal.field
    extra = dict(refusal.extra)
    lines = NO_STORE
    if isinstance(refusal, _MethodNotAllowed):
        lines += header("Allow", str(extra.pop("allow")))
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        lines += header("WWW-Authenticate", "Bearer")
    if refusal.retry_after_s is not None:
        lines += header("Retry-After", str(refusal.retry_after_s))
    if refusal.location is not None:
        lines += header("Location", refusal.location)
    return Answer(
        msgspec.json.encode(document | extra),
        status=refusal.status,
        content_type="application/problem+json",
        headers=lines,
    )

"""A service about nothing, to see what the chassis does for every service."""

from pathlib import Path
from typing import Annotated

import msgspec
from aiohttp import web

from chassis import errors
from chassis.answer import Answer
from chassis.http import answer, bearer_token, new_app
from chassis.lifetime import Lifetime
from chassis.reading import number, parse, query, read_bytes, whole_number
from chassis.telemetry import new_registry

SECRET = "the combination is 12345"
OPENAPI = Path(__file__)  # any file will do
WORDS = frozenset({"near", "count"})
KINDS = {kind.status: kind for kind in errors.Refusal.__subclasses__() if kind.__module__ == errors.__name__}

routes = web.RouteTableDef()


class Thing(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=16)]
    size: Annotated[int, msgspec.Meta(ge=0, le=10)] = 0
    tags: list[str] | None = None


@routes.post("/things")
async def make(request: web.Request) -> Answer:
    return answer(parse(await read_bytes(request), Thing), status=201)


@routes.get("/things")
async def search(request: web.Request) -> Answer:
    words = query(request, WORDS)
    return answer(
        {"near": number(words, "near"), "count": whole_number(words, "count", lowest=1, highest=9, default=3)}
    )


@routes.get("/things/{name}")
async def show(request: web.Request) -> Answer:
    return answer({"name": request.match_info["name"], "token": bearer_token(request)})


@routes.get("/broken")
async def broken(_: web.Request) -> Answer:
    raise RuntimeError(SECRET)


@routes.get("/refused/{status}")
async def refused(request: web.Request) -> Answer:
    kind = KINDS[int(request.match_info["status"])]
    raise kind("so_it_is", "It can't be.", field="name", retry_after_s=7, location="http://there.test/x")


def things_app(lifetime: Lifetime, reasons: list[str] | None = None) -> web.Application:
    """The service. It isn't ready while there are reasons."""
    return new_app(
        service="things",
        routes=routes,
        openapi=OPENAPI,
        registry=new_registry(),
        lifetime=lifetime,
        unready=lambda: list(reasons or []),
    )

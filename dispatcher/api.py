"""The dispatcher's HTTP: which manager is nearest, and whose a party code is."""

from aiohttp import web

from chassis.answer import NO_STORE, Answer
from chassis.codes import area_code_of, parse_party_code
from chassis.errors import Malformed, NotFound
from chassis.geo import checked_lat, checked_lng
from chassis.reading import number, query
from dispatcher.directory import Directory

DIRECTORY = web.AppKey("directory", Directory)

_WORDS = frozenset({"lat", "lng", "party_code"})

routes = web.RouteTableDef()


@routes.get("/managers/find")
async def find_manager(request: web.Request) -> Answer:
    words = query(request, _WORDS)
    directory = request.app[DIRECTORY]
    if "party_code" in words:
        if len(words) > 1:
            raise Malformed("bad_query", "Ask by lat and lng or by party_code, not both.", field="party_code")
        return _by_code(directory, words["party_code"])
    if not words:
        raise Malformed("bad_query", "Say where you are with lat and lng, or which party with party_code.")
    body = directory.nearest(checked_lat(number(words, "lat")), checked_lng(number(words, "lng")))
    return Answer(body, headers=NO_STORE)


@routes.get("/managers")
async def list_managers(request: web.Request) -> Answer:
    query(request, frozenset())
    return Answer(request.app[DIRECTORY].listed, headers=NO_STORE)


def _by_code(directory: Directory, typed: str) -> Answer:
    area_code = area_code_of(parse_party_code(typed))
    body = directory.owner(area_code)
    if body is None:
        raise NotFound("area_code_unknown", f"No manager has area code {area_code}.", field="party_code")
    return Answer(body, headers=NO_STORE)

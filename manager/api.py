"""The manager's HTTP: a handler parses, calls and answers."""

import re
from urllib.parse import urljoin

from aiohttp import web

from chassis.answer import NO_STORE, Answer, header
from chassis.codes import area_code_of, parse_party_code
from chassis.errors import Elsewhere, Malformed
from chassis.geo import Point
from chassis.http import answer, bearer_token
from chassis.reading import number, parse, query, read_bytes, whole_number
from chassis.roster import Manager, Roster
from manager.parties import Membership, Parties
from manager.party import participant_not_found
from manager.wire import (
    CreateParty,
    Encoded,
    JoinParty,
    Me,
    membership_view,
    nearby_view,
    participants_view,
    party_view,
)

PARTIES = web.AppKey("parties", Parties)
ROSTER = web.AppKey("roster", Roster)
SELF = web.AppKey("self", Manager)

DEFAULT_RADIUS_KM = 5.0
MAX_RADIUS_KM = 500.0
DEFAULT_LIMIT = 20
MAX_LIMIT = 100

_NO_WORDS: frozenset[str] = frozenset()
_NEARBY_WORDS = frozenset({"lat", "lng", "radius_km", "limit"})
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)
_PARTICIPANT_ID = re.compile(r"[0-9]{1,9}", re.ASCII)

# Phones ask again and again for a party that hasn't changed since.
_shown = Encoded(party_view)
_listed = Encoded(participants_view)

routes = web.RouteTableDef()


@routes.post("/parties")
async def create_party(request: web.Request) -> Answer:
    query(request, _NO_WORDS)
    wanted = parse(await read_bytes(request), CreateParty)
    key = _idempotency_key(request)
    membership = await request.app[PARTIES].create(wanted.device_id, wanted.wish(), key)
    return _seated(membership, status=201)


@routes.post("/parties/{code}/participants")
async def join_party(request: web.Request) -> Answer:
    query(request, _NO_WORDS)
    wanted = parse(await read_bytes(request), JoinParty)
    code = await _code_of(request)
    membership = await request.app[PARTIES].join(
        code, wanted.device_id, wanted.participant_name, _idempotency_key(request)
    )
    return _seated(membership, status=201 if membership.is_new else 200)


@routes.get("/parties/nearby")
async def nearby(request: web.Request) -> Answer:
    words = query(request, _NEARBY_WORDS)
    point = Point(number(words, "lat"), number(words, "lng"))
    radius_km = number(words, "radius_km") if "radius_km" in words else DEFAULT_RADIUS_KM
    if not 0 < radius_km <= MAX_RADIUS_KM:
        raise Malformed(
            "bad_number", f"radius_km must be more than 0 and at most {MAX_RADIUS_KM:.0f}.", field="radius_km"
        )
    limit = whole_number(words, "limit", lowest=1, highest=MAX_LIMIT, default=DEFAULT_LIMIT)
    found = await request.app[PARTIES].nearby(point, radius_km=radius_km, limit=limit)
    return answer(nearby_view(found))


@routes.get("/parties/{code}")
async def show_party(request: web.Request) -> Answer:
    query(request, _NO_WORDS)
    code = await _code_of(request)
    return Answer(_shown.of(await request.app[PARTIES].party(code)), headers=NO_STORE)


@routes.get("/parties/{code}/participants")
async def list_participants(request: web.Request) -> Answer:
    query(request, _NO_WORDS)
    code = await _code_of(request)
    return Answer(_listed.of(await request.app[PARTIES].party(code)), headers=NO_STORE)


@routes.delete("/parties/{code}/participants/{participant_id}")
async def remove_participant(request: web.Request) -> Answer:
    query(request, _NO_WORDS)
    code = await _code_of(request)
    text = request.match_info["participant_id"]
    if not _PARTICIPANT_ID.fullmatch(text):
        raise participant_not_found()
    await request.app[PARTIES].remove(code, int(text), bearer_token(request))
    return Answer(status=204, headers=NO_STORE)


@routes.post("/me")
async def show_membership(request: web.Request) -> Answer:
    """Reads only, so an Idempotency-Key has nothing to remember here."""
    query(request, _NO_WORDS)
    wanted = parse(await read_bytes(request), Me)
    return answer(membership_view(await request.app[PARTIES].membership_of(wanted.device_id)))


async def _code_of(request: web.Request) -> int:
    """The party code in the path. Raises Malformed, and Elsewhere when another manager keeps the party."""
    code = parse_party_code(request.match_info["code"])
    owner = request.app[ROSTER].of_area_code(area_code_of(code))
    # What this database holds is served here, whatever the roster says: area codes move between managers.
    if owner is None or owner.hostname == request.app[SELF].hostname or await request.app[PARTIES].has(code):
        return code
    raise Elsewhere(
        "party_elsewhere",
        f"{owner.hostname} keeps the parties of area code {area_code_of(code)}.",
        location=urljoin(owner.url, request.rel_url.raw_path),
        extra={"manager": owner.hostname},
    )


def _idempotency_key(request: web.Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise Malformed("bad_idempotency_key", "An Idempotency-Key is 1 to 128 visible ASCII characters.")
    return key


def _seated(membership: Membership, *, status: int) -> Answer:
    location = header("Location", f"/parties/{membership.code}")
    return answer(membership_view(membership), status=status, headers=NO_STORE + location)

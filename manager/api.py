"""The manager's HTTP: a handler parses, calls and answers."""

import re
from urllib.parse import urljoin

from aiohttp import web

from chassis.answer import NO_STORE, Answer, header
from chassis.codes import area_code_of, parse_party_code
from chassis.errors import Elsewhere, Malformed
from chassis.geo import Point
from chassis.http import answer, bearer_token
from chassis.reading import number, parse, query, read_bytes, whole_number, yes_or_no
from chassis.roster import Manager, Roster
from manager.attendance import Attendance
from manager.parties import Membership, Parties, Versions
from manager.party import Party
from manager.rules import participant_not_found
from manager.wire import (
    CreateParty,
    Encoded,
    HandOver,
    JoinParty,
    Me,
    Say,
    UpdateParticipant,
    UpdateParty,
    membership_view,
    nearby_view,
    participant_view,
    participants_view,
    party_view,
)

ATTENDANCE = web.AppKey("attendance", Attendance)
PARTIES = web.AppKey("parties", Parties)
ROSTER = web.AppKey("roster", Roster)
SELF = web.AppKey("self", Manager)

DEFAULT_RADIUS_KM = 5.0
MAX_RADIUS_KM = 500.0
DEFAULT_LIMIT = 20
MAX_LIMIT = 100

_PARTY_PATH = "/parties/{code:(?!nearby$)[^/]+}"
_NO_WORDS: frozenset[str] = frozenset()
_REMOVE_WORDS = frozenset({"ban"})
_NEARBY_WORDS = frozenset({"lat", "lng", "radius_km", "limit"})
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)
_PARTICIPANT_ID = re.compile(r"[0-9]{1,9}", re.ASCII)

_ENTITY_TAG = re.compile(r'"([1-9][0-9]{0,17})"', re.ASCII)

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
    code = await code_of(request)
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


@routes.get(_PARTY_PATH)
async def show_party(request: web.Request) -> Answer:
    query(request, _NO_WORDS)
    code = await code_of(request)
    return _shown_now(await request.app[PARTIES].party(code, bearer_token(request)))


@routes.patch(_PARTY_PATH)
async def update_party(request: web.Request) -> Answer:
    query(request, _NO_WORDS)
    wanted = parse(await read_bytes(request), UpdateParty)
    code = await code_of(request)
    party = await request.app[PARTIES].update(code, bearer_token(request), wanted.change(), _versions(request))
    return _shown_now(party)


@routes.delete(_PARTY_PATH)
async def close_party(request: web.Request) -> Answer:
    query(request, _NO_WORDS)
    code = await code_of(request)
    await request.app[PARTIES].close(code, bearer_token(request), _versions(request))
    return Answer(status=204, headers=NO_STORE)


@routes.put("/parties/{code}/leader")
async def hand_over(request: web.Request) -> Answer:
    query(request, _NO_WORDS)
    wanted = parse(await read_bytes(request), HandOver)
    code = await code_of(request)
    party = await request.app[PARTIES].hand_over(code, bearer_token(request), wanted.participant_id, _versions(request))
    return _shown_now(party)


@routes.post("/parties/{code}/messages")
async def say(request: web.Request) -> Answer:
    query(request, _NO_WORDS)
    wanted = parse(await read_bytes(request), Say)
    code = await code_of(request)
    await request.app[PARTIES].say(code, bearer_token(request), wanted.encoded(), _idempotency_key(request))
    return Answer(status=202, headers=NO_STORE)


@routes.get("/parties/{code}/participants")
async def list_participants(request: web.Request) -> Answer:
    query(request, _NO_WORDS)
    code = await code_of(request)
    parties = request.app[PARTIES]
    party = await parties.party(code, bearer_token(request))
    return Answer(_listed.of(party, parties.roll(party)), headers=NO_STORE)


@routes.patch("/parties/{code}/participants/{participant_id}")
async def update_participant(request: web.Request) -> Answer:
    query(request, _NO_WORDS)
    wanted = parse(await read_bytes(request), UpdateParticipant)
    code, participant_id = await code_of(request), _participant_id_of(request)
    parties = request.app[PARTIES]
    party = await parties.update_participant(
        code, participant_id, bearer_token(request), wanted.change(), _versions(request)
    )
    one = party.participant(participant_id)
    assert one is not None, "it has just been changed"
    return answer(participant_view(party, one, parties.roll(party).online), headers=_versioned(party))


@routes.delete("/parties/{code}/participants/{participant_id}")
async def remove_participant(request: web.Request) -> Answer:
    is_ban = yes_or_no(query(request, _REMOVE_WORDS), "ban", default="false")
    code, participant_id = await code_of(request), _participant_id_of(request)
    parties = request.app[PARTIES]
    await (parties.ban if is_ban else parties.remove)(code, participant_id, bearer_token(request))
    return Answer(status=204, headers=NO_STORE)


@routes.post("/parties/{code}/participants/{participant_id}/heartbeat")
async def beat(request: web.Request) -> Answer:
    """A body isn't needed and isn't looked at; an Idempotency-Key has nothing to remember here."""
    query(request, _NO_WORDS)
    code, participant_id = await code_of(request), _participant_id_of(request)
    await request.app[ATTENDANCE].beat(code, participant_id, bearer_token(request))
    return Answer(status=204, headers=NO_STORE)


@routes.post("/me")
async def show_membership(request: web.Request) -> Answer:
    """Reads only, so an Idempotency-Key has nothing to remember here."""
    query(request, _NO_WORDS)
    wanted = parse(await read_bytes(request), Me)
    return answer(membership_view(await request.app[PARTIES].membership_of(wanted.device_id)))


async def code_of(request: web.Request) -> int:
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


def _participant_id_of(request: web.Request) -> int:
    text = request.match_info["participant_id"]
    if not _PARTICIPANT_ID.fullmatch(text):
        raise participant_not_found()
    return int(text)


def _versions(request: web.Request) -> Versions:
    """The versions that If-Match names. A weak or foreign tag matches none (RFC 9110, 13.1.1)."""
    lines = request.headers.getall("If-Match", ())
    tags = [tag.strip() for line in lines for tag in line.split(",")]
    if not tags or tags == ["*"]:
        return None
    return frozenset(int(match[1]) for tag in tags if (match := _ENTITY_TAG.fullmatch(tag)))


def _versioned(party: Party) -> str:
    return f'{NO_STORE}ETag: "{party.version}"\r\n'


def _shown_now(party: Party) -> Answer:
    return Answer(_shown.of(party), headers=_versioned(party))


def _seated(membership: Membership, *, status: int) -> Answer:
    location = header("Location", f"/parties/{membership.code}")
    return answer(membership_view(membership), status=status, headers=NO_STORE + location)

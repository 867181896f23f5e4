"""A party's events as a stream, over WebSocket or as server-sent events: HTTP in, a stream out."""

import re

from aiohttp import web

from chassis.answer import NO_STORE, Answer, Opening
from chassis.errors import Forbidden, Malformed, NotAcceptable
from chassis.http import bearer_token
from chassis.origins import ORIGINS
from chassis.problem import request_id_of
from chassis.protocol import take_over
from chassis.reading import query
from chassis.websocket import accepted, is_handshake
from manager.api import ATTENDANCE, code_of
from manager.frames import SERVER_SENT_EVENTS, WEBSOCKET, Framing
from manager.listening import Listening
from manager.tokens import invalid

LISTENING = web.AppKey("listening", Listening)

PROTOCOL = "partyline.v1"
_TOKEN_PREFIX = "bearer."
_NO_WORDS: frozenset[str] = frozenset()
_ADMITS_EVENTS = frozenset({"text/event-stream", "text/*", "*/*"})
_EVENT_STREAM = "text/event-stream"
_UNBUFFERED = f"{NO_STORE}X-Accel-Buffering: no\r\n"  # or a proxy collects what should arrive at once

_IS_REFUSED = re.compile(r"(?:^|;)q=0(?:\.0{0,3})?(?:;|$)")

routes = web.RouteTableDef()


@routes.get("/parties/{code}/events")
async def stream_events(request: web.Request) -> Answer:
    query(request, _NO_WORDS)
    code = await code_of(request)
    is_head = request.method == "HEAD"  # which is judged as the plain GET is
    if is_handshake(request.headers) and not is_head:
        return await _over_websocket(request, code)
    if not _admits_events(request):
        raise NotAcceptable(
            "not_acceptable", "Events come over a WebSocket or, with Accept: text/event-stream, as server-sent events."
        )
    token = bearer_token(request)
    if is_head:
        await request.app[ATTENDANCE].recognise(code, token)
        return Answer(content_type=_EVENT_STREAM, headers=_UNBUFFERED)
    # A body without a length, so it ends with its connection.
    shared = request.app[ORIGINS].lines_for(request.headers.get("Origin"))
    lines = f"{_UNBUFFERED}{shared}Content-Type: {_EVENT_STREAM}\r\nConnection: close\r\n"
    return await _open(request, code, token, SERVER_SENT_EVENTS, Opening(headers=lines))


def token_of(request: web.Request) -> str | None:
    """The token of `Authorization`, or of a subprotocol, where browsers have to put it."""
    words = (word for word in _subprotocols(request) if word.isascii())
    offered = (word.removeprefix(_TOKEN_PREFIX) for word in words if word.startswith(_TOKEN_PREFIX))
    return bearer_token(request) or next(offered, None)


async def _over_websocket(request: web.Request, code: int) -> Answer:
    if not request.app[ORIGINS].admits(request.headers.get("Origin"), request.headers.get("Host")):
        raise Forbidden("origin_not_allowed", "Pages of this origin may not open streams here; see --allowed-origins.")
    offered = _subprotocols(request)
    if offered and PROTOCOL not in offered:
        raise Malformed("bad_websocket", f"The one subprotocol that is spoken here is {PROTOCOL}.")
    lines = accepted(request.headers, PROTOCOL if offered else None)
    return await _open(request, code, token_of(request), WEBSOCKET, Opening(status=101, headers=lines))


async def _open(request: web.Request, code: int, token: str | None, framing: Framing, opening: Opening) -> Answer:
    """Somebody comes and their stream begins; it keeps them online until its connection ends."""
    attendance, listening = request.app[ATTENDANCE], request.app[LISTENING]
    seat = await attendance.come(code, token)
    try:
        party = await attendance.current(code)
        if party.id != seat.party_id or party.participant(seat.participant_id) is None:
            raise invalid()
        listening.check_room_for(seat)
        opening.request_id = request_id_of(request)
        stream = listening.new_stream(framing, seat)
        take_over(request, stream, opening.head())
    except BaseException:
        attendance.go(seat)
        raise
    listening.open(stream, party)
    return opening


def _subprotocols(request: web.Request) -> list[str]:
    lines = request.headers.getall("Sec-WebSocket-Protocol", ())
    return [word.strip() for line in lines for word in line.split(",") if word.strip()]


def _admits_events(request: web.Request) -> bool:
    """By the Accept header (RFC 9110, 12.5.1), where a quality of 0 means no."""
    ranges = ",".join(request.headers.getall("Accept", ("*/*",))).lower().replace(" ", "").split(",")
    return any(
        kind in _ADMITS_EVENTS and not _IS_REFUSED.search(rest)
        for kind, _, rest in (media_range.partition(";") for media_range in ranges)
    )

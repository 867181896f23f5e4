"""A party's events as a stream, over WebSocket or as server-sent events: HTTP in, a stream out."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine

import structlog
from aiohttp import WSMsgType, web

from chassis.answer import NO_STORE, Answer, OpenAnswer
from chassis.errors import Forbidden, Malformed, NotAcceptable, NotFound, TooManyRequests
from chassis.http import bearer_token
from chassis.origins import AllowedOrigins
from chassis.problem import request_id_of
from chassis.protocol import connection_lost
from chassis.reading import query
from manager.api import ATTENDANCE, code_of
from manager.attendance import Seat
from manager.frames import SERVER_SENT_EVENTS, WEBSOCKET
from manager.listening import FAREWELL_S, NORMAL, Listening, Stream

LISTENING = web.AppKey("listening", Listening)
ORIGINS = web.AppKey("origins", AllowedOrigins)

PROTOCOL = "partyline.v1"
MAX_INCOMING_BYTES = 16 * 1024
"""The largest WebSocket message that is taken from a listener, who has nothing to say here but pings."""

_TOKEN_PREFIX = "bearer."
_NO_WORDS: frozenset[str] = frozenset()
_ADMITS_EVENTS = frozenset({"text/event-stream", "text/*", "*/*"})
_SIGNS_OF_LIFE = frozenset({WSMsgType.PING, WSMsgType.PONG, WSMsgType.TEXT, WSMsgType.BINARY})

_log = structlog.get_logger()
routes = web.RouteTableDef()


@routes.get("/parties/{code}/events")
async def stream_events(request: web.Request) -> web.StreamResponse:
    query(request, _NO_WORDS)
    code = await code_of(request)
    if request.headers.get("Upgrade", "").lower() == "websocket":
        return await _over_websocket(request, code)
    if not _admits_events(request):
        raise NotAcceptable(
            "not_acceptable", "Events come over a WebSocket or, with Accept: text/event-stream, as server-sent events."
        )
    if request.method == "HEAD":
        await request.app[ATTENDANCE].recognise(code, bearer_token(request))
        return Answer(content_type="text/event-stream", headers=NO_STORE)
    return await _as_server_sent_events(request, code)


async def _over_websocket(request: web.Request, code: int) -> web.StreamResponse:
    if not request.app[ORIGINS].admits(request.headers.get("Origin"), request.headers.get("Host")):
        raise Forbidden("origin_not_allowed", "Pages of this origin may not open streams here; see --allowed-origins.")
    offered = _subprotocols(request)
    socket = web.WebSocketResponse(
        timeout=FAREWELL_S,
        autoclose=False,
        autoping=False,  # or pongs, which say that somebody is there, would stay unseen
        protocols=(PROTOCOL,),
        compress=False,  # a compressor takes 100 KiB for each connection
        max_msg_size=MAX_INCOMING_BYTES,
        decode_text=False,
    )
    if (offered and PROTOCOL not in offered) or not socket.can_prepare(request):
        raise Malformed("bad_websocket", f"This isn't a WebSocket handshake (RFC 6455), or offers no {PROTOCOL}.")
    token = bearer_token(request) or next(
        (word.removeprefix(_TOKEN_PREFIX) for word in offered if word.startswith(_TOKEN_PREFIX)), None
    )
    async with _seat(request, code, token) as seat:
        socket.headers["X-Request-Id"] = request_id_of(request)
        await socket.prepare(request)
        if (transport := request.transport) is not None:
            stream = Stream(transport, WEBSOCKET, seat)
            await _keep_open(request, stream, _listen_to(socket, stream))
            transport.close()
    return socket


async def _listen_to(socket: web.WebSocketResponse[bool], stream: Stream) -> None:
    """Until the connection ends. What listeners say is only a sign of life."""
    loop = asyncio.get_running_loop()
    while (message := await socket.receive()).type in _SIGNS_OF_LIFE:
        stream.heard_s = loop.time()
        if message.type is WSMsgType.PING:
            await socket.pong(message.data)
    if message.type is WSMsgType.CLOSE:
        stream.end(NORMAL, "")


async def _as_server_sent_events(request: web.Request, code: int) -> web.StreamResponse:
    async with _seat(request, code, bearer_token(request)) as seat:
        # Proxies are told not to collect what should arrive at once.
        answer = OpenAnswer(content_type="text/event-stream", headers=NO_STORE + "X-Accel-Buffering: no\r\n")
        answer.request_id = request_id_of(request)
        await answer.prepare(request)
        if request.transport is not None:
            stream = Stream(request.transport, SERVER_SENT_EVENTS, seat)
            await _keep_open(request, stream, connection_lost(request))
    return answer


@contextlib.asynccontextmanager
async def _seat(request: web.Request, code: int, token: str | None) -> AsyncIterator[Seat]:
    """Somebody is online for as long as this lasts."""
    attendance, listening = request.app[ATTENDANCE], request.app[LISTENING]
    seat = await attendance.come(code, token)
    try:
        if not listening.has_room_for(seat):
            raise TooManyRequests(
                "too_many_streams",
                "This device has as many streams as it may; close one.",
                retry_after_s=max(1, round(listening.beat_s)),
            )
        yield seat
    finally:
        attendance.go(seat)


async def _keep_open(request: web.Request, stream: Stream, gone: Coroutine[None, None, None]) -> None:
    """Until the listener is `gone`. The answer has begun, so that what goes wrong from here on can't be refused."""
    listening, seat = request.app[LISTENING], stream.seat
    with contextlib.closing(gone):
        try:
            party = await request.app[ATTENDANCE].current(seat.code)
        except NotFound:
            return stream.end(NORMAL, "party closed")
        if party.id != seat.party_id or party.participant(seat.participant_id) is None:
            return stream.end(NORMAL, "left")
        listening.open(stream, party)  # in the turn in which it was read, so nothing is missed and nothing doubled
        try:
            await gone
        except ConnectionError:
            pass
        except Exception:
            _log.exception("a stream failed")
            stream.cut()
        finally:
            listening.close(stream)


def _subprotocols(request: web.Request) -> list[str]:
    lines = request.headers.getall("Sec-WebSocket-Protocol", ())
    return [word.strip() for line in lines for word in line.split(",") if word.strip()]


def _admits_events(request: web.Request) -> bool:
    accept = request.headers.get("Accept", "*/*")
    return any(one.partition(";")[0].strip().lower() in _ADMITS_EVENTS for one in accept.split(","))

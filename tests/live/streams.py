"""Listening to a party over real sockets, as a WebSocket and as server-sent events, and what events make of a party."""

import asyncio
import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from socket import SHUT_RDWR, socket
from typing import Any

import aiohttp

from tests.talking import PATIENCE_S, ask

Event = dict[str, Any]

NO_WORD = 1006
"""What a stream's end is called when the connection ended without a close code, as browsers call it (RFC 6455)."""

UNNUMBERED = frozenset({"presence", "message"})
_ONLY_BY_OTHER_EVENTS = ("party_code", "leader_id", "participant_count", "version", "created_at")
_READ_BUFFER_BYTES = 1 << 24  # a snapshot is one line of an event stream


@dataclass(frozen=True)
class View:
    """A party and those in it, as GET shows them; `party` is None once it has closed."""

    party: dict[str, Any] | None
    participants: list[dict[str, Any]]

    @property
    def seq(self) -> int:
        """The version of a living party."""
        assert self.party is not None
        version: int = self.party["version"]
        return version


def view_of(snapshot: Event) -> View:
    """What a snapshot shows."""
    assert snapshot["type"] == "snapshot", snapshot
    assert snapshot["seq"] == snapshot["party"]["version"]
    return View(snapshot["party"], snapshot["participants"])


def apply(view: View, event: Event) -> View:
    """What GET shows after the event. Fails where the event can't have happened to what was seen before."""
    kind = event["type"]
    party, there = view.party, view.participants
    assert party is not None, f"nothing happens to a party that has closed: {event}"
    if kind == "message":
        _one(there, event["participant_id"])
        return view
    if kind == "presence":
        assert _one(there, event["participant_id"])["online"] is not event["online"], f"no news: {event}"
        return replace(view, participants=_changed(there, event["participant_id"], online=event["online"]))
    assert event["seq"] == party["version"] + 1, f"{event} after {party['version']}"
    party = {**party, "version": event["seq"]}
    match kind:
        case "participant_joined":
            assert event["participant"]["participant_id"] > max(one["participant_id"] for one in there)
            there = [*there, event["participant"]]
        case "participant_left":
            gone = _one(there, event["participant_id"])
            there = [one for one in there if one is not gone]
        case "leader_promoted":
            _one(there, event["participant_id"])
            party["leader_id"] = event["participant_id"]
            there = [{**one, "is_leader": one["participant_id"] == event["participant_id"]} for one in there]
        case "party_updated":
            party = _with_its_own(party, event["party"], *_ONLY_BY_OTHER_EVENTS)
        case "participant_updated":
            before = _one(there, event["participant"]["participant_id"])
            after = _with_its_own(before, event["participant"], "is_leader", "online", "joined_at")
            there = _changed(there, after["participant_id"], **after)
        case "party_closed":
            return View(None, [])
        case _:
            raise AssertionError(f"unknown: {event}")
    return View({**party, "participant_count": len(there)}, there)


async def look(port: int, code: str) -> View:
    """What GET shows of a party in which nothing is happening just now."""
    reply = await ask(port, "GET", f"/parties/{code}")
    if reply.status == 404:
        return View(None, [])
    participants = await ask(port, "GET", f"/parties/{code}/participants")
    return View(reply.json(), participants.json()["participants"])


class Stream(ABC):
    """One open stream. It is read all the time, so it is never slow and its pings are answered.

    Each event that `next` gives is also laid over `view`, which fails where a seq is missing or doubled.
    """

    def __init__(self) -> None:
        self.reason = ""
        self._view: View | None = None
        self._incoming: asyncio.Queue[Event | int] = asyncio.Queue()
        self._code: int | None = None
        self._reader = asyncio.create_task(self._read())

    @property
    def view(self) -> View:
        """The party after all events that were taken."""
        assert self._view is not None, "no snapshot yet"
        return self._view

    async def next(self) -> Event:
        """The next event, the snapshot first. Raises EOFError when the stream has ended."""
        async with asyncio.timeout(PATIENCE_S):
            event = await self._incoming.get()
        if isinstance(event, int):
            self._incoming.put_nowait(event)
            raise EOFError(f"the stream has ended: {event} {self.reason}")
        self._view = view_of(event) if self._view is None else apply(self._view, event)
        return event

    async def until(self, kind: str, **fields: object) -> Event:
        """The next event of this type, and with these fields; what comes before is taken too."""
        while True:
            event = await self.next()
            if event["type"] == kind and fields.items() <= event.items():
                return event

    async def until_seq(self, seq: int) -> View:
        """The party at this seq, when it has come so far."""
        while self._view is None or self.view.seq < seq:
            await self.next()
        return self.view

    async def rest(self) -> list[Event]:
        """All events until the stream ends."""
        events = []
        with contextlib.suppress(EOFError):
            while True:
                events.append(await self.next())
        return events

    async def end(self) -> int:
        """The close code with which the stream ends; what comes before is taken too."""
        await self.rest()
        code = self._incoming.get_nowait()
        assert isinstance(code, int)
        self._incoming.put_nowait(code)
        return code

    @property
    @abstractmethod
    def socket(self) -> socket:
        """The connection's own."""

    def abort(self) -> None:
        """Drops the connection without a word."""
        self.socket.shutdown(SHUT_RDWR)

    async def close(self) -> None:
        """Hangs up and lets nothing of it stay."""
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader

    async def _read(self) -> None:
        code = NO_WORD
        try:
            code = await self._take()
        except (aiohttp.ClientError, ConnectionError):
            pass
        finally:
            self._incoming.put_nowait(code)

    @abstractmethod
    async def _take(self) -> int:
        """Takes events as they come. Returns the close code."""


class _WebSocket(Stream):
    def __init__(self, connection: aiohttp.ClientWebSocketResponse[bool]) -> None:
        self._connection = connection
        super().__init__()

    @property
    def socket(self) -> socket:
        its_own: socket = self._connection.get_extra_info("socket")
        return its_own

    async def close(self) -> None:
        await super().close()
        await self._connection.close()

    async def _take(self) -> int:
        while True:
            message = await self._connection.receive()
            match message.type:
                case aiohttp.WSMsgType.TEXT:
                    self._incoming.put_nowait(json.loads(message.data))
                case aiohttp.WSMsgType.CLOSE:
                    self.reason = message.extra or ""
                    return int(message.data)
                case aiohttp.WSMsgType.CLOSED | aiohttp.WSMsgType.CLOSING | aiohttp.WSMsgType.ERROR:
                    return NO_WORD
                case _:
                    raise AssertionError(f"neither a text nor an end: {message}")


class _ServerSentEvents(Stream):
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        super().__init__()

    @property
    def socket(self) -> socket:
        connection = self._response.connection
        assert connection is not None
        assert connection.transport is not None
        its_own: socket = connection.transport.get_extra_info("socket")
        return its_own

    async def close(self) -> None:
        await super().close()
        self._response.close()

    async def _take(self) -> int:
        """Reads by the rules of the HTML standard, as far as they are used here."""
        kind, lines = "message", list[str]()
        async for raw in self._response.content:
            assert raw.endswith(b"\n"), f"half a line: {raw!r}"
            name, _, value = raw.decode().rstrip("\n").partition(": ")
            match name:
                case "event":
                    kind = value
                case "data":
                    lines.append(value)
                case "" if kind == "close":
                    farewell = json.loads("\n".join(lines))
                    self.reason = farewell["reason"]
                    await self._response.content.read()
                    return int(farewell["code"])
                case "":
                    if lines:
                        self._incoming.put_nowait(json.loads("\n".join(lines)))
                    kind, lines = "message", []
                case _:
                    assert name.startswith(":"), f"unknown: {raw!r}"
        return NO_WORD


@contextlib.asynccontextmanager
async def listening(port: int, code: str, token: str) -> AsyncIterator[Stream]:
    """A stream over a WebSocket. Raises aiohttp.WSServerHandshakeError where it is refused."""
    async with aiohttp.ClientSession() as session:
        connection = await session.ws_connect(_url(port, code), headers=_bearer(token), max_msg_size=0, autoclose=True)
        stream = _WebSocket(connection)
        try:
            yield stream
        finally:
            await stream.close()


@contextlib.asynccontextmanager
async def listening_by_sse(port: int, code: str, token: str) -> AsyncIterator[Stream]:
    """A stream of server-sent events. Raises aiohttp.ClientResponseError where it is refused."""
    headers = {**_bearer(token), "Accept": "text/event-stream"}
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(timeout=timeout, read_bufsize=_READ_BUFFER_BYTES) as session:
        response = await session.get(_url(port, code), headers=headers, raise_for_status=True)
        assert response.content_type == "text/event-stream"
        stream = _ServerSentEvents(response)
        try:
            yield stream
        finally:
            await stream.close()


Listen = Callable[[int, str, str], AbstractAsyncContextManager[Stream]]
"""Opens a stream: port, party code and token."""

TRANSPORTS: dict[str, Listen] = {"websocket": listening, "sse": listening_by_sse}


def _url(port: int, code: str) -> str:
    return f"http://127.0.0.1:{port}/parties/{code}/events"


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _one(there: list[dict[str, Any]], participant_id: int) -> dict[str, Any]:
    found = [one for one in there if one["participant_id"] == participant_id]
    assert len(found) == 1, f"{participant_id} isn't among {there}"
    return found[0]


def _with_its_own(before: dict[str, Any], after: dict[str, Any], *fields: str) -> dict[str, Any]:
    """What an update shows, which leaves these fields as they were."""
    for field in fields:
        assert after[field] == before[field], f"{field} of {before} becomes {after[field]}"
    return after


def _changed(there: list[dict[str, Any]], participant_id: int, /, **fields: object) -> list[dict[str, Any]]:
    _one(there, participant_id)
    return [{**one, **fields} if one["participant_id"] == participant_id else one for one in there]

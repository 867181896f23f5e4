"""All that a manager streams, over WebSocket and as server-sent events, is as openapi/events.yaml says."""

import contextlib
import copy
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.contract.events import BY_SSE, OVER_WEBSOCKET, EventsDocument, events_document
from tests.contract.walk import undrawn
from tests.live.streams import Event, Listen, Stream, listening, listening_by_sse
from tests.manager.asking import create, join, managing, remove
from tests.talking import ask

LISTEN: dict[str, Listen] = {OVER_WEBSOCKET: listening, BY_SSE: listening_by_sse}

HIKE = {"lat": 45.5048, "lng": -73.5878, "capacity": 8, "attributes": {"activity": "hiking"}}
ORDER = [
    "snapshot",
    "participant_joined",
    "presence",
    "participant_updated",
    "party_updated",
    "message",
    "leader_promoted",
]

# Documented, and not heard below.
UNHEARD = {("party_closed", "expired"): "nobody is there to hear it"}
UNHEARD_ENDS = {
    "internal error": "there is no bug that we know of",
    "draining": "a test of its own",
    "too slow": "the tests of streams fill a socket",
}

# Ways in which a document could differ from what is sent; each is put into a copy of ours.
PLANTED: dict[str, Callable[[Any], object]] = {
    "a member that isn't documented": lambda root: root["components"]["schemas"]["Participant"]["properties"].pop(
        "online"
    ),
    "a documented member that isn't there": lambda root: payload(root, "message")["required"].append("seq"),
    "another type": lambda root: payload(root, "presence")["properties"]["online"].update(type="string"),
    "another bound": lambda root: root["components"]["schemas"]["Seq"].update(minimum=8),
    "another format": lambda root: root["components"]["schemas"]["Time"].update(format="time"),
    "a reason that isn't documented": lambda root: payload(root, "participant_left")["properties"]["reason"].update(
        enum=["kicked"]
    ),
    "an event that isn't documented": lambda root: root["operations"][OVER_WEBSOCKET]["messages"].pop(),
}

each_way = pytest.mark.parametrize(("anns", "bobs"), [(OVER_WEBSOCKET, BY_SSE), (BY_SSE, OVER_WEBSOCKET)])


@dataclass
class Heard:
    """What somebody heard until their stream ended, and how that was."""

    operation: str
    stream: Stream
    events: list[Event]
    code: int = 0

    def faults(self, document: EventsDocument) -> list[str]:
        """Everything in which it isn't as documented."""
        return [fault for event in self.events for fault in document.faults(self.operation, event["type"], event)]

    async def until_lost(self, participant_id: int) -> None:
        """Listens until this participant is lost."""
        while not {"participant_id": participant_id, "reason": "lost"}.items() <= self.events[-1].items():
            self.events.append(await self.stream.next())

    def types(self) -> list[str]:
        """Of the events, in order."""
        return [event["type"] for event in self.events]


@each_way
async def test_every_event_is_as_documented_and_every_example_is_true(tmp_path: Path, anns: str, bobs: str) -> None:
    async with managing(tmp_path / "m.db") as port:
        ann, bob = await the_hike(port, anns, bobs)
    document = events_document()
    assert ann.faults(document) == bob.faults(document) == []
    assert (ann.code, ann.stream.reason, bob.code, bob.stream.reason) == (1000, "left", 1000, "party closed")
    # Bob's snapshot has Bob in it, and after that both hear the same. The end is for those who stay.
    assert ann.types() == [*ORDER, "participant_left"]
    assert bob.types() == ["snapshot", *ORDER[3:], "participant_left", "party_closed"]
    for event in [*ann.events, bob.events[-1]]:
        assert undrawn(event) == undrawn(document.example(event["type"]))


@each_way
async def test_every_documented_reason_is_heard_or_it_is_said_why_not(tmp_path: Path, anns: str, bobs: str) -> None:
    skew_s = [0.0]
    async with managing(tmp_path / "m.db", monotonic_s=lambda: time.monotonic() + skew_s[0]) as port:
        heard = [*await the_hike(port, anns, bobs), *await comings_and_goings(port, anns, bobs, skew_s)]
    document = events_document()
    assert [fault for one in heard for fault in one.faults(document)] == []
    reasons = {(event["type"], event["reason"]) for one in heard for event in one.events if "reason" in event}
    documented = {
        (name, reason)
        for name, message in document.messages(OVER_WEBSOCKET).items()
        for reason in message["payload"]["properties"].get("reason", {}).get("enum", ())
    }
    assert documented - reasons == UNHEARD.keys()
    ends = document.messages(BY_SSE)["close"]["payload"]["properties"]["reason"]["enum"]
    assert set(ends) - {one.stream.reason for one in heard} == UNHEARD_ENDS.keys()
    assert [fault for one in heard for fault in document.faults(BY_SSE, "close", end_of(one))] == []


@pytest.mark.parametrize("operation", LISTEN)
async def test_a_manager_that_goes_away_says_so_as_documented(tmp_path: Path, operation: str) -> None:
    async with contextlib.AsyncExitStack() as stack, managing(tmp_path / "m.db") as port:
        seat = await create(port, "phone-1")
        heard = await stack.enter_async_context(hearing(port, seat, operation))
    assert events_document().faults(BY_SSE, "close", end_of(heard)) == []
    assert (heard.code, heard.stream.reason) == (1001, "draining")


async def test_server_sent_events_are_framed_as_documented(tmp_path: Path) -> None:
    async with managing(tmp_path / "m.db", beat_s=0.05) as port, aiohttp.ClientSession() as session:
        ann = await create(port, "phone-1")
        token = {"Authorization": f"Bearer {ann['token']}"}
        async with session.get(f"http://127.0.0.1:{port}/parties/{ann['party_code']}/events", headers=token) as stream:
            text = await stream.content.readuntil(b"\n\n") + await stream.content.readuntil(b"\n\n")
            await remove(port, ann["party_code"], 0, ann["token"])
            text += await stream.content.read()
    blocks = text.decode().removesuffix("\n\n").split("\n\n")
    assert ":" in blocks  # the beat
    snapshot, left, closed, end = (block for block in blocks if block != ":")
    for block in (snapshot, left, closed):
        assert block.startswith("data: {")
        assert "\n" not in block
    assert end.startswith("event: close\ndata: {")
    assert events_document().faults(BY_SSE, "close", json.loads(end.removeprefix("event: close\ndata: "))) == []


@pytest.mark.parametrize("planted", PLANTED)
async def test_a_planted_drift_is_found(tmp_path: Path, planted: str) -> None:
    async with managing(tmp_path / "m.db") as port:
        heard = await the_hike(port, OVER_WEBSOCKET, BY_SSE)
    root = copy.deepcopy(events_document().root)
    PLANTED[planted](root)
    assert [fault for one in heard for fault in one.faults(EventsDocument(root))] != []


async def the_hike(port: int, anns: str, bobs: str) -> list[Heard]:
    """What the examples tell, as Ann and as Bob heard it."""
    ann = await create(port, "phone-2", participant_name="Ann", name="Sunset hike", **HIKE)
    code, path = ann["party_code"], f"/parties/{ann['party_code']}"
    async with hearing(port, ann, anns) as ann_heard:
        bob = await join(port, code, "phone-3", "Bob")
        async with hearing(port, bob, bobs) as bob_heard:
            await done(port, "PATCH", f"{path}/participants/1", bob, {"attributes": {"ready": True}})
            await done(port, "PATCH", path, ann, {"locked": True})
            await done(port, "POST", f"{path}/messages", ann, {"body": {"text": "We meet at the gate."}})
            await done(port, "PUT", f"{path}/leader", ann, {"participant_id": 1})
            await remove(port, code, 0, ann["token"])
            await done(port, "DELETE", path, bob)
    return [ann_heard, bob_heard]


async def comings_and_goings(port: int, hosts: str, guests: str, skew_s: list[float]) -> list[Heard]:
    """A host sees people go in every way there is, goes too, and the last one turns off the light."""
    host = await create(port, "phone-10")
    code, path = host["party_code"], f"/parties/{host['party_code']}"
    async with hearing(port, host, hosts) as host_heard:
        async with hearing(port, await join(port, code, "phone-11"), guests) as kicked:
            await remove(port, code, 1, host["token"])
        async with hearing(port, await join(port, code, "phone-12"), guests) as moved:
            await create(port, "phone-12")
        fay = await join(port, code, "phone-13")
        await done(port, "POST", f"{path}/participants/3/heartbeat", fay)
        skew_s[0] += 1000.0  # long past three beats and the grace period
        await host_heard.until_lost(3)
        last = await join(port, code, "phone-14")
        async with hearing(port, last, guests) as last_heard:
            await remove(port, code, 0, host["token"])
            await remove(port, code, 4, last["token"])
    assert last_heard.types() == ["snapshot", "participant_left", "leader_promoted", "participant_left", "party_closed"]
    return [host_heard, kicked, moved, last_heard]


@contextlib.asynccontextmanager
async def hearing(port: int, seat: Any, operation: str) -> AsyncIterator[Heard]:
    """Listens from a snapshot on, and in the end until the stream's."""
    async with LISTEN[operation](port, seat["party_code"], seat["token"]) as stream:
        heard = Heard(operation, stream, [await stream.next()])
        yield heard
        heard.events += await stream.rest()
        heard.code = await stream.end()


def end_of(heard: Heard) -> Any:
    """How the stream ended, as server-sent streams say it."""
    return {"code": heard.code, "reason": heard.stream.reason}


async def done(port: int, method: str, path: str, seat: Any, body: object = None) -> None:
    """A call with a seat's token, that must succeed."""
    reply = await ask(port, method, path, body=body, token=seat["token"])
    assert reply.status in {200, 202, 204}, reply


def payload(root: Any, message: str) -> Any:
    return root["components"]["messages"][message]["payload"]

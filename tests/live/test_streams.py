"""A stream: the snapshot first, then all that happens, in order, over both transports alike, to its end."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.raw import connected
from tests.live.streams import NO_WORD, TRANSPORTS, Listen, View, listening, look
from tests.manager.asking import create, join, managing, remove
from tests.talking import Reply, ask

over_both = pytest.mark.parametrize("listen", TRANSPORTS.values(), ids=TRANSPORTS)


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    async with managing(tmp_path / "manager.db", beat_s=0.2, grace_s=0.2) as its_port:
        yield its_port


async def act(port: int, method: str, path: str, token: str, body: object = None) -> Reply:
    """The answer to what was granted."""
    reply = await ask(port, method, f"/parties/{path}", body=body, token=token)
    assert reply.status < 300, reply
    return reply


@over_both
async def test_a_stream_begins_with_a_snapshot_of_the_party_as_get_shows_it(port: int, listen: Listen) -> None:
    ann = await create(port, "ann", name="Zoë's", lat=38, lng=-78, attributes={"map": "é\n", "n": [1, None]})
    code = ann["party_code"]
    await join(port, code, "bob", "Bob")
    await act(port, "PATCH", f"{code}/participants/0", ann["token"], {"attributes": {"ready": True}})
    async with listen(port, code, ann["token"]) as stream:
        snapshot = await stream.next()
        assert set(snapshot) == {"type", "seq", "at", "party", "participants"}
        assert (snapshot["type"], snapshot["seq"]) == ("snapshot", 3)
        assert stream.view == await look(port, code)
        assert [one["online"] for one in stream.view.participants] == [True, False], "a listener is online themselves"


@over_both
async def test_every_change_is_told_and_makes_of_the_snapshot_what_get_shows(port: int, listen: Listen) -> None:
    """One of each event. Each is compared with GET before the next thing happens."""
    ann = await create(port, "ann")
    code, token = ann["party_code"], ann["token"]
    seats: dict[str, Any] = {"ann": ann}
    async with listen(port, code, token) as stream, listening(port, code, token) as other:
        await stream.next()
        await other.next()

        async def told(kind: str) -> dict[str, Any]:
            event = await stream.until(kind)
            assert await other.until(kind) == event, "the same over every transport"
            assert stream.view == await look(port, code)
            return event

        seats["bob"] = await join(port, code, "bob", "Bob")
        joined = await told("participant_joined")
        assert joined["participant"]["participant_name"] == "Bob"
        seats["cid"] = await join(port, code, "cid")
        await told("participant_joined")
        await act(port, "PATCH", code, token, {"name": "new", "capacity": 3, "locked": True, "lat": 1, "lng": 2})
        updated = await told("party_updated")
        assert updated["party"]["place"] == pytest.approx({"lat": 1, "lng": 2}, abs=0.02)
        await act(port, "PATCH", f"{code}/participants/1", seats["bob"]["token"], {"attributes": {"ready": True}})
        assert (await told("participant_updated"))["participant"]["attributes"] == {"ready": True}
        await act(port, "POST", f"{code}/messages", seats["cid"]["token"], {"body": {"hello": ["é", 1.5]}})
        message = await told("message")
        assert (message["participant_id"], message["body"]) == (2, {"hello": ["é", 1.5]})
        assert "seq" not in message
        await act(port, "PUT", f"{code}/leader", token, {"participant_id": 1})
        assert (await told("leader_promoted"))["participant_id"] == 1
        await act(port, "DELETE", f"{code}/participants/2", seats["bob"]["token"])
        assert (await told("participant_left"))["reason"] == "kicked"
        async with listening(port, code, seats["bob"]["token"]):
            presence = await told("presence")
            assert (presence["participant_id"], presence["online"]) == (1, True)
            assert "seq" not in presence
        assert (await told("presence"))["online"] is False
        await create(port, "bob")
        left = await stream.until("participant_left")
        assert left["reason"] == "moved"
        assert (await told("leader_promoted"))["seq"] == left["seq"] + 1
        await act(port, "DELETE", code, token)
        assert (await told("party_closed"))["reason"] == "closed"


@over_both
async def test_who_is_away_for_too_long_is_lost_before_everybody_s_eyes(port: int, listen: Listen) -> None:
    ann = await create(port, "ann")
    bob = await join(port, ann["party_code"], "bob")
    async with listen(port, ann["party_code"], bob["token"]) as stream:
        async with listening(port, ann["party_code"], ann["token"]):
            await stream.until("presence", participant_id=0, online=True)
        await stream.until("presence", participant_id=0, online=False)
        assert (await stream.next())["reason"] == "lost"
        assert (await stream.next())["type"] == "leader_promoted"
        assert stream.view == await look(port, ann["party_code"])


@over_both
async def test_one_s_own_leaving_is_the_last_that_one_is_told(port: int, listen: Listen) -> None:
    """Left, kicked, banned or moved on: told like everybody else, then shown out with 1000."""
    ann = await create(port, "ann")
    code = ann["party_code"]
    async with listening(port, code, ann["token"]) as leader_s:
        await leader_s.next()
        for number, reason in enumerate(["left", "kicked", "kicked", "moved"]):
            bob = await join(port, code, f"bob{number}")
            mine = bob["participant_id"]
            async with listen(port, code, bob["token"]) as stream, listen(port, code, bob["token"]) as second:
                await stream.next()
                path = f"{code}/participants/{mine}"
                match number:
                    case 0:
                        await act(port, "DELETE", path, bob["token"])
                    case 1 | 2:
                        await act(port, "DELETE", path + "?ban=true" * (number == 2), ann["token"])
                    case _:
                        await create(port, f"bob{number}")
                last = (await stream.rest())[-1]
                assert (last["type"], last["participant_id"], last["reason"]) == ("participant_left", mine, reason)
                assert (await stream.end(), stream.reason) == (1000, reason)
                assert await second.end() == 1000
            await leader_s.until("participant_left", participant_id=mine)
        assert leader_s.view == await look(port, code)


@over_both
async def test_the_leader_s_own_leaving_is_told_with_its_consequence(port: int, listen: Listen) -> None:
    ann = await create(port, "ann")
    await join(port, ann["party_code"], "bob")
    async with listen(port, ann["party_code"], ann["token"]) as stream:
        await stream.next()
        await remove(port, ann["party_code"], 0, ann["token"])
        assert [event["type"] for event in await stream.rest()] == ["participant_left", "leader_promoted"]
        assert await stream.end() == 1000


@over_both
@pytest.mark.parametrize("reason", ["closed", "empty", "expired"])
async def test_a_party_s_end_is_told_to_everyone_who_is_there_and_ends_all_streams(
    port: int, listen: Listen, reason: str
) -> None:
    ann = await create(port, "ann")
    code = ann["party_code"]
    async with contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(listen(port, code, ann["token"])) for _ in range(3)]
        for stream in streams:
            await stream.next()
        if reason == "closed":
            await act(port, "DELETE", code, ann["token"])
        elif reason == "empty":
            await remove(port, code, 0, ann["token"])
        else:
            for stream in streams:
                stream.abort()
        for stream in streams:
            if reason == "expired":
                assert await stream.end() == NO_WORD
                continue
            assert (await stream.rest())[-1]["reason"] == reason
            assert await stream.end() == 1000
            assert stream.view == View(None, [])
        while (await ask(port, "GET", f"/parties/{code}")).status == 200:
            pass  # reads settle what is due
    assert (await ask(port, "GET", f"/parties/{code}")).refusal() == (404, "party_not_found")


async def test_server_sent_events_are_as_a_browser_reads_them_with_a_comment_each_beat(port: int) -> None:
    ann = await create(port, "ann")
    async with connected(port, ann["party_code"], {"Authorization": f"Bearer {ann['token']}"}) as raw:
        first = await raw.line()
        assert first.startswith(b'data: {"type":"snapshot"')
        assert await raw.line() == b"\n"
        assert [await raw.line() for _ in range(4)] == [b":\n", b"\n"] * 2
        await act(port, "DELETE", ann["party_code"], ann["token"])
        while not (line := await raw.line()).startswith(b"data: "):
            assert line in {b":\n", b"\n"}
        assert json.loads(line.removeprefix(b"data: "))["type"] == "party_closed"
        rest = [await raw.line() for _ in range(5)]
        assert rest == [b"\n", b"event: close\n", b'data: {"code":1000,"reason":"party closed"}\n', b"\n", b""]

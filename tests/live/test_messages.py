"""Messages: told to everyone who listens, the sender too, once; kept by nobody."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.live.streams import TRANSPORTS, Listen, listening
from tests.manager.asking import create, join, managing, remove, show
from tests.talking import Reply, ask


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    async with managing(tmp_path / "manager.db") as its_port:
        yield its_port


async def say(port: int, seat: Any, body: object, key: str | None = None) -> Reply:
    headers = {} if key is None else {"Idempotency-Key": key}
    path = f"/parties/{seat['party_code']}/messages"
    sent = body if isinstance(body, bytes) else {"body": body}
    return await ask(port, "POST", path, body=sent, headers=headers, token=seat["token"])


@pytest.mark.parametrize("listen", TRANSPORTS.values(), ids=TRANSPORTS)
async def test_a_message_reaches_everyone_who_listens_the_sender_too(port: int, listen: Listen) -> None:
    ann = await create(port, "ann")
    bob = await join(port, ann["party_code"], "bob")
    async with (
        listen(port, ann["party_code"], ann["token"]) as one,
        listen(port, bob["party_code"], bob["token"]) as two,
    ):
        await one.next()
        await two.next()
        body: object = {"text": 'é "\\ \n \u0000 \U0001f389', "n": [1, -2.5, True, None, {}]}
        reply = await say(port, bob, body)
        assert (reply.status, reply.body) == (202, b"")
        heard = await one.until("message")
        assert {"participant_id": 1, "body": body}.items() <= heard.items()
        assert await two.until("message") == heard


async def test_messages_come_in_the_order_in_which_they_were_sent_among_all_else(port: int) -> None:
    ann = await create(port, "ann")
    async with listening(port, ann["party_code"], ann["token"]) as stream:
        await stream.next()
        for number in range(20):
            await say(port, ann, {"n": number})
            await join(port, ann["party_code"], f"p{number}")
        for number in range(20):
            assert (await stream.next())["body"] == {"n": number}
            assert (await stream.next())["participant"]["participant_id"] == number + 1


async def test_nobody_keeps_a_message(tmp_path: Path) -> None:
    async with managing(tmp_path / "m.db") as port:
        ann = await create(port, "ann")
        await say(port, ann, {"text": "a-secret"}, key="key")
        assert (await show(port, ann["party_code"]))["version"] == 1
        async with listening(port, ann["party_code"], ann["token"]) as stream:
            assert "a-secret" not in json.dumps(await stream.next())
            await say(port, ann, {"text": "another"})
            assert (await stream.next())["body"] == {"text": "another"}
    with closing(sqlite3.connect(tmp_path / "m.db")) as db:
        dump = "\n".join(db.iterdump())
        assert db.execute("SELECT count(*) FROM receipts").fetchone() == (1,)
    assert "a-secret" not in dump


async def test_a_message_that_is_sent_again_under_its_key_is_told_once_also_after_a_restart(tmp_path: Path) -> None:
    async with managing(tmp_path / "m.db") as port:
        ann = await create(port, "ann")
        async with listening(port, ann["party_code"], ann["token"]) as stream:
            await stream.next()
            replies = await asyncio.gather(*(say(port, ann, {"n": 1}, key="once") for _ in range(10)))
            assert {reply.status for reply in replies} == {202}
            other = await say(port, ann, {"n": 2}, key="once")
            assert other.refusal() == (422, "idempotency_key_reused")
            await say(port, ann, {"n": 3}, key="twice")
            assert [(await stream.next())["body"]["n"] for _ in range(2)] == [1, 3]
    async with managing(tmp_path / "m.db") as port, listening(port, ann["party_code"], ann["token"]) as stream:
        await stream.next()
        assert (await say(port, ann, {"n": 1}, key="once")).status == 202
        await say(port, ann, {"n": 4})
        assert (await stream.next())["body"]["n"] == 4


async def test_a_message_is_an_object_of_4_kib_at_most_and_eight_deep(port: int) -> None:
    ann = await create(port, "ann")
    deep: object = {}
    for _ in range(7):
        deep = {"x": deep}
    assert (await say(port, ann, {"x": "y" * 4088})).status == 202
    assert (await say(port, ann, deep)).status == 202
    refused: list[object] = [{"x": "y" * 4089}, {"x": deep}, [], "text", None, 7]
    for body in refused:
        reply = await say(port, ann, body)
        assert reply.refusal() == (400, "bad_body"), body
        assert reply.problem()["field"] == "body"
    for raw in (b"", b"{}", b'{"body": {}, "to": 1}', b'{"body": {"x": NaN}}'):
        assert (await say(port, ann, raw)).refusal()[0] == 400, raw
    assert (await say(port, ann, b'{"body": {}}' + b" " * 16 * 1024)).refusal()[0] == 413


async def test_who_has_left_has_nothing_more_to_say(port: int) -> None:
    ann = await create(port, "ann")
    bob = await join(port, ann["party_code"], "bob")
    await remove(port, ann["party_code"], 1, bob["token"])
    assert (await say(port, bob, {})).refusal() == (401, "token_invalid")
    await remove(port, ann["party_code"], 0, ann["token"])
    assert (await say(port, ann, {})).refusal() == (404, "party_not_found")


async def test_nobody_is_heard_after_they_were_seen_to_leave(port: int) -> None:
    """Each round somebody says something in the moment in which they are sent away."""
    ann = await create(port, "ann")
    code = ann["party_code"]
    async with listening(port, code, ann["token"]) as stream:
        await stream.next()
        for number in range(60):
            bob = await join(port, code, f"bob{number}")
            mine = bob["participant_id"]
            await asyncio.gather(
                join(port, code, f"cid{number}"),
                say(port, bob, {"n": number}),
                remove(port, code, mine, ann["token"]),
                say(port, bob, {"n": number}),
                create(port, f"cid{number}"),
            )
            await stream.until("participant_left", participant_id=mine)
        await say(port, ann, {"n": "last"})
        await stream.until("message", body={"n": "last"})

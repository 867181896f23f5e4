"""The same request twice, under one Idempotency-Key, is one deed."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.manager.asking import create, managing, remove, seats
from tests.talking import Reply, Wire, ask, request_bytes

KEY = "0b7d4c7e-1"


async def post(port: int, path: str, body: object, key: str = KEY) -> Reply:
    """A POST under a key."""
    return await ask(port, "POST", path, body=body, headers={"Idempotency-Key": key})


async def test_a_create_that_is_sent_again_gets_the_same_party(port: int) -> None:
    first, again = [await post(port, "/parties", {"device_id": "ann", "name": "Party"}) for _ in range(2)]
    assert (first.status, again.status) == (201, 201)
    assert again.json() == first.json()
    assert again.header("location") == first.header("location")


async def test_without_a_key_every_create_is_a_new_party(port: int) -> None:
    assert (await create(port, "ann"))["party_code"] != (await create(port, "ann"))["party_code"]


async def test_a_join_that_is_sent_again_gets_the_same_seat(port: int) -> None:
    path = f"/parties/{(await create(port, 'ann'))['party_code']}/participants"
    first, again = [await post(port, path, {"device_id": "bob"}) for _ in range(2)]
    other_key = await post(port, path, {"device_id": "bob"}, key="another")
    assert (first.status, again.status, other_key.status) == (201, 201, 200)
    assert first.json() == again.json() == other_key.json()


async def test_the_party_in_a_repeated_answer_is_as_it_is_now(port: int) -> None:
    first = (await post(port, "/parties", {"device_id": "ann"})).json()
    code = first["party_code"]
    await ask(port, "POST", f"/parties/{code}/participants", body={"device_id": "bob"})
    again = (await post(port, "/parties", {"device_id": "ann"})).json()
    assert (again["participant_id"], again["token"]) == (0, first["token"])
    assert (again["party"]["participant_count"], again["party"]["version"]) == (2, 2)


async def test_a_repeated_answer_outlives_the_party(port: int) -> None:
    first = (await post(port, "/parties", {"device_id": "ann"})).json()
    await remove(port, first["party_code"], 0, first["token"])
    again = await post(port, "/parties", {"device_id": "ann"})
    assert (again.status, again.json()) == (201, {**first, "party": None})
    assert (await ask(port, "POST", "/me", body={"device_id": "ann"})).status == 404


async def test_who_left_is_not_seated_again_by_a_repeated_join(port: int) -> None:
    code = (await create(port, "ann"))["party_code"]
    first = (await post(port, f"/parties/{code}/participants", {"device_id": "bob"})).json()
    await remove(port, code, 1, first["token"])
    again = (await post(port, f"/parties/{code}/participants", {"device_id": "bob"})).json()
    assert (again["participant_id"], again["token"]) == (1, first["token"])
    assert await seats(port, code) == [(0, None, True)]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/parties", {"device_id": "bob"}),
        ("/parties", {"device_id": "ann", "name": "x"}),
        ("/parties", {"device_id": "ann", "lat": 1, "lng": 1}),
        ("/parties/{}/participants", {"device_id": "ann"}),
    ],
)
async def test_a_key_that_comes_with_another_request_is_refused(port: int, path: str, body: object) -> None:
    first = (await post(port, "/parties", {"device_id": "ann"})).json()
    other = await post(port, path.format(first["party_code"]), body)
    assert other.refusal() == (422, "idempotency_key_reused")
    assert (await post(port, "/parties", {"device_id": "ann"})).json() == first


async def test_the_same_request_may_be_spelled_otherwise(port: int) -> None:
    first = (await post(port, "/parties", {"device_id": "ann"})).json()
    assert (await post(port, "/parties", b'{ "device_id":"ann", "name":null}')).json() == first


async def test_a_refusal_is_not_kept(port: int) -> None:
    ann = await create(port, "ann", capacity=2)
    path = f"/parties/{ann['party_code']}/participants"
    cid = (await ask(port, "POST", path, body={"device_id": "cid"})).json()
    assert (await post(port, path, {"device_id": "bob"})).refusal() == (409, "party_full")
    await remove(port, ann["party_code"], 1, cid["token"])
    assert (await post(port, path, {"device_id": "bob"})).status == 201


async def test_twenty_at_once_under_one_key_make_one_party(port: int) -> None:
    wires = [await Wire.to(port) for _ in range(20)]
    request = request_bytes("POST", "/parties", body=b'{"device_id":"ann"}', headers={"Idempotency-Key": KEY})
    await asyncio.gather(*(wire.send(request) for wire in wires))
    replies = await asyncio.gather(*(wire.reply() for wire in wires))
    await asyncio.gather(*(wire.close() for wire in wires))
    assert {(reply.status, reply.body) for reply in replies} == {(201, replies[0].body)}
    metrics = (await ask(port, "GET", "/metrics")).body.decode()
    assert "partyline_parties 1.0" in metrics


async def test_two_at_once_with_different_bodies_under_one_key_make_one_party(port: int) -> None:
    replies = await asyncio.gather(*(post(port, "/parties", {"device_id": name}) for name in ("ann", "bob")))
    assert sorted(reply.status for reply in replies) == [201, 422]


async def test_a_key_is_remembered_across_a_restart(tmp_path: Path) -> None:
    answers: list[Any] = []
    for _ in range(2):
        async with managing(tmp_path / "manager.db") as port:
            answers.append((await post(port, "/parties", {"device_id": "ann"})).json())
    assert answers[0] == answers[1]


@pytest.mark.parametrize("key", ["a", "!" * 128, '"quoted"', "~[]{}"])
async def test_a_key_is_any_visible_ascii(port: int, key: str) -> None:
    assert (await post(port, "/parties", {"device_id": "ann"}, key=key)).status == 201


@pytest.mark.parametrize("key", ["", "a" * 129, "a b", "\xe9", "\x7f", "a\tb"])
async def test_what_is_no_key_is_refused(port: int, key: str) -> None:
    reply = await post(port, "/parties", {"device_id": "ann"}, key=key)
    assert reply.problem()["code"] in {"bad_idempotency_key", "bad_http"}
    assert reply.status == 400
    assert (await ask(port, "POST", "/me", body={"device_id": "ann"})).status == 404

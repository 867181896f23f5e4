"""What a manager answers: starting, joining, showing and leaving parties, over a socket and on a real file."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.manager.asking import create, join, managing, remove, seats, show, try_to_join
from tests.talking import ask

PLAIN = {
    "name": None,
    "leader_id": 0,
    "participant_count": 1,
    "capacity": 50,
    "locked": False,
    "discoverable": False,
    "version": 1,
    "place": None,
    "attributes": None,
}


async def test_a_new_party_has_a_code_of_the_manager_s_area_and_its_creator_leads_it(port: int) -> None:
    reply = await ask(port, "POST", "/parties", body={"device_id": "ann"})
    assert reply.status == 201
    body = reply.json()
    code = body["party_code"]
    assert 200_000_000 <= int(code) <= 299_999_999
    assert (len(code), body["participant_id"]) == (9, 0)
    assert reply.header("location") == f"/parties/{code}"
    assert reply.header("cache-control") == "no-store"
    created_at = datetime.fromisoformat(body["party"].pop("created_at"))
    assert timedelta(0) <= datetime.now(UTC) - created_at < timedelta(minutes=5)
    assert body["party"] == {"party_code": code, **PLAIN}


async def test_a_party_is_as_its_creator_wants_it(port: int) -> None:
    made = await create(
        port,
        "ann",
        participant_name="Ann 🎈",
        name="L'été",
        lat=38.9,
        lng=-77.0,
        capacity=500,
        discoverable=False,
        attributes={"theme": {"colour": "red", "of": [1, 2.5, None, True]}},
    )
    party = await show(port, made["party_code"])
    assert party == made["party"]
    assert (party["name"], party["capacity"], party["discoverable"]) == ("L'été", 500, False)
    assert party["attributes"] == {"theme": {"colour": "red", "of": [1, 2.5, None, True]}}
    assert await seats(port, made["party_code"]) == [(0, "Ann 🎈", True)]


async def test_who_joins_takes_the_next_seat(port: int) -> None:
    code = (await create(port, "ann"))["party_code"]
    reply = await try_to_join(port, code, "bob", "Bob")
    assert reply.status == 201
    assert (reply.json()["party_code"], reply.json()["participant_id"]) == (code, 1)
    assert reply.json()["party"]["participant_count"] == 2
    assert reply.json()["party"]["version"] == 2
    assert reply.header("location") == f"/parties/{code}"
    assert (await join(port, code, "cid"))["participant_id"] == 2
    assert await seats(port, code) == [(0, None, True), (1, "Bob", False), (2, None, False)]


async def test_the_same_device_joins_once(port: int) -> None:
    code = (await create(port, "ann"))["party_code"]
    first = await try_to_join(port, code, "bob", "Bob")
    again = await try_to_join(port, code, "bob", "Robert")
    assert (first.status, again.status) == (201, 200)
    assert again.json() == first.json()
    assert (await try_to_join(port, code, "ann")).status == 200
    assert await seats(port, code) == [(0, None, True), (1, "Bob", False)]


@pytest.mark.parametrize("typed", ["{0}%20{1}%20{2}", "{0}-{1}-{2}", "{0}%E2%80%93{1}%C2%A0{2}", "%20{0}{1}{2}"])
async def test_spaces_and_dashes_in_a_typed_code_are_forgiven(port: int, typed: str) -> None:
    code = (await create(port, "ann"))["party_code"]
    typed = typed.format(code[:3], code[3:6], code[6:])
    assert (await join(port, typed, "bob"))["party_code"] == code
    assert (await show(port, typed))["participant_count"] == 2


async def test_the_leader_s_leaving_promotes_whoever_has_been_there_longest(port: int) -> None:
    ann = await create(port, "ann", participant_name="Ann")
    code = ann["party_code"]
    bob, _ = await join(port, code, "bob", "Bob"), await join(port, code, "cid", "Cid")
    reply = await remove(port, code, 0, ann["token"])
    assert (reply.status, reply.body, reply.header("content-length")) == (204, b"", None)
    assert await seats(port, code) == [(1, "Bob", True), (2, "Cid", False)]
    party = await show(port, code)
    assert (party["leader_id"], party["participant_count"], party["version"]) == (1, 2, 5)
    assert (await remove(port, code, 1, bob["token"])).status == 204
    assert await seats(port, code) == [(2, "Cid", True)]


async def test_who_comes_back_gets_a_new_seat(port: int) -> None:
    code = (await create(port, "ann"))["party_code"]
    bob = await join(port, code, "bob")
    await remove(port, code, 1, bob["token"])
    assert (await join(port, code, "bob"))["participant_id"] == 2


async def test_the_last_one_out_closes_the_party(port: int) -> None:
    ann = await create(port, "ann")
    code = ann["party_code"]
    assert (await remove(port, code, 0, ann["token"])).status == 204
    for reply in (
        await ask(port, "GET", f"/parties/{code}"),
        await ask(port, "GET", f"/parties/{code}/participants"),
        await try_to_join(port, code, "bob"),
        await remove(port, code, 0, ann["token"]),
    ):
        assert reply.refusal() == (404, "party_not_found")


async def test_closed_and_unknown_codes_are_refused_alike(port: int) -> None:
    ann = await create(port, "ann")
    await remove(port, ann["party_code"], 0, ann["token"])
    unknown = "299999999" if ann["party_code"] != "299999999" else "299999998"
    same_id = {"X-Request-Id": "same"}
    closed, never = [
        await ask(port, "GET", f"/parties/{code}", headers=same_id) for code in (ann["party_code"], unknown)
    ]
    assert closed.body == never.body


async def test_joining_what_is_not_there_leaves_nothing_behind(port: int) -> None:
    ann = await create(port, "ann")
    unknown = "299999999" if ann["party_code"] != "299999999" else "299999998"
    for device_id in ("ann", "bob"):
        assert (await try_to_join(port, unknown, device_id)).refusal() == (404, "party_not_found")
    assert (await ask(port, "POST", "/me", body={"device_id": "bob"})).refusal() == (404, "membership_not_found")
    assert await seats(port, ann["party_code"]) == [(0, None, True)]


async def test_an_area_code_that_nobody_has_is_no_party(port: int) -> None:
    assert (await ask(port, "GET", "/parties/999999999")).refusal() == (404, "party_not_found")


async def test_a_device_is_in_one_party_at_a_time(port: int) -> None:
    old = (await create(port, "ann", participant_name="Ann"))["party_code"]
    bob = await join(port, old, "bob", "Bob")
    other = (await create(port, "eve"))["party_code"]
    moved = await join(port, other, "ann")
    assert moved["participant_id"] == 1
    assert await seats(port, old) == [(1, "Bob", True)]
    assert len(await seats(port, other)) == 2
    new = (await create(port, "bob"))["party_code"]
    assert (await ask(port, "GET", f"/parties/{old}")).refusal() == (404, "party_not_found")
    assert (await remove(port, old, 1, bob["token"])).refusal() == (404, "party_not_found")
    assert await seats(port, new) == [(0, None, True)]


async def test_who_is_refused_stays_where_they_were(port: int) -> None:
    full = (await create(port, "ann", capacity=1))["party_code"]
    mine = (await create(port, "bob", participant_name="Bob"))["party_code"]
    assert (await try_to_join(port, full, "bob")).refusal() == (409, "party_full")
    refused = await ask(port, "POST", "/parties", body={"device_id": "bob", "capacity": 501})
    assert refused.refusal() == (400, "bad_capacity")
    assert await seats(port, mine) == [(0, "Bob", True)]


async def test_a_full_party_takes_nobody_until_somebody_leaves(port: int) -> None:
    code = (await create(port, "ann", capacity=2))["party_code"]
    bob = await join(port, code, "bob")
    assert (await try_to_join(port, code, "cid")).refusal() == (409, "party_full")
    assert (await try_to_join(port, code, "bob")).status == 200
    await remove(port, code, 1, bob["token"])
    assert (await try_to_join(port, code, "cid")).status == 201


async def test_of_many_who_come_at_once_as_many_get_in_as_there_are_seats(port: int) -> None:
    code = (await create(port, "ann", capacity=5))["party_code"]
    replies = await asyncio.gather(*(try_to_join(port, code, f"phone-{number}") for number in range(40)))
    assert sorted(reply.status for reply in replies) == [201] * 4 + [409] * 36
    assert sorted(reply.json()["participant_id"] for reply in replies if reply.status == 201) == [1, 2, 3, 4]
    assert len(await seats(port, code)) == 5


async def test_an_app_that_was_restarted_gets_its_seat_back(port: int) -> None:
    code = (await create(port, "ann"))["party_code"]
    bob = await join(port, code, "bob", "Bob")
    reply = await ask(port, "POST", "/me", body={"device_id": "bob"})
    assert (reply.status, reply.json()) == (200, bob)
    assert reply.header("cache-control") == "no-store"


async def test_an_unknown_device_has_no_seat(port: int) -> None:
    assert (await ask(port, "POST", "/me", body={"device_id": "eve"})).refusal() == (404, "membership_not_found")


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    async with managing(tmp_path / "manager.db") as port:
        ann = await create(port, "ann", participant_name="Ann", name="Party", lat=38.9, lng=-77.0, attributes={"a": 1})
        bob = await join(port, ann["party_code"], "bob")
        before = await show(port, ann["party_code"]), await seats(port, ann["party_code"])
    async with managing(tmp_path / "manager.db") as port:
        assert (await show(port, ann["party_code"]), await seats(port, ann["party_code"])) == before
        assert (await ask(port, "POST", "/me", body={"device_id": "bob"})).json()["token"] == bob["token"]
        assert (await remove(port, ann["party_code"], 0, ann["token"])).status == 204


@pytest.mark.parametrize(("said", "status"), [(None, 201), (1, 201), (7, 201), (8, 400), (500, 400)])
async def test_seats_are_bounded_by_the_manager_s_settings(tmp_path: Path, said: int | None, status: int) -> None:
    async with managing(tmp_path / "manager.db", default_capacity=3, max_capacity=7) as port:
        reply = await ask(port, "POST", "/parties", body={"device_id": "ann", "capacity": said})
        assert reply.status == status
        if status == 201:
            assert reply.json()["party"]["capacity"] == said or 3


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/parties/{}", "/parties/{}/participants", "/parties/nearby?lat=1&lng=1"])
async def test_head_and_get_agree(port: int, method: str, path: str) -> None:
    code = (await create(port, "ann"))["party_code"]
    reply = await ask(port, method, path.format(code))
    assert (reply.status, reply.header("content-type"), reply.header("cache-control")) == (
        200,
        "application/json",
        "no-store",
    )


async def test_live_parties_and_participants_are_counted(port: int) -> None:
    ann = await create(port, "ann")
    await join(port, ann["party_code"], "bob")
    await create(port, "cid")
    await remove(port, ann["party_code"], 0, ann["token"])
    metrics = (await ask(port, "GET", "/metrics")).body.decode()
    counted: dict[str, Any] = dict(line.split(" ") for line in metrics.splitlines() if line.startswith("partyline_"))
    assert (counted["partyline_parties"], counted["partyline_participants"]) == ("2.0", "2.0")
    assert float(counted["partyline_commit_batch_size_sum"]) >= 4
    assert counted["partyline_commit_queue_depth"] == "0.0"

"""Codes that live elsewhere: the manager that is asked says where, and clients that follow get there."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.manager.asking import CONFIG, create, join, managing, remove, seats, show
from tests.talking import Names, ask

EAST, CANADA = "us-east-1.app.local", "ca-central-1.app.local"
A_CANADIAN_CODE = "457495738"


@pytest.fixture
async def canada(tmp_path: Path) -> AsyncIterator[int]:
    """Where the Canadian manager listens."""
    async with managing(tmp_path / "canada.db", hostname=CANADA) as port:
        yield port


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/parties/{}", None),
        ("HEAD", "/parties/{}", None),
        ("GET", "/parties/{}/participants", None),
        ("POST", "/parties/{}/participants", {"device_id": "ann"}),
        ("DELETE", "/parties/{}/participants/0", None),
        ("GET", "/parties/457%20495%20738", None),
        ("GET", "/parties/457-495-738/participants", None),
        ("GET", "/parties/457%E2%80%93495%C2%A0738", None),
        ("GET", "/parties/%34%35%37495738", None),
        ("GET", "http://us-east-1.app.local/parties/{}", None),
        ("GET", "http://evil.test/parties/{}", None),
    ],
)
async def test_a_code_of_another_manager_is_answered_with_where_it_lives(
    port: int, method: str, path: str, body: object
) -> None:
    path = path.format(A_CANADIAN_CODE)
    reply = await ask(port, method, path, body=body, headers={"Host": "evil.test"})
    assert reply.status == 307
    its_path = path[path.index("/parties") :]
    assert reply.header("location") == f"http://{CANADA}{its_path}"
    if method != "HEAD":
        assert reply.refusal() == (307, "party_elsewhere")
        assert reply.problem()["manager"] == CANADA


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/parties/457495738%0d%0aX-Evil:%201", "bad_party_code"),
        ("/parties/457495738%20%00", "bad_party_code"),
        ("/parties/457495738%3Fx", "bad_party_code"),
        ("/parties/457495738?x=1", "unknown_parameter"),
    ],
)
async def test_nothing_else_is_put_into_the_location(port: int, path: str, code: str) -> None:
    reply = await ask(port, "GET", path)
    assert reply.refusal() == (400, code)
    assert (reply.header("location"), reply.header("x-evil")) == (None, None)


@pytest.mark.parametrize("path", ["//evil.test/parties/457495738", "/x/../parties/457495738", "/parties%2F457495738"])
async def test_an_odd_path_leads_nowhere(port: int, path: str) -> None:
    assert (await ask(port, "GET", path)).refusal() == (404, "not_found")


async def test_who_follows_where_they_are_sent_joins(port: int, canada: int) -> None:
    made = await create(canada, "ann", participant_name="Ann")
    code = made["party_code"]
    connector = aiohttp.TCPConnector(resolver=Names({EAST: port, CANADA: canada}))
    async with aiohttp.ClientSession(connector=connector) as session:
        body = {"device_id": "bob", "participant_name": "Bob"}
        async with session.post(f"http://{EAST}/parties/{code}/participants", json=body) as reply:
            assert reply.status == 201
            assert reply.url.host == CANADA
            assert [one.status for one in reply.history] == [307]
            assert (await reply.json())["participant_id"] == 1
        spaced = f"{code[:3]} {code[3:6]} {code[6:]}"
        async with session.get(f"http://{EAST}/parties/{spaced}") as reply:
            assert (reply.status, reply.url.host) == (200, CANADA)
    assert await seats(canada, code) == [(0, "Ann", True), (1, "Bob", False)]


async def test_a_device_keeps_its_seat_while_it_is_sent_elsewhere(port: int) -> None:
    mine = (await create(port, "ann"))["party_code"]
    reply = await ask(port, "POST", f"/parties/{A_CANADIAN_CODE}/participants", body={"device_id": "ann"})
    assert reply.status == 307
    assert len(await seats(port, mine)) == 1


async def test_what_is_not_understood_is_refused_before_it_is_sent_on(port: int) -> None:
    reply = await ask(port, "POST", f"/parties/{A_CANADIAN_CODE}/participants", body=b"{")
    assert reply.refusal() == (400, "bad_json")


@pytest.mark.parametrize("owner", [CANADA, None])
async def test_a_code_whose_area_has_moved_is_served_by_whoever_holds_the_party(
    tmp_path: Path, owner: str | None
) -> None:
    async with managing(tmp_path / "east.db") as port:
        ann = await create(port, "ann", participant_name="Ann")
        code = ann["party_code"]
        gone = await create(port, "gone")
        await remove(port, gone["party_code"], 0, gone["token"])
    moved = tmp_path / "moved.yaml"
    roster = CONFIG.read_text().replace("[200-299]", "[300-399]")
    moved.write_text(roster.replace("[400-499]", "[200-299, 400-499]") if owner else roster)
    async with managing(tmp_path / "east.db", config=moved) as port:
        assert (await show(port, code))["leader_id"] == 0
        bob = await join(port, code, "bob", "Bob")
        assert (await remove(port, code, 0, ann["token"])).status == 204
        assert await seats(port, code) == [(1, "Bob", True)]
        assert (await ask(port, "POST", "/me", body={"device_id": "bob"})).json()["token"] == bob["token"]
        closed = await ask(port, "GET", f"/parties/{gone['party_code']}")
        assert closed.refusal() == ((307, "party_elsewhere") if owner else (404, "party_not_found"))
        assert (await create(port, "cid"))["party_code"].startswith("3")
        assert (await remove(port, code, 1, bob["token"])).status == 204
        assert (await ask(port, "GET", f"/parties/{code}")).status == (307 if owner else 404)

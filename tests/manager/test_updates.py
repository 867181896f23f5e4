"""Changing a party and oneself: what may be changed, what null means, and who changes what they know."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.manager.asking import create, join, managing, near, show
from tests.talking import Reply, ask

NOTHING_SET = {
    "name": None,
    "capacity": 50,
    "locked": False,
    "discoverable": False,
    "place": None,
    "attributes": None,
}


@dataclass
class Room:
    """A party with its leader Ann (0) and its member Bob (1)."""

    port: int
    code: str
    ann: str
    bob: str

    async def ask(
        self, method: str, path: str, token: str | None, body: object = None, if_match: str | None = None
    ) -> Reply:
        headers = {} if if_match is None else {"If-Match": if_match}
        return await ask(self.port, method, f"/parties/{self.code}{path}", body=body, token=token, headers=headers)

    async def patch(self, body: object, if_match: str | None = None) -> Reply:
        """The leader's change of the party."""
        return await self.ask("PATCH", "", self.ann, body, if_match)

    async def version(self) -> int:
        version: int = (await show(self.port, self.code))["version"]
        return version


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with managing(tmp_path / "manager.db", max_capacity=100) as port:
        ann = await create(port, "ann")
        bob = await join(port, ann["party_code"], "bob", "Bob")
        yield Room(port, ann["party_code"], ann["token"], bob["token"])


def picked(party: Any) -> dict[str, Any]:
    return {name: party[name] for name in NOTHING_SET}


async def test_all_that_can_be_set_is_set_at_once_and_kept(room: Room) -> None:
    wanted = {"name": "Zoë's", "capacity": 2, "locked": True, "attributes": {"map": [1, None, "é"]}}
    reply = await room.patch({**wanted, "lat": 38.1, "lng": -78.4, "discoverable": False})
    party = reply.json()
    assert reply.status == 200
    assert reply.header("etag") == '"3"'
    assert reply.header("cache-control") == "no-store"
    assert party.pop("place") == pytest.approx({"lat": 38.1, "lng": -78.4}, abs=0.01)
    assert {**wanted, "discoverable": False, "version": 3}.items() <= party.items()
    shown = await ask(room.port, "GET", f"/parties/{room.code}")
    assert (shown.header("etag"), shown.body) == ('"3"', reply.body)


async def test_what_is_not_said_stays_and_null_takes_away(room: Room) -> None:
    await room.patch({"name": "x", "lat": 1, "lng": 1, "discoverable": True, "attributes": {"a": 1}, "capacity": 7})
    party = (await room.patch({"locked": True})).json()
    assert picked(party) | {"place": None} == {
        "name": "x",
        "capacity": 7,
        "locked": True,
        "discoverable": True,
        "place": None,
        "attributes": {"a": 1},
    }
    assert [one["party_code"] for one in await near(room.port, 1, 1)] == [room.code]
    party = (await room.patch({"name": None, "lat": None, "lng": None, "attributes": None})).json()
    assert picked(party) == {**NOTHING_SET, "capacity": 7, "locked": True}
    assert await near(room.port, 1, 1) == []


@pytest.mark.parametrize("body", [{}, {"name": None}, {"capacity": 50, "locked": False}, {"lat": None, "lng": None}])
async def test_a_change_that_changes_nothing_is_no_version(room: Room, body: object) -> None:
    reply = await room.patch(body)
    assert (reply.status, reply.header("etag"), reply.json()["version"]) == (200, '"2"', 2)


REFUSED: list[tuple[object, tuple[int, str], str | None]] = [
    ({"capacity": 1}, (409, "capacity_below_count"), "capacity"),
    ({"capacity": 0}, (400, "bad_body"), "capacity"),
    ({"capacity": 101}, (400, "bad_capacity"), "capacity"),
    ({"capacity": None}, (400, "bad_body"), "capacity"),
    ({"locked": None}, (400, "bad_body"), "locked"),
    ({"discoverable": None}, (400, "bad_body"), "discoverable"),
    ({"discoverable": True}, (400, "place_missing"), "discoverable"),
    ({"discoverable": True, "lat": None, "lng": None}, (400, "place_missing"), "discoverable"),
    ({"lat": 1}, (400, "bad_body"), "lng"),
    ({"lng": 1, "lat": None}, (400, "bad_body"), "lat"),
    ({"lat": 91, "lng": 0}, (400, "bad_body"), "lat"),
    ({"name": ""}, (400, "bad_body"), "name"),
    ({"name": "x" * 65}, (400, "bad_body"), "name"),
    ({"name": "a\nb"}, (400, "bad_body"), "name"),
    ({"attributes": []}, (400, "bad_body"), "attributes"),
    ({"attributes": {"x": "y" * 4089}}, (400, "bad_body"), "attributes"),
    ({"leader_id": 1}, (400, "bad_body"), None),
    ({"version": 9}, (400, "bad_body"), None),
    (b"", (400, "bad_json"), None),
    (b"[]", (400, "bad_body"), None),
    (b'{"attributes": NaN}', (400, "bad_json"), None),
]


async def test_what_can_not_be_set_is_refused_and_changes_nothing(room: Room) -> None:
    for body, refusal, field in REFUSED:
        reply = await room.patch(body)
        assert reply.refusal() == refusal, body
        assert reply.problem().get("field") == field or field is None, body
    assert await room.version() == 2


async def test_attributes_take_4_kib_and_no_more_of_whoever(room: Room) -> None:
    """As they are kept: without spaces, in UTF-8."""
    for fitting in ({"x": "y" * 4088}, {"x": "é" * 2044}):
        for path, token in (("", room.ann), ("/participants/1", room.bob)):
            reply = await room.ask("PATCH", path, token, {"attributes": fitting})
            assert reply.json()["attributes"] == fitting
            reply = await room.ask("PATCH", path, token, {"attributes": {"x": fitting["x"] + "y"}})
            assert reply.refusal() == (400, "bad_body")


async def test_one_changes_one_s_own_name_and_attributes(room: Room) -> None:
    reply = await room.ask("PATCH", "/participants/1", room.bob, {"attributes": {"ready": True}})
    bob = reply.json()
    assert (reply.status, reply.header("etag")) == (200, '"3"')
    joined_at = bob.pop("joined_at")
    assert joined_at.endswith("Z")
    assert bob == {
        "participant_id": 1,
        "participant_name": "Bob",
        "is_leader": False,
        "online": False,
        "attributes": {"ready": True},
    }
    bob = (await room.ask("PATCH", "/participants/1", room.bob, {"participant_name": None})).json()
    assert (bob["participant_name"], bob["attributes"]) == (None, {"ready": True})
    reply = await room.ask("PATCH", "/participants/1", room.bob, {"attributes": {"ready": True}})
    assert reply.header("etag") == '"4"', "nothing has changed"
    there = (await ask(room.port, "GET", f"/parties/{room.code}/participants")).json()["participants"]
    assert there[1] == {**bob, "joined_at": joined_at}


@pytest.mark.parametrize(
    "body", [{"attributes": 1}, {"participant_name": ""}, {"online": True}, {"is_leader": True}, {"name": "x"}], ids=str
)
async def test_what_one_can_not_change_of_oneself_is_refused(room: Room, body: object) -> None:
    reply = await room.ask("PATCH", "/participants/1", room.bob, body)
    assert reply.refusal() == (400, "bad_body")
    assert await room.version() == 2


async def test_a_party_can_be_handed_over_to_somebody_who_is_offline(room: Room) -> None:
    reply = await room.ask("PUT", "/leader", room.ann, {"participant_id": 1})
    assert (reply.status, reply.header("etag"), reply.json()["leader_id"]) == (200, '"3"', 1)
    assert (await room.ask("PUT", "/leader", room.ann, {"participant_id": 0})).refusal() == (403, "not_allowed")
    again = await room.ask("PUT", "/leader", room.bob, {"participant_id": 1})
    assert (again.status, again.header("etag")) == (200, '"3"'), "to oneself changes nothing"
    nobody = await room.ask("PUT", "/leader", room.bob, {"participant_id": 7})
    assert nobody.refusal() == (404, "participant_not_found")
    for body in (
        {},
        {"participant_id": -1},
        {"participant_id": "0"},
        {"participant_id": 1e9},
        {"participant_id": None},
    ):
        assert (await room.ask("PUT", "/leader", room.bob, body)).refusal() == (400, "bad_body")


CHANGES: dict[str, tuple[str, str, object, int]] = {
    "patch party": ("PATCH", "", {"name": "x"}, 200),
    "patch participant": ("PATCH", "/participants/0", {"participant_name": "x"}, 200),
    "hand over": ("PUT", "/leader", {"participant_id": 1}, 200),
    "close": ("DELETE", "", None, 204),
}


@pytest.mark.parametrize("if_match", [None, "*", '"2"', '"1", "2"', '"1","2","3"'])
async def test_a_change_is_made_in_a_version_that_if_match_names(room: Room, if_match: str | None) -> None:
    for version, (method, path, body, status) in enumerate(CHANGES.values(), start=3):
        by = room.bob if method == "DELETE" else room.ann  # who has been handed the lead by then
        reply = await room.ask(method, path, by, body, if_match and if_match.replace('"2"', f'"{version - 1}"'))
        assert reply.status == status
        assert reply.header("etag") == (None if status == 204 else f'"{version}"')


async def test_a_change_is_not_made_in_any_other_version(room: Room) -> None:
    for if_match in ('"1"', '"3"', 'W/"2"', "2", '"02"', '"abc"', '"99999999999999999999999"', ""):
        for method, path, body, _ in CHANGES.values():
            reply = await room.ask(method, path, room.ann, body, if_match)
            assert reply.refusal() == (412, "version_changed"), (if_match, method, path)
    assert await room.version() == 2


async def test_of_two_who_change_the_same_version_one_has_to_look_again(room: Room) -> None:
    replies = await asyncio.gather(*(room.patch({"name": f"n{number}"}, '"2"') for number in range(10)))
    assert sorted(reply.status for reply in replies) == [200] + [412] * 9
    assert await room.version() == 3


async def test_who_may_not_is_told_that_before_anything_about_versions(room: Room) -> None:
    for method, path, body, _ in CHANGES.values():
        assert (await room.ask(method, path, None, body, '"1"')).refusal() == (401, "token_missing")


async def test_a_closed_party_is_gone_for_everyone(room: Room) -> None:
    assert (await room.ask("DELETE", "", room.bob)).refusal() == (403, "not_allowed")
    reply = await room.ask("DELETE", "", room.ann)
    assert (reply.status, reply.body) == (204, b"")
    for method, path, body, _ in CHANGES.values():
        for token in (room.ann, room.bob):
            assert (await room.ask(method, path, token, body)).refusal() == (404, "party_not_found")
    assert (await ask(room.port, "POST", "/me", body={"device_id": "bob"})).status == 404
    assert (await create(room.port, "bob"))["party_code"] != room.code


async def test_a_banned_device_stays_out_also_after_a_restart_and_sits_elsewhere_meanwhile(tmp_path: Path) -> None:
    async with managing(tmp_path / "m.db") as port:
        ann = await create(port, "ann")
        room = Room(port, ann["party_code"], ann["token"], (await join(port, ann["party_code"], "bob"))["token"])
        assert (await room.ask("DELETE", "/participants/0?ban=true", room.ann)).refusal() == (403, "not_allowed")
        assert (await room.ask("DELETE", "/participants/1?ban=maybe", room.ann)).status == 400
        assert (await room.ask("DELETE", "/participants/1?ban=true", room.ann)).status == 204
        own = await create(port, "bob")
    async with managing(tmp_path / "m.db") as port:
        body = {"device_id": "bob"}
        reply = await ask(port, "POST", f"/parties/{room.code}/participants", body=body)
        assert reply.refusal() == (403, "banned")
        assert (await ask(port, "POST", "/me", body=body)).json()["party_code"] == own["party_code"]
        assert (await join(port, room.code, "cid"))["participant_id"] == 2
        assert "banned" not in (await ask(port, "GET", f"/parties/{room.code}")).body.decode()


async def test_a_kick_without_a_ban_lets_them_come_again(room: Room) -> None:
    for query in ("", "?ban=false"):
        bob = await join(room.port, room.code, "bob")
        gone = await room.ask("DELETE", f"/participants/{bob['participant_id']}{query}", room.ann)
        assert gone.status == 204
    assert (await join(room.port, room.code, "bob"))["participant_id"] == 3

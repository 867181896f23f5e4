"""What a manager takes and what it refuses, at the edges of every field and parameter."""

from typing import Any

import pytest

from chassis.geo import Point, distance_km
from tests.manager.asking import create, join, near, remove
from tests.talking import ask

BALLOONS = "🎈" * 64


def nested(depth: int, *, as_list: bool) -> bytes:
    """A body whose attributes are so deep, themselves counted."""
    inner, open_, close = (b"[]", b"[", b"]") if as_list else (b"{}", b'{"a":', b"}")
    attributes = b'{"a":' + open_ * (depth - 2) + inner + close * (depth - 2) + b"}" if depth > 1 else b"{}"
    return b'{"device_id":"ann","attributes":' + attributes + b"}"


@pytest.mark.parametrize(
    "more",
    [
        {"device_id": "a"},
        {"device_id": "d" * 128},
        {"device_id": "é" * 128},
        {"device_id": " \t\x00\x7f"},
        {"participant_name": "A"},
        {"participant_name": BALLOONS},
        {"name": "\u00a0.", "participant_name": None},
        {"name": "\U0001f468\u200d\U0001f469\u200d\U0001f467"},
        {"name": BALLOONS},
        {"lat": 90, "lng": 180},
        {"lat": -90.0, "lng": -180.0},
        {"lat": 0, "lng": -0.0, "discoverable": True},
        {"lat": 1e-300, "lng": 1e-300, "discoverable": False},
        {"lat": None, "lng": None, "capacity": None, "discoverable": None, "attributes": None},
        {"discoverable": False},
        {"capacity": 1},
        {"capacity": 500},
        {"attributes": {}},
        {"attributes": {"": {"a": [1, "b", None, True, 1.5, {"c": {}}]}}},
        {"attributes": {"big": 123456789012345678901234567890, "small": -0.25}},
        {"attributes": {"text": "x" * (4096 - len('{"text":""}'))}},
        {"attributes": {"text": "é" * ((4096 - len('{"text":""}')) // 2)}},
    ],
)
async def test_what_is_within_bounds_is_taken_and_comes_back(port: int, more: dict[str, Any]) -> None:
    made = await create(port, **{"device_id": "ann", **more})
    party = (await ask(port, "GET", f"/parties/{made['party_code']}")).json()
    assert party == made["party"]
    assert party["attributes"] == more.get("attributes")
    assert party["name"] == more.get("name")
    said = more.get("discoverable")
    assert party["discoverable"] is (more.get("lat") is not None if said is None else said)


@pytest.mark.parametrize(
    ("more", "code", "field"),
    [
        ({"device_id": ""}, "bad_body", "device_id"),
        ({"device_id": "d" * 129}, "bad_body", "device_id"),
        ({"device_id": None}, "bad_body", "device_id"),
        ({"device_id": 1}, "bad_body", "device_id"),
        ({"participant_name": ""}, "bad_body", "participant_name"),
        ({"participant_name": BALLOONS + "!"}, "bad_body", "participant_name"),
        ({"participant_name": "a\nb"}, "bad_body", "participant_name"),
        ({"participant_name": "a\x1b[31m"}, "bad_body", "participant_name"),
        ({"participant_name": "a\n"}, "bad_body", "participant_name"),
        ({"participant_name": "\u0085"}, "bad_body", "participant_name"),
        ({"name": ""}, "bad_body", "name"),
        ({"name": " \u00a0"}, "bad_body", "name"),
        ({"name": "a\u202eb"}, "bad_body", "name"),
        ({"name": "\u2066"}, "bad_body", "name"),
        ({"name": "\x00"}, "bad_body", "name"),
        ({"name": ["a"]}, "bad_body", "name"),
        ({"lat": 1}, "bad_body", "lng"),
        ({"lng": 1}, "bad_body", "lat"),
        ({"lat": 1, "lng": None}, "bad_body", "lng"),
        ({"lat": 90.0001, "lng": 0}, "bad_body", "lat"),
        ({"lat": 0, "lng": -180.0001}, "bad_body", "lng"),
        ({"lat": "0", "lng": 0}, "bad_body", "lat"),
        ({"lat": True, "lng": 0}, "bad_body", "lat"),
        ({"capacity": 0}, "bad_body", "capacity"),
        ({"capacity": -1}, "bad_body", "capacity"),
        ({"capacity": 2.0}, "bad_body", "capacity"),
        ({"capacity": "2"}, "bad_body", "capacity"),
        ({"capacity": 501}, "bad_capacity", "capacity"),
        ({"capacity": 10**30}, "bad_body", "capacity"),
        ({"discoverable": True}, "place_missing", "discoverable"),
        ({"discoverable": 1}, "bad_body", "discoverable"),
        ({"attributes": []}, "bad_body", "attributes"),
        ({"attributes": "a"}, "bad_body", "attributes"),
        ({"attributes": {"text": "x" * 4096}}, "bad_body", "attributes"),
        ({"attributes": {"text": "é" * 2048}}, "bad_body", "attributes"),
        ({"locked": True}, "bad_body", "locked"),
        ({"party_code": "200000000"}, "bad_body", "party_code"),
        ({"leader_id": 7}, "bad_body", "leader_id"),
    ],
)
async def test_what_is_out_of_bounds_is_refused_and_the_field_named(
    port: int, more: dict[str, Any], code: str, field: str
) -> None:
    reply = await ask(port, "POST", "/parties", body={"device_id": "ann", **more})
    assert reply.refusal() == (400, code)
    assert reply.problem()["field"] == field
    assert (await ask(port, "POST", "/me", body={"device_id": "ann"})).status == 404


@pytest.mark.parametrize("as_list", [False, True])
async def test_attributes_nest_eight_deep_and_no_deeper(port: int, as_list: bool) -> None:
    for depth in (1, 2, 8):
        assert (await ask(port, "POST", "/parties", body=nested(depth, as_list=as_list))).status == 201, depth
    for depth in (9, 10, 100, 400, 500, 700, 900, 985, 1000, 2000):
        reply = await ask(port, "POST", "/parties", body=nested(depth, as_list=as_list))
        assert (reply.status, reply.problem()["code"] in {"bad_body", "bad_json"}) == (400, True), depth


@pytest.mark.parametrize(
    "body", [{}, {"device_id": ""}, {"device_id": "a", "name": "x"}, {"device_id": "a", "lat": 1}, []]
)
async def test_a_join_takes_a_device_and_a_name_only(port: int, body: object) -> None:
    code = (await create(port, "ann"))["party_code"]
    assert (await ask(port, "POST", f"/parties/{code}/participants", body=body)).refusal() == (400, "bad_body")


@pytest.mark.parametrize("body", [{}, {"device_id": ""}, {"device_id": "a", "participant_name": "x"}, []])
async def test_asking_for_one_s_seat_takes_a_device_only(port: int, body: object) -> None:
    assert (await ask(port, "POST", "/me", body=body)).refusal() == (400, "bad_body")


@pytest.mark.parametrize(
    "code", ["12345678", "1234567890", "012345678", "abcdefghi", "٢٢٢٢٢٢٢٢٢", "%00" * 9, "222.222.222"]
)
async def test_what_is_no_party_code_is_refused_at_every_door(port: int, code: str) -> None:
    code = "%D9%A2" * 9 if not code.isascii() else code
    for method, path, body in (
        ("GET", f"/parties/{code}", None),
        ("GET", f"/parties/{code}/participants", None),
        ("POST", f"/parties/{code}/participants", {"device_id": "ann"}),
        ("DELETE", f"/parties/{code}/participants/0", None),
    ):
        assert (await ask(port, method, path, body=body)).refusal() == (400, "bad_party_code"), method


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/parties"),
        ("POST", "/me"),
        ("GET", "/parties/222222222"),
        ("GET", "/parties/222222222/participants"),
        ("POST", "/parties/222222222/participants"),
        ("DELETE", "/parties/222222222/participants/0"),
    ],
)
async def test_a_parameter_where_none_is_taken_is_refused(port: int, method: str, path: str) -> None:
    reply = await ask(port, method, f"{path}?verbose=1", body={"device_id": "ann"})
    assert reply.refusal() == (400, "unknown_parameter")
    assert reply.problem()["field"] == "verbose"


@pytest.mark.parametrize("participant_id", ["-1", "1.0", "x", "9" * 10, "%20", "1%20", "٣"])
async def test_what_is_no_participant_s_number_is_nobody(port: int, participant_id: str) -> None:
    ann = await create(port, "ann")
    participant_id = "%D9%A3" if not participant_id.isascii() else participant_id
    path = f"/parties/{ann['party_code']}/participants/{participant_id}"
    assert (await ask(port, "DELETE", path, token=ann["token"])).refusal() == (404, "participant_not_found")


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("", "missing_parameter", "lat"),
        ("lat=1", "missing_parameter", "lng"),
        ("lat=91&lng=0", "bad_coordinates", "lat"),
        ("lat=0&lng=-181", "bad_coordinates", "lng"),
        ("lat=x&lng=0", "bad_number", "lat"),
        ("lat=0&lng=0&radius_km=0", "bad_number", "radius_km"),
        ("lat=0&lng=0&radius_km=-1", "bad_number", "radius_km"),
        ("lat=0&lng=0&radius_km=500.001", "bad_number", "radius_km"),
        ("lat=0&lng=0&radius_km=nan", "bad_number", "radius_km"),
        ("lat=0&lng=0&radius_km=", "bad_number", "radius_km"),
        ("lat=0&lng=0&limit=0", "bad_number", "limit"),
        ("lat=0&lng=0&limit=101", "bad_number", "limit"),
        ("lat=0&lng=0&limit=1.5", "bad_number", "limit"),
        ("lat=0&lng=0&limit=-1", "bad_number", "limit"),
        ("lat=0&lng=0&limit=1&limit=1", "repeated_parameter", "limit"),
        ("lat=0&lng=0&offset=1", "unknown_parameter", "offset"),
    ],
)
async def test_a_bad_question_for_what_is_near_is_refused(port: int, query: str, code: str, field: str) -> None:
    reply = await ask(port, "GET", f"/parties/nearby?{query}")
    assert reply.refusal() == (400, code)
    assert reply.problem()["field"] == field


async def test_what_is_near_comes_nearest_first_within_radius_and_limit(port: int) -> None:
    for number in range(30):
        await create(port, f"phone-{number}", name=str(number), lat=60 + number / 100, lng=0)
    found = await near(port, 60, 0, radius_km=500, limit=100)
    assert [one["name"] for one in found] == [str(number) for number in range(30)]
    for one in found:
        exact_km = distance_km(Point(60, 0), Point(one["place"]["lat"], one["place"]["lng"]))
        assert one["distance_km"] == pytest.approx(exact_km, abs=0.002)
        assert abs(one["place"]["lat"] - (60 + int(one["name"]) / 100)) < 0.01
    assert len(await near(port, 60, 0, radius_km=500)) == 20
    assert len(await near(port, 60, 0, radius_km=500, limit=1)) == 1
    assert all(one["distance_km"] <= 5 for one in await near(port, 60, 0))
    assert 0 < len(await near(port, 60, 0)) < 7
    assert await near(port, -60, 0, radius_km=500) == []


async def test_a_party_is_seen_as_it_stands_without_those_who_hide_or_are_gone(port: int) -> None:
    seen = await create(port, "ann", lat=10, lng=179.999)
    hidden = await create(port, "bob", lat=10, lng=179.999, discoverable=False)
    gone = await create(port, "cid", lat=10, lng=-179.999)
    await create(port, "dan")
    codes = {one["party_code"] for one in await near(port, 10, -179.999)}
    assert codes == {gone["party_code"], seen["party_code"]}
    await remove(port, gone["party_code"], 0, gone["token"])
    await join(port, seen["party_code"], "bob")
    [one] = await near(port, 10, 180)
    assert (one["party_code"], one["participant_count"]) == (seen["party_code"], 2)
    assert (await ask(port, "GET", f"/parties/{hidden['party_code']}")).status == 404


async def test_where_an_exact_place_was_cannot_be_told(port: int) -> None:
    first = await create(port, "ann", lat=38.9, lng=-77.0)
    place = first["party"]["place"]
    second = await create(port, "bob", lat=place["lat"], lng=place["lng"])
    assert second["party"]["place"] == place
    assert (place["lat"], place["lng"]) != (38.9, -77.0)

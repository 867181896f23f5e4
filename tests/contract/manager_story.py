"""What the manager's document tells of, done for real: Ann starts a hike, Bob joins it, and much is refused."""

import contextlib
from typing import Any

from tests.contract.documents import Operation
from tests.contract.story import LONG_QUERY, NOT_THERE, TWICE, what_every_service_answers
from tests.contract.walk import Walk
from tests.contract.wire import listening

PARTIES = "/parties"
NEARBY = "/parties/nearby"
PARTY = "/parties/{code}"
LEADER = "/parties/{code}/leader"
MESSAGES = "/parties/{code}/messages"
EVENTS = "/parties/{code}/events"
PARTICIPANTS = "/parties/{code}/participants"
PARTICIPANT = "/parties/{code}/participants/{participant_id}"
HEARTBEAT = "/parties/{code}/participants/{participant_id}/heartbeat"

ELSEWHERE = "200123456"  # us-east-1 keeps it
TOO_LARGE = b" " * (16 * 1024 + 1)
STRANGER = "AAAAAAAAAAAAAAAAAAAAAAAAAAAA"

# Each call to a party with a body that it takes, if it takes one.
CALLS: dict[tuple[str, str], object] = {
    ("GET", PARTY): None,
    ("PATCH", PARTY): {},
    ("DELETE", PARTY): None,
    ("PUT", LEADER): {"participant_id": 0},
    ("POST", MESSAGES): {"body": {}},
    ("GET", EVENTS): None,
    ("GET", PARTICIPANTS): None,
    ("POST", PARTICIPANTS): {"device_id": "phone-9"},
    ("PATCH", PARTICIPANT): {},
    ("DELETE", PARTICIPANT): None,
    ("POST", HEARTBEAT): None,
}
BY_CODE = [("GET", PARTY), ("GET", PARTICIPANTS), ("POST", PARTICIPANTS)]
VERSIONED = [("PATCH", PARTY), ("DELETE", PARTY), ("PUT", LEADER), ("PATCH", PARTICIPANT)]
# What only the leader may do, and what one may only do for oneself.
LEADERS = [("PATCH", PARTY), ("DELETE", PARTY), ("PUT", LEADER), ("DELETE", PARTICIPANT)]
ONES_OWN = [("PATCH", PARTICIPANT), ("POST", HEARTBEAT)]
OF_SOMEBODY = [("PUT", LEADER), ("PATCH", PARTICIPANT), ("DELETE", PARTICIPANT), ("POST", HEARTBEAT)]

HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
STREAMS = 5


def manager_story(walk: Walk) -> None:
    """All that a manager answers while it serves."""
    _somebody_listens(walk)
    _the_hike(walk)
    _refused_creates(walk)
    _refused_joins(walk)
    _refused_to_whom_it_is_not_for(walk)
    _refused_changes(walk)
    _refused_messages(walk)
    _refused_codes(walk)
    walk.call("GET", NEARBY, query={"lat": 45.5}, answers="missing_parameter")
    walk.call("GET", NEARBY, query={"lat": 45.5, "lng": -73.57, "limit": 101}, answers="bad_number")
    for query in ({"lat": 91, "lng": 0}, {"town": "Bonn"}, LONG_QUERY, TWICE):
        walk.call("GET", NEARBY, query=query)
    for method in ("PATCH", "DELETE"):  # which a party's path takes
        assert walk.call(method, NEARBY, query=TWICE).headers["allow"] == "GET, HEAD"
    what_every_service_answers(walk)


def limits_story(walk: Walk) -> None:
    """All that a manager refuses to who asks too often, where each limit is 1."""
    started(walk, "phone-60")
    walk.call("POST", PARTIES, body={"device_id": "phone-60"})
    walk.call("DELETE", PARTY, code=NOT_THERE)
    for (method, path), body in CALLS.items():
        walk.call(method, path, code=NOT_THERE, participant_id=0, body=body)
    assert any(walk.call("POST", "/me", body={"device_id": "phone-60"}).status == 429 for _ in range(1000))


def started(walk: Walk, device_id: str, **more: object) -> Any:
    """A new party's first seat."""
    return walk.call("POST", PARTIES, body={"device_id": device_id, **more}).json()


def joined(walk: Walk, code: str, device_id: str) -> Any:
    """Another seat in it."""
    return walk.call("POST", PARTICIPANTS, code=code, body={"device_id": device_id}).json()


def _somebody_listens(walk: Walk) -> None:
    like_anns: Any = walk.document.body_example(Operation("POST", PARTIES), "everything")
    seat = walk.call("POST", PARTIES, body=like_anns | {"device_id": "phone-5"}).json()
    here, token = {"code": seat["party_code"]}, seat["token"]
    walk.call("GET", EVENTS, token=token, answers="snapshot", **here)
    walk.call("GET", EVENTS, token=token, headers={"Accept": "application/json"}, answers="not_acceptable", **here)
    walk.call("GET", EVENTS, token=token, headers=HANDSHAKE, **here)
    subprotocols = {"Sec-WebSocket-Protocol": f"partyline.v1, bearer.{token}"}
    answer = walk.call("GET", EVENTS, headers=HANDSHAKE | subprotocols, **here)
    assert answer.headers["sec-websocket-protocol"] == "partyline.v1"
    others = HANDSHAKE | {"Sec-WebSocket-Protocol": "chat"}
    walk.call("GET", EVENTS, token=token, headers=others, answers="bad_websocket", **here)
    walk.call("GET", EVENTS, token=token, headers={"Upgrade": "websocket"}, **here)
    page = HANDSHAKE | {"Origin": "https://elsewhere.example"}
    walk.call("GET", EVENTS, token=token, headers=page, answers="origin_not_allowed", **here)
    with contextlib.ExitStack() as stack:
        for _ in range(STREAMS):
            path = EVENTS.format(**here)
            stack.enter_context(listening(walk.port, path, {"Authorization": f"Bearer {token}"}))
        walk.call("GET", EVENTS, token=token, headers=HANDSHAKE, answers="too_many_streams", **here)
    assert walk.call("DELETE", PARTY, token=token, **here).status == 204


def _the_hike(walk: Walk) -> None:
    walk.call("POST", PARTIES, says="smallest", answers="smallest")
    ann = walk.call("POST", PARTIES, says="everything", answers="everything").json()
    here = {"code": ann["party_code"]}
    bob = walk.call("POST", PARTICIPANTS, says="named", answers="joined", **here).json()
    walk.call("POST", PARTICIPANTS, says="named", answers="again", **here)
    walk.call("GET", PARTY, answers="party", **here)
    walk.call("GET", PARTICIPANTS, answers="participants", **here)
    walk.call("GET", NEARBY, query=walk.query_example(NEARBY), answers="found")
    walk.call("POST", "/me", says="bob", answers="bob")
    walk.call("PATCH", PARTICIPANT, says="ready", answers="ready", token=bob["token"], participant_id=1, **here)
    tag = walk.call("GET", PARTY, **here).headers["etag"]
    walk.call("PATCH", PARTY, says="lock", answers="locked", token=ann["token"], headers={"If-Match": tag}, **here)
    walk.call("POST", PARTICIPANTS, body={"device_id": "phone-6"}, answers="party_locked", **here)
    walk.call("PUT", LEADER, says="bob", answers="bob", token=ann["token"], **here)
    walk.call("POST", MESSAGES, says="gate", token=ann["token"], **here)
    walk.call("POST", HEARTBEAT, token=bob["token"], participant_id=1, **here)
    walk.call("PATCH", PARTY, says="everything", token=bob["token"], **here)
    walk.call("PATCH", PARTY, says="take_away", token=bob["token"], **here)
    walk.call("PATCH", PARTICIPANT, says="nameless", token=bob["token"], participant_id=1, **here)
    walk.call("POST", PARTICIPANTS, says="nameless", **here)
    assert walk.call("DELETE", PARTICIPANT, token=bob["token"], participant_id=0, **here).status == 204


def _refused_creates(walk: Walk) -> None:
    walk.call("POST", PARTIES, body=b'{"device_id"', answers="bad_json")
    walk.call("POST", PARTIES, body={"device_id": ""}, answers="bad_body")
    walk.call("POST", PARTIES, body={"device_id": "phone-9", "capacity": 501}, answers="bad_capacity")
    walk.call("POST", PARTIES, body={"device_id": "phone-9", "discoverable": True}, answers="place_missing")
    words = {"Idempotency-Key": "two words"}
    walk.call("POST", PARTIES, body={"device_id": "phone-9"}, headers=words, answers="bad_idempotency_key")
    walk.call("POST", PARTIES, body={"device_id": "phone-9"}, query={"x": 1})
    walk.call("POST", PARTIES, body={"device_id": "phone-9"}, query=LONG_QUERY)
    walk.call("POST", PARTIES, body=TOO_LARGE, answers="body_too_large")
    key = {"Idempotency-Key": "0d7c2a4e-create"}
    for device_id, answers in (("phone-10", None), ("phone-10", None), ("phone-11", "idempotency_key_reused")):
        walk.call("POST", PARTIES, body={"device_id": device_id}, headers=key, answers=answers)
    walk.call("POST", "/me", body={}, answers="bad_body")
    walk.call("POST", "/me", body={"device_id": "phone-12"}, answers="membership_not_found")
    walk.call("POST", "/me", body=TOO_LARGE, answers="body_too_large")


def _refused_joins(walk: Walk) -> None:
    full = started(walk, "phone-20", capacity=1)["party_code"]
    walk.call("POST", PARTICIPANTS, code=full, body={"device_id": "phone-21"}, answers="party_full")
    leader = started(walk, "phone-24")
    code = leader["party_code"]
    walk.call("POST", PARTICIPANTS, code=code, body={"device_id": "phone-21", "name": "Bob"}, answers="bad_body")
    walk.call("POST", PARTICIPANTS, code=code, body=b"[]")
    walk.call("POST", PARTICIPANTS, code=code, body=b"\xff")
    walk.call("POST", PARTICIPANTS, code=code, body={"device_id": "phone-21"}, headers={"Idempotency-Key": "ä"})
    walk.call("POST", PARTICIPANTS, code=code, body=TOO_LARGE, answers="body_too_large")
    key = {"Idempotency-Key": "0d7c2a4e-join"}
    for device_id, answers in (("phone-22", None), ("phone-22", None), ("phone-23", "idempotency_key_reused")):
        walk.call("POST", PARTICIPANTS, code=code, body={"device_id": device_id}, headers=key, answers=answers)
    ban = {"ban": "true"}
    assert walk.call("DELETE", PARTICIPANT, code=code, participant_id=1, query=ban, token=leader["token"]).status == 204
    walk.call("POST", PARTICIPANTS, code=code, body={"device_id": "phone-22"}, answers="banned")


def _refused_to_whom_it_is_not_for(walk: Walk) -> None:
    leader = started(walk, "phone-30")
    here = {"code": leader["party_code"], "participant_id": 0}
    other = joined(walk, leader["party_code"], "phone-31")
    for method, path in CALLS.keys() - set(BY_CODE):
        body = CALLS[method, path]
        walk.call(method, path, body=body, answers="token_missing", **here)
        walk.call(method, path, body=body, token=STRANGER, answers="token_invalid", **here)
    for method, path in [*LEADERS, *ONES_OWN]:
        walk.call(method, path, body=CALLS[method, path], token=other["token"], answers="not_allowed", **here)
    for method, path in OF_SOMEBODY:
        for participant_id in (99, "nobody"):
            body = {"participant_id": 99} if path == LEADER else CALLS[method, path]
            places = here | {"participant_id": participant_id}
            walk.call(method, path, body=body, token=leader["token"], answers="participant_not_found", **places)


def _refused_changes(walk: Walk) -> None:
    seat = started(walk, "phone-40")
    here, token = {"code": seat["party_code"], "participant_id": 0}, seat["token"]
    joined(walk, seat["party_code"], "phone-41")
    for method, path in VERSIONED:
        stale = {"If-Match": '"1"'}
        walk.call(method, path, body=CALLS[method, path], token=token, headers=stale, answers="version_changed", **here)
    walk.call("PATCH", PARTY, body={"lat": 45.5}, token=token, answers="bad_body", **here)
    walk.call("PATCH", PARTY, body={"capacity": 501}, token=token, answers="bad_capacity", **here)
    walk.call("PATCH", PARTY, body={"discoverable": True}, token=token, answers="place_missing", **here)
    walk.call("PATCH", PARTY, body={"capacity": 1}, token=token, answers="capacity_below_count", **here)
    for method, path in (("PUT", LEADER), ("PATCH", PARTICIPANT)):
        walk.call(method, path, body=b"{", token=token, answers="bad_json", **here)
        walk.call(method, path, body={"colour": "red"}, token=token, **here)
    for method, path in (("PATCH", PARTY), ("PUT", LEADER), ("PATCH", PARTICIPANT), ("POST", MESSAGES)):
        walk.call(method, path, body=TOO_LARGE, token=token, answers="body_too_large", **here)
    walk.call("DELETE", PARTICIPANT, query={"ban": "yes"}, token=token, answers="bad_flag", **here)
    walk.call("DELETE", PARTICIPANT, query=[("ban", "true"), ("ban", "true")], token=token, **here)


def _refused_messages(walk: Walk) -> None:
    seat = started(walk, "phone-50")
    here, token = {"code": seat["party_code"]}, seat["token"]
    walk.call("POST", MESSAGES, body={"body": {"text": "x" * 4096}}, token=token, answers="bad_body", **here)
    walk.call("POST", MESSAGES, body={"body": {}}, token=token, headers={"Idempotency-Key": "two words"}, **here)
    key = {"Idempotency-Key": "0d7c2a4e-say"}
    for text, answers in (("Hi", None), ("Hi", None), ("Ho", "idempotency_key_reused")):
        walk.call("POST", MESSAGES, body={"body": {"text": text}}, token=token, headers=key, answers=answers, **here)


def _refused_codes(walk: Walk) -> None:
    for (method, path), body in CALLS.items():
        for code, answers in (
            ("45749573", "bad_party_code"),
            (ELSEWHERE, "party_elsewhere"),
            (NOT_THERE, "party_not_found"),
        ):
            walk.call(method, path, code=code, participant_id=0, body=body, answers=answers)
        walk.call(method, path, code=NOT_THERE, participant_id=0, body=body, query={"verbose": 1})
        walk.call(method, path, code=NOT_THERE, participant_id=0, body=body, query=LONG_QUERY)

"""What the documents tell of, done for real: Ann starts a hike, Bob joins it, and much is refused."""

from typing import Any

from tests.contract.walk import Walk

FIND = "/managers/find"
PARTIES = "/parties"
PARTY = "/parties/{code}"
PARTICIPANTS = "/parties/{code}/participants"
PARTICIPANT = "/parties/{code}/participants/{participant_id}"

ELSEWHERE = "200123456"  # us-east-1 keeps it
NOT_THERE = "499000000"
TOO_LARGE = b" " * (16 * 1024 + 1)
LONG_QUERY = {"lat": "4" * 2100}
TWICE = [("lat", 1), ("lat", 2)]

SERVICE = (
    "/livez",
    "/readyz",
    "/metrics",
    "/version",
    "/openapi.yaml",
    "/docs",
    "/docs/start.js",
    "/docs/swagger-ui-bundle.js",
    "/docs/swagger-ui.css",
)
_EXAMPLES = {"/livez": "alive", "/readyz": "ready", "/version": "version"}


def dispatcher_story(walk: Walk) -> None:
    """All that a dispatcher answers while it serves."""
    walk.call("GET", FIND, query=walk.query_example(FIND), answers="by_position")
    walk.call("GET", FIND, query={"party_code": "457 495 738"}, answers="by_party_code")
    walk.call("GET", "/managers", answers="listed")
    walk.call("GET", FIND, query={"lat": 45.5}, answers="missing_parameter")
    walk.call("GET", FIND, query={"lat": 95, "lng": 0}, answers="bad_coordinates")
    walk.call("GET", FIND, query={"party_code": "999 000 000"}, answers="area_code_unknown")
    walk.call("GET", FIND)
    walk.call("GET", FIND, query={"lat": 0, "lng": "west"})
    walk.call("GET", FIND, query={"lat": 0, "party_code": 457495738})
    for query in ({"party_code": "0"}, {"town": "Bonn"}, LONG_QUERY, TWICE):
        walk.call("GET", FIND, query=query)
    walk.call("GET", "/managers", query={"region": "x"}, answers="unknown_parameter")
    walk.call("GET", "/managers", query=LONG_QUERY)
    _what_every_service_answers(walk)


def manager_story(walk: Walk) -> None:
    """All that a manager answers while it serves."""
    hike = _the_hike(walk)
    _refused_creates(walk)
    _refused_joins(walk, hike)
    _refused_leaves(walk, hike)
    _bob_is_sent_away(walk, hike)
    for method, path in (("GET", PARTY), ("GET", PARTICIPANTS), ("POST", PARTICIPANTS), ("DELETE", PARTICIPANT)):
        body = {"device_id": "phone-9"} if method == "POST" else None
        for code, answers in (
            ("45749573", "bad_party_code"),
            (ELSEWHERE, "party_elsewhere"),
            (NOT_THERE, "party_not_found"),
        ):
            walk.call(method, path, code=code, participant_id=0, body=body, answers=answers)
        walk.call(method, path, code=NOT_THERE, participant_id=0, body=body, query={"verbose": 1})
        walk.call(method, path, code=NOT_THERE, participant_id=0, body=body, query=LONG_QUERY)
    walk.call("GET", "/parties/nearby", query={"lat": 45.5}, answers="missing_parameter")
    walk.call("GET", "/parties/nearby", query={"lat": 45.5, "lng": -73.57, "limit": 101}, answers="bad_number")
    for query in ({"lat": 91, "lng": 0}, {"town": "Bonn"}, LONG_QUERY, TWICE):
        walk.call("GET", "/parties/nearby", query=query)
    _what_every_service_answers(walk)


def _the_hike(walk: Walk) -> dict[str, Any]:
    """Ann's party with Bob in it, as Ann was told of it."""
    walk.call("POST", PARTIES, says="smallest", answers="smallest")
    hike: dict[str, Any] = walk.call("POST", PARTIES, says="everything", answers="everything").json()
    code = hike["party_code"]
    walk.call("POST", PARTICIPANTS, code=code, says="named", answers="joined")
    walk.call("POST", PARTICIPANTS, code=code, says="named", answers="again")
    walk.call("GET", PARTY, code=code, answers="party")
    walk.call("GET", PARTICIPANTS, code=code, answers="participants")
    walk.call("GET", "/parties/nearby", query=walk.query_example("/parties/nearby"), answers="found")
    walk.call("POST", "/me", says="bob", answers="bob")
    walk.call("POST", PARTICIPANTS, code=code, says="nameless")
    return hike


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


def _refused_joins(walk: Walk, hike: dict[str, Any]) -> None:
    code = hike["party_code"]
    full = walk.call("POST", PARTIES, body={"device_id": "phone-20", "capacity": 1}).json()["party_code"]
    walk.call("POST", PARTICIPANTS, code=full, body={"device_id": "phone-21"}, answers="party_full")
    walk.call("POST", PARTICIPANTS, code=code, body={"device_id": "phone-21", "name": "Bob"}, answers="bad_body")
    walk.call("POST", PARTICIPANTS, code=code, body=b"[]")
    walk.call("POST", PARTICIPANTS, code=code, body=b"\xff")
    walk.call("POST", PARTICIPANTS, code=code, body={"device_id": "phone-21"}, headers={"Idempotency-Key": "ä"})
    walk.call("POST", PARTICIPANTS, code=code, body=TOO_LARGE, answers="body_too_large")
    key = {"Idempotency-Key": "0d7c2a4e-join"}
    for device_id, answers in (("phone-22", None), ("phone-22", None), ("phone-23", "idempotency_key_reused")):
        walk.call("POST", PARTICIPANTS, code=code, body={"device_id": device_id}, headers=key, answers=answers)


def _refused_leaves(walk: Walk, hike: dict[str, Any]) -> None:
    code = hike["party_code"]
    ann = {"Authorization": f"Bearer {hike['token']}"}
    seat = walk.call("POST", "/me", body={"device_id": "phone-3"}).json()
    bob = {"Authorization": f"Bearer {seat['token']}"}
    stranger = {"Authorization": "Bearer AAAAAAAAAAAAAAAAAAAAAAAAAAAA"}
    walk.call("DELETE", PARTICIPANT, code=code, participant_id=1, answers="token_missing")
    walk.call("DELETE", PARTICIPANT, code=code, participant_id=1, headers=stranger, answers="token_invalid")
    walk.call("DELETE", PARTICIPANT, code=code, participant_id=0, headers=bob, answers="not_allowed")
    walk.call("DELETE", PARTICIPANT, code=code, participant_id=99, headers=ann, answers="participant_not_found")
    walk.call("DELETE", PARTICIPANT, code=code, participant_id="nobody", headers=ann, answers="participant_not_found")


def _bob_is_sent_away(walk: Walk, hike: dict[str, Any]) -> None:
    ann = {"Authorization": f"Bearer {hike['token']}"}
    assert walk.call("DELETE", PARTICIPANT, code=hike["party_code"], participant_id=1, headers=ann).status == 204


def _what_every_service_answers(walk: Walk) -> None:
    for path in SERVICE:
        walk.call("GET", path, answers=_EXAMPLES.get(path))
    walk.call("GET", "/nothing")
    assert walk.call("GET", "/livez", headers={"X-Request-Id": "two words"}).headers["x-request-id"] != "two words"
    for operation, _ in list(walk.document.operations()):
        walk.call("PATCH", operation.path, code=NOT_THERE, participant_id=0)
        walk.call(*operation, headers={"Expect": "a miracle"}, code=NOT_THERE, participant_id=0)
        answers = "bad_http" if operation.path in SERVICE else None
        walk.call(*operation, headers={"X-Long": "a" * 9000}, code=NOT_THERE, participant_id=0, answers=answers)

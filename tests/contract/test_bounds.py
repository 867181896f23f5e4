"""The documented bounds are where the services draw the line: what lies on one is taken, what lies beyond it isn't.

Schemathesis tries them too, but of a query it reports an accepted bad value only where no other value is good.
"""

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.contract.documents import SERVICES, Document, Operation, document_of, limits_of
from tests.contract.wire import ask
from tests.processes import Service, running, running_manager

HERE = {"lat": 1, "lng": 1}
DEVICE = {"device_id": "phone-1"}
# A request that is taken, for each call that has bounds: query and body.
TAKEN: dict[tuple[str, str], tuple[dict[str, Any], dict[str, Any] | None]] = {
    ("GET", "/managers/find"): (HERE, None),
    ("GET", "/parties/nearby"): (HERE, None),
    ("POST", "/parties"): ({}, DEVICE | HERE),
    ("PATCH", "/parties/{code}"): ({}, HERE),
    ("PUT", "/parties/{code}/leader"): ({}, {"participant_id": 0}),
    ("POST", "/parties/{code}/messages"): ({}, {"body": {}}),
    ("POST", "/parties/{code}/participants"): ({}, DEVICE),
    ("PATCH", "/parties/{code}/participants/{participant_id}"): ({}, {}),
    ("POST", "/me"): ({}, DEVICE),
}
# Objects that the app makes up: which call has one, under which name, and how else the call is taken.
MADE_UP: list[tuple[str, str, str, dict[str, Any]]] = [
    ("POST", "/parties", "attributes", DEVICE),
    ("PATCH", "/parties/{code}", "attributes", {}),
    ("PATCH", "/parties/{code}/participants/{participant_id}", "attributes", {}),
    ("POST", "/parties/{code}/messages", "body", {}),
]


def started(service: str, folder: Path) -> AbstractContextManager[Service]:
    if service == "dispatcher":
        return running("dispatcher")
    # Its bound on seats is the document's, which is that of all managers.
    return running_manager(folder / "manager.db", "--max-capacity", "10000")


def edges(schema: dict[str, Any]) -> Iterator[tuple[Any, bool]]:
    """Values on each bound of a schema and next to it, and whether they are within."""
    limits = limits_of(schema)
    step = 1 if "integer" in str(schema) else 0.001
    for word, beyond in (("minimum", -step), ("maximum", step)):
        if word in limits:
            yield from ((limits[word], True), (limits[word] + beyond, False))
    if "exclusiveMinimum" in limits:
        yield from ((limits["exclusiveMinimum"], False), (limits["exclusiveMinimum"] + step, True))
    for word, more in (("minLength", -1), ("maxLength", 1)):
        if word in limits:
            yield from (("x" * limits[word], True), ("x" * (limits[word] + more), False))


def trials(document: Document) -> Iterator[tuple[Operation, dict[str, Any], bool]]:
    """Requests that differ in one value from one that is taken, and whether they are to be taken too."""
    for operation, definition in document.operations():
        query, body = TAKEN.get(operation, ({}, None))
        for parameter in document.parameters(operation):
            if parameter["in"] in ("query", "header") and parameter["name"] != "party_code":
                for value, within in edges(document.flattened(parameter["schema"])):
                    request: dict[str, Any] = {"query": query, "body": body, "headers": {}}
                    where = "headers" if parameter["in"] == "header" else "query"
                    request[where] = request[where] | {parameter["name"]: value}
                    yield operation, request, within
        content = definition.get("requestBody", {}).get("content", {}).get("application/json")
        if content is not None:
            for name, member in document.resolved(content["schema"])["properties"].items():
                for value, within in edges(document.flattened(member)):
                    yield operation, {"body": (body or {}) | {name: value}}, within


def misplaced(document: Document, port: int) -> list[str]:
    """The bounds that the service on this port draws elsewhere."""
    found, count = [], 0
    here: dict[str, Any] = {"code": "999000000"}
    token: dict[str, str] = {}
    if "/parties" in document.root["paths"]:
        here, token = seat(port)
    for operation, request, within in trials(document):
        headers = token | request.pop("headers", {})
        answer = ask(port, operation.method, operation.path.format(**here), headers=headers, **request)
        count += 1
        if (answer.status != 400) != within:
            found.append(f"{operation} {request} is answered {answer.status}")
    assert count > 0
    return found


def seat(port: int) -> tuple[dict[str, Any], dict[str, str]]:
    """Where somebody leads a party, and the header with their token."""
    answer = ask(port, "POST", "/parties", body={"device_id": "phone-0"}).json()
    return {"code": answer["party_code"], "participant_id": 0}, {"Authorization": f"Bearer {answer['token']}"}


@pytest.mark.parametrize("service", SERVICES)
def test_what_lies_on_a_bound_is_taken_and_what_lies_beyond_is_not(tmp_path: Path, service: str) -> None:
    with started(service, tmp_path) as running:
        assert misplaced(document_of(service), running.port) == []


def test_a_misplaced_bound_is_found(tmp_path: Path) -> None:
    root = copy.deepcopy(document_of("manager").root)
    root["components"]["schemas"]["Name"]["maxLength"] = 60
    [limit] = [one for one in root["paths"]["/parties/nearby"]["get"]["parameters"] if one.get("name") == "limit"]
    limit["schema"]["maximum"] = 200
    with started("manager", tmp_path) as running:
        found = misplaced(Document(root), running.port)
    # A name stands in five places, where 61 characters are taken; a limit of 200 isn't.
    assert len(found) == 6


@pytest.mark.parametrize(("method", "path", "name", "more"), MADE_UP, ids=[f"{one[0]} {one[1]}" for one in MADE_UP])
def test_what_the_app_makes_up_has_4_kib_and_8_levels(
    tmp_path: Path, method: str, path: str, name: str, more: dict[str, Any]
) -> None:
    with started("manager", tmp_path) as running:
        here, token = seat(running.port)
        for value, within in (
            ({}, True),
            (of_bytes(4096), True),
            (of_bytes(4097), False),
            (of_levels(8), True),
            (of_levels(9), False),
        ):
            body = more | {name: value}
            answer = ask(running.port, method, path.format(**here), body=body, headers=token)
            assert (answer.status < 300) == within, answer
            assert within or answer.json()["code"] == "bad_body"


def test_a_change_is_made_at_the_versions_that_if_match_names_and_at_no_other(tmp_path: Path) -> None:
    with started("manager", tmp_path) as running:
        here, token = seat(running.port)
        path = "/parties/{code}".format(**here)
        for tags, within in (
            ('"1"', True),
            ('"7", "1"', True),
            ("*", True),
            ('"7","8"', False),
            ("1", False),
            ('W/"1"', False),
            ('"01"', False),
            ("", False),
            ('"1" "2"', False),
            (f'"{"1" * 4000}"', False),
        ):
            answer = ask(running.port, "PATCH", path, body={}, headers=token | {"If-Match": tags})
            assert answer.status == (200 if within else 412), (tags, answer)


def of_bytes(count: int) -> dict[str, Any]:
    """An object that takes so many bytes as JSON."""
    return {"x": "y" * (count - len(b'{"x":""}'))}


def of_levels(count: int) -> Any:
    """An object that nests so deep."""
    return {} if count == 1 else {"x": of_levels(count - 1)}

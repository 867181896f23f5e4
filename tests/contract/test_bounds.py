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
TAKEN: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "/managers/find": (HERE, None),
    "/parties/nearby": (HERE, None),
    "/parties": ({}, DEVICE | HERE),
    "/parties/{code}/participants": ({}, DEVICE),
    "/me": ({}, DEVICE),
}


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
        query, body = TAKEN.get(operation.path, ({}, None))
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
    code = "999000000"
    if "/parties" in document.root["paths"]:
        code = ask(port, "POST", "/parties", body={"device_id": "phone-0"}).json()["party_code"]
    found, count = [], 0
    for operation, request, within in trials(document):
        answer = ask(port, operation.method, operation.path.format(code=code), **request)
        count += 1
        if (answer.status != 400) != within:
            found.append(f"{operation} {request} is answered {answer.status}")
    assert count > 0
    return found


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
    # A name stands in three places, where 61 characters are taken; a limit of 200 isn't.
    assert len(found) == 4

"""Both services walked from end to end: every answer is the documented one, and every documented one is seen."""

import copy
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contract.documents import SERVICES, Document, Operation, document_of
from tests.contract.manager_story import PARTICIPANT, PARTIES, PARTY, limits_story, manager_story
from tests.contract.refusals import raised_in
from tests.contract.story import dispatcher_story
from tests.contract.walk import Walk, drift
from tests.processes import Service, running, running_manager

ROOT = Path(__file__).parents[2]
HOSTNAME = "ca-central-1.app.local"

# A walker asks more than people do.
PATIENT = ("--requests-per-s", "10000", "--failed-lookups-per-h", "10000")
STRICT = ("--requests-per-s", "1", "--creates-per-h", "1", "--failed-lookups-per-h", "1")

# What a healthy service on an empty disk doesn't answer. Their examples say what stands in the code, word by word.
UNSEEN = {
    500: "there is no bug that we know of",
    503: "a full queue, a broken disk, a roster without managers; /readyz is seen",
    507: "the tests of the store fill a disk",
}

UNSEEN_ANSWERS = {
    (Operation("GET", "/metrics"), 404): "it needs --metrics-port",
    (Operation("DELETE", PARTICIPANT), 409): "after 500 bans; the tests of the rules fill a list",
    (Operation("PATCH", PARTICIPANT), 409): "after 128 of 4 KiB; the tests of the rules fill a party",
}

# Ways in which a document could differ from what runs; each is put into a copy of the manager's.
PLANTED: dict[str, Callable[[Any], object]] = {
    "a member that isn't documented": lambda root: schemas(root)["PartyMembers"]["properties"].pop("version"),
    "a documented member that isn't there": lambda root: schemas(root)["PartyMembers"]["required"].append("colour"),
    "another type": lambda root: schemas(root)["ParticipantId"].update(type="string"),
    "another bound": lambda root: schemas(root)["Place"]["properties"]["lng"].update(minimum=-73),
    "another format": lambda root: schemas(root)["Time"].update(format="time"),
    "a status that isn't documented": lambda root: responses(root, "post", PARTIES).pop("201"),
    "another content type": lambda root: responses(root, "get", PARTY)["200"].update(content={"text/json": {}}),
    "a header that isn't documented": lambda root: responses(root, "post", PARTIES)["201"]["headers"].pop("Location"),
    "a documented header that isn't there": lambda root: responses(root, "get", PARTY)["200"]["headers"].update(
        {"Age": {"required": True, "schema": {"type": "string"}}}
    ),
    "another header": lambda root: root["components"]["headers"]["Party-Location"]["schema"].update(maxLength=9),
    "a code that isn't documented": lambda root: root["components"]["responses"]["PartyNotFound"]["content"][
        "application/problem+json"
    ]["schema"]["properties"].update(code={"const": "gone"}),
    "an example that isn't true": lambda root: root["paths"]["/me"]["post"]["responses"]["200"]["content"][
        "application/json"
    ]["examples"]["bob"]["value"].update(participant_id=7),
    "a call that isn't documented": lambda root: root["paths"].pop(PARTY),
}

each_service = pytest.mark.parametrize("service", SERVICES)


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Walk]:
    """One walk along each service, up to its last moments."""
    folder = tmp_path_factory.mktemp("walk")
    dispatched, managed = (Walk(document_of(service)) for service in SERVICES)
    with running("dispatcher", "--lame-duck-s", "60") as dispatcher:
        walk_along(dispatcher, dispatched, dispatcher_story)
    with running_manager(folder / "strict.db", *STRICT, hostname=HOSTNAME) as manager:
        managed.port = manager.port
        limits_story(managed)
    with running_manager(folder / "manager.db", "--lame-duck-s", "60", *PATIENT, hostname=HOSTNAME) as manager:
        walk_along(manager, managed, manager_story)
    return {"dispatcher": dispatched, "manager": managed}


def walk_along(service: Service, walk: Walk, story: Callable[[Walk], None]) -> None:
    walk.port = service.port
    story(walk)
    service.signal(signal.SIGTERM)
    service.wait_for("lame duck")
    walk.call("GET", "/readyz", answers="not_ready")


@each_service
def test_every_answer_is_as_documented_and_every_example_is_true(walks: dict[str, Walk], service: str) -> None:
    assert walks[service].drift == []


@each_service
def test_every_documented_answer_is_seen_or_it_is_said_why_not(walks: dict[str, Walk], service: str) -> None:
    walk = walks[service]
    documented = {
        (operation, status)
        for operation, _ in walk.document.operations()
        for status in walk.document.responses(operation)
    }
    seen = {(one.operation, one.answer.status) for one in walk.seen}
    unseen = {(operation, status) for operation, status in documented - seen if status not in UNSEEN}
    assert unseen - UNSEEN_ANSWERS.keys() == set()


@each_service
def test_every_example_is_sent_or_seen_or_stands_in_the_code(walks: dict[str, Walk], service: str) -> None:
    walk = walks[service]
    assert walk.sent == {(operation, name) for operation, name, _ in walk.document.body_examples()}
    sentences = {one for folder in ("chassis", service) for one in raised_in(ROOT / folder)}
    seen = {(one.operation, one.answer.status, one.example) for one in walk.seen}
    for operation, status, name, value in walk.document.answer_examples():
        if (operation, status, name) not in seen:
            assert status in UNSEEN
            assert isinstance(value, dict)
            assert (status, value["code"], value["detail"]) in sentences


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_drift_is_found(walks: dict[str, Walk], planted: str) -> None:
    walk = walks["manager"]
    root = copy.deepcopy(walk.document.root)
    PLANTED[planted](root)
    assert [fault for seen in walk.seen for fault in drift(Document(root), seen)] != []


def schemas(root: Any) -> Any:
    return root["components"]["schemas"]


def responses(root: Any, method: str, path: str) -> Any:
    return root["paths"][path][method]["responses"]

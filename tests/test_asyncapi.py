"""openapi/events.yaml against the code: valid AsyncAPI, the same members and bounds, and examples that fit."""

import copy
from collections.abc import Callable
from typing import Any, get_args

import msgspec
import pytest

from chassis.health import VERSION
from chassis.websocket import (
    GOING_AWAY,
    INTERNAL_ERROR,
    MAX_MESSAGE_BYTES,
    NORMAL,
    POLICY_VIOLATION,
    PROTOCOL_ERROR,
    TOO_BIG,
    TRY_AGAIN_LATER,
)
from manager import events as sent
from manager.live import PROTOCOL
from manager.party import End, Reason
from manager.stream import MAX_BACKLOG_BYTES
from tests.contract.documents import document_of
from tests.contract.events import BY_SSE, OVER_WEBSOCKET, EventsDocument, events_document

STRUCTS: dict[str, type[msgspec.Struct]] = {
    "snapshot": sent.Snapshot,
    "participant_joined": sent.ParticipantJoined,
    "participant_left": sent.ParticipantLeft,
    "leader_promoted": sent.LeaderWasPromoted,
    "party_updated": sent.PartyWasUpdated,
    "participant_updated": sent.ParticipantWasUpdated,
    "party_closed": sent.PartyClosed,
    "presence": sent.PresenceChanged,
    "message": sent.Message,
}

# What says nothing about values.
ANNOTATIONS = frozenset({"description", "title", "examples"})

# Ways in which a document could be no AsyncAPI; each is put into a copy of ours.
MISTAKES: dict[str, Callable[[Any], object]] = {
    "another version": lambda root: root.update(asyncapi="2.6.0"),
    "a word that AsyncAPI doesn't know": lambda root: root["channels"]["party_events"].update(adress="/"),
    "an action that it doesn't know": lambda root: root["operations"][BY_SSE].update(action="subscribe"),
    "a binding that it doesn't know": lambda root: binding(root).update(cookies={}),
    "a binding of another type": lambda root: binding(root).update(headers="none"),
    "a server without a protocol": lambda root: root["servers"]["websocket"].pop("protocol"),
    "no JSON Schema": lambda root: payload(root, "presence").update(required="online"),
    "a reference that leads nowhere": lambda root: root["components"]["schemas"].pop("Time"),
    "a reference to something else": lambda root: root["operations"][BY_SSE]["messages"].append(
        {"$ref": "#/components/messages/presence"}
    ),
    "security that isn't": lambda root: root["operations"][BY_SSE].update(
        security=[{"$ref": "#/components/messages/presence"}]
    ),
    "a parameter that isn't in the address": lambda root: root["channels"]["party_events"]["parameters"].update(id={}),
    "a message in no channel": lambda root: root["components"]["messages"].update(
        lonely=root["components"]["messages"]["presence"] | {"name": "lonely"}
    ),
    "a message by another name": lambda root: root["components"]["messages"]["presence"].update(name="online"),
}


def test_the_document_is_valid_asyncapi_3_0() -> None:
    assert events_document().mistakes() == []


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_is_found(mistake: str) -> None:
    root = copy.deepcopy(events_document().root)
    MISTAKES[mistake](root)
    assert EventsDocument(root).mistakes() != []


def test_the_document_has_the_version_of_the_code() -> None:
    assert events_document().root["info"]["version"] == VERSION


def test_every_event_that_the_code_has_is_documented_and_no_other() -> None:
    kinds = {kind for kind in vars(sent).values() if isinstance(kind, type) and issubclass(kind, msgspec.Struct)}
    assert {kind for kind in kinds if kind.__module__ == sent.__name__} == set(STRUCTS.values())
    assert set(events_document().messages(OVER_WEBSOCKET)) == set(STRUCTS)
    assert set(events_document().messages(BY_SSE)) == set(STRUCTS) | {"close"}


@pytest.mark.parametrize("name", STRUCTS)
def test_every_member_of_an_event_is_documented_required_and_no_other_is_allowed(name: str) -> None:
    documented = payload(events_document().root, name)
    members = list(STRUCTS[name].__struct_fields__)
    assert documented["required"] == list(documented["properties"]) == members
    assert documented["additionalProperties"] is False
    assert documented["properties"]["type"] == {"const": name}


def test_the_documented_reasons_are_those_of_the_code() -> None:
    root = events_document().root
    assert payload(root, "participant_left")["properties"]["reason"]["enum"] == list(get_args(Reason))
    assert payload(root, "party_closed")["properties"]["reason"]["enum"] == list(get_args(End))


def test_the_bounds_in_the_prose_are_those_of_the_code() -> None:
    root = events_document().root
    prose = root["info"]["description"]
    for number in (NORMAL, GOING_AWAY, PROTOCOL_ERROR, POLICY_VIOLATION, TOO_BIG, INTERNAL_ERROR, TRY_AGAIN_LATER):
        assert f"| {number} |" in prose
    assert payload(root, "close")["properties"]["code"]["enum"] == sorted(
        {GOING_AWAY, NORMAL, INTERNAL_ERROR, TRY_AGAIN_LATER}
    )
    assert f"{MAX_MESSAGE_BYTES // 1024} KiB came" in prose
    assert f"{MAX_BACKLOG_BYTES // 1024} KiB waited" in prose
    assert f'"{PROTOCOL}", ' in prose


@pytest.mark.parametrize("name", ["Party", "Participant", "ParticipantId", "Name", "Place", "PartyCode", "Time"])
def test_parties_and_participants_have_the_shapes_that_other_answers_have(name: str) -> None:
    manager = document_of("manager").root
    ours = shape(events_document().root, events_document().root["components"]["schemas"][name])
    assert ours == shape(manager, manager["components"]["schemas"][name])


def test_another_shape_would_be_found() -> None:
    manager = copy.deepcopy(document_of("manager").root)
    before = shape(manager, manager["components"]["schemas"]["Party"])
    manager["components"]["schemas"]["Place"]["properties"]["lat"]["maximum"] = 89
    assert shape(manager, manager["components"]["schemas"]["Party"]) != before


def test_every_example_keeps_its_schema() -> None:
    document = events_document()
    for message, name, value in document.examples():
        assert document.faults(BY_SSE, message, value) == [], name
    assert {message for message, *_ in document.examples()} == set(document.messages(BY_SSE))


def test_formats_are_checked_and_not_only_written_down() -> None:
    document = events_document()
    assert document.faults(BY_SSE, "presence", document.example("presence") | {"at": "2026-11-21"}) != []


def payload(root: Any, message: str) -> Any:
    return root["components"]["messages"][message]["payload"]


def binding(root: Any) -> Any:
    return root["channels"]["party_events"]["bindings"]["ws"]


def shape(root: Any, node: Any) -> Any:
    """A schema with all references followed and without annotations, in the words that JSON Schema has had longest."""
    if isinstance(node, list):
        return [shape(root, one) for one in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = root
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        return shape(root, target)
    found: dict[str, Any] = {}
    for word, value in node.items():
        if word == "properties":
            found[word] = {name: shape(root, member) for name, member in value.items()}
        elif word == "allOf":
            for one in value:
                found |= shape(root, one)
        elif word == "unevaluatedProperties":
            found["additionalProperties"] = value
        elif word not in ANNOTATIONS:
            found[word] = shape(root, value)
    return found

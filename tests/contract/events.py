"""openapi/events.yaml as a test asks it: its messages, their examples, and what a real event says against them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml
from jsonschema import Draft7Validator

from tests.contract.documents import OPENAPI
from tests.processes import ROOT

ASYNCAPI = ROOT / "tests/asyncapi/schema-3.0.0.json"
OVER_WEBSOCKET = "listen_over_websocket"
BY_SSE = "listen_to_server_sent_events"

# Where something is a reference, it leads here (AsyncAPI 3.0.0, "Operation Object" and others).
_KINDS = {
    "channel": ("#/channels/",),
    "servers": ("#/servers/",),
    "security": ("#/components/securitySchemes/",),
    "variables": ("#/components/serverVariables/",),
}


@dataclass(frozen=True)
class EventsDocument:
    """The document. Made by `events_document`; the self-tests make spoiled ones."""

    root: dict[str, Any]

    def mistakes(self) -> list[str]:
        """Everything in which it isn't AsyncAPI 3.0: by the official JSON Schema, and what that can't say."""
        schema = json.loads(ASYNCAPI.read_text())
        found = [f"{error.json_path}: {error.message}" for error in Draft7Validator(schema).iter_errors(self.root)]
        found = found or list(self._mistaken_references())
        return found or [*self._mistaken_channels(), *self._mistaken_operations()]

    def messages(self, operation: str) -> dict[str, dict[str, Any]]:
        """What an operation receives, by the messages' names."""
        listed = [self.resolved(one) for one in self.root["operations"][operation]["messages"]]
        return {one["name"]: one for one in listed}

    def resolved(self, node: dict[str, Any]) -> dict[str, Any]:
        """The node itself, or what its $ref leads to. Raises KeyError where that is nothing."""
        while "$ref" in node:
            target: Any = self.root
            for step in node["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            node = target
        return node

    def faults(self, operation: str, name: str, payload: object) -> list[str]:
        """What the document has against a payload of this name, formats included."""
        message = self.messages(operation).get(name)
        if message is None:
            return [f"{operation} receives no {name}"]
        # With the components beside it, the references of a schema lead where they lead in the document.
        whole = message["payload"] | {"components": self.root["components"]}
        validator = Draft7Validator(whole, format_checker=Draft7Validator.FORMAT_CHECKER)
        return [f"{name}: {error.json_path}: {error.message}" for error in validator.iter_errors(payload)]

    def examples(self) -> Iterator[tuple[str, str, Any]]:
        """Every example of a message: the message's name, its own name, its payload."""
        for name, message in self.root["components"]["messages"].items():
            for example in message["examples"]:
                yield name, example["name"], example["payload"]

    def example(self, message: str) -> Any:
        """The payload of a message's example."""
        return next(payload for name, _, payload in self.examples() if name == message)

    def _mistaken_references(self) -> Iterator[str]:
        for where, node in _nodes(self.root, ()):
            if "$ref" in node:
                try:
                    self.resolved(node)
                except KeyError:
                    yield f"{'/'.join(where)}: {node['$ref']} leads nowhere"
                expected = next((starts for word, starts in _KINDS.items() if word in where[-2:]), ("#/",))
                if not node["$ref"].startswith(expected):
                    yield f"{'/'.join(where)}: {node['$ref']} doesn't start with {expected[0]}"

    def _mistaken_channels(self) -> Iterator[str]:
        for name, channel in self.root["channels"].items():
            stated = {f"{{{parameter}}}" for parameter in channel.get("parameters", {})}
            if {step for step in channel["address"].split("/") if step.startswith("{")} != stated:
                yield f"{name}: its address has other parameters than {sorted(stated)}"
            for key, message in channel["messages"].items():
                if self.resolved(message).get("name") != key:
                    yield f"{name}: {key} is a message of another name"
        for name, message in self.root["components"]["messages"].items():
            if not any(self.resolved(one) is message for one in self._of_all_channels()):
                yield f"{name}: no channel has it"

    def _mistaken_operations(self) -> Iterator[str]:
        for name, operation in self.root["operations"].items():
            its_own = f"{operation['channel']['$ref']}/messages/"
            for message in operation["messages"]:
                if not message["$ref"].startswith(its_own):
                    yield f"{name}: {message['$ref']} isn't a message of its channel"

    def _of_all_channels(self) -> Iterator[dict[str, Any]]:
        for channel in self.root["channels"].values():
            yield from channel["messages"].values()


@cache
def events_document() -> EventsDocument:
    """openapi/events.yaml."""
    return EventsDocument(yaml.safe_load((OPENAPI / "events.yaml").read_text()))


def _nodes(node: Any, where: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    if isinstance(node, dict):
        yield where, node
        for key, below in node.items():
            yield from _nodes(below, (*where, str(key)))
    elif isinstance(node, list):
        for at, below in enumerate(node):
            yield from _nodes(below, (*where, str(at)))

"""An OpenAPI document as a test asks it: its operations, its examples, and what an answer says against it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from jsonschema import Draft202012Validator

from tests.contract.wire import Answer

OPENAPI = Path(__file__).parents[2] / "openapi"
SERVICES = ("dispatcher", "manager")
METHODS = ("get", "put", "post", "delete", "patch")

# What any HTTP answer may carry; all else is documented.
_FRAMING = frozenset({"date", "connection", "content-type", "content-length"})


class Operation(NamedTuple):
    """A method and a path of the document."""

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Document:
    """One service's document. Made by `document_of`; the self-tests make spoiled ones."""

    root: dict[str, Any]

    def operations(self) -> Iterator[tuple[Operation, dict[str, Any]]]:
        """Every documented method and path."""
        for path, item in self.root["paths"].items():
            for method in METHODS:
                if method in item:
                    yield Operation(method.upper(), path), item[method]

    def parameters(self, operation: Operation) -> list[dict[str, Any]]:
        """Of its path, query and headers."""
        listed = self.root["paths"][operation.path][operation.method.lower()].get("parameters", [])
        return [self.resolved(one) for one in listed]

    def responses(self, operation: Operation) -> dict[int, dict[str, Any]]:
        """By status. Where there is no such operation: what the document says of every request."""
        item = self.root["paths"].get(operation.path, {})
        definition = item.get("get" if operation.method == "HEAD" else operation.method.lower())
        everywhere = self.root["components"]["responses"]
        answers: dict[int, Any] = {
            404: everywhere["NotFound"],
            405: everywhere["MethodNotAllowed"],
        }
        if definition is not None:
            answers = {int(status): self.resolved(response) for status, response in definition["responses"].items()}
        return {417: everywhere["ExpectationFailed"]} | answers

    def resolved(self, node: dict[str, Any]) -> dict[str, Any]:
        """The node itself, or what its $ref leads to."""
        while "$ref" in node:
            target: Any = self.root
            for step in node["$ref"].removeprefix("#/").split("/"):
                target = target[step.replace("~1", "/").replace("~0", "~")]
            node = target
        return node

    def flattened(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema with what its $ref leads to put in its place, here and in the branches of anyOf."""
        schema = self.resolved(schema)
        return schema | {"anyOf": [self.flattened(branch) for branch in schema.get("anyOf", [])]}

    def faults(self, schema: dict[str, Any], value: object) -> list[str]:
        """What a JSON Schema of this document has against a value, formats included."""
        # With the components beside it, the references of a schema lead where they lead in the document.
        whole = schema | {"components": self.root["components"]}
        validator = Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]

    def drift(self, operation: Operation, answer: Answer) -> list[str]:
        """Everything in which an answer isn't what the document says; empty when it is."""
        response = self.responses(operation).get(answer.status)
        if response is None:
            return [f"{operation} answers {answer.status}, which isn't documented: {answer.body[:300]!r}"]
        found = [*self._drift_of_headers(response, answer), *self._drift_of_body(operation, response, answer)]
        return [f"{operation} {answer.status}: {fault}" for fault in found]

    def _drift_of_headers(self, response: dict[str, Any], answer: Answer) -> Iterator[str]:
        documented = {name.lower(): self.resolved(header) for name, header in response["headers"].items()}
        for name in answer.headers.keys() - documented.keys() - _FRAMING:
            yield f"the header {name} isn't documented"
        for name, header in documented.items():
            text = answer.headers.get(name)
            if text is None:
                if header.get("required"):
                    yield f"the header {name} is missing"
                continue
            value: object = int(text) if text.isdigit() and header["schema"].get("type") == "integer" else text
            yield from (f"the header {name}: {fault}" for fault in self.faults(header["schema"], value))

    def _drift_of_body(self, operation: Operation, response: dict[str, Any], answer: Answer) -> Iterator[str]:
        content = response.get("content", {})
        if not content or operation.method == "HEAD":
            if answer.body:
                yield f"a body of {len(answer.body)} bytes isn't documented"
            return
        media_type = answer.media_type
        if media_type not in content:
            yield f"the content type {media_type} isn't documented"
            return
        schema = content[media_type].get("schema", {})
        value: Any = json.loads(answer.body) if media_type.endswith("json") else answer.body.decode()
        yield from self.faults(schema, value)
        if media_type == "application/problem+json":
            if value["status"] != answer.status:
                yield f"it says that its status is {value['status']}"
            if value["request_id"] != answer.headers.get("x-request-id"):
                yield "its request_id isn't that of the header"

    def answer_examples(self) -> Iterator[tuple[Operation, int, str, object]]:
        """Every example of an answer: operation, status, name and value."""
        for operation, _ in self.operations():
            for status, response in self.responses(operation).items():
                for media_type in response.get("content", {}).values():
                    for name, example in media_type.get("examples", {}).items():
                        yield operation, status, name, example["value"]

    def answer_example(self, operation: Operation, status: int, name: str) -> object:
        """The value of one of them; None where there is none."""
        every = self.answer_examples()
        return next((value for *where, value in every if where == [operation, status, name]), None)

    def body_examples(self) -> Iterator[tuple[Operation, str, object]]:
        """Every example of a request's body: operation, name and value."""
        for operation, definition in self.operations():
            content = definition.get("requestBody", {}).get("content", {})
            for name, example in content.get("application/json", {}).get("examples", {}).items():
                yield operation, name, example["value"]

    def body_example(self, operation: Operation, name: str) -> object:
        """The value of one of them. Raises StopIteration where there is none."""
        return next(value for *where, value in self.body_examples() if where == [operation, name])

    def refusals(self) -> set[tuple[int, str]]:
        """Status and code of every refusal, whoever makes it."""
        everywhere = [self.responses(Operation("GET", ""))]
        return {
            (status, code)
            for responses in everywhere + [self.responses(operation) for operation, _ in self.operations()]
            for status, response in responses.items()
            for code in self._codes_of(response)
        }

    def _codes_of(self, response: dict[str, Any]) -> list[str]:
        problem = response.get("content", {}).get("application/problem+json")
        if problem is None:
            return []
        code: dict[str, Any] = self.resolved(problem["schema"])["properties"]["code"]
        return list(code["enum"]) if "enum" in code else [code["const"]]


@cache
def document_of(service: str) -> Document:
    """The document of `dispatcher` or `manager`."""
    return Document(yaml.safe_load((OPENAPI / f"{service}.yaml").read_text()))


def limits_of(schema: dict[str, Any]) -> dict[str, Any]:
    """The limits that stand in a schema or in a branch of its anyOf."""
    words = ("minLength", "maxLength", "minimum", "exclusiveMinimum", "maximum")
    found = {word: schema[word] for word in words if word in schema}
    for branch in schema.get("anyOf", []):
        found |= limits_of(branch)
    return found

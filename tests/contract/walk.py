"""A walk along a running service: calls it, and holds each answer against its document."""

from typing import Any, NamedTuple

from tests.contract.documents import Document, Operation
from tests.contract.wire import Answer, Query, ask

# Drawn, counted or timed anew in each run; their form is held against the schema all the same.
_DRAWN = frozenset({"party_code", "token", "request_id", "created_at", "joined_at", "at", "since", "python"})
_OF_THE_MOMENT = frozenset({"date", "x-request-id", "content-length", "connection", "ratelimit", "retry-after"})


class Seen(NamedTuple):
    """An answer, and the name of the documented example that it should equal, if any."""

    operation: Operation
    answer: Answer
    example: str | None


class Walk:
    """Where it went, what it saw, and what is wrong with that."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.port = 0  # of the service along which it goes
        self.seen: list[Seen] = []
        self.sent: set[tuple[Operation, str]] = set()
        self.drift: list[str] = []

    def call(
        self,
        method: str,
        template: str,
        *,
        says: str | None = None,
        body: object = None,
        query: Query = None,
        headers: dict[str, str] | None = None,
        token: str | None = None,
        answers: str | None = None,
        **places: object,
    ) -> Answer:
        """One call. `says` and `answers` name documented examples, to send and to get; `places` fill the path."""
        operation = Operation(method, template)
        if says is not None:
            self.sent.add((operation, says))
            body = self.document.body_example(operation, says)
        path = template.format(**places)
        sent = {"X-Request-Id": f"walk.{len(self.seen)}"} | (headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        answer = ask(self.port, method, path, query=query, body=body, headers=sent)
        seen = Seen(operation, answer, answers)
        self.seen.append(seen)
        self.drift += drift(self.document, seen)
        # What isn't HTTP has no headers to take an id from.
        if (
            b'"bad_http"' not in answer.body
            and headers is None
            and answer.headers["x-request-id"] != sent["X-Request-Id"]
        ):
            self.drift.append(f"{operation} {answer.status}: the request id doesn't come back")
        if method == "GET" and "Upgrade" not in sent:  # no HEAD becomes a WebSocket
            self.drift += self._unlike(answer, ask(self.port, "HEAD", path, query=query, headers=sent), operation)
        return answer

    def query_example(self, path: str) -> dict[str, object]:
        """The query that the examples of its words make together."""
        listed = self.document.parameters(Operation("GET", path))
        return {one["name"]: one["example"] for one in listed if one["in"] == "query" and "example" in one}

    def _unlike(self, got: Answer, head: Answer, operation: Operation) -> list[str]:
        """HEAD is GET without the body."""
        found = self.document.drift(Operation("HEAD", operation.path), head)
        if head.status != got.status or _lasting(head) != _lasting(got):
            found.append(f"{operation}: HEAD answers {head}, unlike {got.status} {got.headers}")
        return found


def drift(document: Document, seen: Seen) -> list[str]:
    """Everything in which an answer isn't what the document says, or not what its example says."""
    operation, answer, name = seen
    found = document.drift(operation, answer)
    if name is not None:
        example = document.answer_example(operation, answer.status, name)
        if example is None:
            return [*found, f"{operation} {answer.status}: {name} is no example of it"]
        if isinstance(example, str):
            example = answer._replace(body=example.encode()).json()
        real = answer.json()
        if undrawn(example) != undrawn(real):
            found.append(f"{operation} {answer.status}: the example {name} is {example}, the answer {real}")
    return found


def undrawn(value: Any) -> Any:
    """An answer or event without what is another in each run."""
    if isinstance(value, dict):
        return {name: None if name in _DRAWN else undrawn(member) for name, member in value.items()}
    if isinstance(value, list):
        return [undrawn(member) for member in value]
    return value


def _lasting(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in _OF_THE_MOMENT}

"""What schemathesis can't know from a document: which parties live, who has which token, what goes together."""

import atexit
import itertools
import sys
from collections import Counter
from typing import Any

import schemathesis
from schemathesis.core.transport import Response
from schemathesis.generation.case import Case
from schemathesis.hooks import HookContext

_tokens: dict[str, dict[int, str]] = {}  # by party code and participant id
_keys: set[str] = set()
_asked: set[str] = set()
_turns = itertools.count()
_tried: Counter[str] = Counter()


@atexit.register
def _say_how_many() -> None:
    print(f"{_tried['valid']} valid and {_tried['invalid']} invalid requests", file=sys.stderr)


@schemathesis.hook
def after_call(context: HookContext, case: Case[Any], response: Response) -> None:  # noqa: ARG001 - their signature
    """Remembers who sits where."""
    if case.method == "POST" and response.status_code in (200, 201):
        seat = response.json()
        _tokens.setdefault(seat["party_code"], {})[seat["participant_id"]] = seat["token"]
    elif case.method == "DELETE" and response.status_code in (204, 401, 404):
        # Of a 401 or 404 too: a device that took a seat elsewhere has left this one.
        seats = _tokens.get(case.path_parameters["code"], {})
        seats.pop(case.path_parameters["participant_id"], None)
        if not seats:
            _tokens.pop(case.path_parameters["code"], None)


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:  # noqa: ARG001 - their signature
    """Makes one sensible request of values that are valid each by itself; invalid ones go as they are."""
    if case.path == "/managers/find":
        case.query = _one_question(case.query)
    if case.meta is None or not case.meta.generation.mode.is_positive:
        _tried["invalid"] += 1
        return
    _tried["valid"] += 1
    if "{code}" in case.path:
        _go_where_somebody_is(case)
    capacity = case.body.get("capacity") if isinstance(case.body, dict) else None
    if isinstance(case.body, dict) and isinstance(capacity, float):
        case.body["capacity"] = int(capacity)  # to JSON Schema 5.0 is an integer; the service insists on 5
    key = case.headers.get("Idempotency-Key")
    if key in _keys:
        case.headers["Idempotency-Key"] = f"another-{next(_turns)}"
    elif key is not None:
        _keys.add(key)


def _one_question(words: dict[str, Any]) -> dict[str, Any]:
    """Either a party code, if nobody asked about it yet, or a position; with anything that nobody knows."""
    code = words.get("party_code")
    if code is not None and str(code) not in _asked:
        _asked.add(str(code))
        return {name: value for name, value in words.items() if name not in ("lat", "lng")}
    turn = next(_turns)
    somewhere = {"lat": turn * 37 % 181 - 90, "lng": turn * 101 % 361 - 180}
    return somewhere | {name: value for name, value in words.items() if name != "party_code"}


def _go_where_somebody_is(case: Case[Any]) -> None:
    """Every other request goes to a party that lives, with a token of somebody in it."""
    places = case.path_parameters
    if places["code"] not in _tokens and _tokens and next(_turns) % 2:
        places["code"] = next(reversed(_tokens))
        if "participant_id" in places:
            places["participant_id"] = next(reversed(_tokens[places["code"]]))
    tokens = _tokens.get(places["code"], {})
    if case.method == "DELETE" and tokens:
        token = tokens.get(places["participant_id"], next(iter(tokens.values())))
        case.headers["Authorization"] = f"Bearer {token}"

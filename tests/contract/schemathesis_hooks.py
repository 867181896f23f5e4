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

EVENTS = "/parties/{code}/events"
CLOSE = ("DELETE", "/parties/{code}")
NEEDS_NO_TOKEN = {
    ("GET", "/parties/{code}"),
    ("GET", "/parties/{code}/participants"),
    ("POST", "/parties/{code}/participants"),
}

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
    elif "{code}" in case.path and response.status_code == 401 and "Authorization" in case.headers:
        _forget(case)  # a device that took a seat elsewhere has left this one
    elif case.method == "DELETE" and response.status_code in (204, 404):
        _forget(case)


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
        _change_what_is_there(case)
    for name in ("capacity", "participant_id"):
        number = case.body.get(name) if isinstance(case.body, dict) else None
        if isinstance(case.body, dict) and isinstance(number, float):
            case.body[name] = int(number)  # to JSON Schema 5.0 is an integer; the service insists on 5
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
    seats = _tokens.get(places["code"], {})
    # A stream that begins doesn't end, so nobody comes to it with a token; the walk goes there.
    if seats and case.path != EVENTS and (case.method, case.path) not in NEEDS_NO_TOKEN:
        case.headers["Authorization"] = f"Bearer {_token_of(seats, places.get('participant_id'))}"


def _change_what_is_there(case: Case[Any]) -> None:
    """A version that is there, a place for what is to be found, a leader from among those who are in the party."""
    if "If-Match" in case.headers and next(_turns) % 2:
        case.headers["If-Match"] = "*"
    if not isinstance(case.body, dict):
        return
    if case.method == "PATCH" and case.body.get("discoverable") and case.body.get("lat") is None:
        case.body.update(lat=1, lng=1)
    seats = _tokens.get(case.path_parameters["code"], {})
    if case.method == "PUT" and seats:
        case.body["participant_id"] = next(reversed(seats))


def _token_of(seats: dict[int, str], participant_id: Any) -> str:
    """Theirs, or else that of whoever has been there longest, who leads unless the lead was handed over."""
    return seats.get(participant_id, next(iter(seats.values())))


def _forget(case: Case[Any]) -> None:
    """Whoever was meant is no longer there; without an id, that is everybody, or who was taken for the leader."""
    code = case.path_parameters["code"]
    seats = _tokens.get(code, {})
    participant_id: Any = case.path_parameters.get("participant_id", next(iter(seats), None))
    seats.pop(participant_id, None)
    if not seats or (case.method, case.path) == CLOSE:
        _tokens.pop(code, None)

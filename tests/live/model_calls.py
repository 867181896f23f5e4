"""Calls as they go over the wire, and answers as the model reads them."""

from typing import Any, NamedTuple

from tests.live.model_answers import Answer, Knowledge
from tests.live.model_steps import (
    AskForMe,
    Beat,
    Call,
    Close,
    Create,
    HandOver,
    Hush,
    Join,
    Listen,
    Look,
    Pass,
    Remove,
    Say,
    UpdateParticipant,
    UpdateParty,
)
from tests.talking import Reply, ask

PLACE = {"lat": 45.5, "lng": -73.57}
NO_PLACE = {"lat": None, "lng": None}


class Request(NamedTuple):
    """One call over HTTP."""

    method: str
    path: str
    body: object = None
    token: str | None = None
    version: int | None = None  # for If-Match

    async def send(self, port: int) -> Reply:
        """The manager's reply."""
        headers = {} if self.version is None else {"If-Match": f'"{self.version}"'}
        return await ask(port, self.method, self.path, body=self.body, headers=headers, token=self.token)


def device_id(phone: int) -> str:
    return f"phone-{phone}"


def request_of(call: Call, knowledge: Knowledge, remark: object = None) -> Request:
    """How a phone that knows this makes the call; `remark` is what it says if it says something."""
    match call:
        case Create():
            body = {"device_id": device_id(call.phone), "capacity": call.capacity}
            return Request("POST", "/parties", body | PLACE if call.has_place else body)
        case Join():
            path = f"/parties/{knowledge.seats[call.host].code}/participants"
            return Request("POST", path, {"device_id": device_id(call.phone)})
        case Look():
            ticket = knowledge.seats[call.phone]
            return Request("GET", f"/parties/{ticket.code}", None, ticket.token)
        case AskForMe():
            return Request("POST", "/me", {"device_id": device_id(call.phone)})
        case Listen() | Hush() | Pass():
            raise AssertionError(f"{call} isn't one request")
        case _:
            return _request_with_token(call, knowledge, remark)


def _request_with_token(
    call: Remove | Close | HandOver | UpdateParty | UpdateParticipant | Say | Beat, knowledge: Knowledge, remark: object
) -> Request:
    code, by, token = (mine := knowledge.seats[call.phone]).code, mine.participant_id, mine.token
    match call:
        case Remove():
            whom = knowledge.seats[call.whom]
            path = f"/parties/{whom.code}/participants/{whom.participant_id}"
            return Request("DELETE", f"{path}?ban=true" if call.ban else path, None, token)
        case Close():
            return Request("DELETE", f"/parties/{code}", None, token)
        case HandOver():
            body = {"participant_id": knowledge.seats[call.whom].participant_id}
            return Request("PUT", f"/parties/{code}/leader", body, token, knowledge.version(code, call.match))
        case UpdateParty():
            change = {name: value for name, value in call.change.items() if name != "has_place"}
            if "has_place" in call.change:
                change |= PLACE if call.change["has_place"] else NO_PLACE
            return Request("PATCH", f"/parties/{code}", change, token, knowledge.version(code, call.match))
        case UpdateParticipant():
            path = f"/parties/{code}/participants/{by}"
            return Request("PATCH", path, call.change, token, knowledge.version(code, call.match))
        case Say():
            return Request("POST", f"/parties/{code}/messages", {"body": {"remark": remark}}, token)
        case Beat():
            return Request("POST", f"/parties/{code}/participants/{by}/heartbeat", None, token)


def answer_of(call: Call, reply: Reply) -> Answer:
    """The reply as the model says it."""
    if reply.status >= 400:
        return Answer(*reply.refusal())
    tag = reply.header("etag")
    version = None if tag is None else int(tag.strip('"'))
    if not reply.body:
        return Answer(reply.status, version=version)
    body = reply.json()
    if isinstance(call, Create | Join | AskForMe):
        return Answer(reply.status, {"participant_id": body["participant_id"], "party": party_shown(body["party"])})
    return Answer(reply.status, party_shown(body) if "place" in body else body, version)


def party_shown(party: dict[str, Any] | None) -> dict[str, Any] | None:
    """A party as the model shows it, which knows one place only."""
    return party and {**party, "place": party["place"] is not None}

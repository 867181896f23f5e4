"""Refusals on their way out: problem+json (RFC 9457) with the headers that go with it, and the ids of requests."""

import itertools
import os
import re
import secrets
from http import HTTPStatus

import msgspec
from aiohttp import web

from chassis.answer import NO_STORE, PHRASES, Answer, header
from chassis.errors import Policy, Refusal

_WELL_FORMED_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_id_counter = itertools.count(1)
_id_prefix = ""


def _draw_prefix() -> None:
    global _id_prefix
    _id_prefix = secrets.token_hex(8)


_draw_prefix()
os.register_at_fork(after_in_child=_draw_prefix)  # workers would otherwise all count under one prefix


class MethodNotAllowed(Refusal):
    """The path is there, the method isn't. `allow` lists those that are."""

    status = 405

    def __init__(self, code: str, detail: str, *, allow: str) -> None:
        super().__init__(code, detail)
        self.allow = allow


class Unexpected(Refusal):
    """A bug of ours; it says nothing of the inside."""

    status = 500


def request_id_of(request: web.BaseRequest) -> str:
    """The client's own id if it is well-formed, else a new one."""
    given = request.headers.get("X-Request-Id")
    return given if given is not None and _WELL_FORMED_ID.fullmatch(given) else new_request_id()


def new_request_id() -> str:
    """Unique among all processes: a random prefix of this one and a counter."""
    return f"{_id_prefix}-{next(_id_counter)}"


def problem(refusal: Refusal, request_id: str) -> Answer:
    """A refusal as RFC 9457 wants it, with the headers that go with it."""
    document: dict[str, object] = {
        "type": "about:blank",
        "title": PHRASES[refusal.status],
        "status": refusal.status,
        "code": refusal.code,
        "detail": refusal.detail,
        "request_id": request_id,
    }
    if refusal.field is not None:
        document["field"] = refusal.field
    lines = NO_STORE
    if isinstance(refusal, MethodNotAllowed):
        lines += header("Allow", refusal.allow)
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        lines += header("WWW-Authenticate", "Bearer")
    if refusal.retry_after_s is not None:
        lines += header("Retry-After", str(refusal.retry_after_s))
        if refusal.policy is not None:
            lines += _rate_limit_headers(refusal.policy, refusal.retry_after_s)
    if refusal.location is not None:
        lines += header("Location", refusal.location)
    answer = Answer(
        msgspec.json.encode({**document, **refusal.extra}),
        status=refusal.status,
        content_type="application/problem+json",
        headers=lines,
    )
    answer.request_id = request_id
    return answer


def _rate_limit_headers(policy: Policy, retry_after_s: int) -> str:
    """What a limit allows, that nothing of it remains, and from when on something does, in seconds.

    As draft-ietf-httpapi-ratelimit-headers-11 (May 2026) has them; it isn't an RFC yet.
    """
    return header("RateLimit-Policy", f'"{policy.name}";q={policy.quota};w={policy.window_s}') + header(
        "RateLimit", f'"{policy.name}";r=0;t={retry_after_s}'
    )

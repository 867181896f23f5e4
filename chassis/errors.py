"""Refusals: every way in which a service says no. Rules raise them, chassis/problem.py translates them once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Policy:
    """A rate limit as clients are told of it: `quota` requests in `window_s` whole seconds."""

    name: str
    quota: int
    window_s: int


class Refusal(Exception):  # noqa: N818 - the house's word: a refusal is an answer, not an error of ours
    """A request that is answered with no. Raise one of its kinds below, never this class itself.

    `code` is a stable snake_case word for programs and `detail` a sentence that a person can act on. `field`
    names the offending field, `retry_after_s` is in seconds, `location` is an absolute URL, `policy` is
    the rate limit that is used up, and `extra` holds further members of the problem document.
    """

    status: ClassVar[int] = 500

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        field: str | None = None,
        retry_after_s: int | None = None,
        location: str | None = None,
        policy: Policy | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.field = field
        self.retry_after_s = retry_after_s
        self.location = location
        self.policy = policy
        self.extra: Mapping[str, Any] = {} if extra is None else extra

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


class Elsewhere(Refusal):
    """Another manager keeps this; `location` says where."""

    status = 307


class Malformed(Refusal):
    """The request can't be understood, or a value in it is out of bounds."""

    status = 400


class Unauthenticated(Refusal):
    """The token is missing or good for nothing."""

    status = 401


class Forbidden(Refusal):
    """The token is good, but not for this."""

    status = 403


class NotFound(Refusal):
    """What was asked for isn't there."""

    status = 404


class NotAcceptable(Refusal):
    """What is here can't be had in any form that the client takes."""

    status = 406


class Conflict(Refusal):
    """The request is right, and what it is about stands against it."""

    status = 409


class PreconditionFailed(Refusal):
    """It has changed since the client last saw it."""

    status = 412


class TooLarge(Refusal):
    """The body passes its bound."""

    status = 413


class Unprocessable(Refusal):
    """The request is well-formed and contradicts an earlier one."""

    status = 422


class Locked(Refusal):
    """The leader has locked it."""

    status = 423


class TooManyRequests(Refusal):
    """More than a limit allows; `retry_after_s` says when to ask again, and `policy` what a rate limit allows."""

    status = 429


class Unavailable(Refusal):
    """Not now; `retry_after_s` says when to ask again."""

    status = 503


class StorageFull(Refusal):
    """The disk has no room for this change; reads go on."""

    status = 507

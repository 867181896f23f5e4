"""The contract of a manager's store: load, let a rule decide, record what it decided, and only then return.

tests/store/ holds the suite that every store passes.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

import msgspec

from chassis.errors import NotFound, Unprocessable
from chassis.geo import Point
from manager.party import Event, Party

REST_MS = 24 * 3600 * 1000
"""How long the code of a closed party rests before it can be drawn again."""

RECEIPT_MS = 24 * 3600 * 1000
"""How long an idempotency key is remembered."""

MAX_RECEIPTS = 1_000_000
"""How many idempotency keys are remembered; past that the oldest goes first."""

MAX_CODES = 2_000_000
"""How many parties live or have lived within the time that a code rests; more than memory should hold."""


class Keys(msgspec.Struct, frozen=True):
    """Secrets of a database: one that hashes devices, and for each area code one that signs tokens. 32 bytes each."""

    device: bytes
    area: Mapping[int, bytes]


class Once(msgspec.Struct, frozen=True):
    """A client's Idempotency-Key and the request it came with, as 16-byte hashes."""

    key: bytes
    request: bytes


class Decision(NamedTuple):
    """What a rule decided: whose seat it was about, and what happens, here and in the party the device was in."""

    participant_id: int
    here: list[Event]
    elsewhere: list[Event]


class Outcome(msgspec.Struct, frozen=True):
    """What became of a change. `party` is None where it is closed by now; `is_new` says whether this made the seat."""

    code: int
    party_id: int
    participant_id: int
    is_new: bool
    party: Party | None


class Change(NamedTuple):
    """What a commit changed of one party: it before (None: it is new) and after (None: it has closed), and how."""

    before: Party | None
    events: list[Event]
    after: Party | None
    at_ms: int  # since 1970


Rule = Callable[[Party, Party | None], Decision]
"""Given the party, and the party that the device sits in now, if any: maybe the same. May raise a Refusal."""

Founding = Callable[[int, int, Party | None], Decision]
"""Given the new party's id and code, and the party the device sits in. Its first event is a Created."""


def party_not_found() -> NotFound:
    """The refusal for codes that nobody has, alike for unknown, closed and expired ones."""
    return NotFound("party_not_found", "No party has this code.")


def idempotency_key_reused() -> Unprocessable:
    """The refusal for a key that came with another request before."""
    return Unprocessable(
        "idempotency_key_reused",
        "This Idempotency-Key came with another request before; use a new key for a new request.",
    )


class Store(Protocol):
    """Parties by code. Any number of calls may be under way at once; each change is one transaction.

    Rules are pure but for limits that they take, see the newest state, and may be called more than once for one
    change. Nobody is shown a change, nor a refusal that rests on one, before it is on the disk. When it can't be
    written, `create` and `change` raise StorageFull (nothing was changed) or Unavailable `outcome_unknown`.
    """

    keys: Keys
    ran_ms: int  # the manager's running time as far as it was kept: the last moment at which anybody was seen

    async def party(self, code: int) -> Party | None:
        """The party as last committed."""
        ...

    async def resting(self, code: int) -> int | None:
        """The id of the party that lived under this code, if it closed within the last 24 hours."""
        ...

    async def party_of(self, device: bytes) -> Party | None:
        """The party this device sits in, as last committed."""
        ...

    async def nearby(self, point: Point, *, radius_km: float, limit: int) -> list[tuple[Party, float]]:
        """Discoverable parties within the radius and their distances in km, nearest first."""
        ...

    async def create(self, device: bytes, founding: Founding, once: Once | None = None) -> Outcome:
        """A new party under an id that was never used and a code that nobody has, or has had of late.

        Raises Unavailable `no_codes_left`, Unprocessable `idempotency_key_reused`, and what the rule raises.
        """
        ...

    async def change(self, code: int, rule: Rule, *, device: bytes | None = None, once: Once | None = None) -> Outcome:
        """Changes a party, and the one that `device` sits in now where that is another.

        Raises NotFound `party_not_found`, Unprocessable `idempotency_key_reused`, and what the rule raises.
        """
        ...

    def living(self) -> Iterable[Party]:
        """All parties, as last committed."""
        ...

    def unwritable(self) -> str | None:
        """Why changes are refused just now, or None."""
        ...

"""The memory image: all living parties as last committed, and over it what is decided but not yet on the disk.

Rules decide on the newest values; readers see the committed ones. Nothing here knows of SQL or awaits anything.
"""

from collections.abc import Callable, Iterable
from itertools import islice, takewhile
from typing import TypeVar

import msgspec

from manager.party import (
    Closed,
    Created,
    Event,
    Joined,
    Left,
    Participant,
    ParticipantUpdated,
    Party,
    Seen,
    WentLive,
    evolve,
)
from manager.places import Places
from manager.store import MAX_RECEIPTS, RECEIPT_MS, REST_MS, Change

# Expired receipts and codes leave in portions, so that no batch is held up by a day's worth of them.
_SWEEP_PORTION = 5_000

_Entry = TypeVar("_Entry")


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """What an idempotency key got. `id` counts up."""

    id: int
    key: bytes
    request: bytes
    at_ms: int
    code: int
    party_id: int
    participant_id: int
    is_new: bool


class Resting(msgspec.Struct, frozen=True, gc=False):
    """A closed party's code, which isn't drawn again for a while."""

    party_id: int
    code: int
    closed_at_ms: int


class Batch:
    """What one commit writes, net by key: of a seat taken and left in one batch only the last word goes to disk."""

    __slots__ = (
        "bans",
        "changes",
        "devices",
        "expired_receipts",
        "expired_resting",
        "next_party_id",
        "participants",
        "parties",
        "receipts",
        "resting",
    )

    def __init__(self) -> None:
        self.parties: dict[int, tuple[int, Party | None]] = {}  # id -> code, and the party unless it closed
        self.participants: dict[tuple[int, int], Participant | None] = {}  # party id, id
        self.bans: list[tuple[int, bytes]] = []  # party id, device
        self.changes: list[Change] = []  # in the order in which they were decided
        self.devices: dict[bytes, int | None] = {}  # which party's code each is in
        self.receipts: dict[bytes, Receipt] = {}
        self.resting: list[Resting] = []
        self.expired_receipts: list[Receipt] = []
        self.expired_resting: list[Resting] = []
        self.next_party_id: int | None = None


class Image:
    """One event loop's view of the database: decide on `newest_` values, `record`, then `apply` or `forget`."""

    def __init__(self, resolution: int, *, max_receipts: int = MAX_RECEIPTS) -> None:
        self._max_receipts = max_receipts
        self.parties: dict[int, Party] = {}  # by code
        self.devices: dict[bytes, int] = {}
        self.receipts: dict[bytes, Receipt] = {}  # oldest first
        self.resting: dict[int, Resting] = {}  # by code, oldest first
        self.places = Places(resolution)
        self.participant_count = 0
        self.next_party_id = 0
        self.next_receipt_id = 1
        self.ran_ms = 0
        self.rests_on_pending = False
        self._newest_parties: dict[int, Party | None] = {}
        self._newest_devices: dict[bytes, int | None] = {}
        self._newest_receipts: dict[bytes, Receipt] = {}

    def newest_party(self, code: int) -> Party | None:
        """The party after all that is decided. Sets `rests_on_pending` where that isn't on the disk yet."""
        if code in self._newest_parties:
            self.rests_on_pending = True
            return self._newest_parties[code]
        return self.parties.get(code)

    def newest_party_of(self, device: bytes) -> Party | None:
        """The party that the device sits in after all that is decided."""
        if device in self._newest_devices:
            self.rests_on_pending = True
            code = self._newest_devices[device]
        else:
            code = self.devices.get(device)
        return None if code is None else self.newest_party(code)

    def newest_receipt(self, key: bytes, now_ms: int) -> Receipt | None:
        """What the key got within the last 24 hours."""
        receipt = self._newest_receipts.get(key)
        if receipt is not None:
            self.rests_on_pending = True
            return receipt
        receipt = self.receipts.get(key)
        return receipt if receipt is not None and now_ms - receipt.at_ms < RECEIPT_MS else None

    def is_taken(self, code: int, now_ms: int) -> bool:
        """Whether a party lives under the code, or has within the last 24 hours."""
        if code in self.parties:
            return True
        if code in self._newest_parties:
            self.rests_on_pending = True
            return True
        rest = self.resting.get(code)
        return rest is not None and now_ms - rest.closed_at_ms < REST_MS

    def code_count(self) -> int:
        """How many codes are taken, or were until a short while ago."""
        return len(self.parties) + len(self._newest_parties) + len(self.resting)

    def new_party_id(self, batch: Batch) -> int:
        """An id that was never used; the counter goes to disk with the batch."""
        party_id = self.next_party_id
        self.next_party_id = batch.next_party_id = party_id + 1
        return party_id

    def record(self, batch: Batch, party: Party | None, events: list[Event], now_ms: int) -> Party | None:
        """Lays what happened to a party into the batch. Returns the party after it, None once closed."""
        before = party
        altered: list[int] = []
        for event in events:
            if isinstance(event, Created):
                before = event.party
                for participant in before.participants:
                    self._seat(batch, before, participant)
            elif isinstance(event, Joined):
                assert before is not None
                self._seat(batch, before, event.participant)
            elif isinstance(event, Left):
                assert before is not None
                leaver = before.participant(event.participant_id)
                assert leaver is not None
                self._unseat(batch, before, leaver)
                if event.banned is not None:
                    batch.bans.append((before.id, event.banned))
            elif isinstance(event, ParticipantUpdated | Seen | WentLive):
                altered.append(event.participant_id)
            elif isinstance(event, Closed):
                assert party is not None
                for participant in party.participants:
                    self._unseat(batch, party, participant)
                if (rested := self.resting.get(party.code)) is not None:  # drawn again after it had rested
                    batch.expired_resting.append(rested)
                batch.resting.append(Resting(party.id, party.code, now_ms))
        after = evolve(party, events)
        changed = after or party
        assert changed is not None
        for participant_id in altered if after is not None else ():
            if (alive := changed.participant(participant_id)) is not None:
                batch.participants[changed.id, participant_id] = alive
        batch.changes.append(Change(party, events, after, now_ms))
        batch.parties[changed.id] = (changed.code, after)
        self._newest_parties[changed.code] = after
        return after

    def record_receipt(self, batch: Batch, receipt: Receipt) -> None:
        """Lays a receipt into the batch; one that it replaces has expired."""
        self.next_receipt_id = receipt.id + 1
        expired = self.receipts.get(receipt.key)
        if expired is not None:
            batch.expired_receipts.append(expired)
        excess = len(self.receipts) + len(self._newest_receipts) + 1 - self._max_receipts
        if 0 < excess <= len(self.receipts):
            batch.expired_receipts += islice(self.receipts.values(), excess - 1, excess)
        batch.receipts[receipt.key] = self._newest_receipts[receipt.key] = receipt

    def sweep(self, batch: Batch, now_ms: int) -> bool:
        """Lays into the batch what has expired, a portion at most. Returns whether there was anything."""
        batch.expired_receipts += _front(self.receipts.values(), lambda one: now_ms - one.at_ms >= RECEIPT_MS)
        batch.expired_resting += _front(self.resting.values(), lambda one: now_ms - one.closed_at_ms >= REST_MS)
        return bool(batch.expired_receipts or batch.expired_resting)

    def apply(self, batch: Batch) -> None:
        """The batch is on the disk: from now on readers see it."""
        for code, party in batch.parties.values():
            self._replace(code, party)
            if code in self._newest_parties and self._newest_parties[code] is party:
                del self._newest_parties[code]
        for device, code_or_none in batch.devices.items():
            if code_or_none is None:
                self.devices.pop(device, None)
            else:
                self.devices[device] = code_or_none
            if device in self._newest_devices and self._newest_devices[device] == code_or_none:
                del self._newest_devices[device]
        for expired in batch.expired_receipts:
            if self.receipts.get(expired.key) is expired:
                del self.receipts[expired.key]
        for key, receipt in batch.receipts.items():
            self.receipts[key] = receipt
            if self._newest_receipts.get(key) is receipt:
                del self._newest_receipts[key]
        for expired_one in batch.expired_resting:
            if self.resting.get(expired_one.code) is expired_one:
                del self.resting[expired_one.code]
        for rest in batch.resting:
            self.resting.pop(rest.code, None)
            self.resting[rest.code] = rest

    def forget(self) -> None:
        """Nothing that is pending will reach the disk: the committed values stand alone again."""
        self._newest_parties.clear()
        self._newest_devices.clear()
        self._newest_receipts.clear()

    def _seat(self, batch: Batch, party: Party, participant: Participant) -> None:
        batch.participants[party.id, participant.id] = participant
        batch.devices[participant.device] = self._newest_devices[participant.device] = party.code

    def _unseat(self, batch: Batch, party: Party, participant: Participant) -> None:
        batch.participants[party.id, participant.id] = None
        batch.devices[participant.device] = self._newest_devices[participant.device] = None

    def _replace(self, code: int, party: Party | None) -> None:
        before = self.parties.get(code)
        was, now = _shown_cell(before), _shown_cell(party)
        if was != now:
            if was is not None:
                self.places.remove(was, code)
            if now is not None:
                self.places.add(now, code)
        if before is not None:
            self.participant_count -= len(before.participants)
        if party is None:
            self.parties.pop(code, None)
        else:
            self.parties[code] = party
            self.participant_count += len(party.participants)


def _shown_cell(party: Party | None) -> int | None:
    return party.cell if party is not None and party.discoverable else None


def _front(entries: Iterable[_Entry], has_expired: Callable[[_Entry], bool]) -> list[_Entry]:
    return list(takewhile(has_expired, islice(entries, _SWEEP_PORTION)))

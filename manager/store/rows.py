"""What the tables hold: the rows of a batch, and the image that rows make. All of the store's SQL stands here."""

import gc
import secrets
from collections.abc import Iterator, Mapping, Sequence
from itertools import starmap
from typing import Any

import msgspec

from chassis.codes import AreaCodes
from chassis.database import Database, DatabaseError, Statement
from manager.party import Participant, Party
from manager.places import at_resolution
from manager.store import Keys
from manager.store.image import Batch, Image, Receipt, Resting
from manager.tokens import KEY_BYTES

# A database's own number stands in the upper bits of its party ids, so that parties which move to another manager keep
# theirs. The 40 bits below count up: enough for 1,000 new parties a second for 34 years.
_COUNTER_BITS = 40
_NUMBER_BITS = 22


def statements(batch: Batch) -> Iterator[Statement]:
    """One statement per table and kind, deletes first, so that no key is briefly there twice."""
    gone = [key for key, participant in batch.participants.items() if participant is None]
    closed = [(party_id,) for party_id, (_, party) in batch.parties.items() if party is None]
    if gone:
        yield "DELETE FROM participants WHERE party_id = ? AND id = ?", gone
    if closed:
        yield "DELETE FROM bans WHERE party_id = ?", closed
        yield "DELETE FROM parties WHERE id = ?", closed
    if batch.expired_resting:
        yield "DELETE FROM resting_codes WHERE party_id = ?", [(one.party_id,) for one in batch.expired_resting]
    if batch.expired_receipts:
        yield "DELETE FROM receipts WHERE id = ?", [(one.id,) for one in batch.expired_receipts]
    if batch.next_party_id is not None:
        yield "UPDATE counters SET next = ? WHERE name = 'party'", [(batch.next_party_id,)]
    parties = [_party_row(party) for _, party in batch.parties.values() if party is not None]
    if parties:
        yield _UPSERT_PARTY, parties
    seated = [
        (party_id, one.id, one.device, one.name, one.joined_at_ms, one.seen_ms, one.is_live, _text(one.attributes))
        for (party_id, _), one in batch.participants.items()
        if one is not None
    ]
    if seated:
        yield _UPSERT_PARTICIPANT, seated
    if batch.bans:
        ended = {party_id for (party_id,) in closed}
        yield (
            "INSERT INTO bans (party_id, device) VALUES (?, ?)",
            [(party_id, device) for party_id, device in batch.bans if party_id not in ended],
        )
    if batch.resting:
        yield (
            "INSERT INTO resting_codes (party_id, code, closed_at_ms) VALUES (?, ?, ?)",
            [(one.party_id, one.code, one.closed_at_ms) for one in batch.resting],
        )
    if batch.receipts:
        yield _INSERT_RECEIPT, [_receipt_row(one) for one in batch.receipts.values()]


_PARTY_COLUMNS = (
    "id, code, leader_id, capacity, next_participant_id, version, created_at_ms, "
    "name, cell, discoverable, locked, attributes"
)
_UPSERT_PARTY = (
    f"INSERT INTO parties ({_PARTY_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET leader_id = excluded.leader_id, capacity = excluded.capacity, "
    "next_participant_id = excluded.next_participant_id, version = excluded.version, name = excluded.name, "
    "cell = excluded.cell, discoverable = excluded.discoverable, locked = excluded.locked, "
    "attributes = excluded.attributes"
)
_UPSERT_PARTICIPANT = (
    "INSERT INTO participants (party_id, id, device, name, joined_at_ms, seen_ms, is_live, attributes) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (party_id, id) DO UPDATE SET name = excluded.name, "
    "seen_ms = excluded.seen_ms, is_live = excluded.is_live, attributes = excluded.attributes"
)
_INSERT_RECEIPT = (
    "INSERT INTO receipts (id, key, request, at_ms, code, party_id, participant_id, is_new) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)


def _party_row(party: Party) -> tuple[object, ...]:
    return (
        party.id,
        party.code,
        party.leader_id,
        party.capacity,
        party.next_participant_id,
        party.version,
        party.created_at_ms,
        party.name,
        party.cell,
        party.discoverable,
        party.locked,
        _text(party.attributes),
    )


def _text(attributes: bytes | None) -> str | None:
    return None if attributes is None else attributes.decode()


def _receipt_row(one: Receipt) -> tuple[object, ...]:
    return one.id, one.key, one.request, one.at_ms, one.code, one.party_id, one.participant_id, one.is_new


async def load_keys(database: Database, area_codes: AreaCodes) -> Keys:
    """The keys of the database; makes those that aren't there yet."""
    kept: dict[str, bytes] = dict(await database.read("SELECT name, key FROM keys"))
    wanted = ["device", *(f"area:{area_code}" for area_code in area_codes)]
    new = [(name, secrets.token_bytes(KEY_BYTES)) for name in wanted if name not in kept]
    statements: list[Statement] = [("INSERT INTO keys (name, key) VALUES (?, ?)", new)]
    if not await database.read("SELECT 1 FROM counters WHERE name = 'party'"):
        first = secrets.randbelow(1 << _NUMBER_BITS) << _COUNTER_BITS
        statements.append(("INSERT INTO counters (name, next) VALUES ('party', ?)", [(first,)]))
    await database.write(statements)
    kept.update(new)
    area = {int(name.removeprefix("area:")): key for name, key in kept.items() if name.startswith("area:")}
    return Keys(kept["device"], area)


async def load(database: Database, resolution: int) -> Image:
    """The whole database as an image. Raises DatabaseError where it breaks a rule that only memory upholds."""
    image = Image(resolution)
    [(image.next_party_id,)] = await database.read("SELECT next FROM counters WHERE name = 'party'")
    party_rows = await database.read(f"SELECT {_PARTY_COLUMNS} FROM parties ORDER BY id")
    seats = await database.read("SELECT party_id, count(*) FROM participants GROUP BY party_id ORDER BY party_id")
    participant_rows = await database.read(
        "SELECT id, device, name, joined_at_ms, seen_ms, is_live, attributes FROM participants ORDER BY party_id, id"
    )
    bans: dict[int, set[bytes]] = {}
    for party_id, device in await database.read("SELECT party_id, device FROM bans"):
        bans.setdefault(party_id, set()).add(device)
    # Values are made by the hundred thousand and none is garbage: the collector would only walk them again and again.
    gc.disable()
    try:
        participants = list(starmap(_participant, participant_rows))
        image.ran_ms = max((one.seen_ms for one in participants), default=0)
        _fill(image, party_rows, dict(seats), participants, bans, resolution)
        for row in await database.read("SELECT party_id, code, closed_at_ms FROM resting_codes ORDER BY closed_at_ms"):
            rest = Resting(*row)
            image.resting[rest.code] = rest
        for row in await database.read(
            "SELECT id, key, request, at_ms, code, party_id, participant_id, is_new FROM receipts ORDER BY id"
        ):
            receipt = Receipt(*row)
            image.receipts[receipt.key] = receipt
            image.next_receipt_id = receipt.id + 1
    finally:
        gc.enable()
    return image


def _fill(
    image: Image,
    party_rows: Sequence[tuple[Any, ...]],
    seats: Mapping[int, int],
    participants: Sequence[Participant],
    bans: Mapping[int, set[bytes]],
    resolution: int,
) -> None:
    """Parties with their participants, who come in the parties' order, so many for each."""
    first = 0
    for row in party_rows:
        party = _party(row, tuple(participants[first : first + seats.get(row[0], 0)]), resolution)
        first += len(party.participants)
        if (banned := bans.get(party.id)) is not None:
            party = msgspec.structs.replace(party, banned=frozenset(banned))
        code = party.code
        if code in image.parties or party.participant(party.leader_id) is None or party.id >= image.next_party_id:
            raise DatabaseError(f"The database breaks a rule of parties at code {code}.")
        image.parties[code] = party
        for one in party.participants:
            image.devices[one.device] = code
        if party.discoverable and party.cell is not None:
            image.places.add(party.cell, code)
    image.participant_count = first
    if len(image.devices) != len(participants):
        raise DatabaseError("The database has one device in two seats.")


def _participant(
    id_: int, device: bytes, name: str | None, joined_at_ms: int, seen_ms: int, is_live: int, attributes: str | None
) -> Participant:
    encoded = None if attributes is None else attributes.encode()
    return Participant(id_, device, name, joined_at_ms, seen_ms, bool(is_live), encoded)


def _party(row: tuple[Any, ...], participants: tuple[Participant, ...], resolution: int) -> Party:
    (id_, code, leader_id, capacity, next_participant_id, version, created_at_ms) = row[:7]
    (name, cell, discoverable, locked, attributes) = row[7:]
    return Party(
        id_,
        code,
        leader_id,
        capacity,
        next_participant_id,
        version,
        created_at_ms,
        participants,
        name,
        None if cell is None else at_resolution(cell, resolution),
        bool(discoverable),
        bool(locked),
        None if attributes is None else attributes.encode(),
    )

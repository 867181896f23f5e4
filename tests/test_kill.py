"""kill -9 in the middle of a burst: what was acknowledged is there afterwards, and nothing that nobody asked for."""

import asyncio
import random
import shutil
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.processes import Service, running_manager
from tests.talking import Reply, Wire, request_bytes

CONNECTIONS = 32
ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Seat:
    """A seat as its owner was told of it. The name is unique, and what shows in the database."""

    name: str
    code: str
    participant_id: int
    token: str


@dataclass(slots=True)
class Ledger:
    """What clients know: who was told of a seat and not yet of having left it, and what they have heard nothing of."""

    seats: dict[str, Seat] = field(default_factory=dict)
    joining: set[str] = field(default_factory=set)
    leaving: set[str] = field(default_factory=set)
    untold: set[str] = field(default_factory=set)
    """Seated before an earlier kill, which kept the answer from them."""

    def mismatches(self, in_database: set[str]) -> list[str]:
        """What the database lacks of the acknowledged, and what it holds that nobody can have caused."""
        lost = self.seats.keys() - self.leaving - in_database | self.untold - in_database
        unexpected = in_database - self.seats.keys() - self.joining - self.untold
        return [f"lost {name}" for name in sorted(lost)] + [f"unexpected {name}" for name in sorted(unexpected)]

    def settle(self, in_database: set[str]) -> None:
        """What was in flight at the kill is what the database says."""
        self.untold |= self.joining & in_database
        self.seats = {name: seat for name, seat in self.seats.items() if name in in_database}
        self.joining.clear()
        self.leaving.clear()


class Burst:
    """Clients that create, join and leave over many connections until they are cut off."""

    def __init__(self, service: Service, ledger: Ledger, *, label: str, enough: int) -> None:
        self.enough = asyncio.Event()
        self._port = service.port
        self._ledger = ledger
        self._label = label
        self._left_to_enough = enough
        self._codes: list[str] = []

    async def run(self, client: int) -> bool:
        """One client. Returns whether it was waiting for an answer when it was cut off."""
        dice = random.Random(f"{self._label}-{client}")
        mine: list[Seat] = []
        number = 0
        try:
            async with await Wire.to(self._port) as wire:
                while True:
                    number += 1
                    if mine and dice.random() < 0.2:
                        await self._leave(wire, mine.pop(dice.randrange(len(mine))))
                        continue
                    code = dice.choice(self._codes) if self._codes and dice.random() < 0.5 else None
                    seat = await self._sit_down(wire, f"{self._label}-{client}-{number}", code)
                    if seat is not None:
                        mine.append(seat)
                        self._codes.append(seat.code)
        except (ConnectionError, EOFError):
            return any(
                name.startswith(f"{self._label}-{client}-") for name in self._ledger.joining | self._ledger.leaving
            )

    async def _sit_down(self, wire: Wire, name: str, code: str | None) -> Seat | None:
        """In a new party, or in the one with this code, which may be full or closed by now."""
        self._ledger.joining.add(name)
        body = b'{"device_id":"%b","participant_name":"%b"}' % (name.encode(), name.encode())
        await wire.send(request_bytes("POST", f"/parties/{code}/participants" if code else "/parties", body=body))
        reply = await wire.reply()
        self._ledger.joining.remove(name)
        self._count()
        if code and reply.status in {404, 409}:
            return None
        assert reply.status == 201, reply
        told = reply.json()
        seat = Seat(name, told["party_code"], told["participant_id"], told["token"])
        self._ledger.seats[name] = seat
        return seat

    async def _leave(self, wire: Wire, seat: Seat) -> None:
        self._ledger.leaving.add(seat.name)
        reply = await ask_to_remove(wire, seat, seat.participant_id)
        assert reply.status == 204, reply
        self._ledger.leaving.remove(seat.name)
        del self._ledger.seats[seat.name]
        self._count()

    def _count(self) -> None:
        self._left_to_enough -= 1
        if self._left_to_enough == 0:
            self.enough.set()


async def ask_to_remove(wire: Wire, seat: Seat, participant_id: int) -> Reply:
    """What the manager says to the wish of a seat's owner that somebody go."""
    path = f"/parties/{seat.code}/participants/{participant_id}"
    await wire.send(request_bytes("DELETE", path, headers={"Authorization": f"Bearer {seat.token}"}))
    return await wire.reply()


def names_in(database: Path, scratch: Path) -> set[str]:
    """Everybody in a copy of the database, log included: the service itself is to recover the original."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    for path in database.parent.glob(f"{database.name}*"):
        if not path.name.endswith(("-shm", ".lock")):
            shutil.copy(path, scratch)
    db = sqlite3.connect(scratch / database.name)
    try:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        rows = [name for (name,) in db.execute("SELECT name FROM participants")]
    finally:
        db.close()
    assert len(rows) == len(set(rows))
    return set(rows)


async def check_seats(service: Service, ledger: Ledger) -> None:
    """Everybody who was told of a seat has it, under the token they were given; nobody else is there."""
    async with await Wire.to(service.port) as wire:
        for seat in ledger.seats.values():
            nobody = await ask_to_remove(wire, seat, 999_999_999)
            assert nobody.refusal() == (404, "participant_not_found"), f"{seat}: a bad token would get 401"
        for code in {seat.code for seat in ledger.seats.values()}:
            await wire.send(request_bytes("GET", f"/parties/{code}/participants"))
            there = {
                one["participant_name"]: one["participant_id"] for one in (await wire.reply()).json()["participants"]
            }
            told = {seat.name: seat.participant_id for seat in ledger.seats.values() if seat.code == code}
            assert told.items() <= there.items()
            assert there.keys() - told.keys() <= ledger.untold
        await wire.send(request_bytes("GET", "/metrics"))
        metrics = (await wire.reply()).body.decode()
        assert f"partyline_participants {float(len(ledger.seats) + len(ledger.untold))}" in metrics


async def test_kill_9_in_a_burst_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    database = tmp_path / "manager.db"
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed {seed}")
    dice = random.Random(seed)
    ledger = Ledger()
    for number in range(ROUNDS + 1):
        with running_manager(database) as service:
            await check_seats(service, ledger)
            if number == ROUNDS:
                assert service.end() == 0
                break
            burst = Burst(service, ledger, label=f"{seed}-{number}", enough=dice.randrange(100, 700))
            clients = [asyncio.create_task(burst.run(client)) for client in range(CONNECTIONS)]
            enough = asyncio.create_task(burst.enough.wait())
            await asyncio.wait({enough, *clients}, return_when=asyncio.FIRST_COMPLETED)
            enough.cancel()
            service.kill()
            assert sum(await asyncio.gather(*clients)) > 0, "nothing was in flight when the kill came"
        in_database = names_in(database, tmp_path / "copy")
        assert ledger.mismatches(in_database) == []
        ledger.settle(in_database)
    assert len(ledger.seats) > 100
    assert names_in(database, tmp_path / "copy") == ledger.seats.keys() | ledger.untold


@pytest.mark.parametrize(
    ("in_database", "mismatches"),
    [
        ({"sat", "goes"}, []),
        ({"sat"}, []),
        ({"sat", "comes"}, []),
        ({"goes", "comes"}, ["lost sat"]),
        ({"sat", "left"}, ["unexpected left"]),
        (set(), ["lost sat"]),
    ],
)
def test_the_checker_sees_what_is_lost_and_what_is_unexpected(in_database: set[str], mismatches: list[str]) -> None:
    seats = {name: Seat(name, "", 0, "") for name in ("sat", "goes")}
    assert Ledger(seats, joining={"comes"}, leaving={"goes"}).mismatches(in_database) == mismatches

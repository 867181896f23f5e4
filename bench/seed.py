"""Databases full of parties, written by the store's own code: through HTTP a million would take minutes."""

import argparse
import asyncio
import gc
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from prometheus_client import CollectorRegistry

from bench.places import Around, somewhere
from chassis.codes import AreaCodes
from chassis.geo import Point
from manager.party import Created, Participant, Party
from manager.places import snap
from manager.store import Decision, Founding
from manager.store.sqlite import open_sqlite
from manager.tokens import device_hash

AREA_CODES = AreaCodes(((100, 999),))
CAPACITY = 500
RESOLUTION = 8
AT_ONCE = 4_000  # Within what the store lets wait for one commit.


@dataclass(frozen=True, slots=True)
class Seed:
    """Parties of so many participants each: nowhere, scattered over the region, or crowded at its centre."""

    parties: int
    participants: int
    around: Around = "nowhere"


def write(seed: Seed, database: Path) -> Sequence[str]:
    """Make the database in a process of its own, which takes its memory along; the codes of the parties."""
    command = [
        sys.executable,
        "-m",
        "bench.seed",
        str(database),
        str(seed.parties),
        str(seed.participants),
        seed.around,
    ]
    checkout = Path(__file__).resolve().parent.parent
    return subprocess.run(command, cwd=checkout, check=True, text=True, stdout=subprocess.PIPE).stdout.split()


async def fill(seed: Seed, database: Path) -> list[int]:
    """Create the parties, some thousand in a commit; their codes in order of creation."""
    draw = random.Random(4)
    codes: list[int] = []
    async with open_sqlite(
        database,
        area_codes=AREA_CODES,
        resolution=RESOLUTION,
        clock_ms=lambda: time.time_ns() // 1_000_000,
        broken=sys.exit,
        registry=CollectorRegistry(),
    ) as store:
        for start in range(0, seed.parties, AT_ONCE):
            numbers = range(start, min(start + AT_ONCE, seed.parties))
            crowds = [crowd(seed, number, store.keys.device) for number in numbers]
            outcomes = await asyncio.gather(
                *(store.create(people[0].device, founding(people, cell_of(seed, draw))) for people in crowds)
            )
            codes += [outcome.code for outcome in outcomes]
    return codes


def crowd(seed: Seed, number: int, key: bytes) -> tuple[Participant, ...]:
    """The participants of one party; each device in the world is in one party only."""
    now_ms = time.time_ns() // 1_000_000
    return tuple(
        Participant(seat, device_hash(key, f"seed-{number}-{seat}"), f"Guest {seat}", now_ms)
        for seat in range(seed.participants)
    )


def cell_of(seed: Seed, draw: random.Random) -> int | None:
    """The cell that a party's position is kept as."""
    place = somewhere(seed.around, draw)
    return None if place is None else snap(Point(place.lat, place.lng), RESOLUTION)


def founding(people: tuple[Participant, ...], cell: int | None) -> Founding:
    """A party that is full of people from its first event on."""

    def found(party_id: int, code: int, _: Party | None) -> Decision:
        party = Party(
            party_id,
            code,
            leader_id=0,
            capacity=CAPACITY,
            next_participant_id=len(people),
            version=len(people),
            created_at_ms=people[0].joined_at_ms,
            participants=people,
            cell=cell,
            discoverable=cell is not None,
        )
        return Decision(0, [Created(party)], [])

    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Fill one database and print the codes."""
    parser = argparse.ArgumentParser(prog="python -m bench.seed", description=__doc__)
    parser.add_argument("database", type=Path)
    parser.add_argument("parties", type=int)
    parser.add_argument("participants", type=int)
    parser.add_argument("around", choices=get_args(Around))
    options = parser.parse_args(argv)
    seed = Seed(options.parties, options.participants, options.around)
    gc.disable()  # Nothing that is made here is garbage before the end.
    print("\n".join(str(code) for code in asyncio.run(fill(seed, options.database))))


if __name__ == "__main__":
    main()

"""10,000 streams on one manager: 5,000 on one party, and five on each of 1,000 others; every delivery is counted."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import uvloop

from bench.broadcast import STALL_S, SURPLUS_S, TAKEN, message
from bench.calls import connect, in_turn
from bench.figures import Figure, exactly, within
from bench.filling import fill, online
from bench.opening import MOST_KIB, SPARE_FILES, Opened, Side, open_all
from bench.progress import say
from bench.servers import LOAD_CORE, Server, Servers, keeping_to_core
from bench.services import crowded_manager_arguments

BEAT_S = 2.0
"""Beats are quickened, so that many go by while it is watched whether the streams stay open."""

BEATS = 4  # Whoever doesn't answer three is cut.
WAVES = 5
CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Gathering:
    """One party of `listeners`, and `parties` of `people`."""

    name: str
    listeners: int
    parties: int
    people: int

    @property
    def streams(self) -> int:
        """Of all parties."""
        return self.listeners + self.parties * self.people

    def smaller(self, divisor: int) -> "Gathering":
        """The same with that much fewer of everything but the five."""
        return replace(self, listeners=self.listeners // divisor, parties=self.parties // divisor)

    @property
    def files(self) -> int:
        """Open files that a process of this run may need."""
        return self.streams + SPARE_FILES


GATHERING = Gathering("streams-10000", listeners=5_000, parties=1_000, people=5)


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was seen. `delivered` is how many messages reached somebody whom they were for, exactly once each.

    `lost` are streams that ended; `refused`, messages that weren't taken.
    """

    row: Gathering
    small: Opened
    large: Opened
    online: int
    delivered: int
    refused: int
    lost: int

    @property
    def awaited(self) -> int:
        """Deliveries there have to be: in two goes, every party's leader speaks WAVES times."""
        return 2 * WAVES * self.row.streams

    @property
    def errors(self) -> int:
        """What went wrong; the figures mean nothing then."""
        missing = self.awaited - self.delivered + self.row.streams - self.online
        return missing + self.refused + self.lost

    @property
    def reached(self) -> bool:
        """Whether every target was."""
        return all(figure.reached is not False for figure in self.figures())

    def figures(self) -> Iterator[Figure]:
        """As rows of a table."""
        row = self.row
        yield exactly(row.streams, "participants online", ours=self.online)
        yield exactly(self.awaited, f"deliveries, before and after {BEATS} beats", ours=self.delivered)
        yield exactly(0, "streams lost", ours=self.lost)
        each, one = f"{row.parties:,} parties of {row.people}", f"one party of {row.listeners:,}"
        yield within(MOST_KIB, f"KiB an idle stream, {each}", ours=self.small.kib_each)
        yield within(MOST_KIB, f"KiB an idle stream, {one}", ours=self.large.kib_each)
        yield Figure(f"s until all was open and quiet, {each}", self.small.settled_s)
        yield Figure(f"s until all was open and quiet, {one}", self.large.settled_s)


def measure(gathering: Gathering, folder: Path, servers: Servers) -> Gathered:
    """Start a manager, open all streams, speak, be silent for some beats, and speak again."""
    arguments = [
        *crowded_manager_arguments(folder / f"{gathering.name}.db", gathering.listeners),
        "--beat-s",
        str(BEAT_S),
    ]
    manager = servers.start(gathering.name, "manager", arguments)
    with keeping_to_core(LOAD_CORE):
        gathered = uvloop.run(_measure(gathering, manager))
    servers.stop([manager.process])
    return gathered


async def _measure(gathering: Gathering, manager: Server) -> Gathered:
    parties = await fill(manager.port, label="small", parties=gathering.parties, people=gathering.people)
    parties += await fill(manager.port, label="large", parties=1, people=gathering.listeners)
    sides = [Side(gathering.name, manager, party) for party in parties]
    for side in sides[:-1]:
        side.samples = gathering.people
    small = await open_all(sides[:-1])
    say(f"{gathering.name}: {gathering.parties:,} parties are open after {small.settled_s:.1f} s")
    large = await open_all(sides[-1:])
    say(f"{gathering.name}: a party of {gathering.listeners:,} is open after {large.settled_s:.1f} s")
    there = await online(manager.port, parties)
    delivered, refused = await _go(sides)
    say(f"{gathering.name}: {delivered:,} deliveries")
    await asyncio.sleep(BEATS * BEAT_S)
    more, refused_later = await _go(sides)
    say(f"{gathering.name}: {more:,} deliveries {BEATS} beats later")
    lost = [why for side in sides for why in side.audience.lost]
    if lost:
        say(f"{gathering.name}: {len(lost)} streams were lost, the first because: {lost[0]}")
    for side in sides:
        side.audience.leave()
    return Gathered(gathering, small, large, there, delivered + more, refused + refused_later, len(lost))


async def _go(sides: Sequence[Side]) -> tuple[int, int]:
    """Every leader speaks WAVES times: deliveries that were as they should be, and messages that weren't taken."""
    for side in sides:
        side.audience.start_counting()
    callers = await connect(sides[0].server.port, CONNECTIONS)
    refused = 0

    async def say_once(side: Side, number: int) -> None:
        nonlocal refused
        caller = callers.pop()
        refused += (await caller.ask(message(side.party, number))).status != TAKEN
        callers.append(caller)

    try:
        jobs = (
            partial(say_once, side, _numbers(place)[wave]) for wave in range(WAVES) for place, side in enumerate(sides)
        )
        await in_turn(jobs, CONNECTIONS)
        for side in sides:
            await side.audience.reach(WAVES * len(side.party.tokens), within_s=STALL_S)
    except TimeoutError:
        say(f"{sides[0].name}: not everything arrived.")
    finally:
        for caller in callers:
            caller.close()
    await asyncio.sleep(SURPLUS_S)
    return sum(_right(side, place) for place, side in enumerate(sides)), refused


def _right(side: Side, place: int) -> int:
    """Deliveries to listeners whom everything reached, if those who look at what they hear heard only their own."""
    listeners = side.audience.listeners
    looking = sum(listener.is_sample for listener in listeners)
    if Counter(number for number, _ in side.audience.samples) != dict.fromkeys(_numbers(place), looking):
        return 0
    return sum(WAVES for listener in listeners if listener.texts == WAVES)


def _numbers(place: int) -> range:
    """What the leader of one of the parties says."""
    return range(place * WAVES, (place + 1) * WAVES)

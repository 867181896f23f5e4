"""One party's messages to all of its listeners, beside Node's `ws` telling as many, in the same interleaved rounds."""

import contextlib
import gc
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypedDict

import uvloop

from bench import nodejs
from bench.broadcast import Speaker, Told, broadcast
from bench.calls import connect
from bench.figures import Figure, at_least, at_most, within
from bench.filling import Filled, fill, online
from bench.opening import MOST_KIB, SPARE_FILES, Opened, Side, open_all
from bench.progress import say
from bench.rows import WrongAnswerError
from bench.servers import LOAD_CORE, Server, Servers, keeping_to_core
from bench.services import crowded_manager_arguments

MOST_P99_RATIO = 1.0
BUSY = 0.95
WARM_UP_SHARE = 0.25
CODE_ELSEWHERE = "100000000"

UNDER_WAY = 8
"""Messages under way at a time: several people talk at once, which fills the server's core. A server may then send
several in one write, as ours does; with one message at a time it can't, and both mostly measure the system's writes."""


@dataclass(frozen=True, slots=True)
class Fan:
    """A party of so many listeners. `target` is the least ratio of deliveries a second to those of ws."""

    name: str
    listeners: int
    target: float

    def smaller(self, divisor: int) -> "Fan":
        """The same with that much fewer listeners."""
        return replace(self, listeners=self.listeners // divisor)

    @property
    def files(self) -> int:
        """Open files that a process of this run may need: the load has a stream to each of two servers for all."""
        return 2 * self.listeners + SPARE_FILES


FANS = (Fan("fan-1000", 1_000, 1.2), Fan("fan-5000", 5_000, 1.1))


@dataclass(frozen=True, slots=True)
class Round:
    """One round of both sides: with UNDER_WAY messages under way, and with one alone."""

    theirs: Told
    ours: Told
    theirs_alone: Told
    ours_alone: Told

    @property
    def errors(self) -> int:
        """Of both sides."""
        return sum(told.errors for told in (self.theirs, self.ours, self.theirs_alone, self.ours_alone))


@dataclass(slots=True)
class FanResult:
    """What one row gave."""

    row: Fan
    theirs: Opened
    ours: Opened
    rounds: list[Round] = field(default_factory=list)

    @property
    def errors(self) -> int:
        """Of both sides, over all rounds."""
        return sum(one.errors for one in self.rounds)

    @property
    def reached(self) -> bool:
        """Whether every target was."""
        return all(figure.reached is not False for figure in self.figures())

    def figures(self) -> Iterator[Figure]:
        """Medians over the rounds, and the medians of the rounds' ratios."""
        full = [(one.theirs, one.ours) for one in self.rounds]
        alone = [(one.theirs_alone, one.ours_alone) for one in self.rounds]
        yield deliveries(full, "deliveries/s", least=self.row.target)
        yield Figure("p50 ms", **medians(full, lambda told: told.p50_ms))
        p99 = ratio(full, lambda told: told.p99_ms)
        yield at_most(MOST_P99_RATIO, "p99 ms", **medians(full, lambda told: told.p99_ms), ratio=p99)
        yield deliveries(alone, "deliveries/s, one message at a time", least=None)
        p99 = ratio(alone, lambda told: told.p99_ms)
        yield Figure("p99 ms, one message at a time", **medians(alone, lambda told: told.p99_ms), ratio=p99)
        yield within(MOST_KIB, "KiB an idle stream", ours=self.ours.kib_each, theirs=self.theirs.kib_each)
        yield Figure("s until all were open", self.ours.opened_s, self.theirs.opened_s)
        yield Figure("s until all was quiet", self.ours.settled_s, self.theirs.settled_s)
        yield Figure("errors", self.errors)


Pairs = Sequence[tuple[Told, Told]]


def deliveries(pairs: Pairs, name: str, *, least: float | None) -> Figure:
    """Deliveries a second, with the ratio by processor time alone, which others on the core can't lengthen."""
    by_cpu = 1 / ratio(pairs, lambda told: told.cpu_us)
    return at_least(least, name, **medians(pairs, Told.per_s), ratio=ratio(pairs, Told.per_s), by_cpu=by_cpu)


def medians(pairs: Pairs, figure: Callable[[Told], float]) -> "Medians":
    """Of both sides."""
    return {
        "theirs": statistics.median(figure(theirs) for theirs, _ in pairs),
        "ours": statistics.median(figure(ours) for _, ours in pairs),
    }


def ratio(pairs: Pairs, figure: Callable[[Told], float]) -> float:
    """The median of the rounds' ratios, ours to theirs."""
    return statistics.median(figure(ours) / figure(theirs) for theirs, ours in pairs)


class Medians(TypedDict):
    """Of one figure."""

    theirs: float
    ours: float


def measure(fan: Fan, folder: Path, servers: Servers, *, rounds: int, seconds: int) -> FanResult:
    """Start both servers, open all streams to both, and let somebody speak to each in turn."""
    manager = servers.start(
        f"{fan.name}-manager", "manager", crowded_manager_arguments(folder / f"{fan.name}.db", fan.listeners)
    )
    node = servers.run(f"{fan.name}-ws", ["node", str(nodejs.SERVER)])
    with keeping_to_core(LOAD_CORE):
        result = uvloop.run(_measure(fan, node, manager, rounds=rounds, seconds=seconds))
    servers.stop([node.process, manager.process])
    return result


async def _measure(fan: Fan, node: Server, manager: Server, *, rounds: int, seconds: int) -> FanResult:
    [party] = await fill(manager.port, label=fan.name, parties=1, people=fan.listeners)
    theirs = Side("ws", node, Filled(CODE_ELSEWHERE, party.tokens))
    ours = Side("ours", manager, party)
    result = FanResult(fan, theirs=await open_all([theirs]), ours=await open_all([ours]))
    say(f"{fan.name}: opened in {result.theirs.settled_s:.1f} s (ws) and {result.ours.settled_s:.1f} s (ours)")
    if (there := await online(manager.port, [party])) != fan.listeners:
        raise WrongAnswerError(f"{fan.name}: {there} of {fan.listeners} listeners are online.")
    with without_collections():
        for number in range(rounds + 1):
            turn_s = seconds if number else seconds * WARM_UP_SHARE
            full = await speak(theirs, UNDER_WAY, turn_s), await speak(ours, UNDER_WAY, turn_s)
            alone = await speak(theirs, 1, turn_s / 2), await speak(ours, 1, turn_s / 2)
            one = Round(*full, *alone)
            if number > 0 or one.errors:
                result.rounds.append(one)
            which = f"round {number} of {rounds}" if number else "warm-up"
            say(f"{which}, {fan.name}: {ratio([full], Told.per_s):.3f}, one at a time {ratio([alone], Told.per_s):.3f}")
            if one.errors:
                break  # What is missing would be waited for again and again.
    for side in (theirs, ours):
        side.audience.leave()
    return result


async def speak(side: Side, under_way: int, seconds: float) -> Told:
    """One turn of one side."""
    if (code := side.server.process.poll()) is not None:
        raise WrongAnswerError(f"{side.name} has ended with code {code}.")
    callers = await connect(side.server.port, under_way)
    try:
        told = await broadcast(Speaker(side.party, list(callers)), side.audience, side.server, seconds=seconds)
    finally:
        for caller in callers:
            caller.close()
    if told.errors:
        say(f"{side.name}: {told.errors} errors; streams lost: {side.audience.lost[:3]}")
    if told.load_share > BUSY and told.server_share < BUSY:
        say(f"{side.name}: the load's own core was full ({told.load_share:.0%}), so this figure is the load's.")
    return told


@contextlib.contextmanager
def without_collections() -> Iterator[None]:
    """Thousands of connections are a lot to look through, and nothing of them is garbage meanwhile."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()

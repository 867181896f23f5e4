"""One interleaved run: in every round each row's ceiling, then its service: both see the same machine."""

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bench.load import Load, Measured, Wrk
from bench.progress import say
from bench.rows import Row
from bench.servers import Server, fetch
from bench.services import Services


@dataclass(frozen=True, slots=True)
class Turn:
    """What wrk measured, and the processor time that a request took the server.

    The time tells real differences from a core that others were using too.
    """

    measured: Measured
    cpu_us: float


@dataclass(slots=True)
class Result:
    """What the rounds of one row gave, in order: (ceiling, service)."""

    row: Row
    rounds: list[tuple[Turn, Turn]] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """One for each round."""
        return [ratio_of(self.row, other, ours) for other, ours in self.rounds]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(self.ratios)

    @property
    def ratio_by_cpu(self) -> float:
        """The same from processor time alone, which neither others on the core nor the disk can lengthen."""
        return statistics.median(
            self.row.ratio(other_per_s=1 / other.cpu_us, ours_per_s=1 / ours.cpu_us) for other, ours in self.rounds
        )

    @property
    def reached(self) -> bool | None:
        """Whether the median is as good as the target; None without one."""
        return self.row.reached(self.ratio)

    @property
    def errors(self) -> int:
        """Of both sides, over all rounds."""
        return sum(other.measured.errors + ours.measured.errors for other, ours in self.rounds)


@dataclass(frozen=True, slots=True)
class Side:
    """Where the requests of one half of a row go."""

    server: Server
    load: Load


def run(rows: Sequence[Row], services: Services, *, rounds: int, seconds: int) -> list[Result]:
    """Every row, in every round, both sides for `seconds`.

    One round goes before them and isn't counted: the dispatcher works out a place when it is first asked from there.
    """
    wrk = Wrk(services.folder)
    pairs = list(sides(rows, services))
    results = {row.name: Result(row) for row in rows}
    for number in range(rounds + 1):
        for row, other, ours in pairs:
            theirs, mine = (
                turn(wrk, side, row, seconds=seconds, label=f"{row.name}-{number}-{whose}")
                for whose, side in (("other", other), ("ours", ours))
            )
            if number > 0:
                results[row.name].rounds.append((theirs, mine))
            which = f"round {number} of {rounds}" if number else "warm-up"
            say(f"{which}, {row.name}: {ratio_of(row, theirs, mine):.3f}")
    return list(results.values())


def ratio_of(row: Row, other: Turn, ours: Turn) -> float:
    """Of one round."""
    return row.ratio(other_per_s=other.measured.requests_per_s, ours_per_s=ours.measured.requests_per_s)


def turn(wrk: Wrk, side: Side, row: Row, *, seconds: int, label: str) -> Turn:
    """Load on one side alone."""
    spent_us = side.server.cpu_us
    port, connections = side.server.port, row.connections
    measured = wrk.run(side.load, port=port, connections=connections, seconds=seconds, label=label)
    return Turn(measured, (side.server.cpu_us - spent_us) / max(1, measured.requests))


def sides(rows: Sequence[Row], services: Services) -> Iterator[tuple[Row, Side, Side]]:
    """For every row its ceiling and its service; the ceiling gives what the service answered at first."""
    ours: dict[str, Side] = {}
    answers: dict[str, tuple[str, str]] = {}
    for row in rows:
        server, codes = services.start(row.service)
        ours[row.name] = Side(server, row.load(codes))
        answer = try_once(row, ours[row.name])
        if isinstance(row.against, str):
            answers[row.name] = (row.against, answer)
    answers_file = services.folder / "answers.json"
    answers_file.write_text(json.dumps(answers))
    ceiling = services.servers.start("ceiling", "bench.ceiling", ["--answers", str(answers_file)])
    for row in rows:
        load = ours[row.name].load
        if isinstance(row.against, str):
            yield row, Side(ceiling, row.ceiling_load(load)), ours[row.name]
        else:
            other = Side(services.start(row.against)[0], load)
            try_once(row, other)
            yield row, other, ours[row.name]


def try_once(row: Row, side: Side) -> str:
    """One answer, checked: wrk counts no answer below 400 as wrong, and looks into none."""
    status, answer = fetch(side.server.port, side.load.paths[0], body=side.load.body(f"{row.name}-try", 0))
    row.check(status, answer)
    return answer

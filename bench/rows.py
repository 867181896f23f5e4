"""What is measured: one row per call of the services, the servers it needs, and the ratio it has to reach."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import ceiling
from bench.load import Load
from bench.places import in_the_crowd, in_the_region, on_the_globe
from bench.seed import Seed
from bench.services import Dispatcher, Manager, Service

PATHS = 5_000
ANN = ',"participant_name":"Ann"'


WRITES = Manager(Seed(parties=20_000, participants=1))
READS = Manager(Seed(parties=2_000, participants=8))
SCATTERED = Manager(Seed(parties=100_000, participants=1, around="region"))
CROWDED = Manager(Seed(parties=100_000, participants=1, around="crowd"))
FEW = Manager(Seed(parties=10_000, participants=1, around="region"))
MANY = Manager(Seed(parties=1_000_000, participants=1, around="region"))


@dataclass(frozen=True, slots=True)
class Row:
    """`against` is the kind of ceiling, or another service that the same requests go to.

    `target` is the least ratio of requests a second to the ceiling; against another service, whose requests
    cost less, it is the most that a request may cost in units of the other's.
    """

    name: str
    service: Service
    against: str | Service
    load: Callable[[Sequence[str]], Load]
    target: float | None
    connections: int = 64
    holds: tuple[str, int] | None = None

    @property
    def against_ceiling(self) -> bool:
        """Whether the other side is bench/ceiling.py."""
        return isinstance(self.against, str)

    def ratio(self, *, other_per_s: float, ours_per_s: float) -> float:
        """Ours of the ceiling, or the cost of ours in units of the other's."""
        return ours_per_s / other_per_s if self.against_ceiling else other_per_s / ours_per_s

    def reached(self, ratio: float) -> bool | None:
        """Whether a ratio is as good as the target; None without a target."""
        if self.target is None:
            return None
        return ratio >= self.target if self.against_ceiling else ratio <= self.target

    def ceiling_load(self, load: Load) -> Load:
        """The same requests on the row's static route of the ceiling: same queries, same bodies."""
        queries = {path.partition("?")[1] + path.partition("?")[2]: None for path in load.paths}
        return Load([f"/{self.name}{query}" for query in queries], load.rest)

    def check(self, status: int, answer: str) -> None:
        """Raise WrongAnswerError unless a service's answer is the one that this row is about."""
        if status not in (200, 201):
            raise WrongAnswerError(f"{self.name}: the service answered {status}: {answer[:500]}")
        if self.holds and len(json.loads(answer)[self.holds[0]]) != self.holds[1]:
            raise WrongAnswerError(f"{self.name}: wanted {self.holds[1]} {self.holds[0]}, got {answer[:500]}")


class WrongAnswerError(Exception):
    """A service answered, but not what the row is meant to measure."""


def find(_: Sequence[str]) -> Load:
    """Positions all over the world."""
    draw = random.Random(1)
    return Load([f"/managers/find?{on_the_globe(draw).query}" for _ in range(PATHS)])


def create(_: Sequence[str]) -> Load:
    """A party for a new device."""
    return Load(["/parties"], rest="")


def join(codes: Sequence[str]) -> Load:
    """A new device into each party in turn."""
    return Load([f"/parties/{code}/participants" for code in codes], rest=ANN)


def get(codes: Sequence[str]) -> Load:
    """Each party in turn."""
    return Load([f"/parties/{code}" for code in codes])


def list_participants(codes: Sequence[str]) -> Load:
    """The participants of each party in turn."""
    return Load([f"/parties/{code}/participants" for code in codes])


def nearby_in_the_region(_: Sequence[str]) -> Load:
    """Random positions where the parties are scattered, with the default radius and limit."""
    draw = random.Random(2)
    return Load([f"/parties/nearby?{in_the_region(draw).query}" for _ in range(PATHS)])


def nearby_in_the_crowd(_: Sequence[str]) -> Load:
    """Random positions inside the crowd, with the default radius and limit."""
    draw = random.Random(3)
    return Load([f"/parties/nearby?{in_the_crowd(draw).query}" for _ in range(PATHS)])


TWENTY = ("parties", 20)
ROWS = (
    Row("find-14", Dispatcher(14), ceiling.CONSTANT, find, 0.75),
    Row("find-900", Dispatcher(900), ceiling.CONSTANT, find, 0.72),
    Row("create", WRITES, ceiling.JSON, create, 0.50),
    Row("join", WRITES, ceiling.JSON, join, 0.45),
    Row("get", READS, ceiling.CONSTANT, get, 0.65),
    Row("list-8", READS, ceiling.CONSTANT, list_participants, 0.65, holds=("participants", 8)),
    Row("nearby-scattered", SCATTERED, ceiling.CONSTANT, nearby_in_the_region, 0.20, holds=TWENTY),
    Row("nearby-crowded", CROWDED, ceiling.CONSTANT, nearby_in_the_crowd, 0.30, holds=TWENTY),
    Row("nearby-million", MANY, FEW, nearby_in_the_region, 1.25, holds=TWENTY),
)
# Without a target: what durability costs one caller alone, a few, and a crowd of them.
FURTHER_ROWS = tuple(
    Row(f"{name}-{connections}", WRITES, ceiling.JSON, load, None, connections=connections)
    for name, load in (("create", create), ("join", join))
    for connections in (1, 8, 256)
)

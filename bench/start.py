"""What it costs to start a manager with 100,000 parties of three: seconds until it is ready, and memory."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import seed
from bench.progress import say
from bench.seed import Seed
from bench.servers import Servers
from bench.services import Manager, manager_arguments

NAME = "load"
PARTIES = Manager(Seed(parties=100_000, participants=3, around="region"))
MOST_S = 3.0
MOST_KIB = 2.5


@dataclass(frozen=True, slots=True)
class Started:
    """Beyond an empty manager, medians: seconds until ready, and KiB of resident memory for each party."""

    parties: int
    load_s: float
    kib_per_party: float
    empty_ready_s: float

    @property
    def reached(self) -> bool:
        """Whether both are within their bounds."""
        return self.load_s <= MOST_S and self.kib_per_party <= MOST_KIB


def measure(manager: Manager, folder: Path, servers: Servers, *, times: int) -> Started:
    """Start an empty manager and a full one in turn, so many times."""
    say(f"seeding {manager.name} to load it")
    full, empty = folder / "load-full.db", folder / "load-empty.db"
    seed.write(manager.seed, full)
    rounds = list(turns(empty, full, servers, times))
    return Started(
        parties=manager.seed.parties,
        load_s=statistics.median(full_s - empty_s for (empty_s, _), (full_s, _) in rounds),
        kib_per_party=statistics.median(
            (full_kib - empty_kib) / manager.seed.parties for (_, empty_kib), (_, full_kib) in rounds
        ),
        empty_ready_s=statistics.median(empty_s for (empty_s, _), _ in rounds),
    )


def turns(
    empty: Path, full: Path, servers: Servers, times: int
) -> Iterator[tuple[tuple[float, int], tuple[float, int]]]:
    """(seconds until ready, KiB resident) of the empty manager and of the full one, so many times."""
    for number in range(1, times + 1):
        yield once(empty, servers), once(full, servers)
        say(f"round {number} of {times}, {NAME}")


def once(database: Path, servers: Servers) -> tuple[float, int]:
    """Seconds until a manager over this database is ready, and the KiB that it then holds."""
    server = servers.start(database.stem, "manager", manager_arguments(database))
    measured = server.ready_after_s, server.rss_kib
    servers.stop([server.process])
    return measured

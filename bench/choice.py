"""What a run measures: what was asked for, less what this machine can't do."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from bench import nodejs, start
from bench.fanout import FANS, Fan
from bench.gathering import GATHERING, Gathering
from bench.progress import say
from bench.rows import FURTHER_ROWS, ROWS, Row
from bench.servers import allow_open_files
from bench.services import Dispatcher, Manager

QUICK_SHARE = 10
STREAMS: tuple[Fan | Gathering, ...] = (*FANS, GATHERING)
NAMES = [row.name for row in (*ROWS, *FURTHER_ROWS)] + [row.name for row in STREAMS] + [start.NAME]


@dataclass(frozen=True, slots=True)
class Choice:
    """The rows to run, those about streams, and whether to measure the start of a full manager."""

    rows: list[Row]
    streams: list[Fan | Gathering]
    with_start: bool

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to measure."""
        return not (self.rows or self.streams or self.with_start)

    @property
    def needs_node(self) -> bool:
        """Whether something stands beside ws."""
        return any(isinstance(row, Fan) for row in self.streams)


def of_names(names: Collection[str]) -> Choice:
    """These rows."""
    return Choice(
        [row for row in (*ROWS, *FURTHER_ROWS) if row.name in names],
        [row for row in STREAMS if row.name in names],
        start.NAME in names,
    )


def usual() -> Choice:
    """All rows with a target."""
    return Choice([*ROWS], [*STREAMS], True)


def everything() -> Choice:
    """Also those without one."""
    return replace(usual(), rows=[*ROWS, *FURTHER_ROWS])


def quick(choice: Choice) -> Choice:
    """The same over fewer parties and streams: soon ready, and good for nothing but to see that it works."""
    rows = [smaller(row) for row in choice.rows if row.against_ceiling]
    return replace(choice, rows=rows, streams=[row.smaller(QUICK_SHARE) for row in choice.streams])


def smaller(row: Row) -> Row:
    """The same row over fewer parties."""
    if isinstance(row.service, Dispatcher):
        return row
    seed = row.service.seed
    return replace(row, service=Manager(replace(seed, parties=seed.parties // QUICK_SHARE)))


def possible(choice: Choice) -> Choice:
    """Without the rows that this machine can't run; stderr says which and why."""
    no_node = nodejs.install() if choice.needs_node else None
    streams: list[Fan | Gathering] = []
    for row in choice.streams:
        if why := (no_node if isinstance(row, Fan) else None) or allow_open_files(row.files):
            say(f"Skipping {row.name}: {why}")
        else:
            streams.append(row)
    return replace(choice, streams=streams)

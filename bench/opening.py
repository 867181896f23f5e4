"""Streams opened by the thousand: how long that takes, and what they cost while they are idle."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from bench.broadcast import EXPECTED
from bench.calls import Job, in_turn
from bench.filling import Filled
from bench.listeners import Audience, open_stream, quiet
from bench.rows import WrongAnswerError
from bench.servers import Server

AT_ONCE = 64
SAMPLES = 64
SETTLE_LIMIT_S = 300.0
MOST_KIB = 16.0
SPARE_FILES = 256


@dataclass(slots=True)
class Side:
    """One server, a party in it, and who listens to it; `samples` of them look at what they hear."""

    name: str
    server: Server
    party: Filled
    audience: Audience = field(default_factory=Audience)
    samples: int = SAMPLES

    def openings(self) -> Iterator[Job]:
        """A stream for everybody in the party."""
        self.audience.expect(EXPECTED)
        between = max(1, len(self.party.tokens) // self.samples)
        for number, token in enumerate(self.party.tokens):
            is_sample = number % between == 0
            yield partial(open_stream, self.audience, self.server.port, self.party.events, token, is_sample=is_sample)


@dataclass(frozen=True, slots=True)
class Opened:
    """Opening streams: seconds until the last was open, and until what that set off had arrived; memory of each."""

    opened_s: float
    settled_s: float
    kib_each: float


async def open_all(sides: Sequence[Side]) -> Opened:
    """All streams of parties on one server; waits until what their opening sets off has arrived."""
    server, streams = sides[0].server, sum(len(side.party.tokens) for side in sides)
    before_kib, began_s = server.rss_kib, time.perf_counter()
    await in_turn((job for side in sides for job in side.openings()), AT_ONCE)
    opened_s = time.perf_counter() - began_s
    settled_s = max(opened_s, await quiet([side.audience for side in sides], within_s=SETTLE_LIMIT_S) - began_s)
    if lost := [why for side in sides for why in side.audience.lost]:
        raise WrongAnswerError(f"{sides[0].name} lost {len(lost)} streams at once, the first because: {lost[0]}")
    return Opened(opened_s, settled_s, (server.rss_kib - before_kib) / streams)

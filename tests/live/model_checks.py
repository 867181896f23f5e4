"""What a stream's listener writes down, and what must be true of it."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, NamedTuple

from tests.live.model import World
from tests.live.model_answers import Ticket
from tests.live.streams import Event, View

NORMAL = 1000


class Glance(NamedTuple):
    """What was read of a party while calls were under way, each part at its own moment; None once it is closed."""

    code: str
    party: Any
    participants: Any


@dataclass
class Log:
    """What came in the step that is being taken (`heard`), and the party before it and after each event (`seen`)."""

    phone: int
    ticket: Ticket
    heard: list[Event] = field(default_factory=list)
    seen: list[View] = field(default_factory=list)
    is_new: bool = True
    is_open: bool = True

    def write(self, event: Event, view: View) -> None:
        """An event, and the party after it. Nobody is removed for being away who isn't."""
        if event["type"] == "participant_left" and event["reason"] == "lost":
            before = {one["participant_id"]: one for one in self.seen[-1].participants}
            assert not before[event["participant_id"]]["online"], f"online and removed: {event} after {self.seen[-1]}"
        self.heard.append(event)
        self.seen.append(view)

    def begin_step(self) -> None:
        """Forgets what came before the step."""
        self.is_new = False
        self.heard = []
        self.seen = self.seen[-1:]

    def __str__(self) -> str:
        return f"the stream of phone {self.phone} in {self.ticket.code}, which heard {self.heard}"


def check_events(log: Log, times: Container[object]) -> None:
    """What was heard was timed when it happened, and the party was led by one of its own all the time."""
    for event in log.heard:
        assert event["at"] in times, f"{event} isn't of {times}"
    seen = log.seen[len(log.seen) - len(log.heard) :]
    for view, following in zip_longest(seen, log.heard[1:]):
        check_view(view, following)


def fits(log: Log, world: World) -> bool:
    """Whether the world knows the same reasons for whatever ended."""
    code = log.ticket.code
    return all(
        event["reason"]
        == (world.left.get((code, event["participant_id"])) if "participant_id" in event else world.ended.get(code))
        for event in log.heard
        if event["type"] in {"participant_left", "party_closed"}
    )


def check_glance(glance: Glance, logs: Sequence[Log]) -> None:
    """What was read in between has one leader, and is what the party went through."""
    assert glance.participants is None or sum(one["is_leader"] for one in glance.participants) == 1, glance
    for log in logs:
        if log.ticket.code == glance.code and not log.is_new and log.is_open:
            assert glance.party in [view.party for view in log.seen], f"{glance} isn't what {log} saw"
            there = [None if view.party is None else view.participants for view in log.seen]
            assert glance.participants in there, f"{glance} isn't what {log} saw"


def check_view(view: View, following: Event | None = None) -> None:
    """A party is full at most, and led by one of its own unless that is what the next event is about."""
    if view.party is None:
        return
    leaders = [one["participant_id"] for one in view.participants if one["is_leader"]]
    assert len(view.participants) <= view.party["capacity"], view
    if leaders != [view.party["leader_id"]]:
        assert following is not None, f"no leader: {view}"
        assert following["type"] in {"leader_promoted", "party_closed"}, f"no leader: {view}"


def check_farewell(log: Log, code: int) -> None:
    """Whoever is out hears of it, and of what comes of that, and nothing more."""
    assert code == NORMAL, f"{log} ended with {code}"
    mine = {"type": "participant_left", "participant_id": log.ticket.participant_id}
    last = next((at for at, event in enumerate(log.heard) if mine.items() <= event.items()), len(log.heard))
    after = [event["type"] for event in log.heard[last + 1 :]]
    if log.seen:  # else they were out before they had heard anything
        is_out = last < len(log.heard) or [event["type"] for event in log.heard[-1:]] == ["party_closed"]
        assert is_out, f"{log} ended without a reason"
    assert after in ([], ["leader_promoted"], ["party_closed"]), f"{log} heard more than was for them"


def check_alike(logs: Sequence[Log]) -> None:
    """All who listen to a party hear the same; who came in later hears its last part after their snapshot."""
    whole = next((one for one in logs if not one.is_new), None)
    for one in logs if whole is not None else ():
        assert whole is not None
        heard = one.heard[1:] if one.is_new else one.heard
        assert whole.heard[len(whole.heard) - len(heard) :] == heard, f"{one} isn't the end of {whole}"
        if one.is_new:
            assert one.seen[0] in whole.seen, f"{one} begins with what {whole} never saw"
        else:
            assert len(heard) == len(whole.heard), f"{one} lacks what {whole} heard"


def check_said(log: Log, said: Sequence[tuple[int, object]]) -> None:
    """Who listens all the time hears every message once."""
    heard = [(event["participant_id"], event["body"]) for event in log.heard if event["type"] == "message"]
    assert sorted(map(repr, heard)) == sorted(map(repr, said)), f"{log} of what was said: {said}"

"""Anything that anybody may try in a party, at random, and what must hold of it whatever comes out."""

from itertools import pairwise
from random import Random
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st

from chassis.errors import Refusal
from manager import rules
from manager.party import UNVERSIONED, Closed, Event, LeaderPromoted, Left, Party, Seen, WentLive, evolve
from tests.manager.people import device, party_of, traits

Law = Any
"""The rules, or the same with a planted bug."""

DEVICES = 8


class Deed(NamedTuple):
    """A rule's name and some of its arguments; whoever does it is `by`, where that matters."""

    rule: str
    by: int
    whom: int
    whoever: frozenset[int]
    more: dict[str, object]


_RULES = (
    *("join", "join", "join", "leave", "lose", "remove", "ban", "move_out", "update", "update_participant"),
    *("hand_over", "close", "notice", "go_live"),
)
_TRAITS: dict[str, tuple[object, ...]] = {
    "name": (None, "x", "y"),
    "capacity": tuple(range(1, 9)),
    "locked": (False, True),
    "cell": (None, 617700169958293503),
    "discoverable": (False, True),
    "attributes": (None, b'{"a":1}', b'{"b":[]}'),
}


def _deed(seed: int) -> Deed:
    """Mostly by the leader, as nobody else may do much, and mostly to somebody who is there."""
    dice = Random(seed)
    more = {name: dice.choice(values) for name, values in _TRAITS.items() if dice.random() < 0.3}
    by = dice.choice([0, 0, 0, 1, dice.randrange(13)])
    return Deed(dice.choice(_RULES), by, dice.randrange(13), frozenset(dice.sample(range(13), dice.randrange(6))), more)


deeds = st.lists(st.integers(0, 1 << 32).map(_deed), min_size=20, max_size=40)


def decide(law: Law, party: Party, deed: Deed) -> list[Event]:
    """What the rule says to it. Raises Refusal."""
    by, whom, online = deed.by, deed.whom, deed.whoever
    match deed.rule:
        case "join":
            newcomer = device(whom % DEVICES)
            if any(one.device == newcomer for one in party.participants):
                return []
            events = law.join(party, device=newcomer, name="x", at_ms=5, seen_ms=deed.by)
        case "leave":
            events = law.leave(party, whom, "left", online)
        case "lose":
            events = law.lose(party, {one.id for one in party.participants} & online, {whom})
        case "remove":
            events = law.remove(party, whom, by=by, online=online)
        case "ban":
            events = law.ban(party, whom, by=by)
        case "move_out":
            mover = party.participants[whom % len(party.participants)]
            events = law.move_out(party, mover.device, online)
        case "update":
            events = law.update(party, traits(party, **deed.more), by=by)
        case "update_participant":
            shown = {"name": deed.more.get("name"), "attributes": deed.more.get("attributes")}
            events = law.update_participant(party, whom, **shown, by=by)
        case "hand_over":
            events = law.hand_over(party, whom, by=by)
        case "close":
            events = law.close(party, by=by) if len(online) > 3 else []
        case "notice":
            events = law.notice(party, whom, seen_ms=by * 100, every_ms=100)
        case _:
            events = law.go_live(party, whom)
    said: list[Event] = events
    return said


def lives(law: Law, doings: list[Deed]) -> list[tuple[Party, list[Event], Party | None]]:
    """All that comes of these deeds, one after another, each checked; another party begins where one has closed."""
    changes = []
    party = party_of("ann", "bob", capacity=6)
    for deed in doings:
        try:
            events = decide(law, party, deed)
        except Refusal:
            continue
        after = evolve(party, events)
        check(party, events, after)
        changes.append((party, events, after))
        party = after or party_of("ann", capacity=3)
    return changes


def check(before: Party, events: list[Event], after: Party | None) -> None:
    """What holds of every change of a party."""
    _check_the_lead(before, events)
    assert (after is None) == any(isinstance(event, Closed) for event in events)
    if after is None:
        assert isinstance(events[-1], Closed)
        assert sum(isinstance(event, Closed) for event in events) == 1
        return
    assert after.version == before.version + sum(not isinstance(event, UNVERSIONED) for event in events)
    ids = [one.id for one in after.participants]
    assert all(one < other for one, other in pairwise([-1, *ids, after.next_participant_id]))
    assert len({one.device for one in after.participants}) == len(ids)
    assert 1 <= len(ids) <= after.capacity
    assert after.leader_id in ids
    assert before.banned <= after.banned
    assert len(after.banned) <= rules.MAX_BANNED
    assert not after.banned & {one.device for one in after.participants}
    assert after.cell is not None or not after.discoverable
    if all(isinstance(event, Seen | WentLive) for event in events):
        assert _as_seen(before) == _as_seen(after), "what is told to nobody shows nowhere"


def _check_the_lead(before: Party, events: list[Event]) -> None:
    """The party has a leader who is in it after each event, but between a leader's leaving and what follows at once."""
    for number in range(1, len(events) + 1):
        so_far = evolve(before, events[:number])
        if so_far is None or so_far.participant(so_far.leader_id) is not None:
            continue
        assert isinstance(events[number - 1], Left)
        assert number < len(events)
        assert isinstance(events[number], LeaderPromoted | Closed)


def _as_seen(party: Party) -> Party:
    seated = tuple(msgspec.structs.replace(one, seen_ms=0, is_live=False) for one in party.participants)
    return msgspec.structs.replace(party, participants=seated)

"""What listeners are told, laid over what they began with, shows what GET does: for any sequence of changes."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from chassis.errors import NotFound
from manager import rules
from manager.announcements import Present, Said
from manager.events import Portraits, snapshot, told
from manager.party import Closed, Created, Party, Seen, WentLive, evolve
from manager.store import Change
from manager.wire import participants_view, party_view
from tests.live.streams import View, apply, view_of
from tests.manager.deeds import Deed, deeds, lives
from tests.manager.people import party_of

AT_MS = 1_700_000_000_123


def shown(party: Party | None, online: set[int]) -> View:
    """As GET shows it."""
    if party is None:
        return View(None, [])
    participants = participants_view(party, online).participants
    return View(*(json.loads(msgspec.json.encode(view)) for view in (party_view(party), participants)))


def began(party: Party, online: set[int]) -> View:
    return view_of(json.loads(snapshot(party, online, AT_MS, Portraits())))


@settings(max_examples=100, deadline=None)
@given(doings=deeds)
def test_a_snapshot_and_what_is_told_after_it_show_what_get_shows(doings: list[Deed]) -> None:
    online = {0, 3, 4}
    for before, events, after in lives(rules, doings):
        view = began(before, online)
        assert view == shown(before, online)
        for text in told(Change(before, events, after, AT_MS), online):
            event = json.loads(text)
            assert event["at"] == "2023-11-14T22:13:20.123000Z"
            view = apply(view, event)
        assert view == shown(after, online)


@settings(max_examples=30, deadline=None)
@given(doings=deeds)
def test_drawing_only_those_who_have_changed_gives_the_same_snapshot(doings: list[Deed]) -> None:
    crowd = party_of(*(f"p{number}" for number in range(100)), capacity=200)
    portraits, online = Portraits(), set[int]()
    for deed in doings:
        try:
            events = rules.update_participant(crowd, deed.whom, name=f"x{deed.by}", attributes=None, by=deed.whom)
        except NotFound:
            continue
        party = evolve(crowd, events)
        assert party is not None
        crowd = party
        online ^= deed.whoever
        assert view_of(json.loads(snapshot(crowd, online, AT_MS, portraits))) == shown(crowd, online)


def test_presence_and_messages_have_no_seq_and_presence_changes_who_is_online() -> None:
    party = party_of("ann", "bob")
    [presence] = [json.loads(text) for text in told(Present(1, True, AT_MS), {1})]
    [message] = [json.loads(text) for text in told(Said(0, b'{"x":[1]}', AT_MS), {1})]
    at = "2023-11-14T22:13:20.123000Z"
    assert presence == {"type": "presence", "at": at, "participant_id": 1, "online": True}
    assert message == {"type": "message", "at": at, "participant_id": 0, "body": {"x": [1]}}
    assert apply(apply(began(party, set()), presence), message) == shown(party, {1})


def test_a_new_party_and_what_is_no_news_are_told_to_nobody() -> None:
    party = party_of("ann")
    assert list(told(Change(None, [Created(party)], party, AT_MS), set())) == []
    assert list(told(Change(party, [Seen(0, 5), WentLive(0)], party, AT_MS), set())) == []


EVENTS = {
    "joined": {"type": "participant_joined", "seq": 3, "participant": {"participant_id": 2}},
    "left": {"type": "participant_left", "seq": 3, "participant_id": 1, "reason": "left"},
    "promoted": {"type": "leader_promoted", "seq": 3, "participant_id": 1},
    "presence": {"type": "presence", "participant_id": 1, "online": True},
    "message": {"type": "message", "participant_id": 1, "body": {}},
    "closed": {"type": "party_closed", "seq": 3, "reason": "closed"},
}


@pytest.mark.parametrize(
    ("event", "wrong"),
    [
        ("joined", {"seq": 4}),
        ("joined", {"seq": 2}),
        ("joined", {"participant": {"participant_id": 1}}),
        ("left", {"seq": 5}),
        ("left", {"participant_id": 7}),
        ("promoted", {"participant_id": 7}),
        ("presence", {"participant_id": 7}),
        ("presence", {"online": False}),
        ("message", {"participant_id": 7}),
        ("closed", {"seq": 9}),
        ("closed", {"type": "something_else"}),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value),
)
def test_what_can_not_have_happened_is_caught(event: str, wrong: dict[str, Any]) -> None:
    view = shown(party_of("ann", "bob"), set())
    apply(view, EVENTS[event])
    with pytest.raises(AssertionError):
        apply(view, {**EVENTS[event], **wrong})


def test_nothing_may_happen_after_the_end() -> None:
    party = party_of("ann")
    [closed] = [json.loads(text) for text in told(Change(party, [Closed("empty")], None, AT_MS), set())]
    over = apply(shown(party, set()), closed)
    assert over == View(None, [])
    with pytest.raises(AssertionError):
        apply(over, EVENTS["message"])

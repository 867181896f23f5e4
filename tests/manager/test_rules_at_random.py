"""Whatever anybody tries, in any order: a party keeps its leader, its bounds and its versions."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from manager import rules
from manager.party import Event, LeaderPromoted, Left, Party, PartyUpdated, Traits
from tests.manager.deeds import Deed, deeds, lives
from tests.manager.test_crowd import UNTIL_CAUGHT


@settings(max_examples=200, deadline=None)
@given(doings=deeds)
def test_a_party_keeps_its_leader_its_bounds_and_its_versions(doings: list[Deed]) -> None:
    lives(rules, doings)


def _promotes_somebody_lost(party: Party, lost: Any, online: Any) -> list[Event]:
    events = rules.lose(party, lost, online)
    return [LeaderPromoted(min(lost)) if isinstance(event, LeaderPromoted) else event for event in events]


def _lets_the_leader_go_first(party: Party, lost: Any, online: Any) -> list[Event]:
    events = rules.lose(party, lost, online)
    return [*[event for event in events if event == Left(party.leader_id, "lost")], *events[:-2], *events[-1:]]


def _hands_over_to_anybody(party: Party, participant_id: int, *, by: int) -> list[Event]:
    return [LeaderPromoted(participant_id)] if by == party.leader_id else []


def _shrinks_below_those_present(party: Party, wanted: Traits, *, by: int) -> list[Event]:
    roomy = msgspec.structs.replace(wanted, capacity=max(wanted.capacity, len(party.participants)))
    return [PartyUpdated(wanted)] if rules.update(party, roomy, by=by) else []


def _lets_the_banned_in(party: Party, **more: Any) -> list[Event]:
    return rules.join(msgspec.structs.replace(party, banned=frozenset()), **more)


def _shows_what_is_nowhere(party: Party, wanted: Traits, *, by: int) -> list[Event]:
    rules.update(party, msgspec.structs.replace(wanted, discoverable=False), by=by)
    return [PartyUpdated(wanted)]


@pytest.mark.parametrize(
    "planted",
    [
        {"lose": _promotes_somebody_lost},
        {"lose": _lets_the_leader_go_first},
        {"hand_over": _hands_over_to_anybody},
        {"update": _shrinks_below_those_present},
        {"update": _shows_what_is_nowhere},
        {"join": _lets_the_banned_in},
    ],
    ids=lambda planted: next(iter(planted.values())).__name__,
)
def test_a_planted_bug_is_caught(planted: dict[str, Any]) -> None:
    broken = SimpleNamespace(**{**vars(rules), **planted})

    @UNTIL_CAUGHT
    @given(doings=deeds)
    def checked(doings: list[Deed]) -> None:
        lives(broken, doings)

    with pytest.raises(AssertionError):
        checked()

"""A random crowd that joins, leaves, moves on and is sent away keeps the rules of its party."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from chassis.errors import Locked, Refusal
from manager import rules
from manager.party import Closed, Created, Event, Joined, LeaderPromoted, Participant, Party, evolve

EVERYONE = settings(max_examples=60, stateful_step_count=40, deadline=None)
# Enough to stumble over a planted bug; how small the counterexample gets doesn't matter.
UNTIL_CAUGHT = settings(
    EVERYONE,
    max_examples=300,
    phases=[Phase.generate],
    database=None,
    derandomize=True,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)


def device(number: int) -> bytes:
    return number.to_bytes(16, "big")


class Crowd(RuleBasedStateMachine):
    """People who join, leave, move on and are sent away, against plain lists that know what must come out."""

    law: Any = rules  # a planted bug takes its place

    def __init__(self) -> None:
        super().__init__()
        self.party: Party | None = None
        self.present: list[tuple[int, bytes]] = []  # ids and devices, longest present first
        self.leader_id = 0
        self.given_ids: set[int] = set()
        self.next_device = 0

    def happen(self, events: list[Event]) -> None:
        """Evolves the party; each event is worth one version."""
        before = self.party
        assert before is not None
        assert events
        self.party = evolve(before, events)
        if self.party is None:
            assert isinstance(events[-1], Closed)
            assert len(self.present) == 1, "only the last one out closes"
        else:
            assert self.party.version == before.version + len(events)
            assert not any(isinstance(event, Closed) for event in events)

    def gone(self, participant_id: int) -> None:
        """What must have come of it."""
        self.present = [one for one in self.present if one[0] != participant_id]
        if self.present and participant_id == self.leader_id:
            self.leader_id = self.present[0][0]
        assert (self.party is None) == (not self.present)

    def refused(self, code: str, decide: Any) -> None:
        said = None
        try:
            decide()
        except Refusal as refusal:
            said = refusal.code
        assert said == code

    @precondition(lambda self: self.party is None)
    @rule(capacity=st.integers(1, 6))
    def found(self, capacity: int) -> None:
        founder = Participant(0, device(self.next_device), None, 0)
        self.next_device += 1
        self.party = evolve(None, [Created(Party(1, 457495738, 0, capacity, 1, 1, 0, (founder,)))])
        self.present, self.leader_id, self.given_ids = [(0, founder.device)], 0, {0}

    @precondition(lambda self: self.party is not None)
    @rule()
    def join(self) -> None:
        party = self.party
        assert party is not None
        newcomer = device(self.next_device)
        self.next_device += 1
        if party.locked:
            self.refused("party_locked", lambda: self.law.join(party, device=newcomer, name=None, at_ms=0))
        elif len(self.present) == party.capacity:
            self.refused("party_full", lambda: self.law.join(party, device=newcomer, name=None, at_ms=0))
        else:
            events = self.law.join(party, device=newcomer, name=None, at_ms=0)
            self.happen(events)
            [event] = events
            assert event.participant.id not in self.given_ids, "ids never come back"
            self.given_ids.add(event.participant.id)
            self.present.append((event.participant.id, newcomer))

    @precondition(lambda self: self.party is not None)
    @rule(choice=st.randoms(use_true_random=False))
    def leave(self, choice: Any) -> None:
        participant_id, _ = choice.choice(self.present)
        self.happen(self.law.remove(self.party, participant_id, by=participant_id))
        self.gone(participant_id)

    @precondition(lambda self: self.party is not None)
    @rule(choice=st.randoms(use_true_random=False))
    def move_on(self, choice: Any) -> None:
        participant_id, whose = choice.choice(self.present)
        self.happen(self.law.move_out(self.party, whose))
        self.gone(participant_id)

    @precondition(lambda self: self.party is not None)
    @rule(choice=st.randoms(use_true_random=False))
    def send_away(self, choice: Any) -> None:
        by, whom = choice.choice(self.present)[0], choice.choice(self.present)[0]
        if by != whom and by != self.leader_id:
            self.refused("not_allowed", lambda: self.law.remove(self.party, whom, by=by))
        else:
            self.happen(self.law.remove(self.party, whom, by=by))
            self.gone(whom)

    @precondition(lambda self: self.party is not None)
    @rule(stranger=st.integers(-1, 60))
    def name_a_stranger(self, stranger: int) -> None:
        if stranger not in dict(self.present):
            self.refused("participant_not_found", lambda: self.law.remove(self.party, stranger, by=self.leader_id))

    @precondition(lambda self: self.party is not None)
    @rule(locked=st.booleans())
    def turn_the_key(self, locked: bool) -> None:
        assert self.party is not None
        self.party = msgspec.structs.replace(self.party, locked=locked)

    @precondition(lambda self: self.party is not None)
    @rule(choice=st.randoms(use_true_random=False))
    def hand_over(self, choice: Any) -> None:
        self.leader_id, _ = choice.choice(self.present)
        self.happen([LeaderPromoted(self.leader_id)])

    @invariant()
    def all_is_as_it_must_be(self) -> None:
        party = self.party
        if party is None:
            return
        assert [(one.id, one.device) for one in party.participants] == self.present
        assert party.leader_id == self.leader_id
        assert party.participant(party.leader_id) is not None
        assert 1 <= len(party.participants) <= party.capacity
        assert party.next_participant_id > max(self.given_ids)


def test_a_random_crowd_keeps_the_rules() -> None:
    run_state_machine_as_test(Crowd, settings=EVERYONE)


def _overbooks(party: Party, *, device: bytes, name: str | None, at_ms: int) -> list[Event]:
    if party.locked:
        raise Locked("party_locked", "")
    return [Joined(Participant(party.next_participant_id, device, name, at_ms))]


def _reuses_ids(party: Party, *, device: bytes, name: str | None, at_ms: int) -> list[Event]:
    rules.join(party, device=device, name=name, at_ms=at_ms)
    return [Joined(Participant(party.participants[-1].id + 1, device, name, at_ms))]


def _ignores_the_lock(party: Party, *, device: bytes, name: str | None, at_ms: int) -> list[Event]:
    return rules.join(msgspec.structs.replace(party, locked=False), device=device, name=name, at_ms=at_ms)


def _promotes_the_newest(party: Party, participant_id: int, *, by: int) -> list[Event]:
    events = rules.remove(party, participant_id, by=by)
    rest = [one.id for one in party.participants if one.id != participant_id]
    return [LeaderPromoted(rest[-1]) if isinstance(event, LeaderPromoted) else event for event in events]


def _forgets_to_promote(party: Party, device: bytes) -> list[Event]:
    return [event for event in rules.move_out(party, device) if not isinstance(event, LeaderPromoted)]


def _lets_anybody_kick(party: Party, participant_id: int, *, by: int) -> list[Event]:
    return rules.leave(party, participant_id, "left" if by == participant_id else "kicked")


def _never_closes(party: Party, device: bytes) -> list[Event]:
    return [event for event in rules.move_out(party, device) if not isinstance(event, Closed)]


@pytest.mark.parametrize(
    "planted",
    [
        {"join": _overbooks},
        {"join": _reuses_ids},
        {"join": _ignores_the_lock},
        {"remove": _promotes_the_newest},
        {"remove": _lets_anybody_kick},
        {"move_out": _forgets_to_promote},
        {"move_out": _never_closes},
    ],
    ids=lambda planted: next(iter(planted.values())).__name__,
)
def test_the_crowd_catches_a_planted_bug(planted: dict[str, Any]) -> None:
    broken = SimpleNamespace(**{**vars(rules), **planted})

    class BrokenCrowd(Crowd):
        law = broken

    with pytest.raises(AssertionError):
        run_state_machine_as_test(BrokenCrowd, settings=UNTIL_CAUGHT)

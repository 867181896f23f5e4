"""Who is online and who is lost: random comings and goings against a plain account of each participant."""

import math
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from manager.party import Participant, Party
from manager.presence import MISSED_BEATS, NOTICES, Presence
from tests.manager.test_crowd import UNTIL_CAUGHT

BEAT_S, GRACE_S, IDLE_S = 10.0, 60.0, 600.0
STARTED_S = 1000.0
OTHERS = 99
"""Another party, in which somebody is online all the time."""

EVERYTHING = settings(max_examples=80, stateful_step_count=40, deadline=None)


@dataclass
class Account:
    """What is known of one participant, written down as it happens."""

    is_live: bool
    seen_s: float
    open: int = 0
    coming: int = 0
    beat_until_s: float = -math.inf
    is_online: bool = False
    last_online_s: float | None = None

    def fade(self, now_s: float) -> None:
        """Heartbeats run out by themselves, but not under somebody who is just coming."""
        if self.is_online and not self.open and not self.coming and self.beat_until_s <= now_s:
            self.is_online, self.last_online_s = False, self.beat_until_s

    def out_s(self) -> float:
        """From when on they are lost."""
        if self.open or self.coming or self.is_online:
            return math.inf
        if self.last_online_s is not None:
            return self.last_online_s + GRACE_S
        return STARTED_S + GRACE_S if self.is_live else self.seen_s + IDLE_S * (1 + 1 / NOTICES)

    def next_s(self) -> float:
        if self.is_online and not self.open and not self.coming:
            return self.beat_until_s
        return self.out_s()


def party_of(accounts: dict[int, Account]) -> Party:
    seated = tuple(
        Participant(one, one.to_bytes(16, "big"), None, 0, round(its.seen_s * 1000), its.is_live)
        for one, its in sorted(accounts.items())
    )
    return Party(7, 457495738, seated[0].id, 50, 100, 1, 0, seated)


class Comings(RuleBasedStateMachine):
    """Streams that come, open, end and fail to open, heartbeats, leavers, and time that passes."""

    law: type[Presence] = Presence  # a planted bug takes its place

    @initialize(live=st.lists(st.booleans(), min_size=2, max_size=4))
    def start(self, live: list[bool]) -> None:
        self.now_s = STARTED_S
        self.presence = self.law(started_s=STARTED_S, beat_s=BEAT_S, grace_s=GRACE_S, idle_s=IDLE_S)
        self.accounts = {number: Account(is_live, STARTED_S - 7) for number, is_live in enumerate(live)}
        self.next_id = len(live)
        self.old_streams: list[int] = []  # of those who have left meanwhile
        self.presence.expect(OTHERS, 0)
        assert self.presence.come(OTHERS, 0)

    def somebody(self, pick: int, *, having: str | None = None) -> int:
        ids = [one for one, its in self.accounts.items() if having is None or getattr(its, having)]
        return ids[pick % len(ids)]

    def has(self, field: str) -> bool:
        return any(getattr(its, field) for its in self.accounts.values())

    @rule(pick=st.integers(0, 9))
    def expect(self, pick: int) -> None:
        one = self.somebody(pick)
        self.accounts[one].coming += 1
        self.accounts[one].is_live = True
        self.presence.expect(7, one)

    @precondition(lambda self: self.has("coming"))
    @rule(pick=st.integers(0, 9))
    def come(self, pick: int) -> None:
        one = self.somebody(pick, having="coming")
        its = self.accounts[one]
        assert self.presence.come(7, one) is not its.is_online
        its.coming, its.open, its.is_online = its.coming - 1, its.open + 1, True

    @precondition(lambda self: self.has("coming"))
    @rule(pick=st.integers(0, 9))
    def fail_to_come(self, pick: int) -> None:
        one = self.somebody(pick, having="coming")
        self.accounts[one].coming -= 1
        self.end(one)

    @precondition(lambda self: self.has("open"))
    @rule(pick=st.integers(0, 9))
    def go(self, pick: int) -> None:
        one = self.somebody(pick, having="open")
        self.accounts[one].open -= 1
        self.end(one)

    def end(self, one: int) -> None:
        its = self.accounts[one]
        is_gone = its.is_online and not its.open and not its.coming and its.beat_until_s <= self.now_s
        if is_gone:
            its.is_online, its.last_online_s = False, self.now_s
        assert self.presence.go(7, one, self.now_s) is is_gone

    @rule(pick=st.integers(0, 9))
    def beat(self, pick: int) -> None:
        one = self.somebody(pick)
        its = self.accounts[one]
        its.is_live = True
        assert self.presence.beat(7, one, self.now_s) is not its.is_online
        its.beat_until_s, its.is_online = self.now_s + MISSED_BEATS * BEAT_S, True

    @rule(span_s=st.one_of(st.floats(0, 40), st.sampled_from([30.0, 60.0, 90.0, 625.0])))
    def time_passes(self, span_s: float) -> None:
        self.now_s += span_s
        faded = self.presence.fade(7, self.now_s)
        before = [one for one, its in self.accounts.items() if its.is_online]
        for its in self.accounts.values():
            its.fade(self.now_s)
        assert faded == [one for one in before if not self.accounts[one].is_online]

    @precondition(lambda self: len(self.accounts) > 1)
    @rule(pick=st.integers(0, 9))
    def leave(self, pick: int) -> None:
        one = self.somebody(pick)
        its = self.accounts.pop(one)
        self.old_streams += [one] * (its.open + its.coming)
        self.presence.forget(7, [one])

    @rule()
    def join(self) -> None:
        self.accounts[self.next_id] = Account(False, int(self.now_s * 1000) / 1000)
        self.next_id += 1

    @precondition(lambda self: self.old_streams)
    @rule(pick=st.integers(0, 9))
    def an_old_stream_ends_late(self, pick: int) -> None:
        assert not self.presence.go(7, self.old_streams.pop(pick % len(self.old_streams)), self.now_s)

    @invariant()
    def all_is_as_it_must_be(self) -> None:
        party = party_of(self.accounts)
        online = {one for one, its in self.accounts.items() if its.is_online}
        lost = self.presence.lost(party, self.now_s)
        assert self.presence.roll(7).online == online
        assert self.presence.online_count == len(online) + 1
        assert self.presence.roll(OTHERS).online == {0}
        assert not lost & {one for one, its in self.accounts.items() if its.open or its.coming}
        assert lost == {one for one, its in self.accounts.items() if its.out_s() <= self.now_s}
        assert math.isclose(self.presence.next_s(party), min(its.next_s() for its in self.accounts.values()))


def test_presence_agrees_with_a_plain_account_of_everybody() -> None:
    run_state_machine_as_test(Comings, settings=EVERYTHING)


class _AnyEndTakesOffline(Presence):
    def go(self, party_id: int, participant_id: int, now_s: float) -> bool:
        self.roll(party_id)._presences[participant_id].streams = 1
        return super().go(party_id, participant_id, now_s)


class _LosesThoseWhoAreComing(Presence):
    def expect(self, party_id: int, participant_id: int) -> None:
        pass

    def come(self, party_id: int, participant_id: int) -> bool:
        super().expect(party_id, participant_id)
        return super().come(party_id, participant_id)


class _CountsGraceFromTheFirstBeat(Presence):
    def fade(self, party_id: int, now_s: float) -> list[int]:
        faded = super().fade(party_id, now_s)
        for one in faded:
            self._presence(party_id, one).lost_s -= BEAT_S
        return faded


class _ForgetsTheRestart(Presence):
    def _out_s(self, party_id: int, one: Participant) -> float:
        out_s = super()._out_s(party_id, one)
        return out_s if math.isinf(out_s) or not one.is_live else min(out_s, one.seen_ms / 1000 + GRACE_S)


class _RemembersLeavers(Presence):
    def forget(self, party_id: int, participants: Any) -> None:
        pass


@pytest.mark.parametrize(
    "planted",
    [
        _AnyEndTakesOffline,
        _LosesThoseWhoAreComing,
        _CountsGraceFromTheFirstBeat,
        _ForgetsTheRestart,
        _RemembersLeavers,
    ],
)
def test_a_planted_bug_is_caught(planted: type[Presence]) -> None:
    class BrokenComings(Comings):
        law = planted

    with pytest.raises((AssertionError, KeyError)):
        run_state_machine_as_test(BrokenComings, settings=UNTIL_CAUGHT)


def test_a_day_after_the_last_call_means_a_day_and_no_more_than_a_twenty_fourth_of_it() -> None:
    presence = Presence(started_s=0, beat_s=10, grace_s=60, idle_s=24 * 3600)
    assert presence.notice_ms == 3600 * 1000
    account = Account(is_live=False, seen_s=5.0)
    assert presence.lost(party_of({3: account}), 5 + 24 * 3600) == set()
    assert presence.lost(party_of({3: account}), 5 + 25 * 3600) == {3}


def test_the_roll_has_another_revision_whenever_somebody_turns_online_or_offline() -> None:
    presence = Presence(started_s=0, beat_s=10, grace_s=60, idle_s=600)
    revisions = [presence.roll(7).revision]

    def turn() -> bool:
        revisions.append(presence.roll(7).revision)
        return revisions[-1] != revisions[-2]

    presence.expect(7, 0)
    presence.come(7, 0)
    assert turn()
    presence.beat(7, 0, 5)
    assert not turn()
    presence.go(7, 0, 20)
    assert not turn()
    presence.fade(7, 35)
    assert turn()
    presence.beat(7, 1, 40)
    assert turn()
    presence.forget(7, [0])
    assert not turn()


def test_nothing_is_kept_of_a_party_whose_people_have_all_left() -> None:
    presence = Presence(started_s=0, beat_s=10, grace_s=60, idle_s=600)
    for one in range(3):
        presence.expect(7, one)
        presence.come(7, one)
    presence.forget(7, [0, 1, 2])
    assert not presence._rolls
    assert presence.online_count == 0

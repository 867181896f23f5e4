"""Bugs that a manager might have, each with a program that shows it. Planted in the manager's own classes."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Set
from typing import Any

import msgspec
import pytest

from manager import api, events, rules
from manager.announcements import Said
from manager.attendance import Attendance, Seat
from manager.audience import Audience
from manager.callers import Callers
from manager.parties import Parties
from manager.party import Event, LeaderPromoted, Left, Participant, ParticipantUpdated, Party
from manager.presence import Presence
from tests.live.model_managers import LIMITS, Clocks
from tests.live.model_steps import (
    HOUR_S,
    Beat,
    Create,
    Hush,
    Join,
    Listen,
    Look,
    Pass,
    Remove,
    Restart,
    Say,
    Step,
    StepClock,
    Together,
    UpdateParticipant,
    UpdateParty,
)

Plant = Callable[[pytest.MonkeyPatch], None]


def takes_the_snapshot_before_listening(patch: pytest.MonkeyPatch) -> None:
    begin = Audience._begin

    def begin_late(self: Audience) -> None:
        party = self._party

        def with_what_was_seen_before() -> None:
            now, self._party = self._party, party
            begin(self)
            self._party = now

        asyncio.get_running_loop().call_later(0.02, with_what_was_seen_before)

    patch.setattr(Audience, "_begin", begin_late)


def lets_the_end_of_an_old_stream_take_the_new_one_offline(patch: pytest.MonkeyPatch) -> None:
    go = Presence.go

    def go_altogether(self: Presence, party_id: int, participant_id: int, now_s: float) -> bool:
        presence = self.roll(party_id)._presences.get(participant_id)
        if presence is not None:
            presence.streams = 1
        return go(self, party_id, participant_id, now_s)

    patch.setattr(Presence, "go", go_altogether)


def promotes_nobody(patch: pytest.MonkeyPatch) -> None:
    go = rules._go

    def go_without(*args: Any) -> list[Event]:
        return [event for event in go(*args) if not isinstance(event, LeaderPromoted)]

    patch.setattr(rules, "_go", go_without)


def promotes_those_who_are_offline(patch: pytest.MonkeyPatch) -> None:
    go = rules._go

    def go_blindly(party: Party, leavers: Collection[int], reason: Any, _: Collection[int]) -> list[Event]:
        return go(party, leavers, reason, ())

    patch.setattr(rules, "_go", go_blindly)


def gives_half_the_grace(patch: pytest.MonkeyPatch) -> None:
    init = Presence.__init__

    def init_hasty(self: Presence, **periods: float) -> None:
        init(self, **{**periods, "grace_s": periods["grace_s"] / 2})

    patch.setattr(Presence, "__init__", init_hasty)


def counts_restarts_as_being_away(patch: pytest.MonkeyPatch) -> None:
    init = Presence.__init__

    def init_long_ago(self: Presence, **periods: float) -> None:
        init(self, **{**periods, "started_s": periods["started_s"] - periods["grace_s"]})

    patch.setattr(Presence, "__init__", init_long_ago)


def measures_periods_by_the_clock_on_the_wall(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Clocks, "running_s", property(lambda its: its.wall.timestamp(), lambda *_: None))


def forgets_who_was_live(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rules, "go_live", lambda *_: [])


def forgets_heartbeats_under_a_stream(patch: pytest.MonkeyPatch) -> None:
    """A bug that was there: whoever had a heartbeat and then a stream stayed online for ever."""

    def go(self: Attendance, seat: Seat) -> None:
        now_s = self._running_s()
        if self.presence.go(seat.party_id, seat.participant_id, now_s):
            self._announce(seat.party_id, seat.participant_id, online=False)
            self._deadlines.advance(seat.code, now_s + self.presence.grace_s, now_s)

    patch.setattr(Attendance, "go", go)


def waits_to_be_asked(patch: pytest.MonkeyPatch) -> None:
    async def keep(_: Attendance) -> None:
        await asyncio.Event().wait()

    patch.setattr(Attendance, "keep", keep)


def shows_who_is_lost(patch: pytest.MonkeyPatch) -> None:
    waits_to_be_asked(patch)
    patch.setattr(Attendance, "is_due", lambda *_: False)


def removes_who_came_back(patch: pytest.MonkeyPatch) -> None:
    out_s = Presence._out_s

    def out_once_lost_s(self: Presence, party_id: int, one: Participant) -> float:
        presence = self.roll(party_id)._presences.get(one.id)
        if presence is None or presence.lost_s == float("-inf"):
            return out_s(self, party_id, one)
        return presence.lost_s + self.grace_s

    patch.setattr(Presence, "_out_s", out_once_lost_s)


def forgets_the_calls_of_plain_phones(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rules, "notice", lambda *_, **__: [])


def keeps_presence_to_itself(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Attendance, "_announce", lambda *_, **__: None)


def says_things_twice(patch: pytest.MonkeyPatch) -> None:
    told = events.told

    def told_twice(announcement: Any, online: Set[int]) -> Iterator[bytes]:
        yield from told(announcement, online)
        if isinstance(announcement, Said):
            yield from told(announcement, online)

    patch.setattr(events, "told", told_twice)


def keeps_updates_of_participants_to_itself(patch: pytest.MonkeyPatch) -> None:
    view = events._view

    def view_of_others(event: Event, *more: Any) -> Any:
        return None if isinstance(event, ParticipantUpdated) else view(event, *more)

    patch.setattr(events, "_view", view_of_others)


def overbooks(patch: pytest.MonkeyPatch) -> None:
    join = rules.join

    def join_always(party: Party, **more: Any) -> list[Event]:
        return join(msgspec.structs.replace(party, capacity=1000), **more)

    patch.setattr(rules, "join", join_always)


def lets_the_banned_back_in(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rules, "ban", lambda _, participant_id, **__: [Left(participant_id, "kicked")])


def leaves_devices_where_they_were(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Parties, "_move_out", lambda *_: [])


def believes_tokens_of_those_who_left(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Callers, "participant", lambda self, party, token: self._named(party, token))


def tags_answers_with_an_old_version(patch: pytest.MonkeyPatch) -> None:
    versioned = api._versioned
    patch.setattr(
        api, "_versioned", lambda party: versioned(msgspec.structs.replace(party, version=party.version - 1 or 1))
    )


def changes_what_has_changed_meanwhile(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(api, "_versions", lambda _: None)


def opens_any_number_of_streams(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(LIMITS, "streams_per_device", 1000)


def shows_out_before_saying_why(patch: pytest.MonkeyPatch) -> None:
    def show_out(self: Audience, participants: Collection[int], reason: str) -> None:
        for stream in [stream for one in participants for stream in self._of.get(one, ())]:
            stream.end(1000, reason)

    patch.setattr(Audience, "_show_out", show_out)


_UPDATES = tuple(UpdateParticipant(0, {"attributes": {"n": n}}) for n in (1, 2))

BUGS: dict[Plant, list[Step]] = {
    takes_the_snapshot_before_listening: [
        Create(0),
        Join(1, 0),
        Listen(0),
        Together((Listen(1), *_UPDATES), (0, 4, 8)),
    ],
    lets_the_end_of_an_old_stream_take_the_new_one_offline: [Create(0), Listen(0), Listen(0), Hush(0, "oldest")],
    promotes_nobody: [Create(0), Join(1, 0), Remove(0, 0)],
    promotes_those_who_are_offline: [Create(0), Join(1, 0), Join(2, 0), Listen(2), Remove(0, 0)],
    gives_half_the_grace: [Create(0), Join(1, 0), Listen(1), Hush(1), Pass(35)],
    counts_restarts_as_being_away: [Create(0), Listen(0), Restart(), Pass(1)],
    measures_periods_by_the_clock_on_the_wall: [Create(0), Join(1, 0), Beat(0), Listen(1), StepClock(HOUR_S)],
    forgets_who_was_live: [Create(0), Listen(0), Restart("from the disk"), Pass(61)],
    forgets_heartbeats_under_a_stream: [
        *(Create(0), Join(1, 0), Beat(1), Pass(25), Beat(0), Listen(0), Pass(10)),  # which settles the party
        *(Hush(0), Pass(35)),
    ],
    waits_to_be_asked: [Create(0), Join(1, 0), Listen(0), Beat(1), Pass(95, unasked=True)],
    shows_who_is_lost: [Create(0), Join(1, 0), Listen(0), Beat(1), Pass(95)],
    removes_who_came_back: [Create(0), Join(1, 0), Listen(0), Listen(1), Hush(1), Listen(1), Pass(61)],
    forgets_the_calls_of_plain_phones: [Create(0), Pass(7 * HOUR_S), Look(0), *[Pass(7 * HOUR_S)] * 3],
    keeps_presence_to_itself: [Create(0), Join(1, 0), Listen(0), Beat(1)],
    says_things_twice: [Create(0), Listen(0), Say(0)],
    keeps_updates_of_participants_to_itself: [Create(0), Listen(0), UpdateParticipant(0, {"participant_name": "a"})],
    overbooks: [Create(0, capacity=1), Join(1, 0)],
    lets_the_banned_back_in: [Create(0), Join(1, 0), Remove(0, 1, ban=True), Join(1, 0)],
    leaves_devices_where_they_were: [Create(0), Join(1, 0), Create(1)],
    believes_tokens_of_those_who_left: [Create(0), Join(1, 0), Remove(1, 1), Say(1)],
    tags_answers_with_an_old_version: [Create(0), Join(1, 0), Look(0)],
    changes_what_has_changed_meanwhile: [Create(0), UpdateParty(0, {"name": "a"}, "stale")],
    opens_any_number_of_streams: [Create(0), Listen(0), Listen(0), Listen(0)],
    shows_out_before_saying_why: [Create(0), Join(1, 0), Listen(1), Remove(0, 1)],
}
"""Each with a short program that shows it, and that a sound manager plays without fault."""

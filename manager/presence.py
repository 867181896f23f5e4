"""Who is connected, and who has been away for how long. In memory only: after a restart nobody is, for a while."""

from collections.abc import Collection, Set

from manager.party import Participant, Party

MISSED_BEATS = 3
"""Someone is offline who has missed this many beats."""

# A plain client's calls are kept this many times within the idle expiry, so they may stay that much longer.
NOTICES = 24

_NEVER_S = float("-inf")
_FOREVER_S = float("inf")


class Roll:
    """Who of one party is online. `revision` counts the changes of that."""

    __slots__ = ("_presences", "online", "revision")

    def __init__(self) -> None:
        self.online: set[int] = set()
        self.revision = 0
        self._presences: dict[int, _Presence] = {}


class _Presence:
    __slots__ = ("beat_until_s", "lost_s", "streams")

    def __init__(self) -> None:
        self.streams = 0  # those that are about to open count too: nobody is lost while they come
        self.beat_until_s = _NEVER_S
        self.lost_s = _NEVER_S  # when they were last online


NOBODY = Roll()
"""The roll of a party in which nobody has been live since the start."""


class Presence:
    """The rolls of all parties, by party id. All times are in seconds of the manager's running time.

    `missed_s` is how long a heartbeat holds, `grace_s` how long somebody offline keeps their seat, `notice_ms` how
    often a plain client's calls are kept.
    """

    def __init__(self, *, started_s: float, beat_s: float, grace_s: float, idle_s: float) -> None:
        self._started_s = started_s
        self.missed_s = beat_s * MISSED_BEATS
        self.grace_s = grace_s
        self._idle_s = idle_s * (1 + 1 / NOTICES)
        self.notice_ms = int(idle_s * 1000 / NOTICES)
        self._rolls: dict[int, Roll] = {}
        self.online_count = 0

    def roll(self, party_id: int) -> Roll:
        """Who of the party is online."""
        return self._rolls.get(party_id, NOBODY)

    def expect(self, party_id: int, participant_id: int) -> None:
        """A stream of theirs is about to open: they aren't lost while it does."""
        self._presence(party_id, participant_id).streams += 1

    def come(self, party_id: int, participant_id: int) -> bool:
        """The stream that was expected is open. Returns whether they weren't online before."""
        return self._turn_online(party_id, participant_id)

    def beat(self, party_id: int, participant_id: int, now_s: float) -> bool:
        """They have sent a heartbeat. Returns whether they weren't online before."""
        self._presence(party_id, participant_id).beat_until_s = now_s + self.missed_s
        return self._turn_online(party_id, participant_id)

    def go(self, party_id: int, participant_id: int, now_s: float) -> bool:
        """A stream of theirs has ended, or didn't open. Returns whether they were online and no longer are."""
        roll = self._rolls.get(party_id)
        presence = None if roll is None else roll._presences.get(participant_id)
        if roll is None or presence is None:  # they have left the party meanwhile
            return False
        presence.streams -= 1
        if presence.streams or presence.beat_until_s > now_s or participant_id not in roll.online:
            return False
        self._turn_offline(roll, participant_id, now_s)
        return True

    def fade(self, party_id: int, now_s: float) -> list[int]:
        """Who was online by heartbeats alone and has missed three by now."""
        roll = self._rolls.get(party_id)
        if roll is None:
            return []
        presences = roll._presences
        faded = [
            one for one in sorted(roll.online) if not presences[one].streams and presences[one].beat_until_s <= now_s
        ]
        for one in faded:
            self._turn_offline(roll, one, presences[one].beat_until_s)
        return faded

    def forget(self, party_id: int, participants: Collection[int]) -> None:
        """They are no longer in the party."""
        roll = self._rolls.get(party_id)
        if roll is None:
            return
        for participant_id in participants:
            roll._presences.pop(participant_id, None)
            if participant_id in roll.online:
                roll.online.discard(participant_id)
                roll.revision += 1
                self.online_count -= 1
        if not roll._presences:
            del self._rolls[party_id]

    def lost(self, party: Party, now_s: float) -> Set[int]:
        """Who of the party has been away for too long."""
        return {one.id for one in party.participants if self._out_s(party.id, one) <= now_s}

    def next_s(self, party: Party) -> float:
        """When the next of them turns offline or is lost, if nobody does anything; infinity for never."""
        if party.id in self._rolls:
            return min(self.next_of(party.id, one) for one in party.participants)
        return min(self._out_unseen_s(one) for one in party.participants)

    def next_of(self, party_id: int, one: Participant) -> float:
        """When this participant turns offline or is lost, if nobody does anything."""
        roll = self.roll(party_id)
        presence = roll._presences.get(one.id)
        if presence is not None and one.id in roll.online:
            return _FOREVER_S if presence.streams else presence.beat_until_s
        return self._out_s(party_id, one)

    def _out_s(self, party_id: int, one: Participant) -> float:
        roll = self.roll(party_id)
        presence = roll._presences.get(one.id)
        if presence is not None:
            if presence.streams or one.id in roll.online:
                return _FOREVER_S
            if presence.lost_s != _NEVER_S:
                return presence.lost_s + self.grace_s
        return self._out_unseen_s(one)

    def _out_unseen_s(self, one: Participant) -> float:
        """Of somebody who hasn't been online since the start."""
        return self._started_s + self.grace_s if one.is_live else one.seen_ms / 1000 + self._idle_s

    def _presence(self, party_id: int, participant_id: int) -> _Presence:
        roll = self._rolls.get(party_id)
        if roll is None:
            roll = self._rolls[party_id] = Roll()
        presence = roll._presences.get(participant_id)
        if presence is None:
            presence = roll._presences[participant_id] = _Presence()
        return presence

    def _turn_online(self, party_id: int, participant_id: int) -> bool:
        roll = self._rolls.get(party_id)
        if roll is None or participant_id not in roll._presences or participant_id in roll.online:
            return False
        roll.online.add(participant_id)
        roll.revision += 1
        self.online_count += 1
        return True

    def _turn_offline(self, roll: Roll, participant_id: int, lost_s: float) -> None:
        roll._presences[participant_id].lost_s = lost_s
        roll.online.discard(participant_id)
        roll.revision += 1
        self.online_count -= 1

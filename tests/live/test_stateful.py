"""Phones, time and restarts at random, over REST and streams at once: all tell one story, and a model tells it too."""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.live import model_player, streams
from tests.live.model_answers import Ticket
from tests.live.model_bugs import (
    BUGS,
    Plant,
    keeps_presence_to_itself,
    lets_the_end_of_an_old_stream_take_the_new_one_offline,
    promotes_nobody,
)
from tests.live.model_checks import Glance, Log, check_alike, check_events, check_farewell, check_glance, check_said
from tests.live.model_managers import Clocks, Killed, OwnClocks
from tests.live.model_player import Player
from tests.live.model_steps import Step, programs, programs_with_kills
from tests.live.streams import Event, View, apply, view_of

ALWAYS_THE_SAME = settings(
    max_examples=60, deadline=None, derandomize=True, print_blob=False, suppress_health_check=list(HealthCheck)
)
UNTIL_CAUGHT = settings(ALWAYS_THE_SAME, max_examples=100, phases=[Phase.generate])
CAUGHT = (AssertionError, TimeoutError, ExceptionGroup)
"""How a planted bug shows: something is wrong, or doesn't come; in a group where calls were made together."""


def play(program: Sequence[Step]) -> None:
    """Plays it against a new manager with clocks of ours."""
    clocks = Clocks()
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        runner.run(Player(OwnClocks(Path(folder), clocks), clocks).play(program))


@ALWAYS_THE_SAME
@given(programs())
def test_at_every_point_streams_and_answers_tell_what_must_be(program: list[Step]) -> None:
    play(program)


@settings(ALWAYS_THE_SAME, max_examples=4, phases=[Phase.generate])
@given(programs_with_kills())
def test_kill_9_costs_streams_but_nothing_that_was_told(program: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        runner.run(Player(Killed(Path(folder)), clocks=None).play(program))


@pytest.mark.parametrize("program", BUGS.values(), ids=[plant.__name__ for plant in BUGS])
def test_a_sound_manager_plays_the_programs_that_show_bugs(program: list[Step]) -> None:
    play(program)


@pytest.mark.parametrize(("plant", "program"), BUGS.items(), ids=[plant.__name__ for plant in BUGS])
def test_a_planted_bug_is_caught(plant: Plant, program: list[Step], monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)
    plant(monkeypatch)
    with pytest.raises(CAUGHT):
        play(program)


@pytest.mark.parametrize(
    "plant",
    [
        lets_the_end_of_an_old_stream_take_the_new_one_offline,
        promotes_nobody,
        keeps_presence_to_itself,
    ],
)
def test_random_programs_catch_a_planted_bug(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch)
    plant(monkeypatch)
    caught: list[Exception] = []

    @UNTIL_CAUGHT
    @given(programs())
    def search(program: list[Step]) -> None:
        if not caught:
            try:
                play(program)
            except CAUGHT as error:
                caught.append(error)

    search()
    assert caught


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What doesn't come within two seconds never does."""
    monkeypatch.setattr(model_player, "PATIENCE_S", 2.0)
    monkeypatch.setattr(streams, "PATIENCE_S", 2.0)


def one(participant_id: int, **more: Any) -> dict[str, Any]:
    """A participant as a snapshot shows them; the first leads."""
    fixed = {"participant_name": None, "joined_at": "", "attributes": None}
    return {"participant_id": participant_id, "is_leader": participant_id == 0, "online": True, **fixed, **more}


SNAPSHOT: Event = {
    "type": "snapshot",
    "seq": 2,
    "at": "now",
    "party": {"version": 2, "leader_id": 0, "participant_count": 2, "capacity": 2},
    "participants": [one(0), one(1)],
}
SAID: Event = {"type": "message", "at": "now", "participant_id": 0, "body": {}}
LEFT: Event = {"type": "participant_left", "seq": 3, "at": "now", "participant_id": 1, "reason": "left"}
PROMOTED: Event = {"type": "leader_promoted", "seq": 4, "at": "now", "participant_id": 1}


def log_of(*events: Event, phone: int = 0) -> Log:
    """Of somebody who has listened since before the step."""
    log = newcomer(phone=phone)
    log.begin_step()
    for event in events:
        log.write(event, apply(log.seen[-1], event))
    return log


def newcomer(*events: Event, phone: int = 0) -> Log:
    """Of somebody who began to listen in this step."""
    log = Log(phone, Ticket("200000000", phone, ""))
    log.write(SNAPSHOT, view_of(SNAPSHOT))
    for event in events:
        log.write(event, apply(log.seen[-1], event))
    return log


def test_sound_logs_pass_all_checks() -> None:
    check_alike([log_of(SAID, LEFT), log_of(SAID, LEFT), newcomer(SAID, LEFT)])
    check_events(log_of(SAID, LEFT), ["now"])
    check_said(log_of(SAID, LEFT), [(0, {})])
    check_farewell(log_of(SAID, LEFT, phone=1), 1000)
    check_glance(Glance("200000000", SNAPSHOT["party"], SNAPSHOT["participants"]), [log_of(SAID, LEFT)])


@pytest.mark.parametrize(
    ("check", "arguments"),
    [
        (check_alike, [[log_of(SAID, LEFT), log_of(LEFT)]]),
        (check_alike, [[log_of(SAID, LEFT), newcomer(SAID)]]),
        (check_alike, [[log_of(LEFT), newcomer(LEFT, SAID)]]),
        (check_events, [log_of(SAID), ["later"]]),
        (check_events, [log_of({**PROMOTED, "seq": 3}, {**LEFT, "seq": 4}), ["now"]]),
        (check_events, [log_of({**LEFT, "participant_id": 0}), ["now"]]),
        (check_said, [log_of(SAID, SAID), [(0, {})]]),
        (check_said, [log_of(), [(0, {})]]),
        (check_farewell, [log_of(LEFT, phone=1), 1006]),
        (check_farewell, [log_of(LEFT, phone=0), 1000]),
        (check_farewell, [log_of(LEFT, SAID, phone=1), 1000]),
        (
            check_glance,
            [Glance("200000000", {**SNAPSHOT["party"], "version": 3}, SNAPSHOT["participants"]), [log_of()]],
        ),
        (check_glance, [Glance("200000000", SNAPSHOT["party"], [one(0)]), [log_of()]]),
        (check_glance, [Glance("200000000", SNAPSHOT["party"], [one(1)]), []]),
    ],
)
def test_each_check_sees_what_is_wrong(check: Callable[..., None], arguments: list[Any]) -> None:
    with pytest.raises(AssertionError):
        check(*arguments)


def test_a_log_takes_nobody_as_lost_who_is_online() -> None:
    with pytest.raises(AssertionError, match="online and removed"):
        log_of({**LEFT, "reason": "lost"})


def test_a_party_over_its_capacity_is_seen() -> None:
    snapshot = {**SNAPSHOT, "party": {**SNAPSHOT["party"], "capacity": 1}}
    log = Log(0, Ticket("200000000", 0, ""))
    log.write(snapshot, View(snapshot["party"], snapshot["participants"]))
    with pytest.raises(AssertionError):
        check_events(log, ["now"])

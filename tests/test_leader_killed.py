"""The host's phone dies: the party goes on under another leader, on real processes and without anybody asking."""

import contextlib
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.live.streams import NO_WORD, Stream, listening, listening_by_sse
from tests.manager.asking import create, join, seats
from tests.processes import Service, running_manager

BEAT_S, GRACE_S = 0.4, 1.5
REPLACED_S = 2.0
"""How much later than the grace period's end a lost leader may be replaced."""

ARGUMENTS = ("--beat-s", str(BEAT_S), "--grace-s", str(GRACE_S))


@contextlib.contextmanager
def lone_listener(port: int, seat: Any) -> Iterator[Service]:
    """A client process that listens and answers pings, and nothing else."""
    client = Service("tests.live.lone_listener", (str(port), seat["party_code"]), {"LISTENER_TOKEN": seat["token"]})
    try:
        client.wait_for_line("snapshot")
        yield client
    finally:
        client.close()


@asynccontextmanager
async def party_led_from_afar(port: int) -> AsyncIterator[tuple[Service, list[Stream]]]:
    """Ann leads from a process of her own; Bob never was online; Cid and Dan listen, over one transport each."""
    ann = await create(port, "ann")
    code = ann["party_code"]
    _, cid, dan = [await join(port, code, name) for name in ("bob", "cid", "dan")]
    with lone_listener(port, ann) as leader:
        async with listening(port, code, cid["token"]) as cid_s, listening_by_sse(port, code, dan["token"]) as dan_s:
            for stream in (cid_s, dan_s):
                await stream.next()
            await cid_s.until("presence", participant_id=3, online=True)
            yield leader, [cid_s, dan_s]


async def see_the_leader_replaced(streams: list[Stream]) -> None:
    """Everybody is told that Ann is lost and that Cid leads, who of those online has been there longest."""
    for stream in streams:
        left = await stream.until("participant_left")
        assert (left["participant_id"], left["reason"]) == (0, "lost")
        promoted = await stream.next()
        assert (promoted["type"], promoted["participant_id"]) == ("leader_promoted", 2)
        assert promoted["seq"] == left["seq"] + 1


async def test_a_leader_whose_process_is_killed_is_replaced_within_grace_and_two_seconds(tmp_path: Path) -> None:
    with running_manager(tmp_path / "m.db", *ARGUMENTS) as service:
        async with party_led_from_afar(service.port) as (leader, streams):
            killed_s = time.monotonic()
            leader.kill()
            await streams[0].until("presence", participant_id=0, online=False)
            await see_the_leader_replaced(streams)
            took_s = time.monotonic() - killed_s
            assert GRACE_S <= took_s < GRACE_S + REPLACED_S
            assert streams[0].view == streams[1].view
        assert service.end() == 0
        assert service.stderr() == ""


async def test_a_leader_whose_process_is_stopped_is_replaced_three_beats_later_than_that(tmp_path: Path) -> None:
    """Its system goes on acknowledging what it is sent: only the pings that nobody answers tell."""
    with running_manager(tmp_path / "m.db", *ARGUMENTS) as service:
        async with party_led_from_afar(service.port) as (leader, streams):
            stopped_s = time.monotonic()
            leader.signal(signal.SIGSTOP)
            await see_the_leader_replaced(streams)
            took_s = time.monotonic() - stopped_s
            assert GRACE_S + 2 * BEAT_S < took_s < GRACE_S + 3 * BEAT_S + REPLACED_S


async def test_a_manager_that_is_killed_too_gives_everybody_a_grace_period_from_its_start(tmp_path: Path) -> None:
    with running_manager(tmp_path / "m.db", *ARGUMENTS) as service:
        ann = await create(service.port, "ann")
        code = ann["party_code"]
        bob, cid, dan = [await join(service.port, code, name) for name in ("bob", "cid", "dan")]
        with lone_listener(service.port, ann) as leader:
            bob_s, cid_s = [listening(service.port, code, one["token"]) for one in (bob, cid)]
            async with bob_s as stream, cid_s:
                await stream.until("presence", participant_id=2, online=True)
                service.kill()
                assert await stream.end() == NO_WORD
            leader.kill()
    started_s = time.monotonic()
    with running_manager(tmp_path / "m.db", *ARGUMENTS) as service:
        listening_s = time.monotonic()
        assert await seats(service.port, code) == [
            (0, None, True),
            (1, None, False),
            (2, None, False),
            (3, None, False),
        ]
        async with listening(service.port, code, cid["token"]) as stream:
            assert [one["online"] for one in (await stream.next())["participants"]] == [False, False, True, False]
            assert (await stream.next())["participant_id"] == 1, "Bob, who doesn't come back, is lost first"
            lost_s = time.monotonic()
            assert (await stream.next())["participant_id"] == 0
            assert (await stream.next())["type"] == "leader_promoted"
            assert lost_s >= started_s + GRACE_S
            assert lost_s < listening_s + GRACE_S + REPLACED_S
            assert await seats(service.port, code) == [(2, None, True), (3, None, False)]
            assert dan["participant_id"] == 3, "who was never online, so nobody waits for her"

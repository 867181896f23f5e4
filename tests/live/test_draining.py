"""Stopping a manager: every listener is told to go elsewhere, and nobody can hold it up."""

import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from manager import stream
from tests.live.raw import connected, with_token
from tests.live.streams import TRANSPORTS, listening
from tests.manager.asking import create, join, managing, seats
from tests.processes import running_manager
from tests.talking import ask


async def test_sigterm_ends_all_streams_with_1001_after_all_that_happened_was_told(tmp_path: Path) -> None:
    with running_manager(tmp_path / "m.db", "--rate-limits", "off") as service:
        async with AsyncExitStack() as stack:
            streams = []
            for number in range(10):
                ann = await create(service.port, f"ann{number}")
                for listen in TRANSPORTS.values():
                    opening = listen(service.port, ann["party_code"], ann["token"])
                    streams.append(await stack.enter_async_context(opening))
                    await streams[-1].next()
                await join(service.port, ann["party_code"], f"bob{number}")
            service.signal(signal.SIGTERM)
            for one in streams:
                assert [event["type"] for event in await one.rest()][-1] == "participant_joined"
                assert (await one.end(), one.reason) == (1001, "draining")
            assert service.wait() == 0
        assert service.stderr() == ""


async def test_while_it_is_a_lame_duck_streams_go_on_and_new_ones_begin(tmp_path: Path) -> None:
    with running_manager(tmp_path / "m.db", "--lame-duck-s", "60") as service:
        ann = await create(service.port, "ann")
        async with listening(service.port, ann["party_code"], ann["token"]) as old:
            await old.next()
            service.signal(signal.SIGTERM)
            service.wait_for("lame duck")
            async with listening(service.port, ann["party_code"], ann["token"]) as new:
                await new.next()
                await join(service.port, ann["party_code"], "bob")
                await old.until("participant_joined")
                await new.until("participant_joined")
                service.signal(signal.SIGTERM)
                assert await old.end() == await new.end() == 1001
        assert service.wait() == 0


async def test_a_listener_who_takes_no_leave_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "FAREWELL_S", 0.2)
    async with AsyncExitStack() as stack:
        async with managing(tmp_path / "m.db") as port:
            ann = await create(port, "ann")
            mute = await stack.enter_async_context(connected(port, ann["party_code"], with_token(ann["token"])))
        with pytest.raises(ConnectionError):
            await ask(port, "GET", "/livez")
        assert (await mute.frames())[-1].payload.startswith((1001).to_bytes(2, "big"))


async def test_nobody_is_lost_while_the_manager_waits_for_its_listeners_to_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "FAREWELL_S", 1.0)
    async with AsyncExitStack() as stack, managing(tmp_path / "m.db", grace_s=0.0) as port:
        ann = await create(port, "ann")
        bob = await join(port, ann["party_code"], "bob")
        polite = await stack.enter_async_context(listening(port, ann["party_code"], bob["token"]))
        await polite.next()
        mute = await stack.enter_async_context(connected(port, ann["party_code"], with_token(ann["token"])))
        await mute.frame()
    async with managing(tmp_path / "m.db") as port:
        assert [one for one, _, _ in await seats(port, ann["party_code"])] == [0, 1]

"""The beat: who answers stays, who owes three answers is cut, and what wakes from sleep takes nobody for silent."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.live.raw import FIN, PING, PONG, TEXT, Frame, client_frame, connected, with_token
from tests.live.streams import NO_WORD, TRANSPORTS, Listen, listening, listening_by_sse
from tests.manager.asking import create, join, managing
from tests.processes import running_manager
from tests.talking import ask

BEAT_S = 0.1


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    async with managing(tmp_path / "manager.db", beat_s=BEAT_S, grace_s=600) as its_port:
        yield its_port


async def test_who_answers_no_ping_is_cut_after_three_beats_and_offline_then(port: int) -> None:
    ann = await create(port, "ann")
    bob = await join(port, ann["party_code"], "bob")
    async with listening(port, ann["party_code"], ann["token"]) as other:
        await other.next()
        async with connected(port, ann["party_code"], with_token(bob["token"])) as mute:
            began_s = time.monotonic()
            frames = await mute.frames()
            lasted_s = time.monotonic() - began_s
            assert frames.count(Frame(FIN | PING, b"")) == 3
            assert lasted_s > 3 * BEAT_S
            await other.until("presence", participant_id=1, online=False)


@pytest.mark.parametrize(
    "sign", [client_frame(PONG), client_frame(PING), client_frame(TEXT, b"x")], ids=["pong", "ping", "text"]
)
async def test_any_sign_of_life_keeps_a_stream_open(port: int, sign: bytes) -> None:
    ann = await create(port, "ann")
    async with connected(port, ann["party_code"], with_token(ann["token"])) as raw:
        for _ in range(8):
            await raw.until(PING)
            await raw.send(sign)
        await join(port, ann["party_code"], "bob")
        await raw.until(TEXT)


async def test_two_beats_owed_are_forgiven(port: int) -> None:
    ann = await create(port, "ann")
    async with connected(port, ann["party_code"], with_token(ann["token"])) as raw:
        for number in range(9):
            await raw.until(PING)
            if number % 3 == 2:
                await raw.send(client_frame(PONG))


@pytest.mark.parametrize("listen", TRANSPORTS.values(), ids=TRANSPORTS)
async def test_who_drops_the_connection_is_offline_at_once(port: int, listen: Listen) -> None:
    ann = await create(port, "ann")
    bob = await join(port, ann["party_code"], "bob")
    async with listening(port, ann["party_code"], ann["token"]) as other:
        for _ in range(3):
            async with listen(port, ann["party_code"], bob["token"]) as stream:
                await stream.next()
                await other.until("presence", participant_id=1, online=True)
                stream.abort()
                await other.until("presence", participant_id=1, online=False)
                assert await stream.end() == NO_WORD


async def test_heartbeats_are_presence_too_and_run_out(port: int) -> None:
    ann = await create(port, "ann")
    code = ann["party_code"]
    bob = await join(port, code, "bob")
    async with listening(port, code, ann["token"]) as other:
        began_s = time.monotonic()
        beat = await ask(port, "POST", f"/parties/{code}/participants/1/heartbeat", token=bob["token"])
        assert (beat.status, beat.body) == (204, b"")
        await other.until("presence", participant_id=1, online=True)
        await other.until("presence", participant_id=1, online=False)
        assert time.monotonic() - began_s > 3 * BEAT_S


async def test_a_manager_that_was_stopped_takes_nobody_for_silent(tmp_path: Path) -> None:
    """For longer than three beats and the grace period, with a listener over each transport and one who sends beats."""
    beat_s, grace_s, stopped_s = 0.5, 0.5, 2.5
    arguments = ("--beat-s", str(beat_s), "--grace-s", str(grace_s), "--rate-limits", "off")
    with running_manager(tmp_path / "m.db", *arguments) as service:
        port = service.port
        ann = await create(port, "ann")
        code = ann["party_code"]
        bob, cid = await join(port, code, "bob"), await join(port, code, "cid")
        async with listening(port, code, ann["token"]) as others, listening_by_sse(port, code, bob["token"]):
            beating = asyncio.create_task(keep_beating(port, code, cid["token"]))
            await others.until("presence", participant_id=2, online=True)
            os.kill(service.id, signal.SIGSTOP)
            await asyncio.wait({beating}, timeout=stopped_s)
            os.kill(service.id, signal.SIGCONT)
            await join(port, code, "dan")
            await others.until("participant_joined", seq=4)
            assert [one["online"] for one in others.view.participants] == [True, True, True, False]
            beating.cancel()


async def keep_beating(port: int, code: str, token: str) -> None:
    while True:
        beat = await ask(port, "POST", f"/parties/{code}/participants/2/heartbeat", token=token)
        assert beat.status == 204
        await asyncio.sleep(0.1)

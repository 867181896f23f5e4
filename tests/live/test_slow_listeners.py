"""Listeners who stop reading: dropped with 1013, never waited for, and no more is kept for them than is bounded."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.live.raw import CLOSE, TEXT, RawSocket, connected, with_token
from tests.live.streams import TRANSPORTS, listening
from tests.manager.asking import create, join
from tests.processes import Service, running_manager
from tests.talking import Wire, request_bytes

TALKERS = 8
READ_AHEAD = 8192
BODY = "x" * 4000
ENOUGH = 1600
"""So many messages that no system's buffers hold them: Linux gives a socket's sender 4 MiB at most by default."""


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


HEADERS = {"websocket": with_token, "sse": bearer}


async def talk(port: int, seat: Any, count: int) -> None:
    """So many numbered messages of some 4 KB, each acknowledged before the next."""
    async with await Wire.to(port) as wire:
        for number in range(count):
            body = json.dumps({"body": {"n": number, "x": BODY}}).encode()
            headers = {"Authorization": f"Bearer {seat['token']}"}
            await wire.send(
                request_bytes("POST", f"/parties/{seat['party_code']}/messages", body=body, headers=headers)
            )
            assert (await wire.reply()).status == 202


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    with running_manager(tmp_path / "m.db", "--rate-limits", "off") as its:
        yield its


async def websocket_rest(raw: RawSocket) -> tuple[list[Any], int]:
    """The events that still come, and the close code."""
    events = []
    while (frame := await raw.frame()).head & 0xF != CLOSE:
        if frame.head & 0xF == TEXT:
            events.append(json.loads(frame.payload))
    return events, int.from_bytes(frame.payload[:2], "big")


async def sse_rest(raw: RawSocket) -> tuple[list[Any], int]:
    lines = []
    while line := await raw.line():
        lines.append(line)
    *texts, farewell = [json.loads(line.removeprefix(b"data: ")) for line in lines if line.startswith(b"data: ")]
    assert b"event: close\n" in lines
    return texts, farewell["code"]


REST = {"websocket": websocket_rest, "sse": sse_rest}


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_listener_who_stops_reading_is_dropped_and_the_others_hear_everything(
    service: Service, transport: str
) -> None:
    ann = await create(service.port, "ann")
    code = ann["party_code"]
    bob = await join(service.port, code, "bob")
    seats = [await join(service.port, code, f"p{number}") for number in range(TALKERS)]
    headers = HEADERS[transport](bob["token"])
    async with listening(service.port, code, ann["token"]) as good:
        async with connected(service.port, code, headers, read_ahead=READ_AHEAD) as slow:
            await good.until("presence", participant_id=1, online=True)
            await asyncio.gather(*(talk(service.port, seat, ENOUGH // TALKERS) for seat in seats))
            heard = [await good.until("message") for _ in range(ENOUGH)]
            late, close_code = await REST[transport](slow)
        await good.until("presence", participant_id=1, online=False)
    assert close_code == 1013
    told = [event for event in late if event["type"] == "message"]
    assert late[0]["type"] == "snapshot"
    assert 0 < len(told) < ENOUGH
    assert told == heard[: len(told)], "up to the end nothing is left out"


async def test_what_waits_for_slow_listeners_is_bounded(service: Service) -> None:
    """Twenty of them are offered 6 MB each."""
    ann = await create(service.port, "ann")
    code = ann["party_code"]
    seats = [await join(service.port, code, f"p{number}") for number in range(TALKERS)]
    async with AsyncExitStack() as stack:
        good = await stack.enter_async_context(listening(service.port, code, ann["token"]))
        for number in range(20):
            headers = HEADERS[list(HEADERS)[number % 2]](seats[number % TALKERS]["token"])
            await stack.enter_async_context(connected(service.port, code, headers, read_ahead=READ_AHEAD))
        await asyncio.gather(*(talk(service.port, seat, 20) for seat in seats))
        before_kib = peak_kib(service)
        await asyncio.gather(*(talk(service.port, seat, ENOUGH // TALKERS) for seat in seats))
        for _ in range(ENOUGH):
            await good.until("message")
        assert peak_kib(service) - before_kib < 20 * 320 + 16_000


def peak_kib(service: Service) -> int:
    """The most memory that it ever had."""
    status = Path(f"/proc/{service.id}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])

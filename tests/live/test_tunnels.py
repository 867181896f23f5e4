"""A phone in a tunnel: its packets are lost, and nobody tells its manager."""

import ctypes
import socket
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.live.streams import TRANSPORTS, Listen, listening
from tests.manager.asking import create, join, managing, seats
from tests.talking import ask

BEAT_S = 0.2
_SO_ATTACH_FILTER = 26  # Linux, asm-generic/socket.h
_DROP = struct.pack("HBBI", 0x06, 0, 0, 0)  # BPF's "return 0": keep nothing of the packet

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's socket filters")


def drive_into_tunnel(connection: socket.socket) -> None:
    """From now on nothing reaches this socket, and it acknowledges nothing."""
    program = ctypes.create_string_buffer(_DROP)
    connection.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(program)))


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    async with managing(tmp_path / "manager.db", beat_s=BEAT_S, grace_s=600) as its_port:
        yield its_port


@pytest.mark.parametrize("listen", TRANSPORTS.values(), ids=TRANSPORTS)
async def test_who_is_in_a_tunnel_goes_offline_and_comes_out_to_seat_lead_and_all_that_happened(
    port: int, listen: Listen
) -> None:
    ann = await create(port, "ann")
    code = ann["party_code"]
    bob = await join(port, code, "bob")
    async with listening(port, code, bob["token"]) as others, listen(port, code, ann["token"]) as lost:
        await lost.next()
        await others.until("presence", participant_id=0, online=True)
        drive_into_tunnel(lost.socket)
        await others.until("presence", participant_id=0, online=False)
        await join(port, code, "cid")
        again = await ask(port, "POST", f"/parties/{code}/participants", body={"device_id": "ann"})
        assert (again.status, again.json()["participant_id"], again.json()["token"]) == (200, 0, ann["token"])
        async with listen(port, code, ann["token"]) as back:
            assert (await back.next())["seq"] == 3
            await others.until("presence", participant_id=0, online=True)
            assert await seats(port, code) == [(0, None, True), (1, None, False), (2, None, False)]
            assert back.view == others.view

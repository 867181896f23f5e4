"""WebSockets frame by frame (RFC 6455): what is taken, what is refused, and that nobody else is hurt by it."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from manager import stream
from tests.live.raw import (
    ACCEPT,
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    PING,
    PONG,
    TEXT,
    Frame,
    RawSocket,
    client_frame,
    close_payload,
    connected,
    with_token,
)
from tests.live.streams import listening
from tests.manager.asking import create, join, managing
from tests.talking import ask

MAX_BYTES = 16 * 1024


@pytest.fixture
async def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(stream, "FAREWELL_S", 0.05)  # which is how long a connection is held that broke the protocol
    async with managing(tmp_path / "manager.db") as its_port:
        yield its_port


@pytest.fixture
async def talk(port: int) -> AsyncIterator[RawSocket]:
    """A WebSocket whose snapshot has been read."""
    ann = await create(port, "ann")
    async with connected(port, ann["party_code"], with_token(ann["token"])) as raw:
        assert json.loads((await raw.until(TEXT)).payload)["type"] == "snapshot"
        yield raw


async def is_alive(raw: RawSocket) -> bool:
    """Whether it is answered."""
    await raw.send(client_frame(PING, b"still there?"))
    return await raw.until(PONG) == Frame(FIN | PONG, b"still there?")


async def close_code(raw: RawSocket) -> int:
    """The code in the close frame, which must be the last that comes."""
    close = await raw.until(CLOSE)
    await raw.send(client_frame(CLOSE, close.payload))
    assert await raw.frames() == []
    return int.from_bytes(close.payload[:2], "big")


async def test_a_handshake_is_answered_as_the_rfc_s_own_example(port: int) -> None:
    ann = await create(port, "ann")
    headers = {**with_token(ann["token"]), "Sec-WebSocket-Extensions": "permessage-deflate", "X-Request-Id": "mine"}
    async with connected(port, ann["party_code"], headers) as raw:
        assert raw.head.status == 101
        assert raw.head.header("sec-websocket-accept") == ACCEPT
        assert raw.head.header("sec-websocket-extensions") is None
        assert raw.head.header("sec-websocket-protocol") is None
        assert raw.head.header("x-request-id") == "mine"
        assert raw.head.header("server") is None
        assert raw.head.header("content-length") is None


async def test_every_event_is_one_whole_text_frame_however_large(port: int) -> None:
    ann = await create(port, "ann", attributes={"x": "é" * 1000})
    code = ann["party_code"]
    for number in range(20):
        seat = await join(port, code, f"p{number}")
        path = f"/parties/{code}/participants/{seat['participant_id']}"
        changed = await ask(port, "PATCH", path, body={"attributes": {"x": "y" * 4000}}, token=seat["token"])
        assert changed.status == 200
    async with connected(port, code, with_token(ann["token"])) as raw:
        head, payload = await raw.frame()
        assert head == FIN | TEXT
        assert len(payload) > 1 << 16
        assert len(json.loads(payload)["participants"]) == 21


@pytest.mark.parametrize("payload", [b"", b"x", bytes(range(125))], ids=len)
async def test_a_ping_is_answered_with_what_it_holds(talk: RawSocket, payload: bytes) -> None:
    await talk.send(client_frame(PING, payload))
    assert await talk.until(PONG) == Frame(FIN | PONG, payload)


async def test_what_a_listener_says_is_taken_up_to_its_bound_and_means_nothing(talk: RawSocket) -> None:
    await talk.send(client_frame(TEXT, b"hello") + client_frame(BINARY, b"\xff\xfe") + client_frame(TEXT, b"\xff"))
    await talk.send(client_frame(TEXT, b"x" * MAX_BYTES) + client_frame(PONG, b"nobody asked"))
    await talk.send(client_frame(TEXT, b"x" * (MAX_BYTES - 1), first_bits=0) + client_frame(PING))
    await talk.send(client_frame(CONTINUATION, b"", first_bits=0) + client_frame(CONTINUATION, b"x"))
    assert (await talk.until(PONG)).payload == b""
    assert await is_alive(talk)


async def test_frames_may_come_in_any_pieces(talk: RawSocket) -> None:
    frames = client_frame(PING, b"a") + client_frame(TEXT, b"x" * 200) + client_frame(PING, b"b" * 125)
    for at in range(len(frames)):
        await talk.send(frames[at : at + 1])
    assert [(await talk.until(PONG)).payload for _ in range(2)] == [b"a", b"b" * 125]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (client_frame(TEXT, b"x" * (MAX_BYTES + 1)), 1009),
        (client_frame(BINARY, b"")[:1] + b"\xff" + b"\x7f" + b"\xff" * 7, 1009),
        (client_frame(TEXT, b"x" * MAX_BYTES, first_bits=0) + client_frame(CONTINUATION, b"x"), 1009),
        (client_frame(TEXT, b"x" * 9000, first_bits=0) + client_frame(CONTINUATION, b"x" * 9000), 1009),
        (bytes((FIN | TEXT, 1)) + b"x", 1002),
        (bytes((FIN | PING, 0)), 1002),
        (client_frame(TEXT, b"x", first_bits=FIN | 0x40), 1002),
        (client_frame(TEXT, b"x", first_bits=FIN | 0x10), 1002),
        (client_frame(0x3, b"x"), 1002),
        (client_frame(0xB), 1002),
        (client_frame(PING, b"x", first_bits=0), 1002),
        (client_frame(PING, b"x" * 126), 1002),
        (client_frame(CONTINUATION, b"x"), 1002),
        (client_frame(TEXT, b"x", first_bits=0) + client_frame(TEXT, b"x"), 1002),
    ],
    ids=[
        "too-big",
        "huge",
        "fragments-too-big",
        "more-fragments-too-big",
        "unmasked",
        "unmasked-ping",
        "compressed",
        "reserved-bit",
        "unknown-kind",
        "unknown-control",
        "ping-in-pieces",
        "ping-too-big",
        "continued-nothing",
        "message-in-message",
    ],
)
async def test_what_breaks_the_protocol_ends_the_stream_with_its_code(talk: RawSocket, sent: bytes, code: int) -> None:
    await talk.send(sent)
    assert await close_code(talk) == code


async def test_whoever_sends_more_frames_than_anybody_needs_is_shown_out(talk: RawSocket) -> None:
    await talk.send(client_frame(PING) * (stream.MAX_FRAMES_PER_BEAT + 1))
    assert await close_code(talk) == 1008


async def test_nothing_is_sent_after_the_close_frame_though_the_listener_stays(port: int) -> None:
    ann = await create(port, "ann")
    code = ann["party_code"]
    async with connected(port, code, with_token(ann["token"])) as raw, listening(port, code, ann["token"]) as other:
        await raw.until(TEXT)
        await raw.send(client_frame(TEXT, b"x" * (MAX_BYTES + 1)))
        await raw.until(CLOSE)
        await join(port, code, "bob")
        await other.until("participant_joined")
        await raw.send(client_frame(CLOSE, close_payload(1009)))
        assert await raw.frames() == []


@pytest.mark.parametrize("payload", [b"", close_payload(1000), close_payload(1001, "tab closed"), close_payload(4000)])
async def test_a_close_is_answered_and_the_connection_ended(talk: RawSocket, payload: bytes) -> None:
    await talk.send(client_frame(CLOSE, payload) + client_frame(PING, b"too late"))
    assert [frame.head for frame in await talk.frames()][-1:] == [FIN | CLOSE]


async def test_garbage_ends_its_own_stream_and_nobody_else_s(port: int) -> None:
    """Two hundred listeners who send anything, half of it beginning as frames do."""
    ann = await create(port, "ann")
    code, dice = ann["party_code"], random.Random(7)

    async def babble() -> None:
        async with connected(port, code, with_token(ann["token"])) as raw:
            start = client_frame(dice.choice([TEXT, BINARY, PING, PONG, CONTINUATION]), dice.randbytes(20))
            await raw.send(dice.choice([start, b""]) + dice.randbytes(dice.randrange(1, 400)))
            raw.hang_up()
            heads = [frame.head for frame in await raw.frames()]
            assert heads[0] == FIN | TEXT
            assert set(heads) <= {FIN | TEXT, FIN | PONG, FIN | CLOSE}

    async with listening(port, code, ann["token"]) as other:
        await other.next()
        for _ in range(4):
            await asyncio.gather(*(babble() for _ in range(50)))
        await join(port, code, "bob")
        await other.until("participant_joined")

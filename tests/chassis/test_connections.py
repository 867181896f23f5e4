"""Connections as real clients keep, share, break and abuse them."""

import asyncio

import pytest

from tests.talking import PATIENCE_S, Wire, ask, request_bytes

GET = request_bytes("GET", "/livez")

NO_HTTP = {
    "noise": b"\x00\x01\x02\xff\r\n\r\n",
    "TLS": bytes.fromhex("16030100f8010000f40303") + b"\r\n\r\n",
    "an unknown method": b"BREW /livez HTTP/1.1\r\nHost: test\r\n\r\n",
    "an unknown version": b"GET /livez HTTP/9.9\r\nHost: test\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "bare line feeds": b"GET /livez HTTP/1.1\nHost: test\n\n",
    "a header without a colon": b"GET /livez HTTP/1.1\r\nHost: test\r\nhello\r\n\r\n",
    "a space before the colon": b"GET /livez HTTP/1.1\r\nHost: test\r\nX : 1\r\n\r\n",
    "a folded header": b"GET /livez HTTP/1.1\r\nHost: test\r\nX: 1\r\n 2\r\n\r\n",
    "raw bytes in the path": b"GET /things/\xff HTTP/1.1\r\nHost: test\r\n\r\n",
    "raw UTF-8 in the query": "GET /things?é=1 HTTP/1.1\r\nHost: test\r\n\r\n".encode(),
    "a line of 20,000 characters": b"GET /livez HTTP/1.1\r\nHost: test\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
    "a path of 20,000 characters": b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: test\r\n\r\n",
    "5,000 headers": b"GET /livez HTTP/1.1\r\nHost: test\r\n" + b"X: 1\r\n" * 5_000 + b"\r\n",
    "a negative length": request_bytes("POST", "/things", headers={"Content-Length": "-1"}),
    "a length with a sign": request_bytes("POST", "/things", headers={"Content-Length": "+2"}) + b"{}",
    "a length in words": request_bytes("POST", "/things", headers={"Content-Length": "two"}) + b"{}",
    "two lengths": b"POST /things HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length and chunks": request_bytes(
        "POST", "/things", body=b"2\r\n{}\r\n0\r\n\r\n", headers={"Transfer-Encoding": "chunked"}
    ),
    "chunks of no size": request_bytes("POST", "/things", headers={"Transfer-Encoding": "chunked"}) + b"zz\r\n{}\r\n",
    "chunks longer than they say": request_bytes("POST", "/things", headers={"Transfer-Encoding": "chunked"})
    + b"1\r\n{}\r\n0\r\n\r\n",
    "chunks of negative size": request_bytes("POST", "/things", headers={"Transfer-Encoding": "chunked"}) + b"-1\r\n",
    "an unknown transfer encoding": request_bytes("POST", "/things", headers={"Transfer-Encoding": "gzip"}) + b"{}",
}


@pytest.mark.parametrize("data", NO_HTTP.values(), ids=NO_HTTP.keys())
async def test_what_is_no_http_is_refused_and_the_connection_closed(port: int, data: bytes) -> None:
    async with await Wire.to(port) as wire:
        await wire.send(data)
        reply = await wire.reply()
        assert reply.refusal() == (400, "bad_http")
        assert reply.header("connection") == "close"
        assert reply.header("server") is None
        assert await wire.rest() == b""
    assert (await ask(port, "GET", "/livez")).status == 200


async def test_requests_sent_in_one_go_are_answered_in_order(port: int) -> None:
    async with await Wire.to(port) as wire:
        await wire.send(b"".join(request_bytes("GET", f"/things/{number}") for number in range(500)))
        for number in range(500):
            assert (await wire.reply()).json()["name"] == str(number)


async def test_bodies_sent_in_one_go_with_other_requests_keep_apart(port: int) -> None:
    requests = [
        (request_bytes("POST", "/things", body=b'{"name": "a"}'), 201),
        (request_bytes("POST", "/nothing", body=b'{"name": "b"}'), 404),
        (request_bytes("POST", "/things", body=b" " * 20_000), 413),
        (request_bytes("GET", "/livez", body=b"GET /broken HTTP/1.1\r\n\r\n"), 200),
        (request_bytes("POST", "/things", headers={"Transfer-Encoding": "chunked"}) + b"2\r\n{}\r\n0\r\n\r\n", 400),
        (request_bytes("POST", "/things", body=b'{"name": "c"}'), 201),
    ]
    async with await Wire.to(port) as wire:
        await wire.send(b"".join(data for data, _ in requests))
        assert [(await wire.reply()).status for _ in requests] == [status for _, status in requests]


async def test_what_comes_after_the_end_of_a_body_is_no_part_of_it(port: int) -> None:
    async with await Wire.to(port) as wire:
        await wire.send(request_bytes("POST", "/things", headers={"Content-Length": "13"}) + b'{"name": "a"}')
        assert (await wire.reply()).json()["name"] == "a"
        await wire.send(b'{"name": "b"}')
        assert (await wire.reply()).refusal() == (400, "bad_http")
        assert await wire.rest() == b""


@pytest.mark.parametrize("sent", [b"", b'{"name"'], ids=["nothing", "half"])
async def test_who_hangs_up_before_the_body_has_come_gets_no_answer(
    port: int, sent: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    async with await Wire.to(port) as wire:
        await wire.send(request_bytes("POST", "/things", headers={"Content-Length": "13"}) + sent)
        wire.hang_up()
        assert await wire.rest() == b""
    assert (await ask(port, "GET", "/livez")).status == 200
    assert "error" not in capsys.readouterr().out


async def test_http_1_0_closes_after_the_answer(port: int) -> None:
    async with await Wire.to(port) as wire:
        await wire.send(b"GET /livez HTTP/1.0\r\n\r\n")
        reply = await wire.reply()
        assert (reply.status, reply.header("connection")) == (200, "close")
        assert await wire.rest() == b""


async def test_http_1_0_goes_on_when_asked_to(port: int) -> None:
    async with await Wire.to(port) as wire:
        for _ in range(2):
            await wire.send(b"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            reply = await wire.reply()
            assert (reply.status, reply.header("connection")) == (200, "keep-alive")


async def test_http_1_1_closes_when_asked_to(port: int) -> None:
    async with await Wire.to(port) as wire:
        await wire.send(GET)
        assert (await wire.reply()).header("connection") is None
        await wire.send(request_bytes("GET", "/nothing", headers={"Connection": "close"}))
        reply = await wire.reply()
        assert (reply.status, reply.header("connection")) == (404, "close")
        assert await wire.rest() == b""


@pytest.mark.parametrize("upgrade", ["websocket", "h2c", "TLS/1.0"])
async def test_an_upgrade_is_not_taken_up(port: int, upgrade: str) -> None:
    reply = await ask(port, "GET", "/livez", headers={"Connection": "Upgrade", "Upgrade": upgrade})
    assert reply.status == 200


async def test_an_absolute_target_is_its_path(port: int) -> None:
    assert (await ask(port, "GET", "http://other.test/things/a")).json()["name"] == "a"


async def test_many_slow_connections_do_not_hold_up_others(port: int) -> None:
    heads = [b"", b"GET /li", b"GET /livez HTTP/1.1\r\nHost: te", request_bytes("POST", "/things", body=b"")[:-4]]
    half_body = request_bytes("POST", "/things", headers={"Content-Length": "13"}) + b'{"na'
    slow = [await Wire.to(port) for _ in range(200)]
    try:
        for number, wire in enumerate(slow):
            await wire.send([*heads, half_body][number % 5])
        async with asyncio.timeout(PATIENCE_S), await Wire.to(port) as quick:
            for _ in range(200):
                await quick.send(GET)
                assert (await quick.reply()).status == 200
    finally:
        for wire in slow:
            await wire.close()


async def test_who_hangs_up_in_a_row_of_requests_harms_nobody(port: int) -> None:
    for _ in range(20):
        async with await Wire.to(port) as wire:
            await wire.send(request_bytes("GET", "/docs/swagger-ui-bundle.js") * 20)
    assert (await ask(port, "GET", "/livez")).status == 200

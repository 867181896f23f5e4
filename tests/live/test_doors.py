"""Who gets a stream, over both transports, and what everybody else is told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chassis.origins import AllowedOrigins
from tests.live.raw import HANDSHAKE, connected, with_token
from tests.live.streams import TRANSPORTS, Listen, listening, listening_by_sse
from tests.manager.asking import create, join, managing, remove
from tests.processes import running_manager
from tests.talking import Reply, ask

ELSEWHERE = "400000000"
"""A code of another manager of the roster."""

over_both = pytest.mark.parametrize("listen", TRANSPORTS.values(), ids=TRANSPORTS)
both_ways = pytest.mark.parametrize("how", [HANDSHAKE, {"Accept": "text/event-stream"}], ids=TRANSPORTS)


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    async with managing(tmp_path / "manager.db") as its_port:
        yield its_port


async def knock(port: int, code: str, headers: dict[str, str], token: str | None = None) -> Reply:
    """The answer to a request for a stream that is refused."""
    return await ask(port, "GET", f"/parties/{code}/events", headers=headers, token=token)


async def opens(port: int, code: str, headers: dict[str, str]) -> Reply | None:
    """The head of the answer where a stream begins, else None."""
    async with connected(port, code, headers) as raw:
        return raw.head if raw.head.status in {101, 200} else None


@both_ways
async def test_a_stream_takes_the_token_of_somebody_who_is_in_the_party(port: int, how: dict[str, str]) -> None:
    ann, eve = await create(port, "ann"), await create(port, "eve")
    code = ann["party_code"]
    lou, kit, mo = [await join(port, code, name) for name in ("lou", "kit", "mo")]
    await remove(port, code, lou["participant_id"], lou["token"])
    await remove(port, code, kit["participant_id"], ann["token"])
    await join(port, eve["party_code"], "mo")
    for token in (lou["token"], kit["token"], mo["token"], eve["token"], "garbage", ann["token"][:-1], ""):
        reply = await knock(port, code, how, token)
        assert reply.refusal()[0] == 401, token
        assert reply.header("www-authenticate") == "Bearer"
    assert (await knock(port, code, how)).refusal() == (401, "token_missing")
    assert (await knock(port, code, {**how, "Authorization": f"Basic {ann['token']}"})).refusal()[0] == 401
    assert await opens(port, code, {**how, "Authorization": f"Bearer {ann['token']}"})
    assert await opens(port, f"{code[:3]}-{code[3:6]}-{code[6:]}", {**how, "Authorization": f"bearer {ann['token']}"})


@both_ways
async def test_what_is_wrong_with_the_address_is_said_as_everywhere(port: int, how: dict[str, str]) -> None:
    ann = await create(port, "ann")
    code, token = ann["party_code"], ann["token"]
    nobodys = "200000001" if code != "200000001" else "200000002"
    assert (await knock(port, nobodys, how, token)).refusal() == (404, "party_not_found")
    assert (await knock(port, "12345", how, token)).refusal() == (400, "bad_party_code")
    query = await ask(port, "GET", f"/parties/{code}/events?since=3", headers=how, token=token)
    assert query.refusal() == (400, "unknown_parameter")
    other = await ask(port, "POST", f"/parties/{code}/events", headers=how, token=token)
    assert other.refusal() == (405, "method_not_allowed")
    assert other.header("allow") == "GET, HEAD"


@both_ways
async def test_the_stream_of_another_manager_s_party_is_where_the_answer_points(port: int, how: dict[str, str]) -> None:
    reply = await knock(port, ELSEWHERE, how, "whatever")
    assert reply.refusal() == (307, "party_elsewhere")
    assert reply.header("location") == f"http://ca-central-1.app.local/parties/{ELSEWHERE}/events"
    assert reply.problem()["manager"] == "ca-central-1.app.local"


async def test_a_browser_gives_its_token_as_a_subprotocol(port: int) -> None:
    ann = await create(port, "ann")
    code, token = ann["party_code"], ann["token"]

    async def offering(words: str, **more: str) -> Reply | None:
        return await opens(port, code, {**HANDSHAKE, "Sec-WebSocket-Protocol": words, **more})

    for words in (
        f"partyline.v1, bearer.{token}",
        f"bearer.{token},partyline.v1",
        f"other, partyline.v1,,bearer.{token}",
    ):
        head = await offering(words)
        assert head is not None, words
        assert head.header("sec-websocket-protocol") == "partyline.v1"
    head = await offering("partyline.v1", Authorization=f"Bearer {token}")
    assert head is not None
    assert head.header("sec-websocket-protocol") == "partyline.v1"
    for words, status in (
        (f"bearer.{token}", 400),
        (f"partyline.v2, bearer.{token}", 400),
        (f"PARTYLINE.V1, bearer.{token}", 400),
        ("partyline.v1", 401),
        ("partyline.v1, bearer.", 401),
        ("partyline.v1, bearer.garbage", 401),
        (f"partyline.v1, {token}", 401),
    ):
        reply = await knock(port, code, {**HANDSHAKE, "Sec-WebSocket-Protocol": words})
        assert reply.refusal()[0] == status, words


@pytest.mark.parametrize(
    "broken",
    [
        {"Sec-WebSocket-Version": "8"},
        {"Sec-WebSocket-Version": ""},
        {"Sec-WebSocket-Key": ""},
        {"Sec-WebSocket-Key": "c2hvcnQ="},
        {"Sec-WebSocket-Key": "\xff\xfe"},
        {"Sec-WebSocket-Key": "!!!!" + "A" * 20},
        {"Connection": "keep-alive"},
    ],
    ids=str,
)
async def test_a_broken_handshake_is_refused_like_everything_else(port: int, broken: dict[str, str]) -> None:
    ann = await create(port, "ann")
    reply = await knock(port, ann["party_code"], {**HANDSHAKE, **broken}, ann["token"])
    assert reply.refusal() == (400, "bad_websocket")


async def test_what_asks_for_another_upgrade_gets_an_event_stream(port: int) -> None:
    ann = await create(port, "ann")
    headers = {"Upgrade": "h2c", "Connection": "Upgrade", "Authorization": f"Bearer {ann['token']}"}
    head = await opens(port, ann["party_code"], headers)
    assert head is not None
    assert head.status == 200


@pytest.mark.parametrize(
    ("origin", "allowed", "is_admitted"),
    [
        (None, "", True),
        ("http://127.0.0.1:{port}", "", True),
        ("http://127.0.0.1:1", "", False),
        ("http://127.0.0.1", "", False),
        ("https://evil.example", "", False),
        ("http://127.0.0.1:{port}.evil.example", "", False),
        ("null", "", False),
        ("", "", False),
        ("https://game.example", "https://game.example,https://b.example", True),
        ("https://GAME.example:443", "https://game.example", True),
        ("http://game.example", "https://game.example", False),
        ("https://game.example:8443", "https://game.example", False),
        ("https://sub.game.example", "https://game.example", False),
        ("https://anything.example", "*", True),
        ("null", "*", True),
    ],
)
async def test_a_page_opens_a_websocket_from_its_own_host_or_an_allowed_one(
    tmp_path: Path, origin: str | None, allowed: str, is_admitted: bool
) -> None:
    async with managing(tmp_path / "m.db", allowed_origins=AllowedOrigins.parse(allowed)) as port:
        ann = await create(port, "ann")
        headers = {**with_token(ann["token"]), "Host": f"127.0.0.1:{port}"}
        if origin is not None:
            headers["Origin"] = origin.replace("{port}", str(port))
        if is_admitted:
            assert await opens(port, ann["party_code"], headers)
        else:
            reply = await knock(port, ann["party_code"], headers)
            assert reply.refusal() == (403, "origin_not_allowed")


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("text/event-stream", 200),
        ("*/*", 200),
        ("text/*", 200),
        ("application/json, text/event-stream;q=0.5", 200),
        ("TEXT/Event-Stream; charset=utf-8", 200),
        (None, 200),
        ("application/json", 406),
        ("text/html,application/xhtml+xml", 406),
        ("text/event-stream;q=0", 406),
        ("text/eventstream", 406),
    ],
)
async def test_events_are_sent_to_who_takes_them(port: int, accept: str | None, status: int) -> None:
    ann = await create(port, "ann")
    headers = {"Authorization": f"Bearer {ann['token']}"} | ({} if accept is None else {"Accept": accept})
    if status == 406:
        assert (await knock(port, ann["party_code"], headers)).refusal() == (406, "not_acceptable")
        return
    head = await opens(port, ann["party_code"], headers)
    assert head is not None
    assert head.header("content-type") == "text/event-stream"
    assert head.header("cache-control") == "no-store"
    assert head.header("connection") == "close"
    assert head.header("content-length") is None
    assert head.header("x-request-id")


async def test_head_shows_what_get_would_say_and_opens_nothing(port: int) -> None:
    ann = await create(port, "ann")
    path = f"/parties/{ann['party_code']}/events"
    for headers in ({}, HANDSHAKE, {"Accept": "text/event-stream"}):
        reply = await ask(port, "HEAD", path, headers=headers, token=ann["token"])
        assert (reply.status, reply.header("content-type")) == (200, "text/event-stream")
    assert (await ask(port, "HEAD", path)).status == 401
    assert (await ask(port, "HEAD", path, headers={"Accept": "text/html"}, token=ann["token"])).status == 406
    metrics = (await ask(port, "GET", "/metrics")).body.decode()
    assert "partyline_streams 0.0" in metrics
    assert "partyline_participants_online 0.0" in metrics


async def test_a_device_has_five_streams_at_most_and_another_when_one_has_ended(tmp_path: Path) -> None:
    async with managing(tmp_path / "m.db", rate_limits="on", requests_per_s=1000) as port:
        ann = await create(port, "ann")
        code, token = ann["party_code"], ann["token"]
        bob = await join(port, code, "bob")
        async with listening(port, code, bob["token"]) as watch:
            async with contextlib.AsyncExitStack() as stack:
                listens: list[Listen] = [listening, listening_by_sse, listening, listening_by_sse, listening]
                streams = [await stack.enter_async_context(listen(port, code, token)) for listen in listens]
                for how in (HANDSHAKE, {"Accept": "text/event-stream"}):
                    reply = await knock(port, code, how, token)
                    assert reply.refusal() == (429, "too_many_streams")
                    assert reply.header("retry-after") == "10"
                for stream in streams:
                    await stream.next()
                await streams[3].close()
                while not await opens(port, code, with_token(token)):
                    pass  # the server has yet to see that one is gone
            await watch.until("presence", participant_id=0, online=False)
            async with listening(port, code, token) as stream:
                assert (await stream.next())["type"] == "snapshot"


async def test_of_many_streams_asked_for_at_once_a_device_gets_five(tmp_path: Path) -> None:
    async with managing(tmp_path / "m.db", rate_limits="on", requests_per_s=1000) as port:
        ann = await create(port, "ann")
        statuses = []
        seen = asyncio.Event()

        async def try_one(headers: dict[str, str]) -> None:
            async with connected(port, ann["party_code"], headers) as raw:
                statuses.append(raw.head.status)
                if len(statuses) == 20:
                    seen.set()
                await seen.wait()

        sse = {"Authorization": f"Bearer {ann['token']}"}
        await asyncio.gather(*(try_one(sse if number % 2 else with_token(ann["token"])) for number in range(20)))
        assert statuses.count(429) == 15


async def test_no_log_line_ever_holds_a_token(tmp_path: Path) -> None:
    """Neither ours nor aiohttp's, which logs subprotocols that it doesn't know."""
    with running_manager(tmp_path / "m.db", "--log-format", "json") as service:
        port = service.port
        ann = await create(port, "device-of-ann")
        code, token = ann["party_code"], ann["token"]
        secret = {"Authorization": f"Bearer {token}"}
        offers = (f"bearer.{token}", f"x, bearer.{token}", f"partyline.v1, bearer.{token}x", f"bearer.{token}, \xff")
        heads: list[dict[str, str]] = [{**HANDSHAKE, "Sec-WebSocket-Protocol": words} for words in offers]
        heads += [{**HANDSHAKE, **secret, "Sec-WebSocket-Key": "x"}, {**secret, "Accept": "image/png"}]
        heads += [
            {**HANDSHAKE, **secret, "Origin": f"https://{token}.example"},
            {**HANDSHAKE, **secret, "Upgrade": "x"},
        ]
        for head in heads:
            async with connected(port, code, head):
                pass
        await ask(port, "GET", f"/parties/{code}/events?access_token={token}", headers=secret)
        await ask(port, "GET", f"/parties/{token}/events", headers=HANDSHAKE)
        for listen in (listening, listening_by_sse):
            async with listen(port, code, token) as stream:
                await stream.next()
                stream.abort()
        async with connected(port, code, with_token(token)) as raw:
            await raw.send(token.encode())
            await raw.frames()
        assert service.end() == 0
        written = "\n".join(service.lines()) + service.stderr()
        assert token not in written
        assert "device-of-ann" not in written
        assert [entry["event"] for entry in service.events()] == ["listening", "ended"], written

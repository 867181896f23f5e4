"""`python -m partyline up`: everything in one process, on one address, told apart by the Host header."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.processes import Service, outcome, running
from tests.talking import PATIENCE_S, Reply, Wire, ask, request_bytes

MANAGERS = ["us-east-1", "ca-central-1", "eu-central-1"]


async def at(service: Service, name: str, method: str, path: str, body: object = None) -> Reply:
    """A request to one of the services by its name."""
    return await ask(service.port, method, path, body=body, headers={"Host": f"{name}:{service.port}"})


@contextlib.asynccontextmanager
async def listening(service: Service, region: str, party: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse[bool]]:
    """A stream of the party's leader over a WebSocket."""
    url = f"http://127.0.0.1:{service.port}/parties/{party['party_code']}/events"
    headers = {"Host": f"{region}.localhost:{service.port}", "Authorization": f"Bearer {party['token']}"}
    async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=headers) as connection:
        yield connection


async def heard(connection: aiohttp.ClientWebSocketResponse[bool], kind: str) -> Any:
    """The next event of this type."""
    while True:
        event = await connection.receive_json(timeout=PATIENCE_S)
        if event["type"] == kind:
            return event


@contextlib.asynccontextmanager
async def wired(service: Service, region: str, party: Any, **headers: str) -> AsyncIterator[Wire]:
    """A request for the leader's stream on a bare connection."""
    target = f"/parties/{party['party_code']}/events"
    host = {"Host": f"{region}.localhost", "Authorization": f"Bearer {party['token']}"}
    async with await Wire.to(service.port) as wire:
        await wire.send(request_bytes("GET", target, headers={**host, **headers}))
        yield wire


def unfolded_logs(folder: Path) -> list[str]:
    """Write-ahead logs that still hold something."""
    return [path.name for path in folder.glob("*-wal") if path.stat().st_size]


async def test_what_it_prints_is_true_and_works_line_by_line(tmp_path: Path) -> None:
    with running("partyline up", "--data", str(tmp_path / "data")) as service:
        service.wait_for_line("Docs: ")
        printed = "\n".join(service.lines())
        here = f"localhost:{service.port}"
        for region in MANAGERS:
            assert f"http://{region}.{here}" in printed
            assert str(tmp_path / "data" / f"{region}.db") in printed
            assert (tmp_path / "data" / f"{region}.db").exists()
        assert f'curl "http://{here}/managers/find?lng=-73.57&lat=45.5"' in printed
        found = (await at(service, "localhost", "GET", "/managers/find?lng=-73.57&lat=45.5")).json()
        assert found["url"] == f"http://ca-central-1.{here}"
        assert f"curl -X POST {found['url']}/parties -H 'content-type: application/json' -d" in printed
        made = await at(service, found["hostname"], "POST", "/parties", {"device_id": "phone-1"})
        assert made.status == 201
        assert f"curl -X POST {found['url']}/parties/<party_code>/participants " in printed
        path = f"/parties/{made.json()['party_code']}/participants"
        joined = await at(service, found["hostname"], "POST", path, {"device_id": "phone-2", "participant_name": "Ann"})
        assert (joined.status, joined.json()["participant_id"]) == (201, 1)
        assert f"curl -N {found['url']}/parties/<party_code>/events -H 'Authorization: Bearer <token>'" in printed
        async with wired(service, "ca-central-1", made.json()) as wire:
            assert (await wire.reply()).header("content-type") == "text/event-stream"


async def test_streams_are_the_named_managers_too(tmp_path: Path) -> None:
    with running("partyline up", "--data", str(tmp_path)) as service:
        made = (await at(service, "eu-central-1.localhost", "POST", "/parties", {"device_id": "phone-1"})).json()
        async with listening(service, "eu-central-1", made) as stream:
            assert (await heard(stream, "snapshot"))["party"] == made["party"]
            path = f"/parties/{made['party_code']}/participants"
            joined = await at(service, "eu-central-1.localhost", "POST", path, {"device_id": "phone-2"})
            assert (await heard(stream, "participant_joined"))["participant"]["participant_id"] == 1
            async with listening(service, "eu-central-1", joined.json()):
                assert (await heard(stream, "presence"))["participant_id"] == 1
        for region in ("us-east-1.localhost", "localhost"):  # that manager has no such party, the dispatcher no parties
            reply = await at(service, region, "GET", f"/parties/{made['party_code']}/events")
            assert reply.status == {"us-east-1.localhost": 307, "localhost": 404}[region]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_its_end_is_told_to_all_listeners_at_once(tmp_path: Path, number: signal.Signals) -> None:
    handshake = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    with running("partyline up", "--data", str(tmp_path)) as service:
        made = {
            region: (await at(service, f"{region}.localhost", "POST", "/parties", {"device_id": "phone-1"})).json()
            for region in MANAGERS
        }
        async with contextlib.AsyncExitStack() as stack:
            streams = [await stack.enter_async_context(listening(service, *one)) for one in made.items()]
            sse = [await stack.enter_async_context(wired(service, *one)) for one in made.items()]
            deaf = [await stack.enter_async_context(wired(service, *one, **handshake)) for one in made.items()]
            for wire in (*sse, *deaf):
                await wire.reply()
            for stream in streams:
                await heard(stream, "snapshot")
            cut = asyncio.create_task(deaf[0].rest())
            service.signal(number)
            for wire in sse:
                assert (await wire.rest()).endswith(b'event: close\ndata: {"code":1001,"reason":"draining"}\n\n')
            for stream in streams:
                while (message := await stream.receive(timeout=PATIENCE_S)).type is aiohttp.WSMsgType.TEXT:
                    pass
                assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, 1001, "draining")
            # Who doesn't answer is still waited for, and has kept no other manager from telling its listeners.
            assert not cut.done()
            for wire in deaf:
                await wire.close()
            await cut
            assert await asyncio.to_thread(service.wait) == 0
            assert service.stderr() == ""
    assert unfolded_logs(tmp_path) == []


async def test_the_host_picks_the_service_and_its_port_is_ignored(tmp_path: Path) -> None:
    with running("partyline up", "--data", str(tmp_path)) as service:

        async def service_at(host: str) -> str:
            reply = await ask(service.port, "GET", "/version", headers={"Host": host})
            return str(reply.json()["service"])

        for host in ("localhost", f"localhost:{service.port}", "127.0.0.1", "[::1]:1", "anything.test", ""):
            assert await service_at(host) == "dispatcher", host
        for region in MANAGERS:
            for host in (f"{region}.localhost", f"{region}.localhost:{service.port}", f"{region.upper()}.LocalHost:1"):
                assert await service_at(host) == "manager", host
        for name in ("localhost", "us-east-1.localhost"):
            assert (await at(service, name, "GET", "/nothing")).refusal() == (404, "not_found")
            assert (await at(service, name, "GET", "/readyz")).status == 200
            assert b"partyline_request_duration" in (await at(service, name, "GET", "/metrics")).body
        wrong = await at(service, "us-east-1.localhost", "PUT", "/parties")
        assert (wrong.refusal(), wrong.header("allow")) == ((405, "method_not_allowed"), "POST")
        assert (await at(service, "localhost", "POST", "/parties", {})).refusal() == (404, "not_found")
        elsewhere = await at(service, "us-east-1.localhost", "GET", "/parties/457495738")
        assert elsewhere.header("location") == f"http://ca-central-1.localhost:{service.port}/parties/457495738"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_what_was_acknowledged_is_there_after_the_next_start(tmp_path: Path, number: signal.Signals) -> None:
    codes = {}
    with running("partyline up", "--data", str(tmp_path)) as service:
        for region in MANAGERS:
            made = await at(service, f"{region}.localhost", "POST", "/parties", {"device_id": "phone-1"})
            codes[region] = made.json()["party_code"]
        service.signal(number)
        assert service.wait() == 0
        assert service.stderr() == ""
    assert unfolded_logs(tmp_path) == []
    with running("partyline up", "--data", str(tmp_path)) as service:
        for region, code in codes.items():
            assert (await at(service, f"{region}.localhost", "GET", f"/parties/{code}")).status == 200


async def test_its_environment_reaches_the_services(tmp_path: Path) -> None:
    environment = {"PARTYLINE_DEFAULT_CAPACITY": "3", "PARTYLINE_HOSTNAME": "ignored", "PARTYLINE_DATABASE": "/ignored"}
    with running("partyline up", "--data", str(tmp_path), environment=environment) as service:
        made = await at(service, "us-east-1.localhost", "POST", "/parties", {"device_id": "phone-1"})
        assert made.json()["party"]["capacity"] == 3


async def test_all_of_it_is_a_lame_duck_at_once(tmp_path: Path) -> None:
    with running("partyline up", "--data", str(tmp_path), "--lame-duck-s", "60") as service:
        service.signal(signal.SIGTERM)
        service.wait_for("lame duck")
        for name in ("localhost", *(f"{region}.localhost" for region in MANAGERS)):
            ready = await at(service, name, "GET", "/readyz")
            assert (ready.refusal(), ready.header("connection")) == ((503, "not_ready"), "close")
        service.signal(signal.SIGINT)
        assert service.wait() == 0


def test_one_bad_database_ends_all_of_it_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "ca-central-1.db").write_bytes(b"no database" * 100)
    code, _, complaint = outcome("partyline up", "--port", "0", "--data", str(tmp_path))
    assert code == 2
    assert complaint.count("\n") == 1
    assert "ca-central-1.db is not a sound Partyline database: file is not a database." in complaint
    assert unfolded_logs(tmp_path) == []

"""A service as a process: how it starts, how it takes signals, what becomes of the requests in flight."""

import asyncio
import select
import signal
import socket
import sqlite3
import time
from pathlib import Path

import pytest

from chassis.lifetime import Lifetime
from chassis.serve import StartError, serve_until_told
from tests.chassis.things import things_app
from tests.processes import Service, running, running_manager
from tests.talking import Wire, ask, request_bytes

CLIENTS = 16
LAME_DUCK_S = 1.0
FLOODERS = 10


class Load:
    """Clients that create parties as fast as they can, until the service can't be reached any more."""

    def __init__(self, service: Service) -> None:
        self.codes: list[str] = []
        self.failed_at: list[float] = []
        self.enough = asyncio.Event()
        self._port = service.port

    async def run(self, client: int) -> None:
        """One client. It goes to a new connection when it is told that this one closes."""
        number = 0
        try:
            while True:
                async with await Wire.to(self._port) as wire:
                    closes = False
                    while not closes:
                        number += 1
                        await wire.send(
                            request_bytes("POST", "/parties", body=b'{"device_id":"%d-%d"}' % (client, number))
                        )
                        reply = await wire.reply()
                        assert reply.status == 201, reply
                        self.codes.append(reply.json()["party_code"])
                        closes = reply.header("connection") == "close"
                        if len(self.codes) > 10 * CLIENTS:
                            self.enough.set()
        except (ConnectionError, EOFError):
            self.failed_at.append(time.monotonic())


async def test_sigterm_under_load_loses_nothing(tmp_path: Path) -> None:
    database = tmp_path / "manager.db"
    with running_manager(database, "--lame-duck-s", str(LAME_DUCK_S)) as service:
        load = Load(service)
        clients = [asyncio.create_task(load.run(client)) for client in range(CLIENTS)]
        await load.enough.wait()
        async with await Wire.to(service.port) as in_flight:
            await in_flight.send(request_bytes("POST", "/parties", headers={"Content-Length": "17"}) + b'{"device')
            told_at = time.monotonic()
            service.signal(signal.SIGTERM)
            await asyncio.to_thread(service.wait_for, "lame duck")
            ready = await ask(service.port, "GET", "/readyz")
            assert (ready.refusal(), ready.header("connection")) == ((503, "not_ready"), "close")
            assert ready.problem()["reasons"] == ["draining"]
            await in_flight.send(b'_id":"x"}')
            finished = await in_flight.reply()
            assert (finished.status, finished.header("connection")) == (201, "close")
            load.codes.append(finished.json()["party_code"])
        assert await asyncio.to_thread(service.wait) == 0
        ended_at = time.monotonic()
        await asyncio.gather(*clients)
        assert service.events()[-1]["event"] == "ended"
        assert service.stderr() == ""
    assert min(load.failed_at) >= told_at + LAME_DUCK_S, "a request failed before the lame duck was over"
    assert ended_at - told_at < LAME_DUCK_S + 5, "somebody held up the end"
    assert not _size(f"{database}-wal"), "the write-ahead log isn't folded into the database"
    with sqlite3.connect(database) as db:
        kept = {str(code) for (code,) in db.execute("SELECT code FROM parties")}
        assert set(load.codes) <= kept
        assert len(kept) <= len(load.codes) + CLIENTS
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()


@pytest.mark.parametrize(
    "signals", [[signal.SIGINT], [signal.SIGTERM, signal.SIGTERM], [signal.SIGTERM, signal.SIGINT]]
)
def test_sigint_and_a_second_signal_skip_the_lame_duck(signals: list[signal.Signals]) -> None:
    with running("dispatcher", "--lame-duck-s", "60") as service:
        service.signal(signals[0])
        if len(signals) == 2:
            service.wait_for("lame duck")
            service.signal(signals[1])
        assert service.wait(timeout_s=30) == 0
        assert service.events()[-1]["event"] == "ended"


async def test_idle_connections_do_not_hold_up_the_end(tmp_path: Path) -> None:
    with running_manager(tmp_path / "manager.db") as service:
        async with (
            await Wire.to(service.port),
            await Wire.to(service.port) as used,
            await Wire.to(service.port) as half,
        ):
            await used.send(request_bytes("GET", "/livez"))
            assert (await used.reply()).status == 200
            await half.send(b"GET /live")
            started_at = time.monotonic()
            service.signal(signal.SIGTERM)
            assert await asyncio.to_thread(service.wait) == 0
            assert time.monotonic() - started_at < 5
            assert await used.rest() == b""


def test_who_asks_without_reading_does_not_fill_the_memory(tmp_path: Path) -> None:
    requests = request_bytes("GET", "/openapi.yaml") * 1000
    with running_manager(tmp_path / "manager.db") as service:
        before_kib = service.memory_kib()
        flooders = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(FLOODERS)]
        try:
            for flooder in flooders:
                flooder.setblocking(False)
            while writable := select.select([], flooders, [], 0.5)[1]:
                for flooder in writable:
                    flooder.send(requests)
            assert service.memory_kib() - before_kib < 32 * 1024
            with socket.create_connection(("127.0.0.1", service.port)) as other:
                other.sendall(request_bytes("GET", "/livez"))
                assert other.recv(1024).startswith(b"HTTP/1.1 200")
        finally:
            for flooder in flooders:
                flooder.close()


async def test_a_port_that_is_taken_is_told_in_one_sentence() -> None:
    lifetime = Lifetime()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=f"can't listen on http://127.0.0.1:{port}: Address already in use."):
            await serve_until_told(things_app(lifetime), lifetime=lifetime, host="127.0.0.1", port=port, lame_duck_s=0)


async def test_a_service_whose_disk_has_failed_ends_at_once_with_code_1() -> None:
    lifetime = Lifetime()
    code = await serve_until_told(
        things_app(lifetime),
        lifetime=lifetime,
        host="127.0.0.1",
        port=0,
        lame_duck_s=60,
        on_listening=lambda _: lifetime.fail("the disk is gone"),
    )
    assert code == 1


def _size(path: str) -> int:
    return Path(path).stat().st_size if Path(path).exists() else 0

"""Several processes on one port, as the dispatcher's --workers starts them."""

import os
import signal
import socket

import pytest

from tests.processes import Service, outcome, running
from tests.talking import ask

MANY = 200
"""Connections among which two workers must both show; one of them alone would be a chance of 1 in 2^199."""


async def workers_seen(service: Service) -> set[str]:
    """Which workers answer, told apart by the request ids that they make."""
    seen = set()
    for _ in range(MANY):
        seen.add(str((await ask(service.port, "GET", "/livez")).header("x-request-id")).partition("-")[0])
    return seen


async def test_connections_are_spread_over_all_workers_and_sigterm_ends_them_all() -> None:
    with running("dispatcher", "--workers", "2") as service:
        service.wait_for("listening", times=2)
        assert len(await workers_seen(service)) == 2
        children = service.children()
        assert len(children) == 2
        service.signal(signal.SIGTERM)
        assert service.wait() == 0
        for process_id in children:
            with pytest.raises(ProcessLookupError):
                os.kill(process_id, 0)
        assert [entry["event"] for entry in service.events()].count("ended") == 2
        assert service.stderr() == ""


async def test_a_worker_that_dies_is_replaced() -> None:
    with running("dispatcher", "--workers", "2") as service:
        service.wait_for("listening", times=2)
        before = await workers_seen(service)
        os.kill(service.children()[0], signal.SIGKILL)
        assert service.wait_for("worker died")["status"] == -signal.SIGKILL
        service.wait_for("listening", times=3)
        after = await workers_seen(service)
        assert len(after) == 2
        assert len(after & before) == 1
        assert service.end() == 0


def test_workers_end_when_whoever_started_them_is_killed() -> None:
    with running("dispatcher", "--workers", "2") as service:
        service.wait_for("listening", times=2)
        service.kill()  # returns when nobody holds its standard output any more
        assert service.has_ended()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", service.port))


def test_a_worker_that_cannot_start_ends_them_all_with_its_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, stderr = outcome(
            "dispatcher", "--port", "0", "--workers", "2", "--lame-duck-s", "0", "--metrics-port", str(port)
        )
    assert code == 2
    assert f"can't listen on http://127.0.0.1:{port}: Address already in use.\n" in stderr


def test_a_port_that_is_taken_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, stdout, stderr = outcome("dispatcher", "--port", str(port), "--workers", "2")
    assert (code, stdout) == (2, "")
    assert stderr == f"python -m dispatcher: can't listen on 127.0.0.1:{port}: Address already in use.\n"

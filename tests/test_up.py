"""`python -m partyline up`: everything in one process, on one address, told apart by the Host header."""

import signal
from pathlib import Path

import pytest

from tests.processes import Service, outcome, running
from tests.talking import Reply, ask

MANAGERS = ["us-east-1", "ca-central-1", "eu-central-1"]


async def at(service: Service, name: str, method: str, path: str, body: object = None) -> Reply:
    """A request to one of the services by its name."""
    return await ask(service.port, method, path, body=body, headers={"Host": f"{name}:{service.port}"})


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

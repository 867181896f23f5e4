"""The commands as users type them: mistakes, help, logs, metrics."""

import re
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import ROOT, outcome, running, running_manager
from tests.talking import ask

EAST = ("--hostname", "us-east-1.app.local")
README = (ROOT / "README.md").read_text()


@pytest.fixture
def taken_port() -> Iterator[str]:
    """A port on which something else listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield str(listener.getsockname()[1])


def complaint(module: str, *arguments: str, **environment: str) -> str:
    """What a command that can't start says: one sentence on standard error, and exit code 2."""
    code, stdout, stderr = outcome(module, *arguments, environment=environment)
    assert (code, stdout) == (2, "")
    assert re.fullmatch(rf"python -m {module}: [^\n]*[^\n.]\.\n", stderr), stderr
    return stderr.removeprefix(f"python -m {module}: ").removesuffix("\n")


@pytest.mark.parametrize(
    ("module", "arguments", "environment", "said"),
    [
        ("dispatcher", ["--nonsense"], {}, "unrecognized arguments: --nonsense; see --help."),
        ("dispatcher", ["--workers", "0"], {}, "--workers must be a whole number from 1 to 64, not '0'; see --help."),
        (
            "dispatcher",
            [],
            {"PARTYLINE_PORT": "http"},
            "PARTYLINE_PORT must be a whole number from 0 to 65535, not 'http'; see --help.",
        ),
        (
            "dispatcher",
            ["--workers", "3", "--port", "18101", "--metrics-port", "18100"],
            {},
            "the workers' metrics ports 18100-18102 must be free ports other than --port.",
        ),
        (
            "dispatcher",
            ["--workers", "4", "--metrics-port", "65534"],
            {},
            "the workers' metrics ports 65534-65537 must be free ports other than --port.",
        ),
        ("manager", ["--database", "x.db"], {}, "--hostname (or PARTYLINE_HOSTNAME) is missing; see --help."),
        ("manager", [*EAST], {}, "--database (or PARTYLINE_DATABASE) is missing; see --help."),
        (
            "manager",
            ["--hostname", "no.app.local", "--database", "x.db"],
            {},
            "config/managers.yaml has no manager no.app.local.",
        ),
        (
            "manager",
            [*EAST, "--database", "x.db", "--default-capacity", "9", "--max-capacity", "8"],
            {},
            "--default-capacity 9 is over --max-capacity 8.",
        ),
        ("partyline up", ["--port", "x"], {}, "--port must be a whole number from 0 to 65535, not 'x'; see --help."),
        (
            "partyline up",
            [],
            {"PARTYLINE_MAX_CAPACITY": "lots"},
            "PARTYLINE_MAX_CAPACITY must be a whole number from 1 to 10000, not 'lots'; see --help.",
        ),
    ],
)
def test_a_mistake_on_the_command_line_is_answered_with_one_sentence(
    module: str, arguments: list[str], environment: dict[str, str], said: str
) -> None:
    assert complaint(module, *arguments, **environment) == said


@pytest.mark.parametrize("module", ["dispatcher", "partyline up"])
def test_a_roster_that_cannot_be_read_is_one_sentence(module: str, tmp_path: Path) -> None:
    config = tmp_path / "managers.yaml"
    assert str(config) in complaint(module, "--config", str(config))


def test_a_mistake_in_the_roster_is_named_by_file_line_and_field(tmp_path: Path) -> None:
    config = tmp_path / "managers.yaml"
    config.write_text((ROOT / "config/managers.yaml").read_text().replace("lat: 38.13 ", "lat: north "))
    said = complaint("manager", *EAST, "--database", str(tmp_path / "x.db"), "--config", str(config))
    assert said.startswith(f"{config}:5: managers[0].lat: must be a number from -90 to 90, not 'north'")


def test_a_port_that_is_taken_is_one_sentence(taken_port: str, tmp_path: Path) -> None:
    said = f"can't listen on http://127.0.0.1:{taken_port}: Address already in use."
    assert complaint("dispatcher", "--port", taken_port) == said
    assert complaint("dispatcher", "--port", "0", "--metrics-port", taken_port) == said
    manager = ("--port", taken_port, "--database", str(tmp_path / "x.db"))
    assert complaint("manager", *EAST, *manager) == said


def test_a_host_that_is_not_ours_is_one_sentence() -> None:
    assert "can't listen on http://203.0.113.1:0" in complaint("dispatcher", "--host", "203.0.113.1", "--port", "0")
    assert "can't listen on http://no.such.invalid:0" in complaint(
        "dispatcher", "--host", "no.such.invalid", "--port", "0"
    )


def test_a_database_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a database" * 100)
    with sqlite3.connect(tmp_path / "other.db") as db:
        db.execute("CREATE TABLE things (id INTEGER)")
    db.close()
    for name, said in (
        ("file/x.db", "File exists"),
        ("file", "is not a"),
        ("other.db", "belongs to another program"),
        ("", "database"),
    ):
        its = complaint("manager", *EAST, "--port", "0", "--database", str(tmp_path / name))
        assert said in its, name
        assert str(tmp_path / name) in its, name


def test_a_second_process_on_the_same_database_is_one_sentence(tmp_path: Path) -> None:
    database = tmp_path / "us-east-1.db"
    with running_manager(database) as first:
        said = f"{database} is in use by another process."
        assert complaint("manager", *EAST, "--port", "0", "--database", str(database)) == said
        assert complaint("partyline up", "--port", "0", "--data", str(tmp_path)) == said
        assert first.end() == 0
    with running_manager(database) as after:
        assert after.end() == 0


@pytest.mark.parametrize("arguments", [[], ["fly"]])
def test_partyline_alone_says_how_it_is_used(arguments: list[str]) -> None:
    code, stdout, stderr = outcome("partyline", *arguments)
    assert (code, stdout) == (2, "")
    assert "python -m partyline up" in stderr


@pytest.mark.parametrize(
    ("module", "flags"),
    [
        ("dispatcher", "--config --host --port --workers --metrics-port --log-format --lame-duck-s --allowed-origins"),
        (
            "manager",
            "--config --hostname --host --port --database --metrics-port --log-format --lame-duck-s "
            "--discovery-resolution --default-capacity --max-capacity --beat-s --grace-s --idle-expiry-h "
            "--rate-limits --creates-per-h --joins-per-h --requests-per-s --streams-per-device --failed-lookups-per-h "
            "--failed-lookups-per-h-ipv6 --trusted-proxies --allowed-origins",
        ),
        ("partyline up", "--config --host --port --data --log-format --lame-duck-s"),
    ],
)
def test_help_names_every_flag_and_how_it_is_written_as_a_variable(module: str, flags: str) -> None:
    code, stdout, stderr = outcome(module, "--help")
    assert (code, stderr) == (0, "")
    assert set(re.findall(r"^  (--[a-z0-9-]+)", stdout, re.MULTILINE)) == set(flags.split())
    assert "PARTYLINE_LOG_FORMAT" in stdout
    assert "environment variable" in stdout
    assert all(f"`{flag}`" in README or f" {flag} " in README or f"{flag}`" in README for flag in flags.split())


async def test_settings_can_come_from_the_environment_alone(tmp_path: Path) -> None:
    environment = {
        "PARTYLINE_HOSTNAME": "us-east-1.app.local",
        "PARTYLINE_DATABASE": str(tmp_path / "x.db"),
        "PARTYLINE_DEFAULT_CAPACITY": "3",
    }
    with running("manager", environment=environment) as service:
        reply = await ask(service.port, "POST", "/parties", body={"device_id": "ann"})
        assert reply.json()["party"]["capacity"] == 3


async def test_nothing_is_logged_for_requests_that_go_well_or_are_refused(tmp_path: Path) -> None:
    with running_manager(tmp_path / "x.db") as service:
        for method, path, body in (
            ("POST", "/parties", {"device_id": "ann"}),
            ("POST", "/parties", {}),
            ("GET", "/parties/nearby?lat=1&lng=1", None),
            ("GET", "/nothing", None),
            ("FOO", "/livez", None),
        ):
            await ask(service.port, method, path, body=body)
        assert service.end() == 0
        assert [(entry["event"], entry["level"]) for entry in service.events()] == [
            ("listening", "info"),
            ("ended", "info"),
        ]
        assert service.stderr() == ""


async def test_metrics_can_have_a_port_of_their_own(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        metrics_port = free.getsockname()[1]
    with running_manager(tmp_path / "x.db", "--metrics-port", str(metrics_port)) as service:
        assert (await ask(service.port, "GET", "/metrics")).refusal() == (404, "not_found")
        metrics = await ask(metrics_port, "GET", "/metrics")
        assert metrics.status == 200
        assert str(metrics.header("content-type")).startswith("text/plain")
        assert b"partyline_parties 0.0" in metrics.body
        assert (await ask(metrics_port, "GET", "/parties/nearby?lat=1&lng=1")).refusal() == (404, "not_found")
        assert (await ask(metrics_port, "POST", "/metrics")).refusal() == (405, "method_not_allowed")

"""The files under deploy/ agree with the roster and with each other; `deploy/check.sh` runs them for real."""

import dataclasses
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from chassis.reading import MAX_BODY_BYTES
from chassis.roster import Manager, read_roster
from chassis.serve import DRAIN_S
from dispatcher.settings import Settings as DispatcherSettings
from manager.presence import MISSED_BEATS
from manager.settings import Settings as ManagerSettings
from manager.stream import FAREWELL_S

STREAM = "/parties/457495738/events"
BEAT_S = ManagerSettings(hostname="any", database=Path("any")).beat_s
ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
NGINX = re.sub(r"#.*", "", (ROOT / "deploy/nginx.conf").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy/docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if name != "nginx"}
SETTINGS = {"dispatcher": DispatcherSettings, "manager": ManagerSettings}
MANAGERS = read_roster(ROOT / "config/managers.yaml").managers

each_manager = pytest.mark.parametrize("manager", MANAGERS, ids=lambda manager: manager.hostname)
each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES.keys())
each_of_ours = pytest.mark.parametrize("service", OURS.values(), ids=OURS.keys())


def service_of(manager: Manager) -> dict[str, Any]:
    """The compose service that a manager's internal_url leads to."""
    return SERVICES[str(urlsplit(manager.internal_url).hostname)]


def flag(service: dict[str, Any], name: str) -> str:
    command: list[str] = service["command"]
    return command[command.index(name) + 1]


def nginx_map(name: str) -> dict[str, str]:
    """The lines of one `map ... $name` block."""
    block = re.search(rf"map [^{{]* \${name} {{(.*?)\n    }}", NGINX, re.DOTALL)
    assert block is not None
    return dict(re.findall(r"(\S+)\s+(\S+);", block[1]))


def nginx_location_of_streams() -> str:
    """The directives of the one location whose pattern a stream's path matches."""
    locations = re.findall(r"location ~ (\S+) \{(.*?)\n        \}", NGINX, re.DOTALL)
    [directives] = [directives for pattern, directives in locations if re.search(pattern, STREAM)]
    return str(directives)


def in_nginx(name: str, *, text: str = NGINX) -> str:
    """What a directive that stands there once is set to."""
    [value] = re.findall(rf"^ *{name} (.*);", text, re.MULTILINE)
    return str(value)


def environment(service: dict[str, Any]) -> dict[str, str | None]:
    its: dict[str, str | None] = service["environment"]
    return its


def period_s(text: str) -> float:
    assert text.endswith("s")
    return float(text[:-1])


@each_manager
def test_every_manager_of_the_roster_runs_where_its_internal_url_leads(manager: Manager) -> None:
    service = service_of(manager)
    assert service["command"][0] == "manager"
    assert flag(service, "--hostname") == manager.hostname
    assert urlsplit(manager.internal_url).port == 8080


@each_manager
def test_every_manager_keeps_its_database_on_a_volume_of_its_own(manager: Manager) -> None:
    folder = str(Path(flag(service_of(manager), "--database")).parent)
    [volume] = [v.split(":")[0] for v in service_of(manager)["volumes"] if v.split(":")[1] == folder]
    users = [name for name, s in OURS.items() if any(v.startswith(f"{volume}:") for v in s["volumes"])]
    assert volume in COMPOSE["volumes"]
    assert users == [urlsplit(manager.internal_url).hostname]


@each_manager
def test_nginx_leads_every_managers_name_to_its_service(manager: Manager) -> None:
    assert nginx_map("service")[manager.hostname] == urlsplit(manager.internal_url).hostname
    assert urlsplit(manager.url).hostname == manager.hostname


def test_nginx_and_the_compose_file_know_no_services_but_the_dispatcher_and_the_roster() -> None:
    names = {"dispatcher"} | {str(urlsplit(manager.internal_url).hostname) for manager in MANAGERS}
    assert set(OURS) == names
    assert set(nginx_map("service").values()) == names


@each_service
def test_every_container_is_confined_checked_and_bounded(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].split(":")[0]) > 0
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0].startswith("CMD")
    assert {"max-size", "max-file"} <= set(service["logging"]["options"])
    assert "privileged" not in service


@each_of_ours
def test_a_service_is_ready_when_readyz_says_so(service: dict[str, Any]) -> None:
    assert "http://127.0.0.1:8080/readyz" in service["healthcheck"]["test"][-1]


@each_of_ours
def test_a_service_has_time_for_its_lame_duck_its_listeners_and_what_is_in_flight(service: dict[str, Any]) -> None:
    lame_duck_s = float(service["environment"]["PARTYLINE_LAME_DUCK_S"])
    assert period_s(service["stop_grace_period"]) > lame_duck_s + 2 * FAREWELL_S + DRAIN_S


def test_nginx_stops_by_itself_but_after_the_managers_have_told_their_listeners_why() -> None:
    patience_s = period_s(in_nginx("worker_shutdown_timeout"))
    for manager in MANAGERS:
        assert patience_s > float(service_of(manager)["environment"]["PARTYLINE_LAME_DUCK_S"]) + FAREWELL_S
    assert period_s(SERVICES["nginx"]["stop_grace_period"]) > patience_s


@each_of_ours
def test_all_that_the_environment_sets_or_passes_on_is_a_setting_of_the_service(service: dict[str, Any]) -> None:
    settings = dataclasses.fields(SETTINGS[service["command"][0]])
    assert set(environment(service)) <= {f"PARTYLINE_{setting.name.upper()}" for setting in settings}


@each_manager
def test_what_can_be_set_about_parties_is_passed_on_to_every_manager(manager: Manager) -> None:
    passed_on = {name for name, value in environment(service_of(manager)).items() if value is None}
    assert {"PARTYLINE_BEAT_S", "PARTYLINE_GRACE_S", "PARTYLINE_RATE_LIMITS", "PARTYLINE_ALLOWED_ORIGINS"} <= passed_on


@each_manager
def test_managers_limit_the_address_that_nginx_saw_not_what_a_client_claims(manager: Manager) -> None:
    assert environment(service_of(manager))["PARTYLINE_TRUSTED_PROXIES"] == "1"
    assert in_nginx("proxy_set_header X-Forwarded-For") == "$proxy_add_x_forwarded_for"
    assert "real_ip" not in NGINX


@each_service
def test_there_are_files_for_thousands_of_streams(service: dict[str, Any]) -> None:
    files = re.fullmatch(r"\$\{PARTYLINE_NOFILE:-(\d+)\}", service["ulimits"]["nofile"])
    assert files is not None
    assert int(files[1]) > int(in_nginx("worker_connections")) >= 2 * 8000  # a stream through nginx takes two


def test_listeners_who_vanish_behind_nginx_are_noticed_within_a_minute() -> None:
    # By the kernel's ip-sysctl: n retries, that double from 0.2 s, give up after about 0.2 * (2 ** (n + 1) - 1) s.
    retries = int(SERVICES["nginx"]["sysctls"]["net.ipv4.tcp_retries2"])
    assert BEAT_S < 0.2 * (2 ** (retries + 1) - 1) < MISSED_BEATS * BEAT_S


@each_of_ours
def test_a_service_hears_sigterm_also_while_it_starts(service: dict[str, Any]) -> None:
    assert service["init"] is True


@each_of_ours
def test_metrics_are_on_a_port_that_nginx_does_not_reach(service: dict[str, Any]) -> None:
    port = service["environment"]["PARTYLINE_METRICS_PORT"]
    assert int(port) not in (0, 8080)
    assert port not in NGINX
    assert "ports" not in service


def test_only_nginx_is_published_and_on_port_80_unless_told() -> None:
    assert SERVICES["nginx"]["ports"] == ["${PARTYLINE_HTTP_PORT:-80}:8080"]


def test_nginx_refuses_metrics() -> None:
    assert re.search(r"location /metrics \{\s*return 404;", NGINX)


def test_nginx_passes_streams_on_at_once_and_does_not_cut_them_while_they_beat() -> None:
    streams = nginx_location_of_streams()
    assert in_nginx("proxy_pass", text=streams) == "http://$service:8080"
    assert in_nginx("proxy_buffering", text=streams) == "off"
    assert period_s(in_nginx("proxy_read_timeout", text=streams)) >= 3 * MISSED_BEATS * BEAT_S
    # Who reads too slowly is the manager's to judge.
    assert period_s(in_nginx("send_timeout", text=streams)) >= MISSED_BEATS * BEAT_S


def test_nginx_lets_connections_become_websockets_and_nothing_else() -> None:
    assert in_nginx("proxy_http_version") == "1.1"
    assert in_nginx("proxy_set_header Upgrade") == "$upgrade"
    assert nginx_map("upgrade") == {'"~*^websocket$"': "websocket"}
    assert in_nginx("proxy_set_header Connection") == "$upgrade_or_close"
    assert nginx_map("upgrade_or_close") == {'""': "close", "default": "upgrade"}


def test_nginx_tells_the_host_with_its_port_as_pages_do_in_their_origin() -> None:
    assert in_nginx("proxy_set_header Host") == "$http_host"


@pytest.mark.parametrize("path", ["/managers/find", "/parties/nearby", STREAM])
def test_nginx_logs_nothing_of_the_paths_that_carry_positions_or_tokens(path: str) -> None:
    [pattern] = [key.strip('"~') for key, value in nginx_map("is_logged").items() if value == "0"]
    assert re.match(pattern, path)
    assert re.findall(r"access_log (.*);", NGINX) == ["/dev/stdout requests if=$is_logged", "off"]


def test_nginx_logs_hold_no_query_strings() -> None:
    log_format = re.search(r"log_format requests(.*?);\n", NGINX, re.DOTALL)
    assert log_format is not None
    assert not set(re.findall(r"\$(\w+)", log_format[1])) & {
        "request",
        "request_uri",
        "args",
        "query_string",
        "http_referer",
        "http_authorization",
        "http_sec_websocket_protocol",
        "request_body",
    }
    # Its error log quotes whole requests: none of it while serving.
    assert re.findall(r"\n +error_log (.*);", NGINX) == ["/dev/null emerg"]


def test_nginx_lets_every_body_through_that_a_service_would_take() -> None:
    sizes = re.findall(r"client_max_body_size (\d+)k;", NGINX)
    assert [int(size) * 1024 > MAX_BODY_BYTES for size in sizes] == [True]


def test_nginx_repeats_no_request_that_may_have_had_an_effect() -> None:
    assert "proxy_next_upstream error timeout;" in NGINX
    assert "non_idempotent" not in NGINX


def test_the_image_runs_as_a_numbered_user_other_than_root_and_ends_by_sigterm() -> None:
    last_stage = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    user = re.search(r"^USER (\d+):(\d+)$", last_stage, re.MULTILINE)
    assert user is not None
    assert int(user[1]) > 0
    assert {service["user"] for service in OURS.values()} == {f"{user[1]}:{user[2]}"}
    assert f"-o {user[1]} -g {user[2]} /data" in last_stage
    assert re.search(r"^STOPSIGNAL SIGTERM$", last_stage, re.MULTILINE)


def test_the_image_starts_its_service_without_a_shell_that_would_swallow_signals() -> None:
    starts = re.findall(r"^(?:CMD|ENTRYPOINT) (.*)$", DOCKERFILE, re.MULTILINE)
    assert len(starts) == 2
    assert all(start.startswith("[") for start in starts)


def test_the_image_holds_only_packages_whose_hashes_are_locked() -> None:
    installs = re.findall(r"pip .*?install (?:.*\\\n)*.*", DOCKERFILE)
    assert len(installs) == 1
    assert "--require-hashes -r /tmp/requirements.lock" in installs[0]
    assert "--no-cache-dir" in installs[0]


def test_the_image_holds_every_service_and_what_it_stands_on() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    assert {service["command"][0] for service in OURS.values()} | {"chassis", "config", "openapi"} <= kept
    assert all((ROOT / name).exists() for name in kept)

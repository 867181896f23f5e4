"""What services say of themselves: durations for Prometheus, log lines for people and machines."""

import json
import subprocess
import sys

import pytest
from prometheus_client.exposition import generate_latest

from chassis.telemetry import RequestMeter, new_registry
from tests.processes import ROOT

PROGRAM = """
import logging, structlog, sys
from chassis.telemetry import configure_logs
configure_logs(sys.argv[1])
log = structlog.get_logger()
log.info("hello", port=80, name="ann\\nbob")
log.debug("quiet")
logging.getLogger("aiohttp.server").warning("from a %s", "library")
logging.getLogger("aiohttp.server").info("quiet too")
try:
    token = "SECRET"
    raise ValueError("broken")
except ValueError:
    log.exception("failed")
    logging.getLogger("other").exception("failed there")
"""


def logged(log_format: str) -> list[str]:
    """The lines that a small program logs."""
    command = [sys.executable, "-c", PROGRAM, log_format]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize("log_format", ["json", "auto"])
def test_logs_are_one_json_object_a_line_where_no_terminal_is(log_format: str) -> None:
    hello, library, failed, failed_there = (json.loads(line) for line in logged(log_format))
    assert (hello["event"], hello["level"], hello["port"], hello["name"]) == ("hello", "info", 80, "ann\nbob")
    assert hello["timestamp"].endswith("Z")
    assert (library["event"], library["level"]) == ("from a library", "warning")
    for entry in (failed, failed_there):
        assert entry["level"] == "error"
        assert entry["exception"][0]["exc_value"] == "broken"
        assert "SECRET" not in str(entry["exception"][0]["frames"][0].get("locals"))


def test_logs_for_people_are_plain_lines() -> None:
    lines = logged("text")
    assert "hello" in lines[0]
    assert "port=80" in lines[0]
    assert "\x1b" not in "".join(lines)
    assert any("ValueError: broken" in line for line in lines)


def test_a_duration_counts_in_every_bucket_from_its_own_up() -> None:
    meter = RequestMeter()
    registry = new_registry()
    registry.register(meter)
    observe = meter.series("GET", "/x/{y}")
    for seconds in (0.0001, 0.0005, 0.003, 60.0):
        observe(200, seconds)
    observe(404, 0.02)
    text = generate_latest(registry).decode()
    its = 'partyline_request_duration_seconds_{}{{{}method="GET",route="/x/{{y}}",status="200"}}'
    assert its.format("bucket", 'le="0.0005",') + " 2.0" in text
    assert its.format("bucket", 'le="0.0025",') + " 2.0" in text
    assert its.format("bucket", 'le="0.005",') + " 3.0" in text
    assert its.format("bucket", 'le="10.0",') + " 3.0" in text
    assert its.format("bucket", 'le="+Inf",') + " 4.0" in text
    assert its.format("count", "") + " 4.0" in text
    assert its.format("sum", "") + " 60.0036" in text
    assert 'status="404"} 1.0' in text


def test_a_route_without_requests_has_no_series() -> None:
    meter = RequestMeter()
    meter.series("GET", "/never")
    assert [list(family.samples) for family in meter.collect()] == [[]]


def test_a_registry_shows_the_process() -> None:
    text = generate_latest(new_registry()).decode()
    assert "process_resident_memory_bytes" in text
    assert "python_gc_collections_total" in text

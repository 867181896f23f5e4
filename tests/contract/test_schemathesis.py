"""Schemathesis makes up requests from the documents, good and bad, and finds neither a server error nor drift."""

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.documents import OPENAPI, document_of
from tests.processes import ROOT, environment_with, running, running_manager

CONFIG = Path(__file__).with_name("schemathesis.toml")
SEED = os.environ.get("SCHEMATHESIS_SEED", "20261121")
TIMEOUT_S = 300.0
STREAM = "GET /parties/{code}/events"


@dataclass(frozen=True)
class Trial:
    """One run of schemathesis: what it reports, all that it printed, and how many requests it says it sent."""

    report: dict[str, Any]
    output: str
    tried: str


def trial(document: Path, port: int, folder: Path, *arguments: str) -> Trial:
    """Tries the service on this port against a document."""
    report = folder / "report.json"
    options = ("--config-file", str(CONFIG), "--no-color", "run", str(document), "--url", f"http://127.0.0.1:{port}")
    reporting = ("--seed", SEED, "--report", "json", "--report-json-path", str(report))
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", *options, *reporting, *arguments],
        cwd=folder,
        env=environment_with({"PYTHONPATH": str(ROOT)}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    output = f"seed {SEED}\n{done.stdout}\n{done.stderr}"
    assert report.exists(), output
    return Trial(json.loads(report.read_text()), output, done.stderr.strip().splitlines()[-1])


def assert_nothing_found(done: Trial, service: str) -> None:
    print(f"\nschemathesis, {service}: {done.tried}", file=sys.stderr)
    assert done.report["exit_code"] == 0, done.output
    assert done.report["stop_reason"] == "completed", done.output
    # A run whose requests all miss would find nothing either.
    for operation, phases in done.report["valid_rates"].items():
        if operation == STREAM:
            continue  # see the hooks: with a token it would never end
        assert sum(counts["accepted"] for counts in phases.values()) > 0, f"{operation}\n{done.output}"


def test_the_dispatcher_answers_as_documented_whatever_it_is_asked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with running("dispatcher") as service:
        done = trial(OPENAPI / "dispatcher.yaml", service.port, tmp_path, "--max-examples", "60")
    with capfd.disabled():
        assert_nothing_found(done, "dispatcher")


def test_the_manager_answers_as_documented_whatever_it_is_asked(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # Its bound on seats is the document's, which is that of all managers.
    with running_manager(tmp_path / "manager.db", "--max-capacity", "10000", "--rate-limits", "off") as service:
        done = trial(OPENAPI / "manager.yaml", service.port, tmp_path, "--max-examples", "50")
    with capfd.disabled():
        assert_nothing_found(done, "manager")


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (lambda schemas: forget(schemas["PartyMembers"], "version"), "JsonSchemaError"),
        (lambda schemas: schemas["DeviceId"].update(maxLength=200), "RejectedPositiveData"),
        (lambda schemas: schemas["Name"].update(maxLength=60), "AcceptedNegativeData"),
    ],
    ids=["a member that isn't documented", "a bound too wide", "a bound too narrow"],
)
def test_a_planted_drift_is_found(tmp_path: Path, plant: Callable[[Any], object], found: str) -> None:
    root = copy.deepcopy(document_of("manager").root)
    plant(root["components"]["schemas"])
    spoiled = tmp_path / "spoiled.yaml"
    spoiled.write_text(yaml.safe_dump(root))
    with running_manager(tmp_path / "manager.db", "--max-capacity", "10000", "--rate-limits", "off") as service:
        done = trial(spoiled, service.port, tmp_path, "--include-operation-id", "create_party", "--phases", "coverage")
    assert done.report["exit_code"] == 1, done.output
    assert {failure["type"] for failure in done.report["failures"]} == {found}, done.output


def forget(schema: Any, member: str) -> None:
    del schema["properties"][member]
    schema["required"].remove(member)

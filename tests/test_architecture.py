"""Who may import whom, read from the imports themselves. A new service is found and held to the same."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# From left to right; what stands together doesn't import each other.
ORDERS = {
    "dispatcher": "nearest -> directory -> api -> settings -> app -> __main__",
    "manager": "party codes places tokens wishes deadlines -> rules presence -> store -> store.image -> store.rows "
    "-> store.sqlite limits -> announcements callers idempotency -> attendance -> parties -> wire -> events frames "
    "-> stream -> audience -> listening -> api -> live -> lookups -> settings -> app -> __main__",
}
# For a service that isn't among them: whatever has another name stands left of the store if it is pure, else right.
SHELL = "store -> store.* -> * -> wire -> api -> live -> lookups -> settings -> app -> __main__"

PURE = {"chassis.errors", "chassis.geo", "chassis.codes"}
PURE |= {f"manager.{name}" for name in ("party", "rules", "codes", "places", "tokens", "wishes", "presence")} | {
    "dispatcher.nearest"
}
VALUES = {"chassis.roster.Manager"}  # a value that stands beside what reads it
NO_INPUT_OR_OUTPUT = """
    base64 binascii bisect collections dataclasses enum functools h3 hashlib haversine heapq hmac itertools math
    msgspec operator re typing
"""
SQL = re.compile(r"\b(SELECT\s|INSERT\s+INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|CREATE\s+TABLE\s|PRAGMA\s)")


def violations(root: Path) -> Iterator[str]:
    """What stands where it mustn't, one line each."""
    services = {path.parent.name for path in root.glob("*/app.py")}
    rooms = {"chassis", "partyline", *services}
    trees = {_name(root, path): ast.parse(path.read_text()) for room in rooms for path in (root / room).rglob("*.py")}
    for name, tree in sorted(trees.items()):
        for imported in sorted(set(_imports(tree))):
            if not _may_import(name, imported, trees, services):
                yield f"{name} imports {imported}"
        if not name.partition(".")[2].startswith("store.") and name != "chassis.database" and _has_sql(tree):
            yield f"{name} holds SQL"


def _may_import(name: str, imported: str, trees: dict[str, ast.Module], services: set[str]) -> bool:
    room, _, module = name.partition(".")
    its_room, _, rest = imported.partition(".")
    its_module = next((m for m in (rest, rest.rpartition(".")[0]) if f"{its_room}.{m}" in trees), "")
    if name in PURE and not _is_pure(imported):
        return False
    if room == "chassis":
        return its_room not in {"partyline", *services}
    if room == "partyline":
        return its_room not in services or its_module in {"app", "settings"}
    if room != its_room:
        return its_room not in {"", "partyline", *services}
    return _place(room, its_module, trees) < _place(room, module, trees)


def _place(service: str, module: str, trees: dict[str, ast.Module]) -> int:
    """How far to the right a module stands in its service; one that has no place yet is left of all."""
    steps = [step.split() for step in ORDERS.get(service, SHELL).split("->")]
    if service not in ORDERS and not any(module in step for step in steps):
        if module.startswith("store."):
            module = "store.*"
        elif not all(_is_pure(imported) for imported in _imports(trees[f"{service}.{module}"])):
            module = "*"
    return next((place for place, step in enumerate(steps) if module in step), -1)


def _is_pure(imported: str) -> bool:
    if imported in VALUES | PURE or imported.rpartition(".")[0] in PURE:
        return True
    return imported.partition(".")[0] in NO_INPUT_OR_OUTPUT.split()


def _imports(tree: ast.Module) -> Iterator[str]:
    """The dotted name of everything imported anywhere in a module; relative ones begin with a dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def _has_sql(tree: ast.Module) -> bool:
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docstrings)
    return any(isinstance(text.value, str) and SQL.search(text.value) for text in texts)


def _name(root: Path, path: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def test_every_module_imports_only_what_it_may() -> None:
    assert list(violations(ROOT)) == []


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A small house with all rooms, and a service that no rule here knows."""
    modules = """
        chassis/errors chassis/roster chassis/database chassis/http partyline/up
        dispatcher/nearest dispatcher/directory dispatcher/api dispatcher/settings dispatcher/app dispatcher/__main__
        manager/party manager/codes manager/store/__init__ manager/store/sqlite manager/parties manager/wire
        manager/api manager/settings manager/app manager/__main__
        rides/ride rides/store/__init__ rides/store/sqlite rides/rides rides/api rides/settings rides/app
    """
    for name in modules.split():
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "rides/rides.py").write_text("from rides.store import Store\nfrom rides.ride import Ride\n")
    return tmp_path


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("chassis/errors", "import math, msgspec"),
        ("chassis/http", "from chassis.database import Database"),
        ("chassis/database", "SQL = 'PRAGMA user_version'"),
        ("partyline/up", "from manager.app import manager_app"),
        ("partyline/up", "from rides.settings import Settings"),
        ("dispatcher/nearest", "from chassis.roster import Manager"),
        ("dispatcher/directory", "from dispatcher.nearest import Nearest; import time"),
        ("manager/parties", "from manager import rules"),
        ("manager/store/sqlite", "SQL = 'SELECT 1'"),
        ("manager/__main__", "from manager.app import manager_app"),
        ("rides/store/__init__", "from rides.ride import Ride"),
        ("rides/store/sqlite", "from rides.store import Store"),
        ("rides/api", "from rides.rides import Rides"),
    ],
)
def test_what_the_rules_allow_is_no_violation(house: Path, module: str, line: str) -> None:
    (house / f"{module}.py").write_text(line)
    assert list(violations(house)) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("chassis/http", "from manager.party import Party"),
        ("chassis/http", "import rides.app"),
        ("chassis/http", "from partyline import up"),
        ("chassis/errors", "import aiohttp"),
        ("chassis/errors", "from chassis.http import new_app"),
        ("partyline/up", "from manager.parties import Parties"),
        ("partyline/up", "import dispatcher"),
        ("partyline/up", "from rides.ride import Ride"),
        ("dispatcher/api", "from manager.codes import draw"),
        ("dispatcher/api", "def late():\n    from partyline.up import main"),
        ("dispatcher/nearest", "from chassis.roster import read_roster"),
        ("dispatcher/nearest", "import random"),
        ("dispatcher/nearest", "from dispatcher.directory import Directory"),
        ("dispatcher/settings", "from dispatcher import app"),
        ("manager/party", "from time import monotonic"),
        ("manager/party", "from datetime import datetime"),
        ("manager/party", "import sqlite3"),
        ("manager/party", "from manager.codes import draw"),
        ("manager/store/__init__", "from manager.store.sqlite import SqliteStore"),
        ("manager/store/sqlite", "import manager.parties"),
        ("manager/wire", "from manager.api import routes"),
        ("manager/wire", "from .parties import Parties"),
        ("manager/parties", "SQL = 'DELETE FROM parties'"),
        ("manager/api", "x = f'SELECT {1}'"),
        ("rides/ride", "from manager.party import Party"),
        ("rides/api", "from rides.app import rides_app"),
        ("rides/store/__init__", "from rides.rides import Rides"),
    ],
)
def test_a_planted_violation_is_caught(house: Path, module: str, line: str) -> None:
    (house / f"{module}.py").write_text(line)
    [caught] = violations(house)
    assert caught.startswith(module.replace("/", ".").removesuffix(".__init__"))


def test_a_service_s_rule_that_takes_the_time_from_the_clock_stands_right_of_its_store(house: Path) -> None:
    (house / "rides/ride.py").write_text("import time")
    (house / "rides/store/__init__.py").write_text("from rides.ride import Ride")
    assert "rides.store imports rides.ride.Ride" in list(violations(house))

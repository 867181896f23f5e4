"""The refusals that stand in the code, read from its syntax: kind and code are always written out."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import chassis.problem  # noqa: F401 - it has kinds of its own
from chassis.errors import Refusal


class Raised(NamedTuple):
    """Status and code of a refusal; its sentence where it is always the same."""

    status: int
    code: str
    detail: str | None


def raised_in(folder: Path) -> set[Raised]:
    """Every refusal that the modules of a package make."""
    statuses = {kind.__name__: kind.status for kind in _kinds_of(Refusal)}
    found: set[Raised] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in statuses:
                code, detail = (_constant(argument) for argument in node.args)
                assert code is not None, f"{path}:{node.lineno}: write the code out"
                found.add(Raised(statuses[node.func.id], code, detail))
    return found


def _kinds_of(kind: type[Refusal]) -> Iterator[type[Refusal]]:
    for below in kind.__subclasses__():
        yield below
        yield from _kinds_of(below)


def _constant(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None

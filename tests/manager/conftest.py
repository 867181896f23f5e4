"""What the tests of the manager share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.manager.asking import managing


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    """Where a manager with an empty database listens."""
    async with managing(tmp_path / "manager.db") as its_port:
        yield its_port

"""What the tests of the chassis share."""

from collections.abc import AsyncIterator

import pytest

from chassis.lifetime import Lifetime
from tests.chassis.things import things_app
from tests.talking import serving


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Where the things service listens."""
    lifetime = Lifetime()
    async with serving(things_app(lifetime), lifetime) as its_port:
        yield its_port

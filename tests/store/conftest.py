"""The stores that the contract's suite runs on. Another one needs one more line in STORES."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from manager.store import Store
from manager.store.sqlite import open_sqlite
from tests.store.people import AREA_CODES, RESOLUTION, Clock, OpenStore


@pytest.fixture
def clock() -> Clock:
    return Clock()


def sqlite(folder: Path, clock: Clock) -> OpenStore:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Store]:
        failures: list[str] = []
        async with open_sqlite(
            folder / "manager.db",
            area_codes=AREA_CODES,
            resolution=RESOLUTION,
            clock_ms=clock,
            broken=failures.append,
            registry=CollectorRegistry(),
        ) as store:
            yield store
        assert not failures

    return opened


STORES: tuple[Callable[[Path, Clock], OpenStore], ...] = (sqlite,)


@pytest.fixture(params=STORES, ids=lambda store: store.__name__)
def open_store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> OpenStore:
    opener: OpenStore = request.param(tmp_path, clock)
    return opener

"""Managers that a program can restart: in this process under clocks of our own, and as a process that is killed."""

import shutil
from abc import ABC, abstractmethod
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.live.model import BEAT_S, GRACE_S, IDLE_H, STREAMS
from tests.live.model_steps import Restart
from tests.live.streams import NO_WORD
from tests.manager.asking import managing
from tests.processes import Service, running_manager

AWAY = 1001

# Only streams are so few that phones meet the limit; there is no other way to turn the others off alone.
LIMITS: dict[str, Any] = {
    "rate_limits": "on",
    "streams_per_device": STREAMS,
    **dict.fromkeys(("creates_per_h", "joins_per_h", "requests_per_s", "failed_lookups_per_h"), 10_000),
}


@dataclass
class Clocks:
    """Time as the program says. Whole seconds, so that sums are exact."""

    wall: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    running_s: float = 1000.0

    def pass_(self, seconds: int) -> None:
        """Time goes by."""
        self.running_s += seconds
        self.step(seconds)

    def step(self, seconds: int) -> None:
        """The clock on the wall is set."""
        self.wall += timedelta(seconds=seconds)

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""
        return int(self.wall.timestamp() * 1000)


class Manager(ABC):
    """A manager on a database, which can be restarted."""

    port: int

    @abstractmethod
    async def start(self) -> None:
        """Starts it."""

    @abstractmethod
    async def restart(self, step: Restart) -> set[int]:
        """Ends it and starts another. Returns with which close codes streams may have ended."""

    @abstractmethod
    async def end(self) -> None:
        """Ends it for good."""


class OwnClocks(Manager):
    """A manager in this process, which believes our clocks."""

    def __init__(self, folder: Path, clocks: Clocks) -> None:
        self._folder = folder
        self._clocks = clocks
        self._stack = AsyncExitStack()
        self._starts = 0
        self._database = folder / "manager.db"

    async def start(self) -> None:
        manager = managing(
            self._database,
            clock_ms=self._clocks.wall_ms,
            monotonic_s=lambda: self._clocks.running_s,
            beat_s=BEAT_S,
            grace_s=GRACE_S,
            idle_expiry_h=IDLE_H,
            **LIMITS,
        )
        async with AsyncExitStack() as stack:
            self.port = await stack.enter_async_context(manager)
            self._stack = stack.pop_all()

    async def restart(self, step: Restart) -> set[int]:
        if step.how == "cleanly":
            await self.end()
            await self.start()
        else:
            before = self._stack
            self._copy_database()
            try:
                await self.start()
            finally:
                await before.aclose()
        return {AWAY}

    async def end(self) -> None:
        await self._stack.aclose()

    def _copy_database(self) -> None:
        """What a power switch would leave: the file and its log, which nobody has folded in."""
        self._starts += 1
        folder = self._folder / str(self._starts)
        folder.mkdir()
        for path in self._database.parent.glob(f"{self._database.name}*"):
            if path.is_file() and not path.name.endswith(("-shm", ".lock")):
                shutil.copy(path, folder)
        self._database = folder / self._database.name


class Killed(Manager):
    """A manager's process, which ends by kill -9 each time and goes on with the same database."""

    def __init__(self, folder: Path) -> None:
        self._database = folder / "manager.db"
        self._running = ExitStack()
        self._service: Service | None = None

    async def start(self) -> None:
        limits = [word for name, limit in LIMITS.items() for word in (f"--{name.replace('_', '-')}", str(limit))]
        arguments = ("--grace-s", "3600", *limits)
        self._service = self._running.enter_context(running_manager(self._database, *arguments))
        self.port = self._service.port

    async def restart(self, step: Restart) -> set[int]:
        assert self._service is not None, f"{step} before the start"
        self._service.kill()
        await self.end()
        await self.start()
        return {NO_WORD}

    async def end(self) -> None:
        self._running.close()

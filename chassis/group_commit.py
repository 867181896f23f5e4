"""Group commit: everything decided while one batch is being written goes to disk together in the next one."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog
from prometheus_client import CollectorRegistry, Gauge, Histogram

from chassis.errors import Refusal, StorageFull, Unavailable

# Each waiting change is a request in flight; past this a client is better off asking again later.
MAX_WAITING = 8192
_RETRY_AFTER_S = 2

Batch = TypeVar("Batch")
_log = structlog.get_logger()


class GroupCommit(Generic[Batch]):
    """Writes one batch at a time and answers everyone who waits for it, each through a future of its own.

    Callers put what they decided into `gathering` and await `commit()`. `committed` is called with each batch that has
    reached the disk, before anyone is answered; `forgotten` when everything pending has been refused; `broken` when
    nobody knows what is on the disk, so that the process must end and load afresh. After a full disk `is_full` stays
    set until the owner has proved that there is room.
    """

    def __init__(
        self,
        new_batch: Callable[[], Batch],
        *,
        write: Callable[[Batch], Awaitable[None]],
        committed: Callable[[Batch], None],
        forgotten: Callable[[], None],
        broken: Callable[[str], None],
        registry: CollectorRegistry,
    ) -> None:
        self.gathering = new_batch()
        self.is_full = False
        self._new_batch = new_batch
        self._write = write
        self._committed = committed
        self._forgotten = forgotten
        self._broken = broken
        self._is_broken = False
        self._waiting: list[asyncio.Future[None]] = []
        self._in_flight: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._sizes = Histogram(
            "partyline_commit_batch_size",
            "Answers that waited for the same commit.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
            registry=registry,
        )
        depth = Gauge("partyline_commit_queue_depth", "Answers that wait for the disk.", registry=registry)
        depth.set_function(lambda: len(self._waiting) + len(self._in_flight))

    def start(self) -> None:
        """Starts the writer; everything else is called from its loop."""
        self._task = asyncio.create_task(self._run(), name="group commit")

    async def stop(self) -> None:
        """Writes what waits, then ends the writer. Call when no more changes can come."""
        while self._waiting or self._in_flight:
            await self._idle.wait()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def check_room(self) -> None:
        """Call before deciding. Raises Unavailable when too much waits already, or after the disk has failed."""
        if len(self._waiting) >= MAX_WAITING:
            raise Unavailable("overloaded", "Too many changes wait for the disk.", retry_after_s=_RETRY_AFTER_S)
        if self._is_broken:
            raise _outcome_unknown()

    def commit(self) -> asyncio.Future[None]:
        """A future that is done when `gathering`, and all before it, is on the disk.

        It raises StorageFull when the disk is full, Unavailable when another program holds the file or the outcome is
        unknown.
        """
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._idle.clear()
        self._wake.set()
        return future

    async def _run(self) -> None:
        while True:
            await self._wake.wait()  # the loop first finishes its turn, so a turn's changes go together
            self._wake.clear()
            batch, self.gathering = self.gathering, self._new_batch()
            self._in_flight, self._waiting = self._waiting, []
            try:
                await self._write(batch)
            except Exception as error:
                self._refuse_everything(error)
            else:
                self._show(batch)
            self._in_flight = []
            if not self._waiting:
                self._idle.set()

    def _show(self, batch: Batch) -> None:
        """The batch is on the disk: tell first, then answer."""
        try:
            self._committed(batch)
        except Exception as error:  # a bug of ours; memory and disk no longer agree
            self._refuse_everything(error)
            return
        self._sizes.observe(len(self._in_flight))
        self._answer(self._in_flight)

    def _refuse_everything(self, error: Exception) -> None:
        """What came after the failed batch was decided on top of it, so it falls with it."""
        name = getattr(error, "sqlite_errorname", "")
        refusal: Callable[[], Exception]
        if name == "SQLITE_FULL":
            refusal = _storage_full
        elif name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            refusal = _storage_busy
        elif isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.InterfaceError):
            # Our own mistake. SQLite has rolled back, so what is committed still stands.
            refusal = _rolled_back
        else:
            self._is_broken = True
            refusal = _outcome_unknown
        if not self.is_full:  # then it is known, and would be said with every request
            _log.error("commit failed", error=type(error).__name__, sqlite=name)
        self.is_full = name == "SQLITE_FULL"
        everyone = self._in_flight + self._waiting
        self._waiting = []
        self._wake.clear()
        self.gathering = self._new_batch()
        self._forgotten()
        for future in everyone:
            if not future.done():
                future.set_exception(refusal())
        if self._is_broken:
            self._broken(f"the database failed: {name or type(error).__name__}")

    @staticmethod
    def _answer(waiting: list[asyncio.Future[None]]) -> None:
        for future in waiting:
            if not future.done():  # its caller may have been cancelled; the change stands all the same
                future.set_result(None)


def _storage_full() -> Refusal:
    return StorageFull("storage_full", "The disk is full; nothing was changed.", retry_after_s=_RETRY_AFTER_S)


def _storage_busy() -> Refusal:
    return Unavailable(
        "storage_busy", "Another program holds the database; nothing was changed.", retry_after_s=_RETRY_AFTER_S
    )


def _outcome_unknown() -> Refusal:
    return Unavailable(
        "outcome_unknown",
        "The disk failed; whether this was done shows after a restart.",
        retry_after_s=_RETRY_AFTER_S,
    )


def _rolled_back() -> Exception:
    return RuntimeError("A batch was rolled back; its changes were not made.")

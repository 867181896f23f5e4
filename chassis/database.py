"""SQLite as every service uses it: one process, one connection, whole batches, nothing acknowledged unsynced."""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self, cast

import aiosqlite

# "PLin": says whose file it is, so that another program's database is not migrated by mistake.
APPLICATION_ID = 0x504C696E
WAL_CHECKPOINT_PAGES = 4000
ROOM_BYTES = 1024 * 1024
BUSY_S = 1.0  # how long a commit waits for somebody who holds the file by hand

Statement = tuple[str, Sequence[tuple[Any, ...]]]


class DatabaseError(Exception):
    """Why a database can't be opened: one sentence."""


class Database:
    """A database file that this process alone holds. Made by `Database.open`."""

    def __init__(self, path: Path, lock: int, db: aiosqlite.Connection, connection: "_Connection") -> None:
        self.path = path
        self._lock = lock
        self._db = db
        self._connection = connection

    @classmethod
    async def open(cls, path: Path, schema: Path) -> Self:
        """Locks, opens, checks and migrates the file; makes it, and its folder, where there is none.

        `schema` is a folder of numbered SQL files. Raises DatabaseError.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path = path.resolve()  # noqa: ASYNC240 - once; the lock has to be the same under every name of the file
            lock = _lock(path)
        except OSError as error:
            raise DatabaseError(f"can't use {path}: {error.strerror}.") from None
        opened: list[_Connection] = []

        def connect(*args: Any, **kwargs: Any) -> _Connection:
            opened.append(_Connection(*args, **kwargs))
            return opened[0]

        db = aiosqlite.connect(path, timeout=BUSY_S, factory=connect, isolation_level=None, cached_statements=64)
        connecting = asyncio.ensure_future(db)
        try:
            await asyncio.shield(connecting)
            database = cls(path, lock, db, opened[0])
            await database._prepare(sorted(schema.glob("[0-9]*.sql")))  # noqa: ASYNC240 - a handful of files, once
        except BaseException as error:
            # Its thread would keep the process from ending, also where this was cancelled before it had connected.
            await asyncio.gather(connecting, return_exceptions=True)
            await db.close()
            os.close(lock)
            if isinstance(error, sqlite3.Error | UnicodeDecodeError):
                raise unsound(path, error) from None
            raise
        return database

    async def read(self, sql: str, parameters: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query. For loading at start: requests are answered from memory."""
        return cast(list[tuple[Any, ...]], await self._db.execute_fetchall(sql, parameters))

    async def write(self, statements: Sequence[Statement]) -> None:
        """Runs all statements in one transaction; when this returns they are on the disk.

        Raises sqlite3.Error, and then nothing is written, unless the disk itself has failed (SQLITE_IOERR and its
        like), where nobody knows.
        """
        self._connection.batch = statements
        await self._db.commit()

    async def prove_room(self) -> None:
        """Takes room on the disk and gives it back. Raises OSError when there is none."""
        await asyncio.to_thread(_take_room, Path(f"{self.path}.room"))

    async def close(self) -> None:
        """Folds the write-ahead log into the file and gives it up."""
        try:
            await self._db.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error:
            pass  # the log is folded in at the next start
        finally:
            await self._db.close()
            os.close(self._lock)

    async def _prepare(self, steps: Sequence[Path]) -> None:
        [(application_id,)] = await self.read("PRAGMA application_id")
        [(tables,)] = await self.read("SELECT count(*) FROM sqlite_schema")
        if application_id != APPLICATION_ID and tables:
            raise DatabaseError(f"{self.path} belongs to another program.")
        await self.read("PRAGMA journal_mode = WAL")
        # FULL syncs the log at each commit. With NORMAL a power cut loses what was acknowledged.
        for pragma in (
            "synchronous = FULL",
            "foreign_keys = ON",
            f"wal_autocheckpoint = {WAL_CHECKPOINT_PAGES}",
        ):
            await self.read(f"PRAGMA {pragma}")
        [(damage,)] = await self.read("PRAGMA quick_check(1)")
        if damage != "ok":
            raise DatabaseError(f"{self.path} is damaged: {_on_one_line(damage)}.")
        await self._migrate(steps)

    async def _migrate(self, steps: Sequence[Path]) -> None:
        [(done,)] = await self.read("PRAGMA user_version")
        if done > len(steps):
            raise DatabaseError(f"{self.path} was written by a newer Partyline (schema {done}, known {len(steps)}).")
        for number, step in enumerate(steps[done:], start=done + 1):
            await self._db.executescript(
                f"BEGIN IMMEDIATE;\n{step.read_text()}\n"
                f"PRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {number};\nCOMMIT;"
            )


class _Connection(sqlite3.Connection):
    """A connection whose commit first runs the batch that was laid before it.

    aiosqlite hands each call to its thread and back; this way a batch of any size makes that trip once.
    """

    batch: Sequence[Statement] = ()

    def commit(self) -> None:
        statements, self.batch = self.batch, ()
        try:
            self.execute("BEGIN IMMEDIATE")
            for sql, rows in statements:
                self.executemany(sql, rows)
            self.execute("COMMIT")
        except BaseException:
            if self.in_transaction:
                self.execute("ROLLBACK")
            raise


def _take_room(path: Path) -> None:
    """A commit of a page or two may still find room where the next party doesn't."""
    try:
        with path.open("wb") as file:
            file.write(bytes(ROOM_BYTES))
            os.fsync(file.fileno())
    finally:
        path.unlink(missing_ok=True)


def unsound(path: Path, error: Exception) -> DatabaseError:
    """The one sentence for a file that can't be read as what it should be."""
    return DatabaseError(f"{path} is not a sound Partyline database: {_on_one_line(str(error))}.")


def _on_one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")


def _lock(path: Path) -> int:
    """An exclusive lock that dies with the process. Two processes on one file can corrupt it (SQLite before 3.51.3)."""
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # It will hold keys, so it is nobody else's to read; SQLite makes its other files with the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except BlockingIOError:
        os.close(descriptor)
        raise DatabaseError(f"{path} is in use by another process.") from None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor

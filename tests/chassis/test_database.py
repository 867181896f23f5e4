"""A database file: who may have it, what is refused, migrations, and whole batches."""

import asyncio
import os
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from chassis.database import APPLICATION_ID, Database, DatabaseError
from tests.talking import PATIENCE_S

ROOT = Path(__file__).parents[2]
INSERT = "INSERT INTO things (name) VALUES (?)"


@pytest.fixture(autouse=True)
async def no_thread_stays() -> AsyncIterator[None]:
    """Whatever became of an open: a connection's thread that stays would keep the process from ending."""
    yield
    for thread in threading.enumerate():
        if thread.name.endswith("(_connection_worker_thread)"):
            await asyncio.to_thread(thread.join, timeout=PATIENCE_S)
            assert not thread.is_alive()


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    folder = tmp_path / "schema"
    folder.mkdir()
    (folder / "0001_things.sql").write_text("CREATE TABLE things (name TEXT NOT NULL UNIQUE) STRICT;\n")
    (folder / "README").write_text("no step of the schema")
    return folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "things.db"


@asynccontextmanager
async def opened(path: Path, schema: Path) -> AsyncIterator[Database]:
    database = await Database.open(path, schema)
    try:
        yield database
    finally:
        await database.close()


async def names(database: Database) -> list[str]:
    return [name for (name,) in await database.read("SELECT name FROM things ORDER BY name")]


async def test_a_new_file_is_made_with_its_folder_and_marked_as_ours(path: Path, schema: Path) -> None:
    async with opened(path, schema) as database:
        assert await names(database) == []
        assert await database.read("PRAGMA application_id") == [(APPLICATION_ID,)]
        assert await database.read("PRAGMA user_version") == [(1,)]


def files_beside(path: Path) -> set[Path]:
    return set(path.parent.iterdir())


def modes_beside(path: Path) -> set[int]:
    return {file.stat().st_mode & 0o777 for file in files_beside(path)}


async def test_its_files_are_nobody_elses_to_read(path: Path, schema: Path) -> None:
    database = await Database.open(path, schema)
    await database.write([])
    assert modes_beside(path) == {0o600}
    await database.close()


async def test_room_on_the_disk_is_proved_by_taking_it_and_giving_it_back(path: Path, schema: Path) -> None:
    database = await Database.open(path, schema)
    before = files_beside(path)
    await database.prove_room()
    assert files_beside(path) == before
    os.symlink("/dev/full", f"{path}.room")
    with pytest.raises(OSError, match="No space left on device"):
        await database.prove_room()
    assert files_beside(path) == before
    await database.close()


async def test_an_empty_file_is_taken_as_a_new_one(path: Path, schema: Path) -> None:
    made(path, Path.touch)
    async with opened(path, schema) as database:
        assert await names(database) == []


async def test_a_commit_is_synced_and_foreign_keys_hold(path: Path, schema: Path) -> None:
    async with opened(path, schema) as database:
        assert await database.read("PRAGMA journal_mode") == [("wal",)]
        assert await database.read("PRAGMA synchronous") == [(2,)]  # FULL
        assert await database.read("PRAGMA foreign_keys") == [(1,)]


async def test_what_is_written_is_there_after_a_restart(path: Path, schema: Path) -> None:
    async with opened(path, schema) as database:
        await database.write([(INSERT, [("a",), ("b",)]), ("DELETE FROM things WHERE name = ?", [("a",)])])
    async with opened(path, schema) as database:
        assert await names(database) == ["b"]


async def test_a_batch_is_written_whole_or_not_at_all(path: Path, schema: Path) -> None:
    async with opened(path, schema) as database:
        await database.write([(INSERT, [("a",)])])
        with pytest.raises(sqlite3.IntegrityError):
            await database.write(
                [(INSERT, [("b",)]), ("DELETE FROM things WHERE name = ?", [("a",)]), (INSERT, [("b",)])]
            )
        assert await names(database) == ["a"]
        await database.write([(INSERT, [("c",)])])
        assert await names(database) == ["a", "c"]


async def test_a_batch_of_nothing_is_no_mistake(path: Path, schema: Path) -> None:
    async with opened(path, schema) as database:
        await database.write([])
        await database.write([(INSERT, [])])
        assert await names(database) == []


async def test_closing_leaves_no_log_behind(path: Path, schema: Path) -> None:
    async with opened(path, schema) as database:
        await database.write([(INSERT, [(str(n),) for n in range(2000)])])
        log = Path(f"{path}-wal")
        assert content(log)
    assert not content(log)
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as file:
        assert file.execute("SELECT count(*) FROM things").fetchone() == (2000,)


async def test_a_new_step_of_the_schema_keeps_what_is_there(path: Path, schema: Path) -> None:
    async with opened(path, schema) as database:
        await database.write([(INSERT, [("a",)])])
    (schema / "0002_sizes.sql").write_text("ALTER TABLE things ADD COLUMN size INTEGER NOT NULL DEFAULT 7;\n")
    for _ in range(2):
        async with opened(path, schema) as database:
            assert await database.read("SELECT name, size FROM things") == [("a", 7)]
            assert await database.read("PRAGMA user_version") == [(2,)]


async def test_a_step_that_fails_leaves_the_file_as_it_was(path: Path, schema: Path) -> None:
    async with opened(path, schema) as database:
        await database.write([(INSERT, [("a",)])])
    step = schema / "0002_broken.sql"
    step.write_text("ALTER TABLE things ADD COLUMN size INTEGER;\nALTER TABLE missing ADD COLUMN size INTEGER;\n")
    assert "no such table" in await refusal(path, schema)
    step.unlink()
    async with opened(path, schema) as database:
        assert await database.read("SELECT * FROM things") == [("a",)]


async def refusal(path: Path, schema: Path) -> str:
    """Why the file can't be opened: one sentence. It must be free again after that."""
    with pytest.raises(DatabaseError) as refused:
        await Database.open(path, schema)
    sentence = str(refused.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert sentence.count(". ") == 0
    with pytest.raises(DatabaseError) as again:
        await Database.open(path, schema)
    assert str(again.value) == sentence, "the lock must be gone with the refusal"
    return sentence


def made(path: Path, make: Callable[[Path], object]) -> bytes | None:
    """What is in the file that `make` makes; None where it makes something else."""
    path.parent.mkdir()
    make(path)
    return content(path)


def content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def text(path: Path) -> None:
    path.write_text("Dear diary, today I was not a database. " * 200)


def noise(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 64)


def short(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0")


def folder(path: Path) -> None:
    path.mkdir()


def bookmarks(path: Path) -> None:
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE bookmarks (url TEXT)")
        theirs.execute("INSERT INTO bookmarks VALUES ('https://example.org')")
        theirs.commit()


@pytest.mark.parametrize("make", [text, noise, short, folder])
async def test_what_is_no_database_is_refused_and_left_alone(
    path: Path, schema: Path, make: Callable[[Path], None]
) -> None:
    before = made(path, make)
    assert str(path) in await refusal(path, schema)
    assert content(path) == before


async def test_another_programs_database_is_refused_and_left_alone(path: Path, schema: Path) -> None:
    before = made(path, bookmarks)
    assert "another program" in await refusal(path, schema)
    assert content(path) == before


async def test_a_newer_schema_is_refused(path: Path, schema: Path) -> None:
    newer = schema / "0002_sizes.sql"
    newer.write_text("ALTER TABLE things ADD COLUMN size INTEGER;\n")
    async with opened(path, schema):
        pass
    newer.unlink()
    assert "newer" in await refusal(path, schema)


def cut_short(file: bytearray) -> None:
    del file[len(file) // 2 :]


def blank_a_page(file: bytearray) -> None:
    file[-4096:] = bytes(4096)


def turn_a_pointer(file: bytearray) -> None:
    file[-4096 + 8] ^= 0xFF


def garble_the_schema(file: bytearray) -> None:
    at = file.index(b"CREATE TABLE things")
    file[at + 8] = 0xC3


def rewrite(path: Path, damage: Callable[[bytearray], None]) -> None:
    file = bytearray(path.read_bytes())
    damage(file)
    path.write_bytes(file)


@pytest.mark.parametrize("damage", [cut_short, blank_a_page, turn_a_pointer, garble_the_schema])
async def test_a_damaged_file_is_refused(path: Path, schema: Path, damage: Callable[[bytearray], None]) -> None:
    async with opened(path, schema) as database:
        await database.write([(INSERT, [(f"{n:0100}",) for n in range(500)])])
    rewrite(path, damage)
    assert str(path) in await refusal(path, schema)


async def test_a_place_where_no_file_can_be_is_refused(tmp_path: Path, schema: Path) -> None:
    (tmp_path / "file").touch()
    assert "file" in await refusal(tmp_path / "file" / "things.db", schema)


async def test_no_second_connection_gets_the_file(path: Path, schema: Path) -> None:
    async with opened(path, schema):
        assert "in use" in await refusal(path, schema)
    async with opened(path, schema):
        pass


async def test_no_second_connection_gets_the_file_under_another_name(path: Path, schema: Path) -> None:
    async with opened(path, schema):
        link = path.parent / "link.db"
        link.symlink_to(path)
        assert "in use" in await refusal(link, schema)


async def test_no_second_process_gets_the_file_until_the_first_is_gone(path: Path, schema: Path) -> None:
    holder = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.chassis.holder", str(path), str(schema)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert holder.stdout is not None
    try:
        assert await holder.stdout.readline() == b"open\n"
        assert "in use by another process" in await refusal(path, schema)
    finally:
        holder.kill()  # as a crash would end it, without a chance to unlock
        await holder.wait()
    async with opened(path, schema) as database:
        assert await names(database) == ["by another process"]


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13, 21, 34])
async def test_an_open_that_is_cancelled_leaves_the_file_free(path: Path, schema: Path, turns: int) -> None:
    opening = asyncio.create_task(Database.open(path, schema))
    for _ in range(turns):
        await asyncio.sleep(0)
    opening.cancel()
    [outcome] = await asyncio.gather(opening, return_exceptions=True)
    if isinstance(outcome, Database):
        await outcome.close()
    async with opened(path, schema) as database:
        assert await names(database) == []

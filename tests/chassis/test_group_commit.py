"""Group commit: what is decided while one batch is being written goes to disk together in the next."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from chassis import group_commit
from chassis.errors import StorageFull, Unavailable
from chassis.group_commit import GroupCommit


class Disk:
    """Takes batches, which are lists of numbers, when it is let, and fails when it is told to."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.diary: list[str] = []
        self.written: list[list[int]] = []
        self.errors: list[Exception] = []
        self.is_let = asyncio.Event()
        self.is_let.set()
        self.is_asked = asyncio.Event()
        self.commits: GroupCommit[list[int]] = GroupCommit(
            list,
            write=self.write,
            committed=lambda batch: self.diary.append(f"committed {batch}"),
            forgotten=lambda: self.diary.append("forgotten"),
            broken=lambda reason: self.diary.append(f"broken: {reason}"),
            registry=self.registry,
        )

    async def write(self, batch: list[int]) -> None:
        self.is_asked.set()
        await self.is_let.wait()
        if self.errors:
            raise self.errors.pop(0)
        self.written.append(batch)

    async def change(self, number: int) -> None:
        self.commits.check_room()
        self.commits.gathering.append(number)
        try:
            await self.commits.commit()
        except Exception as error:
            self.diary.append(f"refused {number}")
            raise error from None
        self.diary.append(f"answered {number}")

    def changes(self, *numbers: int) -> "list[asyncio.Task[None]]":
        return [asyncio.create_task(self.change(number)) for number in numbers]

    async def held(self, *numbers: int) -> "list[asyncio.Task[None]]":
        """Changes that are being written, and stay so until the disk is let."""
        self.is_let.clear()
        self.is_asked.clear()
        tasks = self.changes(*numbers)
        await self.is_asked.wait()
        return tasks

    def sample(self, name: str) -> float | None:
        return self.registry.get_sample_value(f"partyline_commit_{name}")


@pytest.fixture
async def disk() -> AsyncIterator[Disk]:
    disk = Disk()
    disk.commits.start()
    yield disk
    disk.is_let.set()
    await disk.commits.stop()


def sqlite_error(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("as it comes from SQLite")
    error.sqlite_errorname = name
    return error


async def kinds(tasks: "list[asyncio.Task[None]]") -> list[type]:
    return [type(one) for one in await asyncio.gather(*tasks, return_exceptions=True)]


async def test_what_one_turn_decides_is_one_batch(disk: Disk) -> None:
    await asyncio.gather(*disk.changes(1, 2, 3))
    assert disk.written == [[1, 2, 3]]


async def test_what_is_decided_during_a_write_goes_together_in_the_next(disk: Disk) -> None:
    first = await disk.held(1)
    later = disk.changes(2, 3)
    await asyncio.sleep(0)
    later += disk.changes(4)
    await asyncio.sleep(0)
    disk.is_let.set()
    await asyncio.gather(*first, *later)
    assert disk.written == [[1], [2, 3, 4]]


async def test_everyone_is_answered_in_order_after_readers_see_the_batch(disk: Disk) -> None:
    first = await disk.held(1, 2)
    second = disk.changes(3, 4)
    await asyncio.sleep(0)
    assert disk.diary == []
    disk.is_let.set()
    await asyncio.gather(*first, *second)
    answered = [line for line in disk.diary if line.startswith("answered")]
    assert answered == ["answered 1", "answered 2", "answered 3", "answered 4"]
    assert disk.diary.index("committed [1, 2]") < disk.diary.index("answered 1")
    assert disk.diary.index("committed [3, 4]") < disk.diary.index("answered 3")


async def test_nothing_is_written_where_nobody_waits(disk: Disk) -> None:
    disk.commits.gathering.append(1)
    for _ in range(5):
        await asyncio.sleep(0)
    assert disk.written == []
    await disk.change(2)
    assert disk.written == [[1, 2]]


async def test_stopping_writes_what_waits_first() -> None:
    disk = Disk()
    disk.commits.start()
    first = await disk.held(1)
    second = disk.changes(2)
    await asyncio.sleep(0)
    stopping = asyncio.create_task(disk.commits.stop())
    await asyncio.sleep(0)
    assert not stopping.done()
    disk.is_let.set()
    await stopping
    assert disk.written == [[1], [2]]
    await asyncio.gather(*first, *second)


async def test_what_comes_while_it_stops_is_written_too() -> None:
    disk = Disk()
    disk.commits.start()
    first = await disk.held(1)
    stopping = asyncio.create_task(disk.commits.stop())
    await asyncio.sleep(0)
    second = disk.changes(2)
    await asyncio.sleep(0)
    disk.is_let.set()
    await stopping
    await asyncio.gather(*first, *second)
    assert disk.written == [[1], [2]]


async def test_stopping_with_nothing_to_do_ends_at_once() -> None:
    never_started, started = Disk().commits, Disk().commits
    await never_started.stop()
    started.start()
    assert "group commit" in {task.get_name() for task in asyncio.all_tasks()}
    await started.stop()
    assert "group commit" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_when_too_many_wait_the_next_is_told_to_come_later(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "MAX_WAITING", 3)
    tasks = await disk.held(0)
    tasks += disk.changes(1, 2, 3)
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="overloaded") as refused:
        await disk.change(4)
    assert refused.value.retry_after_s
    disk.is_let.set()
    await asyncio.gather(*tasks)
    await disk.change(5)
    assert disk.written == [[0], [1, 2, 3], [5]]


async def test_a_full_disk_refuses_the_batch_and_all_that_was_decided_on_top_of_it(disk: Disk) -> None:
    disk.errors = [sqlite_error("SQLITE_FULL")]
    tasks = await disk.held(1)
    tasks += disk.changes(2, 3)
    await asyncio.sleep(0)
    disk.is_let.set()
    assert await kinds(tasks) == [StorageFull] * 3
    assert disk.diary == ["forgotten", "refused 1", "refused 2", "refused 3"]
    assert disk.written == []
    assert disk.commits.is_full


async def test_after_a_full_disk_the_next_batch_holds_nothing_of_what_was_refused(disk: Disk) -> None:
    disk.errors = [sqlite_error("SQLITE_FULL")]
    tasks = await disk.held(1)
    tasks += disk.changes(2)
    await asyncio.sleep(0)
    disk.is_let.set()
    await kinds(tasks)
    await disk.change(3)
    assert disk.written == [[3]]
    assert disk.commits.is_full, "one change that fits is no proof of room"


async def test_our_own_mistake_refuses_the_batch_and_goes_on(disk: Disk) -> None:
    disk.errors = [sqlite3.IntegrityError("CHECK constraint failed")]
    assert await kinds(disk.changes(1, 2)) == [RuntimeError] * 2
    await disk.change(3)
    assert disk.diary == ["forgotten", "refused 1", "refused 2", "committed [3]", "answered 3"]


@pytest.mark.parametrize(
    "error",
    [sqlite_error("SQLITE_IOERR_FSYNC"), sqlite_error("SQLITE_CORRUPT"), OSError("gone"), UnicodeError("a bug")],
    ids=str,
)
async def test_what_nobody_understands_is_an_unknown_outcome_and_ends_everything(disk: Disk, error: Exception) -> None:
    disk.errors = [error]
    tasks = await disk.held(1)
    tasks += disk.changes(2)
    await asyncio.sleep(0)
    disk.is_let.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [one.code for one in outcomes if isinstance(one, Unavailable)] == ["outcome_unknown"] * 2
    assert [line.partition(":")[0] for line in disk.diary] == ["forgotten", "broken", "refused 1", "refused 2"]
    with pytest.raises(Unavailable, match="outcome_unknown"):
        disk.commits.check_room()


async def test_a_batch_that_can_not_be_shown_ends_everything(disk: Disk) -> None:
    def stumble(_: list[int]) -> None:
        raise AssertionError("a bug")

    disk.commits._committed = stumble
    tasks = await disk.held(1)
    tasks += disk.changes(2)
    await asyncio.sleep(0)
    disk.is_let.set()
    assert await kinds(tasks) == [Unavailable] * 2
    assert sum(line.startswith("broken") for line in disk.diary) == 1


async def test_whoever_hangs_up_changes_nothing_for_the_others(disk: Disk) -> None:
    tasks = await disk.held(1, 2)
    tasks += disk.changes(3, 4)
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    disk.is_let.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in outcomes] == [asyncio.CancelledError, type(None)] * 2
    assert disk.written == [[1, 2], [3, 4]]


async def test_whoever_hangs_up_before_a_failure_is_not_asked_to_hear_of_it(disk: Disk) -> None:
    disk.errors = [sqlite_error("SQLITE_FULL")]
    tasks = await disk.held(1, 2)
    tasks[0].cancel()
    disk.is_let.set()
    assert await kinds(tasks) == [asyncio.CancelledError, StorageFull]


async def test_metrics_count_batches_and_who_waits(disk: Disk) -> None:
    tasks = await disk.held(1, 2)
    tasks += disk.changes(3)
    await asyncio.sleep(0)
    assert disk.sample("queue_depth") == 3
    disk.is_let.set()
    await asyncio.gather(*tasks)
    assert disk.sample("queue_depth") == 0
    assert disk.sample("batch_size_count") == 2
    assert disk.sample("batch_size_sum") == 3

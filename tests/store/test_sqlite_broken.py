"""A disk that breaks: nobody knows what is on it, so callers are told that, and the process is told to end."""

import asyncio
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from chassis.errors import Unavailable
from manager.store import Outcome
from manager.store.image import Batch
from tests.store.disk import Contents, answers, check_disk, opened
from tests.store.people import create, device, join

ROOT = Path(__file__).parents[2]
ANN, BOB, CID = map(device, range(3))


async def test_when_the_disk_breaks_the_outcome_is_unknown_and_the_process_is_told_to_end(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.store.broken_disk", str(tmp_path / "a.db")),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    acknowledged, refused, seen, strangers, broken = json.loads(output.splitlines()[-1])
    assert refused == ["outcome_unknown"] * 4
    assert seen == acknowledged, "what is committed is still read"
    assert strangers == []
    assert len(broken) == 1
    assert "SQLITE_IOERR" in broken[0]
    async with opened(tmp_path / "a.db") as store:
        for code in acknowledged:
            assert await store.party(code) is not None
        await check_disk(store, tmp_path)


async def test_a_row_that_the_schema_refuses_spoils_its_batch_and_nothing_else(tmp_path: Path) -> None:
    async with opened(tmp_path / "a.db") as store:
        code = (await create(store, ANN)).code
        before = Contents.of(store.image)
        spoilt = await asyncio.gather(
            join(store, code, BOB), create(store, CID, capacity=0), join(store, code, b"short"), return_exceptions=True
        )
        assert {type(one) for one in spoilt} == {RuntimeError}
        assert Contents.of(store.image) == before
        await join(store, code, BOB)
        await check_disk(store, tmp_path)


async def test_while_another_program_holds_the_file_changes_are_refused_and_then_go_on(tmp_path: Path) -> None:
    broken: list[str] = []
    async with opened(tmp_path / "a.db", broken=broken.append) as store:
        code = (await create(store, ANN)).code
        before = Contents.of(store.image)
        with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            refused = await answers([join(store, code, BOB), create(store, CID)])
            other.execute("ROLLBACK")
        assert [one.code for one in refused] == ["storage_busy"] * 2
        assert Contents.of(store.image) == before
        assert broken == []
        await join(store, code, BOB)
        await check_disk(store, tmp_path)


async def test_whoever_asks_after_the_disk_broke_is_told_so_at_once(tmp_path: Path) -> None:
    broken: list[str] = []
    async with opened(tmp_path / "a.db", broken=broken.append) as store:
        code = (await create(store, ANN)).code

        async def break_down(_: Batch) -> None:
            raise OSError("the disk is gone")

        honest, store.commits._write = store.commits._write, break_down
        with pytest.raises(Unavailable, match="outcome_unknown"):
            await join(store, code, BOB)
        store.commits._write = honest
        with pytest.raises(Unavailable, match="outcome_unknown"):
            await join(store, code, ANN)
        assert await store.party_of(ANN) == await store.party(code)
        assert len(broken) == 1


@pytest.mark.parametrize("turns", range(12))
async def test_cancelled_callers_split_nothing_and_lose_nothing(tmp_path: Path, turns: int) -> None:
    """`turns` of the event loop after all have asked, every other one hangs up."""
    async with opened(tmp_path / "a.db") as store:
        codes = [(await create(store, device(n), capacity=4)).code for n in range(5)]
        for round_ in range(4):
            first = 1000 * (round_ + 1)
            requests = [
                *(join(store, codes[n % 5], device(first + n % 7)) for n in range(12)),
                *(create(store, device(first + n)) for n in range(6)),
            ]
            calls = [asyncio.create_task(request) for request in requests]
            for _ in range(turns):
                await asyncio.sleep(0)
            hung_up = [call for call in calls[::2] if call.cancel()]
            came = await answers(calls[1::2])
            await asyncio.gather(*hung_up, return_exceptions=True)
            assert all(one.code in store.image.parties for one in came[6:] if isinstance(one, Outcome))
            assert len(hung_up) == 9 or turns > 2, "the fault must strike"
            await create(store, device(first + 500))  # whatever was under way is on the disk before this
            await check_disk(store, tmp_path)


async def test_a_change_whose_caller_hung_up_stands(tmp_path: Path) -> None:
    async with opened(tmp_path / "a.db") as store:
        code = (await create(store, ANN)).code
        call = asyncio.create_task(join(store, code, BOB))
        await asyncio.sleep(0)  # it has been decided, and waits for the disk
        call.cancel()
        other = await join(store, code, CID)
        assert call.cancelled()
        assert other.participant_id == 2
        assert await store.party_of(BOB) == await store.party(code)
        await check_disk(store, tmp_path)


async def test_a_call_that_is_cancelled_before_it_began_does_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path / "a.db") as store:
        code = (await create(store, ANN)).code
        call = asyncio.create_task(join(store, code, BOB))
        call.cancel()
        assert (await join(store, code, CID)).participant_id == 1
        assert await store.party_of(BOB) is None
        await check_disk(store, tmp_path)


async def test_what_waits_when_the_store_closes_is_written_first(tmp_path: Path) -> None:
    async with opened(tmp_path / "a.db") as store:
        calls = [asyncio.create_task(create(store, device(n))) for n in range(30)]
        await asyncio.sleep(0)
    made = await asyncio.gather(*calls)
    async with opened(tmp_path / "a.db") as store:
        assert store.image.parties.keys() == {one.code for one in made}

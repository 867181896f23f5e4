"""A manager's database file: what a load refuses, and what time takes out of it."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from chassis.database import DatabaseError
from manager.store import RECEIPT_MS, REST_MS
from tests.store.disk import answers, check_disk, opened
from tests.store.people import AREA_CODES, MONTREAL, Clock, create, device, join, leave, once, party_at

ANN, BOB, CID = map(device, range(3))


def by_hand(path: Path, *statements: str) -> None:
    """Changes the file behind everyone's back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        for statement in statements:
            file.execute(statement)


async def two_parties(path: Path) -> tuple[int, int]:
    async with opened(path) as store:
        first, second = await create(store, ANN, place=MONTREAL), await create(store, BOB)
        await join(store, second.code, CID)
        return first.code, second.code


DEVICE_TWICE = "UPDATE participants SET device = zeroblob(16)"
DEVICE_TWICE_IN_A_PARTY = "UPDATE participants SET device = zeroblob(16) WHERE party_id = (SELECT max(id) FROM parties)"
CODE_TWICE = "UPDATE parties SET code = 457000000"
COUNTER_BEHIND = "UPDATE counters SET next = (SELECT max(id) FROM parties)"
LEADER_GONE = "DELETE FROM participants WHERE id = 0"
EMPTY_PARTY = "DELETE FROM participants WHERE party_id = (SELECT min(id) FROM parties)"
STRAYS = "DELETE FROM parties WHERE id = (SELECT min(id) FROM parties)"
STRAYS_AT_THE_END = "DELETE FROM parties WHERE id = (SELECT max(id) FROM parties)"
BAD_TEXT = "UPDATE parties SET name = CAST(x'ff' AS TEXT)"
BAD_ATTRIBUTES = "UPDATE parties SET attributes = CAST(x'c3' AS TEXT)"
NO_CELL = "UPDATE parties SET cell = 12345 WHERE discoverable"
NEGATIVE_CELL = "UPDATE parties SET cell = -1 WHERE discoverable"
STRANGE_KEY = "UPDATE keys SET name = 'area:north' WHERE name = 'area:457'"


@pytest.mark.parametrize(
    "statement",
    [
        *(DEVICE_TWICE, DEVICE_TWICE_IN_A_PARTY, CODE_TWICE, COUNTER_BEHIND, LEADER_GONE),
        *(EMPTY_PARTY, STRAYS, STRAYS_AT_THE_END, BAD_TEXT, BAD_ATTRIBUTES, NO_CELL, NEGATIVE_CELL, STRANGE_KEY),
    ],
    ids=[name for name, value in globals().items() if name.isupper() and isinstance(value, str)],
)
async def test_a_file_that_breaks_a_rule_is_refused_in_one_sentence(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "a.db"
    await two_parties(path)
    by_hand(path, statement)
    for _ in range(2):  # the refusal frees the file
        with pytest.raises(DatabaseError) as refused:
            async with opened(path):
                pass
        sentence = str(refused.value)
        assert sentence.endswith(".")
        assert "\n" not in sentence
        assert "in use" not in sentence


def damaged(sound: bytes, dice: random.Random) -> bytes:
    file = bytearray(sound)
    for _ in range(dice.choice([1, 1, 4, 32])):
        at, length = dice.randrange(len(file)), dice.choice([1, 16, 512])
        file[at : at + length] = dice.randbytes(len(file[at : at + length]))
    return bytes(file)


async def test_a_file_damaged_anywhere_is_loaded_or_refused_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with opened(path) as store:
        codes = [(await create(store, device(n), place=MONTREAL, once=once(n))).code for n in range(5)]
        await answers(join(store, codes[n % 5], device(100 + n)) for n in range(20))
        await leave(store, codes[0], 0)
    sound = path.read_bytes()
    refusals = []
    for seed in range(60):
        path.write_bytes(damaged(sound, random.Random(seed)))
        try:
            async with opened(path):
                pass
        except DatabaseError as refusal:
            refusals.append((seed, str(refusal)))
    assert len(refusals) > 10, "the damage must strike"
    assert [(seed, sentence) for seed, sentence in refusals if "\n" in sentence] == []


async def test_keys_of_new_area_codes_are_made_and_those_of_lost_ones_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    first, _ = await two_parties(path)
    async with opened(path) as store:
        kept = dict(store.keys.area)
        device_key = store.keys.device
    by_hand(
        path, "DELETE FROM keys WHERE name = 'area:601'", "UPDATE keys SET name = 'area:900' WHERE name = 'area:602'"
    )
    async with opened(path) as store:
        assert store.keys.device == device_key
        assert store.keys.area.keys() == {*AREA_CODES, 900}
        assert {**store.keys.area, 602: kept[602], 601: kept[601], 900: kept[602]} == {**kept, 900: kept[602]}
        assert store.keys.area[601] != kept[601]
        assert await store.party(first) is not None


@pytest.mark.parametrize(("kept", "wanted"), [(8, 5), (8, 10), (8, 15), (8, 0)])
async def test_places_are_found_again_at_another_resolution(tmp_path: Path, kept: int, wanted: int) -> None:
    path = tmp_path / "a.db"
    async with opened(path, resolution=kept) as store:
        code = (await create(store, ANN, place=MONTREAL)).code
    async with opened(path, resolution=wanted) as store:
        [(party, distance_km)] = await store.nearby(MONTREAL, radius_km=1000, limit=20)
        assert party.code == code
        assert distance_km < (1 if wanted >= 8 else 1000)
        await join(store, code, BOB)
        await leave(store, code, 0)
        await leave(store, code, 1)
        assert await store.nearby(MONTREAL, radius_km=1000, limit=20) == []


async def test_what_has_expired_is_swept_from_memory_and_disk(tmp_path: Path) -> None:
    path, clock = tmp_path / "a.db", Clock()
    async with opened(path, clock=clock) as store:
        for n in range(20):
            made = await create(store, ANN, once=once(n))
            await leave(store, made.code, 0)
        clock.now_ms += RECEIPT_MS // 2
        await create(store, ANN, once=once(100))
        clock.now_ms += RECEIPT_MS // 2
        await store.sweep()
        assert [*store.image.receipts] == [once(100).key]
        assert store.image.resting == {}
        await check_disk(store, tmp_path)
    async with opened(path, clock=clock) as store:
        assert [*store.image.receipts] == [once(100).key]


async def test_a_code_that_closes_again_before_a_sweep_leaves_one_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.randbelow", lambda _: 5)
    path, clock = tmp_path / "a.db", Clock()
    async with opened(path, clock=clock) as store:
        codes = set()
        for _ in range(3):
            made = await create(store, ANN)
            await leave(store, made.code, 0)
            codes.add(made.code)
            clock.now_ms += REST_MS
        assert len(codes) == 1
        await store.sweep()
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT count(*) FROM resting_codes").fetchone() == (0,)


async def test_a_party_with_everything_and_one_with_nothing_come_back_alike(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    async with opened(path) as store:
        full = (await create(store, ANN, place=MONTREAL, locked=True, capacity=7)).code
        bare = (await create(store, BOB)).code
        before = [await party_at(store, code) for code in (full, bare)]
    async with opened(path) as store:
        assert [await party_at(store, code) for code in (full, bare)] == before

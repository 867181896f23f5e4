"""A database of the first version, opened by this one: everybody keeps seat, lead, token and receipt."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.manager.asking import CONFIG, managing, remove, seats, show
from tests.processes import ROOT
from tests.talking import ask

AT_MS = 1795238995599
"""When it was written."""

ANNS_CODE, DANS_CODE, EVES_CODE, FLOS_CODE = "201658100", "201660988", "200517756", "200348409"
BOBS_TOKEN, CIDS_TOKEN = "AAAAAAFuiiMRH8RXFDGddKWsUYAJ", "AAAAAAJwx5rvwPliJijUIH1jxitx"
FLOS_TOKEN = "AAAAAACuUHKp3JxQKDhPJfIG1WTC"


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    path = tmp_path / "manager.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript((ROOT / "tests/store/schema_1.sql").read_text())
    return path


@pytest.fixture
async def port(old_file: Path, tmp_path: Path) -> AsyncIterator[int]:
    """A manager of this version on the old file, an hour after it was written."""
    config = tmp_path / "managers.yaml"
    config.write_text(CONFIG.read_text().replace("[200-299]", "[200-201]"))
    async with managing(old_file, config=config, clock_ms=lambda: AT_MS + 3600_000) as its_port:
        yield its_port


async def test_parties_and_seats_are_as_they_were(port: int) -> None:
    party = await show(port, ANNS_CODE)
    place = party.pop("place")
    assert party == {
        "party_code": ANNS_CODE,
        "name": "Zoë's party",
        "leader_id": 1,
        "participant_count": 2,
        "capacity": 7,
        "locked": False,
        "discoverable": True,
        "version": 5,
        "created_at": "2026-11-21T05:29:55.588000Z",
        "attributes": {"map": "é", "round": 3},
    }
    assert place == pytest.approx({"lat": 38.13, "lng": -78.45}, abs=0.01)
    assert await seats(port, ANNS_CODE) == [(1, "Bob", True), (2, None, False)]
    assert await seats(port, DANS_CODE) == [(0, None, True)]
    assert (await ask(port, "GET", f"/parties/{EVES_CODE}")).refusal() == (404, "party_not_found")


async def test_devices_and_tokens_are_good_for_what_they_were(port: int) -> None:
    bob = await ask(port, "POST", "/me", body={"device_id": "phone-of-bob"})
    assert (bob.json()["participant_id"], bob.json()["token"]) == (1, BOBS_TOKEN)
    assert (await remove(port, ANNS_CODE, 1, CIDS_TOKEN)).refusal() == (403, "not_allowed")
    assert (await remove(port, ANNS_CODE, 2, BOBS_TOKEN)).status == 204


async def test_a_request_that_is_repeated_across_the_change_of_versions_is_answered_alike(port: int) -> None:
    body, key = {"device_id": "phone-of-flo"}, {"Idempotency-Key": "key-of-flo"}
    again = await ask(port, "POST", "/parties", body=body, headers=key)
    assert again.status == 201
    assert (again.json()["party_code"], again.json()["token"]) == (FLOS_CODE, FLOS_TOKEN)


async def test_what_is_new_works_on_what_is_old(port: int) -> None:
    banned = await ask(port, "DELETE", f"/parties/{ANNS_CODE}/participants/2?ban=true", token=BOBS_TOKEN)
    assert banned.status == 204
    beat = await ask(port, "POST", f"/parties/{ANNS_CODE}/participants/1/heartbeat", token=BOBS_TOKEN)
    assert beat.status == 204
    join = {"device_id": "phone-of-cid"}
    assert (await ask(port, "POST", f"/parties/{ANNS_CODE}/participants", body=join)).refusal() == (403, "banned")


async def test_nobody_of_before_counts_as_idle(old_file: Path, port: int) -> None:
    assert (await show(port, DANS_CODE))["participant_count"] == 1
    with closing(sqlite3.connect(f"file:{old_file}?mode=ro", uri=True)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        kept = db.execute("SELECT DISTINCT seen_ms, is_live, attributes FROM participants").fetchall()
    assert kept == [(0, 0, None)]

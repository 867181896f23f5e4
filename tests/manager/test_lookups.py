"""Guessing codes: who is held back, who isn't, and what is told to whom."""

from pathlib import Path

from tests.manager.asking import create, managing, remove, show
from tests.talking import Reply, ask

NOBODYS = "200000001"


async def guess(port: int, code: str = NOBODYS, *, token: str | None = None) -> Reply:
    return await ask(port, "GET", f"/parties/{code}", token=token)


async def test_who_guesses_too_often_looks_up_no_more_whether_there_is_such_a_party_or_not(tmp_path: Path) -> None:
    async with managing(tmp_path / "x.db", rate_limits="on", failed_lookups_per_h=2) as port:
        code = (await create(port, "ann"))["party_code"]
        assert [(await guess(port)).status for _ in range(3)] == [404, 404, 429]
        refused = await guess(port, code)
        assert refused.refusal() == (429, "too_many_requests")
        assert int(refused.header("retry-after") or "") > 0
        assert refused.header("ratelimit") is not None
        assert (await ask(port, "POST", f"/parties/{code}/participants", body={"device_id": "bob"})).status == 429


async def test_a_good_token_is_no_guess(tmp_path: Path) -> None:
    async with managing(tmp_path / "x.db", rate_limits="on", failed_lookups_per_h=1) as port:
        ann = await create(port, "ann")
        bob = await create(port, "bob")
        assert [(await guess(port)).status for _ in range(2)] == [404, 429]
        assert (await guess(port, ann["party_code"], token=ann["token"])).status == 200
        assert (await guess(port, ann["party_code"], token=bob["token"])).status == 429
        assert (await guess(port, ann["party_code"], token="A" * 28)).status == 429


async def test_who_was_in_a_party_that_has_closed_does_not_guess(tmp_path: Path) -> None:
    async with managing(tmp_path / "x.db", rate_limits="on", failed_lookups_per_h=1) as port:
        ann = await create(port, "ann")
        await remove(port, ann["party_code"], 0, ann["token"])
        for _ in range(3):
            assert (await guess(port, ann["party_code"], token=ann["token"])).refusal() == (404, "party_not_found")
        bob = await create(port, "bob")
        assert (await show(port, bob["party_code"]))["party_code"] == bob["party_code"]
        assert [(await guess(port, ann["party_code"])).status for _ in range(2)] == [404, 429]

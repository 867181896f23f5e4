"""Idle and empty parties, as people see them: over HTTP, with a clock of our own."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.live.streams import listening
from tests.manager.asking import create, join, managing, near, try_to_join
from tests.processes import running_manager
from tests.talking import ask

HOUR_S = 3600.0


@dataclass
class Hours:
    """A clock that doesn't go back and stands still until it is told otherwise."""

    now_s: float = 50_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def hours() -> Hours:
    return Hours()


@pytest.fixture
async def port(tmp_path: Path, hours: Hours) -> AsyncIterator[int]:
    async with managing(tmp_path / "manager.db", monotonic_s=hours) as its_port:
        yield its_port


async def test_a_party_in_which_nobody_did_anything_for_a_day_and_an_hour_is_gone(port: int, hours: Hours) -> None:
    ann = await create(port, "ann", lat=1, lng=1)
    code = ann["party_code"]
    hours.now_s += 24 * HOUR_S
    assert (await ask(port, "GET", f"/parties/{code}")).status == 200
    hours.now_s += HOUR_S + 1
    for reply in (
        await ask(port, "GET", f"/parties/{code}"),
        await ask(port, "GET", f"/parties/{code}/participants"),
        await try_to_join(port, code, "bob"),
        await ask(port, "GET", f"/parties/{code}/events", token=ann["token"]),
        await ask(port, "DELETE", f"/parties/{code}", token=ann["token"]),
    ):
        assert reply.refusal() == (404, "party_not_found")
    assert await near(port, 1, 1) == []
    assert (await ask(port, "POST", "/me", body={"device_id": "ann"})).refusal() == (404, "membership_not_found")


@pytest.mark.parametrize("call", ["message", "rename", "me", "join again", "get", "list"])
async def test_any_call_of_one_s_own_is_a_sign_of_life(port: int, hours: Hours, call: str) -> None:
    ann = await create(port, "ann")
    code, token = ann["party_code"], ann["token"]
    for _ in range(3):
        hours.now_s += 20 * HOUR_S
        match call:
            case "message":
                reply = await ask(port, "POST", f"/parties/{code}/messages", body={"body": {}}, token=token)
            case "rename":
                body = {"participant_name": f"at {hours.now_s}"}
                reply = await ask(port, "PATCH", f"/parties/{code}/participants/0", body=body, token=token)
            case "me":
                reply = await ask(port, "POST", "/me", body={"device_id": "ann"})
            case "join again":
                reply = await try_to_join(port, code, "ann")
            case "get":
                reply = await ask(port, "GET", f"/parties/{code}", token=token)
            case _:
                reply = await ask(port, "GET", f"/parties/{code}/participants", token=token)
        assert reply.status in {200, 202}, reply
    hours.now_s += 25 * HOUR_S + 1
    assert (await ask(port, "GET", f"/parties/{code}")).status == 404


async def test_reading_without_a_token_keeps_nobody(port: int, hours: Hours) -> None:
    ann = await create(port, "ann")
    for _ in range(24):
        assert (await ask(port, "GET", f"/parties/{ann['party_code']}")).status == 200
        hours.now_s += HOUR_S
    hours.now_s += HOUR_S + 1
    assert (await ask(port, "GET", f"/parties/{ann['party_code']}")).status == 404


async def test_listeners_see_who_expires_without_anybody_asking(port: int, hours: Hours) -> None:
    ann = await create(port, "ann")
    code = ann["party_code"]
    bob = await join(port, code, "bob")
    async with listening(port, code, bob["token"]) as stream:
        await stream.next()
        hours.now_s += 25 * HOUR_S + 1
        assert (await stream.until("participant_left"))["reason"] == "lost"
        assert (await stream.until("leader_promoted"))["participant_id"] == 1


async def test_the_code_of_a_party_that_expired_rests(port: int, hours: Hours, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "randbelow", lambda _: 5)  # loaded dice: they always fall on the same code
    first = await create(port, "ann")
    hours.now_s += 26 * HOUR_S
    assert (await ask(port, "GET", f"/parties/{first['party_code']}")).status == 404
    assert (await create(port, "ann"))["party_code"] != first["party_code"]


async def test_the_idle_expiry_is_a_setting(tmp_path: Path) -> None:
    with running_manager(tmp_path / "m.db", "--idle-expiry-h", "0.0002") as service:
        ann = await create(service.port, "ann")
        bob = await join(service.port, ann["party_code"], "bob")
        async with listening(service.port, ann["party_code"], bob["token"]) as stream:
            assert (await stream.until("participant_left"))["reason"] == "lost"
            assert (await stream.until("leader_promoted"))["participant_id"] == 1

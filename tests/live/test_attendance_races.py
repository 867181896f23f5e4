"""Coming back in the very moment in which one is lost: either or, whatever the order of things."""

import asyncio
import random
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

import pytest

from chassis.errors import Unauthenticated
from tests.live.house import GRACE_S, House, house

T = TypeVar("T")


async def after(turns: int, doing: Awaitable[T]) -> T:
    """Some turns of the loop later."""
    for _ in range(turns):
        await asyncio.sleep(0)
    return await doing


async def race(home: House, how: str, number: int, dice: random.Random) -> bool:
    """Bob comes back just as his grace period ends. Returns whether he is still there."""
    ann = await home.found(f"ann{number}")
    bob = await home.parties.join(ann.code, f"bob{number}", None)
    home.attendance.go(await home.attendance.come(ann.code, bob.token))

    async def come() -> None:
        if how == "stream":
            await home.attendance.come(ann.code, bob.token)
        else:
            await home.attendance.beat(ann.code, 1, bob.token)

    home.running.now_s += GRACE_S - 0.001
    coming = asyncio.create_task(after(dice.randrange(8), come()))
    noise = [home.found(f"p{dice.random()}") for _ in range(dice.choice([0, 0, 3]))]
    others = asyncio.gather(after(dice.randrange(8), home.attendance.settle(ann.code)), *noise)
    home.running.now_s += dice.choice([0, 0.002, 0.002])
    [end] = await asyncio.gather(coming, return_exceptions=True)
    await others
    is_there = 1 in await home.there(ann.code)
    assert isinstance(end, Unauthenticated) is not is_there
    assert (1 in home.online(ann)) is is_there
    if not is_there:
        with pytest.raises(Unauthenticated):
            await come()
    return is_there


@pytest.mark.parametrize("how", ["stream", "heartbeat"])
async def test_who_comes_back_while_they_are_being_lost_is_refused_or_stays_but_never_both(
    tmp_path: Path, how: str
) -> None:
    """Two hundred times, with some turns of the loop between the two and other changes pending meanwhile."""
    dice = random.Random(5)
    async with house(tmp_path / "manager.db") as home:
        stayed = sum([await race(home, how, number, dice) for number in range(200)])
    assert 20 < stayed < 180, "both must happen"

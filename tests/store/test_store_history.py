"""Every store looks like the simple model, whatever comes at once and however often it restarts."""

import asyncio

import pytest

from chassis.errors import NotFound
from manager.party import Party
from manager.store import RECEIPT_MS, Decision, Once, Outcome, Rule, Store
from tests.store.model import Create, History, Join, Model, send
from tests.store.people import Clock, OpenStore, check_parties, create, device, join, picture


@pytest.mark.parametrize("seed", range(10))
async def test_a_random_history_looks_like_the_model(open_store: OpenStore, clock: Clock, seed: int) -> None:
    history = History(seed, clock)
    for _ in range(4):
        async with open_store() as store:
            for _ in range(30):
                await history.turn(store)
                clock.now_ms += history.random.choice([1, RECEIPT_MS // 20])
            before = await picture(store, history.codes, history.devices)
        async with open_store() as store:
            assert await picture(store, history.codes, history.devices) == before
    assert len(history.codes) > 20, "it must come to something"


@pytest.mark.parametrize("seed", range(4))
async def test_a_burst_of_everything_leaves_what_a_fresh_load_finds(
    open_store: OpenStore, clock: Clock, seed: int
) -> None:
    history = History(1000 + seed, clock)
    history.devices = [device(n) for n in range(60)]
    async with open_store() as store:
        for _ in range(10):
            requests = [request for _ in range(60) for request in history.requests()]
            answers = await asyncio.gather(*(send(store, request) for request in requests))
            history.codes += {one.code for one in answers if isinstance(one, Outcome)} - set(history.codes)
        before = await picture(store, history.codes, history.devices)
        check_parties(before)
    async with open_store() as store:
        assert await picture(store, history.codes, history.devices) == before


class Racy:
    """A store that decides on what it read a moment ago, as one does that takes no lock."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.keys, self.ran_ms = store.keys, store.ran_ms
        self.party, self.party_of, self.nearby = store.party, store.party_of, store.nearby
        self.create, self.unwritable, self.living = store.create, store.unwritable, store.living
        self.resting = store.resting

    async def change(self, code: int, rule: Rule, *, device: bytes | None = None, once: Once | None = None) -> Outcome:
        party = await self.party(code)
        other = None if device is None else await self.party_of(device)
        if party is None:
            raise NotFound("party_not_found", "")
        stale = rule(party, other)

        def stubborn(_: Party, __: Party | None) -> Decision:
            return stale

        await asyncio.sleep(0)
        return await self._store.change(code, stubborn, device=device, once=once)


async def test_a_planted_race_is_caught_by_the_model(open_store: OpenStore, clock: Clock) -> None:
    async with open_store() as store:
        history = History(1, clock)
        founder, *others = history.devices
        code = (await create(store, founder, capacity=2)).code
        history.codes.append(code)
        history.model = Model()
        history.model.answer(Create(founder, 2), (code, 0, True, (0, 1, ((0, founder),))), clock.now_ms)
        history.requests = lambda: [Join(code, whose) for whose in others[:2]]  # type: ignore[method-assign]
        with pytest.raises(AssertionError):
            await history.turn(Racy(store))


async def test_a_planted_race_overbooks_and_is_seen(open_store: OpenStore) -> None:
    async with open_store() as store:
        code = (await create(store, device(0), capacity=2)).code
        racy = Racy(store)
        await asyncio.gather(join(racy, code, device(1)), join(racy, code, device(2)), return_exceptions=True)
        seen = await picture(store, [code], map(device, range(3)))
        with pytest.raises(AssertionError):
            check_parties(seen)

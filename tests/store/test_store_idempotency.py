"""What every store keeps of Idempotency-Keys: one request under a key happens once, and is answered alike for a day."""

import asyncio

import msgspec
import pytest

from chassis.errors import Conflict, NotFound, Unprocessable
from manager.store import RECEIPT_MS, Outcome
from tests.store.people import Clock, OpenStore, create, device, join, leave, once, picture

ANN, BOB, CID = map(device, range(3))


def is_replay(again: Outcome, first: Outcome) -> bool:
    """The same seat in the same party; the party itself is shown as it is now."""
    return msgspec.structs.replace(again, party=first.party) == first


async def test_a_repeated_create_makes_nothing_new(open_store: OpenStore) -> None:
    async with open_store() as store:
        first = await create(store, ANN, once=once(1))
        await join(store, first.code, BOB)
        again = await create(store, ANN, once=once(1))
        assert is_replay(again, first)
        assert again.party == await store.party(first.code)


async def test_a_repeated_join_makes_nothing_new(open_store: OpenStore) -> None:
    async with open_store() as store:
        code = (await create(store, ANN)).code
        first = await join(store, code, BOB, once=once(1))
        assert await join(store, code, BOB, once=once(1)) == first
        assert first.is_new


async def test_a_repeated_join_after_leaving_takes_no_new_seat(open_store: OpenStore) -> None:
    async with open_store() as store:
        code = (await create(store, ANN)).code
        first = await join(store, code, BOB, once=once(1))
        await leave(store, code, first.participant_id)
        assert is_replay(await join(store, code, BOB, once=once(1)), first)
        assert await store.party_of(BOB) is None


async def test_a_repeated_join_that_found_its_seat_taken_already_says_so_again(open_store: OpenStore) -> None:
    async with open_store() as store:
        code = (await create(store, ANN)).code
        await join(store, code, BOB)
        first = await join(store, code, BOB, once=once(1))
        await leave(store, code, first.participant_id)
        again = await join(store, code, BOB, once=once(1))
        assert not first.is_new
        assert is_replay(again, first)


async def test_another_request_under_the_key_is_refused_and_does_nothing(open_store: OpenStore) -> None:
    async with open_store() as store:
        code = (await create(store, ANN, once=once(1, request=1))).code
        before = await picture(store, [code], [ANN, BOB])
        with pytest.raises(Unprocessable, match="idempotency_key_reused"):
            await create(store, BOB, once=once(1, request=2))
        with pytest.raises(Unprocessable, match="idempotency_key_reused"):
            await join(store, code, BOB, once=once(1, request=2))
        assert await picture(store, [code], [ANN, BOB]) == before


async def test_another_key_is_another_request(open_store: OpenStore) -> None:
    async with open_store() as store:
        first = await create(store, ANN, once=once(1))
        assert (await create(store, ANN, once=once(2))).party_id != first.party_id


@pytest.mark.parametrize("times", [2, 30])
async def test_one_create_sent_many_times_at_once_makes_one_party(open_store: OpenStore, times: int) -> None:
    async with open_store() as store:
        made = await asyncio.gather(*(create(store, ANN, once=once(1)) for _ in range(times)))
        assert made == [made[0]] * times


async def test_of_two_requests_under_one_key_at_once_one_is_refused(open_store: OpenStore) -> None:
    async with open_store() as store:
        both = await asyncio.gather(
            create(store, ANN, once=once(1, request=1)),
            create(store, BOB, once=once(1, request=2)),
            return_exceptions=True,
        )
        assert sorted(type(one).__name__ for one in both) == ["Outcome", "Unprocessable"]
        seated = [await store.party_of(whose) is not None for whose in (ANN, BOB)]
        assert seated == [isinstance(one, Outcome) for one in both]


async def test_a_replay_after_closing_shows_no_party(open_store: OpenStore) -> None:
    async with open_store() as store:
        first = await create(store, ANN, once=once(1))
        await leave(store, first.code, 0)
        again = await create(store, ANN, once=once(1))
        assert is_replay(again, first)
        assert again.party is None
        assert await store.party_of(ANN) is None


async def test_a_replayed_join_of_a_party_that_closed_is_not_a_404(open_store: OpenStore) -> None:
    async with open_store() as store:
        code = (await create(store, ANN)).code
        first = await join(store, code, BOB, once=once(1))
        await leave(store, code, 0)
        await leave(store, code, 1)
        again = await join(store, code, BOB, once=once(1))
        assert is_replay(again, first)
        assert again.party is None


async def test_a_key_is_remembered_for_a_day_across_a_restart(open_store: OpenStore, clock: Clock) -> None:
    async with open_store() as store:
        first = await create(store, ANN, once=once(1))
        left = await join(store, first.code, BOB, once=once(2))
    clock.now_ms += RECEIPT_MS - 1
    async with open_store() as store:
        assert await create(store, ANN, once=once(1)) == msgspec.structs.replace(first, party=left.party)
        with pytest.raises(Unprocessable):
            await create(store, ANN, once=once(2, request=1))


async def test_after_a_day_a_key_is_new_again(open_store: OpenStore, clock: Clock) -> None:
    async with open_store() as store:
        first = await create(store, ANN, once=once(1, request=1))
        clock.now_ms += RECEIPT_MS
        second = await create(store, ANN, once=once(1, request=2))
        assert second.party_id != first.party_id
        clock.now_ms += RECEIPT_MS - 1
        assert await create(store, ANN, once=once(1, request=2)) == second
    async with open_store() as store:
        assert await create(store, ANN, once=once(1, request=2)) == second


async def test_a_refusal_is_not_kept(open_store: OpenStore) -> None:
    async with open_store() as store:
        full = (await create(store, ANN, capacity=1)).code
        with pytest.raises(Conflict):
            await join(store, full, BOB, once=once(1, request=1))
        with pytest.raises(NotFound):
            await join(store, full ^ 1, BOB, once=once(1, request=2))
        open_to_all = (await create(store, CID)).code
        assert (await join(store, open_to_all, BOB, once=once(1, request=3))).is_new

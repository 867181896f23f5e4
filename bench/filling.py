"""Parties filled with people over HTTP, as their phones would: whoever wants to listen needs a seat and its token."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import msgspec

from bench.calls import Caller, connect, get, in_turn, json_of, post

CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Filled:
    """A party's code and the tokens of those who are in it, the leader's first."""

    code: str
    tokens: Sequence[str]

    @property
    def events(self) -> str:
        """The path of its stream."""
        return f"/parties/{self.code}/events"

    @property
    def messages(self) -> str:
        """The path that takes what its participants say."""
        return f"/parties/{self.code}/messages"


async def fill(port: int, *, label: str, parties: int, people: int) -> list[Filled]:
    """So many parties of so many people each; `label` sets their devices apart. May raise CallError."""
    callers = await connect(port, CONNECTIONS)
    filled: list[Filled] = []
    try:
        for number in range(parties):
            # One after another, but everybody of a party at once: only one party at a time can be a large one.
            filled.append(await fill_one(callers, f"{label}-{number}", people))
    finally:
        for caller in callers:
            caller.close()
    return filled


async def fill_one(callers: list[Caller], label: str, people: int) -> Filled:
    """One party."""
    founder = {"device_id": f"{label}-0", "participant_name": "Guest 0", "capacity": people}
    created = json_of(await callers[0].ask(post("/parties", msgspec.json.encode(founder))), 201)
    code, tokens = str(created["party_code"]), [str(created["token"])]
    idle = list(callers)

    async def join(seat: int) -> None:
        caller = idle.pop()
        body = {"device_id": f"{label}-{seat}", "participant_name": f"Guest {seat}"}
        joined = await caller.ask(post(f"/parties/{code}/participants", msgspec.json.encode(body)))
        idle.append(caller)
        tokens.append(str(json_of(joined, 201)["token"]))

    await in_turn((partial(join, seat) for seat in range(1, people)), len(callers))
    return Filled(code, tokens)


async def online(port: int, parties: Sequence[Filled]) -> int:
    """How many people in these parties the service holds to be online."""
    [caller] = await connect(port, 1)
    there = 0
    try:
        for party in parties:
            answer = json_of(await caller.ask(get(f"/parties/{party.code}/participants")), 200)
            participants = answer["participants"]
            assert isinstance(participants, list)
            there += sum(participant["online"] for participant in participants)
    finally:
        caller.close()
    return there

"""Everything at once, on a real process: nobody misses anything, sees it twice, or sees anything else than GET does."""

import asyncio
import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.live.streams import TRANSPORTS, Event, Stream, View, look
from tests.manager.asking import create
from tests.processes import Service, running_manager
from tests.talking import Reply, Wire, ask, request_bytes

WRITERS = 8
TURNS = 40
LISTENERS = 40
LISTENS = list(TRANSPORTS.values())


@dataclass
class Storm:
    """A party in which everybody does something, and what everybody saw of it."""

    port: int
    code: str
    leader: dict[str, Any]
    dice: random.Random
    views: list[dict[int, View]] = field(default_factory=list)
    by_get: list[tuple[int, View]] = field(default_factory=list)
    last: list[View] = field(default_factory=list)
    is_over: bool = False

    async def write(self, number: int) -> None:
        """Joins, changes itself and the party, talks, listens, and leaves or is sent away, again and again."""
        dice = random.Random(f"{self.dice.random()} {number}")
        async with await Wire.to(self.port) as wire:
            for _ in range(TURNS // 4):
                seat = (await self._ask(wire, "POST", "/participants", {"device_id": f"w{number}"})).json()
                mine = f"/participants/{seat['participant_id']}"
                await self._ask(wire, "PATCH", mine, {"participant_name": f"n{dice.random()}"}, seat["token"])
                await self._ask(wire, "PATCH", "", {"name": f"n{dice.random()}"}, self.leader["token"])
                await self._ask(wire, "POST", "/messages", {"body": {"n": number}}, seat["token"])
                async with dice.choice(LISTENS)(self.port, self.code, seat["token"]) as stream:
                    await stream.next()
                    if dice.random() < 0.5:
                        await stream.close()
                    await self._ask(wire, "DELETE", mine, None, dice.choice([seat, self.leader])["token"])

    async def read(self) -> None:
        """What GET shows, whenever nothing changed between its three questions."""
        async with await Wire.to(self.port) as wire:
            while not self.is_over:
                before = (await self._ask(wire, "GET", "", None)).json()
                there = (await self._ask(wire, "GET", "/participants", None)).json()["participants"]
                after = (await self._ask(wire, "GET", "", None)).json()
                if before == after:
                    self.by_get.append((before["version"], View(before, there)))

    async def listen(self, number: int) -> None:
        """Comes in the middle of it all and stays, or is torn away and comes back."""
        listen = LISTENS[number % 2]
        while not self.is_over:
            views: dict[int, View] = {}
            self.views.append(views)
            async with listen(self.port, self.code, self.leader["token"]) as stream:
                if await self._follow(stream, views, self.dice.choice([3, 30, 10_000])):
                    self.last.append(stream.view)
                    return
                stream.abort()

    async def _follow(self, stream: Stream, views: dict[int, View], events: int) -> bool:
        for _ in range(events):
            event: Event = await stream.next()
            views[stream.view.seq] = without_presence(stream.view)
            if event["type"] == "party_updated" and event["party"]["name"] == "the end":
                return True
        return False

    async def _ask(self, wire: Wire, method: str, path: str, body: object, token: str | None = None) -> Reply:
        data = None if body is None else json.dumps(body).encode()
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        await wire.send(request_bytes(method, f"/parties/{self.code}{path}", body=data, headers=headers))
        reply = await wire.reply()
        assert reply.status < 300, reply
        return reply


def without_presence(view: View) -> View:
    """Presence has no seq, so at one seq there may be several views that differ by it."""
    return View(view.party, [{**one, "online": None} for one in view.participants])


def agreed(listeners: list[dict[int, View]]) -> dict[int, View]:
    """The party at each seq, in which all must agree who saw it. Nobody may have missed a seq."""
    seen: dict[int, View] = {}
    for views in listeners:
        assert list(views) == list(range(min(views, default=0), max(views, default=-1) + 1))
        for seq, view in views.items():
            assert seen.setdefault(seq, view) == view
    return seen


async def weather(service: Service, seed: int) -> Storm:
    leader = await create(service.port, "leader")
    storm = Storm(service.port, leader["party_code"], leader, random.Random(seed))
    listeners = [asyncio.create_task(storm.listen(number)) for number in range(LISTENERS)]
    reader = asyncio.create_task(storm.read())
    await asyncio.gather(*(storm.write(number) for number in range(WRITERS)))
    storm.is_over = True
    await reader
    end = {"name": "the end"}
    assert (await ask(storm.port, "PATCH", f"/parties/{storm.code}", body=end, token=leader["token"])).status == 200
    await asyncio.gather(*listeners)
    return storm


async def test_in_a_storm_every_listener_sees_at_every_seq_what_all_others_and_get_do(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"seed {seed}")
    with running_manager(tmp_path / "m.db", "--rate-limits", "off", "--grace-s", "600") as service:
        storm = await weather(service, seed)
        last = await look(storm.port, storm.code)
        seen = agreed(storm.views)
        assert seen[last.seq] == without_presence(last)
        for view in storm.last:
            assert [(one["participant_id"], one["online"]) for one in view.participants] == [(0, True)]
        assert len(storm.by_get) > 2
        for seq, view in storm.by_get:
            assert seen.get(seq, without_presence(view)) == without_presence(view)
        assert len(seen) > WRITERS * TURNS / 2
        assert len(storm.views) > LISTENERS, "nobody was torn away"
        assert service.end() == 0
        assert service.stderr() == ""
        assert [entry["event"] for entry in service.events()] == ["listening", "ended"]


def test_who_misses_something_or_sees_something_else_is_caught() -> None:
    honest = {seq: View({"version": seq}, []) for seq in range(5)}
    agreed([honest, dict(list(honest.items())[2:])])
    with pytest.raises(AssertionError):
        agreed([honest, {seq: view for seq, view in honest.items() if seq != 3}])
    with pytest.raises(AssertionError):
        agreed([honest, {**honest, 3: View({"version": 3}, [{}])}])

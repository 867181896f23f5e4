"""Plays a program against a manager, over real sockets, and checks after each step that all is as it must be."""

import asyncio
from collections.abc import Iterable, Sequence
from time import monotonic

from tests.live.model import World, moment
from tests.live.model_answers import outcomes
from tests.live.model_calls import PLACE, party_shown
from tests.live.model_checks import (
    Glance,
    check_alike,
    check_events,
    check_farewell,
    check_glance,
    check_said,
    check_view,
    fits,
)
from tests.live.model_managers import Clocks, Manager
from tests.live.model_phones import Phones
from tests.live.model_steps import PHONES, AskForMe, Call, Hush, Pass, Restart, Step, StepClock, Together
from tests.live.streams import View, look
from tests.manager.asking import near
from tests.talking import ask

PATIENCE_S = 10.0
"""How long a manager may take to notice what nobody tells it; it ticks four times a second."""


class Player:
    """Knows every world that explains what the phones have seen so far. Without clocks, times aren't compared."""

    def __init__(self, manager: Manager, clocks: Clocks | None) -> None:
        self._manager = manager
        self._clocks = clocks
        self._phones = Phones(manager, clocks)
        self._worlds = [World(None if clocks is None else clocks.wall)]

    async def play(self, program: Sequence[Step]) -> None:
        """Takes all steps. What fails says at which."""
        await self._manager.start()
        try:
            for number, step in enumerate(program):
                try:
                    await self._take(step)
                except Exception as error:
                    error.add_note(f"step {number} of {len(program)}: {step}")
                    raise
            await self._check_all()
        finally:
            await self._phones.hang_up()
            await self._manager.end()

    async def _take(self, step: Step) -> None:
        await self._phones.begin_step()
        codes = {code for world in self._worlds for code in world.parties}
        times = [self._now()]
        calls: Sequence[tuple[Call, int]] = ()
        match step:
            case Restart():
                await self._restart(step)
            case StepClock():
                self._step_clock(step)
            case Together():
                calls = list(zip(step.calls, step.delays, strict=False))
            case _:
                calls = [(step, 0)]
        glances = await self._call(calls)
        made = [call for call, _ in calls]
        await self._wait_for_what_nobody_tells(made)
        codes |= {code for world in self._worlds for code in world.parties}
        views = await self._look(codes, is_settled=not any(isinstance(call, Hush) for call in made))
        await self._hear_all(views)
        self._check(views, glances, [*times, self._now()])

    def _now(self) -> object:
        return moment(None if self._clocks is None else self._clocks.wall)

    async def _restart(self, step: Restart) -> None:
        codes = await self._manager.restart(step)
        for listener in self._phones.listeners:
            code = await listener.take_to_the_end()
            assert code in codes, f"{listener.log} ended with {code}"
        await self._phones.hang_up()
        for world in self._worlds:
            world.restart()

    def _step_clock(self, step: StepClock) -> None:
        assert self._clocks is not None, "this manager's clock is the machine's"
        self._clocks.step(step.seconds)
        for world in self._worlds:
            world.step(step.seconds)

    async def _call(self, calls: Sequence[tuple[Call, int]]) -> list[Glance]:
        versions = {code: party.version for code, party in self._worlds[0].parties.items()}
        knowledge = self._phones.knowledge(versions)
        calls = [(call, delay) for call, delay in calls if knowledge.suffices(call)]
        answers, glances = await self._phones.call(calls, knowledge)
        made = [call for call, _ in calls]
        self._keep(
            (after for world in self._worlds for after in outcomes(world, made, answers, knowledge)),
            f"in no order do {made} get {answers}",
        )
        return glances

    async def _wait_for_what_nobody_tells(self, calls: Sequence[Call]) -> None:
        """That time has passed, or that a connection is gone, a manager has to notice by itself."""
        if any(isinstance(call, Pass) and call.unasked for call in calls):
            counts = {sum(len(party.seats) for party in world.parties.values()) for world in self._worlds}
            await self._wait_for("partyline_participants", counts)
        if any(isinstance(call, Hush) for call in calls):
            await self._wait_for("partyline_streams", {world.streams() for world in self._worlds})

    async def _wait_for(self, gauge: str, values: set[int]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                metrics = (await ask(self._manager.port, "GET", "/metrics")).body.decode()
                if int(float(metrics.partition(f"\n{gauge} ")[2].partition("\n")[0])) in values:
                    break

    async def _look(self, codes: set[str], *, is_settled: bool) -> dict[str, View]:
        """What GET shows, which is what a world shows that the model thinks possible."""
        until_s = monotonic() + PATIENCE_S
        while True:
            views = {code: await look(self._manager.port, code) for code in sorted(codes)}
            if any(_shows(world, views) for world in self._worlds) or is_settled or monotonic() > until_s:
                break
        self._keep((world for world in self._worlds if _shows(world, views)), f"GET shows {views}")
        return views

    async def _hear_all(self, views: dict[str, View]) -> None:
        """All streams take what has happened: those that go on up to a last word, the others up to their end."""
        world = self._worlds[0]
        for code, party in world.parties.items():
            speaker = next((one for one, seat in party.seats.items() if seat.streams), None)
            if speaker is not None:
                await self._phones.take_to(code, speaker, party.seats)
        for listener in self._phones.listeners:
            if world.seat(listener.ticket.code, listener.ticket.participant_id) is None:
                check_farewell(listener.log, await listener.take_to_the_end())
            else:
                view = views[listener.ticket.code]
                assert listener.stream.view == view, f"{listener.log}: GET shows {view}"

    def _check(self, views: dict[str, View], glances: Sequence[Glance], times: Sequence[object]) -> None:
        for view in views.values():
            check_view(view)
        for code, logs in self._phones.logs().items():
            check_alike([log for log in logs if log.is_open])
            for log in logs:
                check_events(log, times)
                if log.is_open and not log.is_new:
                    check_said(log, self._phones.said[code])
                self._keep((world for world in self._worlds if fits(log, world)), f"{log}")
            for glance in glances:
                check_glance(glance, logs)

    def _keep(self, worlds: Iterable[World], seen: str) -> None:
        """Only worlds that explain what was seen are possible."""
        before, self._worlds = self._worlds, []
        for world in worlds:
            if world not in self._worlds:
                self._worlds.append(world)
        assert self._worlds, f"{seen}, which isn't possible after {before}"

    async def _check_all(self) -> None:
        """What isn't looked at after each step: old tokens, every phone's one seat, and the parties nearby."""
        port, world = self._manager.port, self._worlds[0]
        for ticket in self._phones.tickets.values():
            if world.seat(ticket.code, ticket.participant_id) is None:
                path = f"/parties/{ticket.code}/participants/{ticket.participant_id}/heartbeat"
                reply = await ask(port, "POST", path, token=ticket.token)
                assert reply.status in {401, 404}, f"{ticket} is good for {reply}"
        await self._call([(AskForMe(phone), 0) for phone in range(PHONES)])
        nearby = {party["party_code"] for party in await near(port, **PLACE)}
        assert nearby == {code for code, party in world.parties.items() if party.discoverable}


def _shows(world: World, views: dict[str, View]) -> bool:
    return all(
        (world.party_view(code), world.participants_view(code)) == (party_shown(view.party), view.participants)
        for code, view in views.items()
    )

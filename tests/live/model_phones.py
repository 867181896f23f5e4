"""The phones of a program: the seats they were told of, the streams they hold, and how they make their calls."""

import asyncio
from collections import defaultdict
from collections.abc import Container, Sequence
from itertools import count

import aiohttp

from tests.live.model_answers import Answer, Knowledge, Ticket
from tests.live.model_calls import answer_of, request_of
from tests.live.model_checks import Glance, Log
from tests.live.model_listeners import Listener
from tests.live.model_managers import Clocks, Manager
from tests.live.model_steps import AskForMe, Call, Create, Hush, Join, Listen, Pass, Say
from tests.live.streams import TRANSPORTS
from tests.talking import ask


class Phones:
    """All of them. `said` is what they said in the step that is being taken, by party: who and what."""

    def __init__(self, manager: Manager, clocks: Clocks | None) -> None:
        self._manager = manager
        self._clocks = clocks
        self._seats: dict[int, Ticket] = {}
        self._remarks = count()
        self.tickets: dict[tuple[str, int], Ticket] = {}
        self.listeners: list[Listener] = []
        self.said: dict[str, list[tuple[int, object]]] = defaultdict(list)

    async def begin_step(self) -> None:
        """Forgets what was said and heard before it, and those who no longer hear anything."""
        self.said.clear()
        for listener in [one for one in self.listeners if not one.log.is_open]:
            self.listeners.remove(listener)
            await listener.close()
        for listener in self.listeners:
            listener.log.begin_step()

    def logs(self) -> dict[str, list[Log]]:
        """Of all who listen to each party, or did until this step."""
        logs: dict[str, list[Log]] = defaultdict(list)
        for listener in self.listeners:
            logs[listener.ticket.code].append(listener.log)
        return logs

    def knowledge(self, versions: dict[str, int]) -> Knowledge:
        """What the phones know by now."""
        return Knowledge(dict(self._seats), versions)

    async def call(
        self, calls: Sequence[tuple[Call, int]], knowledge: Knowledge
    ) -> tuple[list[Answer | None], list[Glance]]:
        """Makes all calls, each after its delay; looks meanwhile at all parties that somebody listens to."""
        is_unasked = any(isinstance(call, Pass) and call.unasked for call, _ in calls)
        watched = set() if is_unasked else {listener.ticket.code for listener in self.listeners}
        async with asyncio.TaskGroup() as group:
            making = [group.create_task(self._make(call, delay, knowledge)) for call, delay in calls]
            looking = [group.create_task(self._glance(code)) for code in watched]
        return [made.result() for made in making], [looked.result() for looked in looking]

    async def hang_up(self) -> None:
        """Lets go of all streams."""
        while self.listeners:
            await self.listeners.pop().close()

    async def take_to(self, code: str, speaker: int, there: Container[int]) -> None:
        """All listeners who are still in the party hear what has happened, up to a last word of this participant."""
        remark = next(self._remarks)
        token = self.tickets[code, speaker].token
        path = f"/parties/{code}/messages"
        reply = await ask(self._manager.port, "POST", path, body={"body": {"remark": remark}}, token=token)
        assert reply.status == 202, reply
        self.said[code].append((speaker, {"remark": remark}))
        for listener in self.listeners:
            if listener.ticket.code == code and listener.ticket.participant_id in there:
                await listener.take_until(remark)

    async def _make(self, call: Call, delay: int, knowledge: Knowledge) -> Answer | None:
        for _ in range(delay):
            await ask(self._manager.port, "GET", "/livez")
        match call:
            case Pass():
                assert self._clocks is not None, "this manager's time passes by itself"
                self._clocks.pass_(call.seconds)
                return None
            case Hush():
                await self._hush(call, knowledge.seats[call.phone])
                return None
            case Listen():
                return await self._listen(call, knowledge.seats[call.phone])
            case _:
                return await self._ask(call, knowledge)

    async def _hush(self, call: Hush, ticket: Ticket) -> None:
        streams = [one for one in self.listeners if one.ticket == ticket]
        if not streams:
            return
        listener = streams[0 if call.which == "oldest" else -1]
        self.listeners.remove(listener)
        await (listener.close if call.how == "cleanly" else listener.abort)()

    async def _listen(self, call: Listen, ticket: Ticket) -> Answer:
        try:
            listener = await Listener.open(TRANSPORTS[call.transport], self._manager.port, call.phone, ticket)
        except aiohttp.ClientResponseError as error:
            return Answer(error.status)
        self.listeners.append(listener)
        return Answer(200)

    async def _ask(self, call: Call, knowledge: Knowledge) -> Answer:
        remark = next(self._remarks)
        reply = await request_of(call, knowledge, remark).send(self._manager.port)
        answer = answer_of(call, reply)
        if isinstance(call, Say) and answer.status == 202:
            ticket = knowledge.seats[call.phone]
            self.said[ticket.code].append((ticket.participant_id, {"remark": remark}))
        if isinstance(call, Create | Join | AskForMe) and answer.status < 400:
            told = reply.json()
            ticket = Ticket(told["party_code"], told["participant_id"], told["token"])
            known = self.tickets.setdefault((ticket.code, ticket.participant_id), ticket)
            assert known == ticket, f"another token for the same seat: {call}"
            self._seats[call.phone] = ticket
        return answer

    async def _glance(self, code: str) -> Glance:
        replies = [await ask(self._manager.port, "GET", f"/parties/{code}{more}") for more in ("", "/participants")]
        party, there = (reply.json() if reply.status == 200 else reply.refusal() and None for reply in replies)
        return Glance(code, party, there and there["participants"])

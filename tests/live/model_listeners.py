"""A phone's stream, and the log that it keeps of it."""

from contextlib import AsyncExitStack
from typing import Self

from tests.live.model_answers import Ticket
from tests.live.model_checks import Log
from tests.live.streams import Listen, Stream


class Listener:
    """A phone's open stream, or one that ended in the step that is being taken."""

    def __init__(self, phone: int, ticket: Ticket, stream: Stream, holding: AsyncExitStack) -> None:
        self.ticket = ticket
        self.log = Log(phone, ticket)
        self.stream = stream
        self._holding = holding

    @classmethod
    async def open(cls, listen: Listen, port: int, phone: int, ticket: Ticket) -> Self:
        """Opens the stream. Raises aiohttp.ClientResponseError where it is refused."""
        async with AsyncExitStack() as stack:
            stream = await stack.enter_async_context(listen(port, ticket.code, ticket.token))
            return cls(phone, ticket, stream, stack.pop_all())

    async def close(self) -> None:
        """Hangs up with a word."""
        await self._holding.aclose()

    async def abort(self) -> None:
        """Hangs up without a word."""
        self.stream.abort()
        await self._holding.aclose()

    async def take_until(self, remark: object) -> None:
        """Writes down everything up to this message. The stream must not end before."""
        try:
            while True:
                event = await self.stream.next()
                self.log.write(event, self.stream.view)
                if event["type"] == "message" and event["body"] == {"remark": remark}:
                    break
        except EOFError as error:
            raise AssertionError(f"{self.log} ended: {error}") from None

    async def take_to_the_end(self) -> int:
        """Writes down everything that is left. Returns the close code."""
        try:
            while True:
                self.log.write(await self.stream.next(), self.stream.view)
        except EOFError:
            self.log.is_open = False
            return await self.stream.end()

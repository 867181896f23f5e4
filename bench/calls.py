"""HTTP calls over connections that stay open, made cheaply: they share a core with thousands of listeners."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import cast

Job = Callable[[], Awaitable[None]]

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"


@dataclass(frozen=True, slots=True)
class Reply:
    """Status and body of an answer."""

    status: int
    body: bytes


class Caller(asyncio.Protocol):
    """One connection; one call at a time. Answers must say their length, or have no body."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._reply: asyncio.Future[Reply] | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class

    def ask(self, request: bytes) -> "asyncio.Future[Reply]":
        """The answer; a ConnectionError when the connection ends before it."""
        assert self._transport is not None, "connected"
        assert self._reply is None, "one call at a time"
        reply = self._reply = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return reply

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(HEAD_END)
        if end and len(body) >= content_length(head) and self._reply is not None:
            self._received = b""
            reply, self._reply = self._reply, None
            reply.set_result(Reply(int(head[9:12]), body))

    def connection_lost(self, _: Exception | None) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(ConnectionError("The server closed the connection before it answered."))

    def close(self) -> None:
        """No more calls."""
        if self._transport is not None:
            self._transport.abort()


def content_length(head: bytes) -> int:
    """Bytes of the body that an answer with this head has; 0 if it doesn't say."""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(LENGTH):
            return int(line[len(LENGTH) :])
    return 0


async def connect(port: int, connections: int) -> list[Caller]:
    """So many callers to a port of this machine."""
    loop = asyncio.get_running_loop()
    pairs = [await loop.create_connection(Caller, "127.0.0.1", port) for _ in range(connections)]
    return [caller for _, caller in pairs]


def get(path: str) -> bytes:
    """A request that asks."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def post(path: str, body: bytes, *, token: str | None = None) -> bytes:
    """A request that brings JSON."""
    proof = f"Authorization: Bearer {token}\r\n" if token else ""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"{proof}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def in_turn(jobs: Iterable[Job], at_once: int) -> None:
    """Do all of them, so many at once. Raises what the first one that failed did."""
    waiting = iter(jobs)

    async def worker() -> None:
        for job in waiting:
            await job()

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(worker())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


def json_of(reply: Reply, *statuses: int) -> dict[str, object]:
    """What an answer holds; CallError unless its status is one of these."""
    if reply.status not in statuses:
        raise CallError(f"The service answered {reply.status}: {reply.body[:500].decode(errors='replace')}")
    value: dict[str, object] = json.loads(reply.body)
    return value


class CallError(Exception):
    """A service refused what a run needs."""

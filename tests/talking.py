"""HTTP as it goes over the socket, byte for byte, and applications served as their processes serve them."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from chassis.lifetime import Lifetime
from chassis.serve import serve_until_told

PATIENCE_S = 60.0
"""How long a test waits for what should come at once; only a failing one waits so long."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. Header names are in lower case."""

    version: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The header's value, None when it isn't there; it must not be there twice."""
        values = [value for its_name, value in self.headers if its_name == name]
        assert len(values) <= 1, f"{name} is there {len(values)} times"
        return values[0] if values else None

    def json(self) -> Any:
        """The body, which must say that it is JSON."""
        assert self.header("content-type") == "application/json", self
        return json.loads(self.body)

    def refusal(self) -> tuple[int, str]:
        """Status and code of a problem document, all of whose promises are checked on the way."""
        problem = self.problem()
        return self.status, problem["code"]

    def problem(self) -> Any:
        """The problem document, as RFC 9457 and the contract want it."""
        assert self.header("content-type") == "application/problem+json", self
        problem = json.loads(self.body)
        assert {"type", "title", "status", "code", "detail", "request_id"} <= problem.keys(), problem
        assert problem["status"] == self.status
        assert problem["request_id"] == self.header("x-request-id")
        assert problem["code"].replace("_", "").isalpha()
        assert problem["code"].islower()
        assert problem["detail"].endswith(".")
        return problem


class Wire:
    """A connection on which any bytes can be sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, port: int) -> Self:
        """Dials 127.0.0.1."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, data: bytes) -> None:
        """Sends these bytes as they are."""
        self._writer.write(data)
        await self._writer.drain()

    def hang_up(self) -> None:
        """Says that nothing more will be sent; answers can still be read."""
        self._writer.write_eof()

    async def reply(self, *, to_head: bool = False) -> Reply:
        """The next answer. Raises EOFError or ConnectionError when the connection ends first."""
        async with asyncio.timeout(PATIENCE_S):
            head = await self._reader.readuntil(b"\r\n\r\n")
            status_line, *lines = head.decode("latin-1").split("\r\n")[:-2]
            version, status, _ = status_line.split(" ", 2)
            pairs = [line.split(": ", 1) for line in lines]
            headers = tuple((name.lower(), value) for name, value in pairs)
            length = int(dict(headers).get("content-length", "0"))
            body = b"" if to_head else await self._reader.readexactly(length)
        return Reply(version, int(status), headers, body)

    async def rest(self) -> bytes:
        """Everything until the other side closes the connection."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self._reader.read()
            except ConnectionResetError:
                return b""

    async def close(self) -> None:
        """Closes the connection."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):  # the other side was first
            await self._writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def request_bytes(
    method: str, target: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """A whole HTTP/1.1 request. Header values are sent as Latin-1."""
    lines = {"Host": "test", **(headers or {})}
    if body is not None:
        lines.setdefault("Content-Length", str(len(body)))
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{head}\r\n".encode("latin-1") + (body or b"")


async def ask(
    port: int,
    method: str,
    target: str,
    *,
    body: object = None,
    headers: Mapping[str, str] | None = None,
    token: str | None = None,
) -> Reply:
    """One request on a connection of its own. `body` is sent as it is when it is bytes, else as JSON."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    more = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with await Wire.to(port) as wire:
        await wire.send(request_bytes(method, target, body=data, headers={**more, **(headers or {})}))
        return await wire.reply(to_head=method == "HEAD")


@contextlib.asynccontextmanager
async def serving(app: web.Application, lifetime: Lifetime) -> AsyncIterator[int]:
    """Serves an application just as its process does, on any free port, which it yields."""
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    service = asyncio.create_task(
        serve_until_told(
            app, lifetime=lifetime, host="127.0.0.1", port=0, lame_duck_s=0, on_listening=listening.set_result
        )
    )
    await asyncio.wait({service, listening}, return_when=asyncio.FIRST_COMPLETED)
    if not listening.done():
        await service
    try:
        yield listening.result()
    finally:
        lifetime.end.set()
        await service


class Names(AbstractResolver):
    """Leads each host name, whatever its port, to a port of 127.0.0.1, as DNS and a proxy do for users."""

    def __init__(self, ports: Mapping[str, int]) -> None:
        self._ports = ports

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        del port
        if host not in self._ports:
            raise OSError(f"{host} isn't among {sorted(self._ports)}")
        return [
            ResolveResult(
                hostname=host,
                host="127.0.0.1",
                port=self._ports[host],
                family=family,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        """Holds nothing."""

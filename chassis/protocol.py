"""What can't even be parsed as HTTP is refused like everything else, and its bytes don't reach the logs."""

import asyncio
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import web
from aiohttp.web_request import BaseRequest

from chassis.answer import Answer
from chassis.errors import Malformed, NotFound, Refusal
from chassis.problem import Unexpected, new_request_id, problem, request_id_of

# Longer than any proxy keeps an idle connection (nginx: 60 s), so that the proxy is always the one to close.
KEEP_ALIVE_S = 75.0
_BACKLOG = 1024

_log = structlog.get_logger()


class Site(web.BaseSite):
    """Listens for a runner, as aiohttp's TCPSite does, but for the protocol below."""

    __slots__ = ("_host", "_port", "_reuse_port")

    def __init__(self, runner: web.AppRunner, host: str, port: int, *, reuse_port: bool) -> None:
        super().__init__(runner)
        self._host = host
        self._port = port
        self._reuse_port = reuse_port

    @property
    def name(self) -> str:
        return f"http://{self._host}:{self._port}"

    async def start(self) -> None:
        """Raises OSError when the address can't be had."""
        await super().start()
        loop = asyncio.get_running_loop()
        server = self._runner.server
        assert server is not None

        def protocol() -> _Protocol:
            # The access log costs half of all throughput; durations by route take its place.
            return _Protocol(
                server,
                loop=loop,
                access_log=None,  # type: ignore[arg-type] # None is how aiohttp says it itself
                keepalive_timeout=KEEP_ALIVE_S,
            )

        self._server = await loop.create_server(
            protocol, self._host, self._port, backlog=_BACKLOG, reuse_port=self._reuse_port or None
        )


class _Protocol(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: BaseRequest,  # noqa: ARG002 - aiohttp's signature
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes what the client sent
    ) -> Answer:
        refusal: Refusal
        if status < 500:
            refusal = Malformed("bad_http", "This isn't HTTP as it should be.")
        else:
            if not isinstance(exc, ConnectionError):
                _log.error("request failed outside of its handler", error=type(exc).__name__)
            refusal = Unexpected("internal_error", "Something broke here; it has been logged.")
        answer = problem(refusal, new_request_id())
        answer.force_close()
        return answer

    def finish_response(
        self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        """aiohttp itself refuses what it can't route at all, as `OPTIONS *` and `Expect: surprise`."""
        if isinstance(resp, web.HTTPException):
            refusal: Refusal = NotFound("not_found", "Nothing is at this path.")
            if resp.status == HTTPStatus.EXPECTATION_FAILED:
                refusal = _ExpectationFailed("expectation_failed", "Only 100-continue can be expected here.")
            resp = problem(refusal, request_id_of(request))
        return super().finish_response(request, resp, start_time)

    def log_exception(self, *_: object, **kwargs: object) -> None:
        """What breaks between requests is the client's connection, and the text of the error would quote its bytes."""
        _log.debug("connection failed", error=type(kwargs.get("exc_info")).__name__)


def take_over(request: web.Request, protocol: asyncio.Protocol, head: bytes) -> None:
    """Answers a request with `head` and gives its connection to another protocol for the rest of its life.

    To aiohttp the connection has ended, so nothing of the request is kept. Raises ConnectionResetError when it really
    has; then the protocol is never told of it.
    """
    old = request.protocol
    transport = old.transport
    if transport is not None:
        transport.write(head)
    if transport is None or transport.is_closing():
        raise ConnectionResetError("The client has gone.")
    old.transport = None  # or it would be closed
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    old.connection_lost(None)


class _ExpectationFailed(Refusal):
    status = 417

"""Guessing codes: networks whose look-ups fail too often may look up no more, except with a token that is good."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from chassis.answer import Answer
from chassis.client import client_network
from chassis.codes import parse_party_code
from chassis.errors import NotFound, TooManyRequests
from chassis.limits import Limit
from chassis.reading import read_bytes
from manager.api import PARTIES
from manager.limits import Limits
from manager.live import token_of

Handler = Callable[[web.Request], Awaitable[Answer]]


class Lookups:
    """Counts what looks up a party and finds none."""

    def __init__(self, limits: Limits, trusted_proxies: int) -> None:
        self._limits = limits
        self._trusted_proxies = trusted_proxies

    def __bool__(self) -> bool:
        """Whether anybody is being counted."""
        return bool(self._limits.lookups_ipv4 or self._limits.lookups_ipv6)

    async def check(self, request: web.Request) -> None:
        """Raises TooManyRequests, whether there is such a party or not."""
        limit, network = self._of(request)
        try:
            limit.check(network)
        except TooManyRequests:
            if not await _is_known(request):
                raise

    async def count(self, request: web.Request) -> None:
        """No party had the code. Who was in one that had it within the last 24 hours didn't guess."""
        if not await _is_known(request):
            limit, network = self._of(request)
            limit.count(network)

    def _of(self, request: web.Request) -> tuple[Limit, str]:
        network = client_network(request, self._trusted_proxies)
        return (self._limits.lookups_ipv6 if network.is_ipv6 else self._limits.lookups_ipv4), network.text


async def _is_known(request: web.Request) -> bool:
    """Whether the caller has a token of the party, so that they don't guess its code."""
    code = parse_party_code(request.match_info["code"])
    return await request.app[PARTIES].recognises(code, token_of(request))


_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

LOOKUPS = web.AppKey("lookups", Lookups)


def guarded(route: web.AbstractRouteDef) -> web.AbstractRouteDef:
    """The route, on watch if it takes a code."""
    assert isinstance(route, web.RouteDef)
    if "{code" not in route.path:
        return route
    handler: Handler = route.handler  # type: ignore[assignment] # ours give Answers

    async def watched(request: web.Request) -> Answer:
        lookups = request.app[LOOKUPS]
        if route.method in _WITH_BODY:  # now, or many could pass the check, wait with their bodies, and guess at once
            await read_bytes(request)
        if lookups:
            await lookups.check(request)
        try:
            return await handler(request)
        except NotFound as refusal:
            if refusal.code == "party_not_found":
                await lookups.count(request)
            raise

    return web.RouteDef(route.method, route.path, watched, route.kwargs)

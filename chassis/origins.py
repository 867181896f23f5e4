"""Which web pages may use a service from a browser: origins of WebSocket upgrades, and CORS for plain requests."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Self

from aiohttp import web

from chassis.answer import Answer, header

MAX_ORIGINS = 100
PREFLIGHT_MAX_AGE_S = 600

Handler = Callable[[web.Request], Awaitable[Answer]]

_ORIGIN = re.compile(
    r"([a-z][a-z0-9+.-]{0,31})://([a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::([0-9]{1,5}))?", re.ASCII | re.IGNORECASE
)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_ANY = "*"
_EXPOSED = header(
    "Access-Control-Expose-Headers", "ETag, Location, Retry-After, RateLimit, RateLimit-Policy, X-Request-Id"
)
_NOT_FOR_OTHERS = header("Vary", "Origin")  # a cache mustn't give the answer to one origin, or to none, to another
_FOR_ALL = header("Access-Control-Allow-Origin", _ANY) + _EXPOSED
_ACCEPTED = "Authorization, Content-Type, Idempotency-Key, If-Match, X-Request-Id"


@dataclass(frozen=True, slots=True)
class AllowedOrigins:
    """The allow-list of a service: origins as browsers send them (RFC 6454), all of them for `*`, or none.

    It isn't what protects people's parties, tokens are: they go in `Authorization` or a subprotocol and never in
    cookies, so a foreign page has none to ride on, and answers never allow credentials. It is false when no page of
    another host is allowed.
    """

    origins: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `https://game.example,https://game.example:8443`, `*`, or nothing for none. Raises ValueError."""
        if text.strip() == _ANY:
            return cls(frozenset({_ANY}))
        words = [word.strip() for word in text.split(",")] if text.strip() else []
        origins = [_normalised(word) for word in words]
        if None in origins or len(origins) > MAX_ORIGINS:
            raise ValueError(
                f"must be * or up to {MAX_ORIGINS} origins with commas between them, each a scheme, a host and at most"
                " a port as in https://game.example:8443"
            )
        return cls(frozenset(origin for origin in origins if origin is not None))

    def __str__(self) -> str:
        """As it can be typed."""
        return ",".join(sorted(self.origins))

    def __bool__(self) -> bool:
        return bool(self.origins)

    def admits(self, origin: str | None, host: str | None) -> bool:
        """Whether a WebSocket may be opened, by the request's `Origin` and `Host`.

        Browsers send an origin with every upgrade and pages can't change it; what sends none is no browser, and is
        admitted. The page of the same host and port is. `null`, which any page can make itself, is only for `*`.
        """
        return origin is None or self._has(origin) or _is_same_host(origin, host)

    def lines_for(self, origin: str | None) -> str:
        """The CORS header lines of an answer to a request with this `Origin`; a stream sends them with its head."""
        if not self.origins:
            return ""
        if _ANY in self.origins:
            return _FOR_ALL
        if origin is None or not self._has(origin):
            return _NOT_FOR_OTHERS
        return _NOT_FOR_OTHERS + header("Access-Control-Allow-Origin", origin) + _EXPOSED

    def are_asked(self, headers: Mapping[str, str]) -> bool:
        """Whether an OPTIONS request is a browser's question ahead of a request of an allowed page (a preflight)."""
        origin = headers.get("Origin")
        return origin is not None and "Access-Control-Request-Method" in headers and self._has(origin)

    def _has(self, origin: str) -> bool:
        # Browsers send origins as they are kept here; others may write them in another way.
        return origin in self.origins or _ANY in self.origins or _normalised(origin) in self.origins


NO_ORIGINS = AllowedOrigins()
ORIGINS = web.AppKey("origins", AllowedOrigins)


def preflight_answer(methods: str) -> Answer:
    """Yes to a preflight: these methods, and the headers that our calls take. `sharing` adds who may."""
    return Answer(
        status=204,
        headers=header("Access-Control-Allow-Methods", methods)
        + header("Access-Control-Allow-Headers", _ACCEPTED)
        + header("Access-Control-Max-Age", str(PREFLIGHT_MAX_AGE_S)),
    )


def sharing(handler: Handler, origins: AllowedOrigins) -> Handler:
    """`handler` with CORS headers on its answers; the handler itself where no origin is allowed."""
    if not origins:
        return handler

    async def answering(request: web.Request) -> Answer:
        response = await handler(request)
        response.lines += origins.lines_for(request.headers.get("Origin"))
        return response

    return answering


def _normalised(origin: str) -> str | None:
    """An origin as browsers write it: in lower case and without its scheme's own port. None when it is no origin."""
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        return None
    scheme, host = match[1].lower(), match[2].lower()
    if host.startswith("["):
        try:
            host = f"[{IPv6Address(host[1:-1])}]"
        except ValueError:
            return None
    port = None if match[3] is None else int(match[3])
    if port is not None and not 1 <= port <= 65535:
        return None
    return f"{scheme}://{host}" if port in (None, _DEFAULT_PORTS.get(scheme)) else f"{scheme}://{host}:{port}"


def _is_same_host(origin: str, host: str | None) -> bool:
    """Whether a page came from where it now goes. A proxy may have ended TLS, so the scheme is taken from the page."""
    scheme = origin.partition("://")[0].lower()
    ours = _normalised(f"{scheme}://{host}") if host is not None and scheme in _DEFAULT_PORTS else None
    return ours is not None and ours == _normalised(origin)

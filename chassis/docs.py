"""`/openapi.yaml` and `/docs`: a service's own contract, to read and to try, with no network but the service itself."""

from collections.abc import Awaitable, Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from aiohttp import web

from chassis.answer import Answer

# Swagger UI sets style attributes; everything else comes from the service alone.
_POLICY = (
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\n"
)
_CACHE = "Cache-Control: max-age=86400\r\n"
_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Partyline {service}</title><link rel="stylesheet" href="/docs/swagger-ui.css"></head>
<body><div id="docs"></div>
<script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body>
</html>
"""
_START = 'SwaggerUIBundle({url: "/openapi.yaml", dom_id: "#docs", deepLinking: true, validatorUrl: null});\n'


def document(path: str, file: Path) -> web.RouteDef:
    """A YAML document. Raises OSError when it can't be read."""
    return web.get(path, _constant(file.read_bytes(), "application/yaml"))


def routes(service: str, openapi: Path) -> list[web.RouteDef]:
    """The contract and its page. Raises OSError when the document can't be read."""
    return [
        document("/openapi.yaml", openapi),
        web.get("/docs", _constant(_PAGE.format(service=service).encode(), "text/html; charset=utf-8")),
        web.get("/docs/start.js", _constant(_START.encode(), "text/javascript; charset=utf-8")),
        web.get(
            "/docs/swagger-ui-bundle.js",
            _constant(_swagger("swagger-ui-bundle.js"), "text/javascript; charset=utf-8", _CACHE),
        ),
        web.get(
            "/docs/swagger-ui.css",
            _constant(_swagger("swagger-ui.css"), "text/css; charset=utf-8", _CACHE),
        ),
    ]


@cache
def _swagger(name: str) -> bytes:
    """A file of Swagger UI. Its package is found without being imported, which would bring its web frameworks along."""
    package = find_spec("swagger_ui")
    assert package is not None
    assert package.submodule_search_locations is not None
    return Path(package.submodule_search_locations[0], "static", name).read_bytes()


def _constant(body: bytes, content_type: str, cache: str = "") -> Callable[[web.Request], Awaitable[Answer]]:
    async def constant(_: web.Request) -> Answer:
        return Answer(body, content_type=content_type, headers=_POLICY + cache)

    return constant

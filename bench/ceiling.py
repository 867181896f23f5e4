"""The ceilings: stock aiohttp on uvloop, no access log, giving a service's answers without doing its work."""

import argparse
import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import uvloop
from aiohttp import web
from aiohttp.typedefs import Handler

CONSTANT = "constant"
JSON = "json"


def constant(body: bytes) -> Handler:
    """Answer the same bytes to everything: the most that a handler under aiohttp can reach."""

    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    return handle


def read_and_write_json(body: bytes) -> Handler:
    """Parse the request's body, write the answer as JSON, store nothing: the ceiling of what writes."""
    value = json.loads(body)

    async def handle(request: web.Request) -> web.Response:
        await request.json()
        return web.json_response(value)

    return handle


def app_of(answers: dict[str, tuple[str, str]]) -> web.Application:
    """One static route per row, `/{row}`; `answers` maps its name to (kind of ceiling, its answer)."""
    app = web.Application()
    app.router.add_get("/readyz", constant(b"{}"))
    for row, (kind, body) in answers.items():
        if kind == CONSTANT:
            app.router.add_get(f"/{row}", constant(body.encode()))
        else:
            app.router.add_post(f"/{row}", read_and_write_json(body.encode()))
    return app


def main(argv: Sequence[str] | None = None) -> None:
    """Serve the answers of a JSON file until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m bench.ceiling", description=__doc__)
    parser.add_argument("--answers", type=Path, required=True, help='JSON: {"row": ["constant" | "json", "body"]}')
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args(argv)
    answers = json.loads(options.answers.read_text())
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    web.run_app(app_of(answers), host="127.0.0.1", port=options.port, access_log=None, print=None)


if __name__ == "__main__":
    main()

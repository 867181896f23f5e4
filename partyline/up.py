"""`partyline up`: a dispatcher and all managers of a roster in one process, on one address, told apart by Host."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

from chassis.lifetime import Lifetime
from chassis.roster import Manager, Roster, RosterError, read_roster
from chassis.serve import StartError, run, serve_until_told
from chassis.settings import ProcessSettings, parse_settings, setting
from chassis.telemetry import configure_logs
from chassis.workers import reserve
from dispatcher.app import dispatcher_app
from dispatcher.settings import Settings as DispatcherSettings
from manager.app import manager_app
from manager.settings import Settings as ManagerSettings

T = TypeVar("T")

PROG = "python -m partyline up"
_DESCRIPTION = "Runs a dispatcher and the managers of a roster in one process, each manager under its own name."


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ProcessSettings):
    """What can be set about all services together; the environment reaches each of them for the rest."""

    config: Path = setting("the roster of the managers to run", default=Path("config/local.yaml"), read=Path)
    data: Path = setting("folder of the databases; made where there is none", default=Path("data"), read=Path)


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    settings = parse_settings(Settings, prog=PROG, description=_DESCRIPTION, arguments=arguments)
    configure_logs(settings.log_format)
    try:
        roster = read_roster(settings.config)
        if settings.port == 0:  # the managers' URLs need the port before anything listens on it
            with reserve(settings.host, 0) as holder:
                settings = replace(settings, port=holder.getsockname()[1])
    except (RosterError, StartError) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        return 2
    return run(lambda: _serve(settings, roster.at_port(settings.port)), prog=PROG)


async def _serve(settings: Settings, roster: Roster) -> int:
    lifetime = Lifetime()
    return await serve_until_told(
        _app(settings, roster, lifetime),
        lifetime=lifetime,
        host=settings.host,
        port=settings.port,
        lame_duck_s=settings.lame_duck_s,
        on_listening=lambda port: print(_welcome(settings, roster, port), flush=True),
    )


def _app(settings: Settings, roster: Roster, lifetime: Lifetime) -> web.Application:
    """The dispatcher, which answers under every name that no manager has, and the managers under theirs."""
    ours = {
        "config": settings.config,
        "host": settings.host,
        "port": settings.port,
        "log_format": settings.log_format,
        "lame_duck_s": settings.lame_duck_s,
        "metrics_port": 0,
    }
    app = dispatcher_app(_settings_of(DispatcherSettings, {**ours, "workers": 1}), roster, lifetime)
    managers = {}
    for manager in roster.managers:
        its = {"hostname": manager.hostname, "database": _database_of(settings, manager)}
        managers[manager.hostname] = manager_app(_settings_of(ManagerSettings, ours | its), roster, lifetime)
    app.cleanup_ctx.append(_together(managers.values()))
    app.on_shutdown.append(_at_once(managers.values()))
    for hostname, its_app in managers.items():
        app.add_domain(hostname, its_app)
    return app


def _together(managers: Collection[web.Application]) -> Callable[[web.Application], AsyncIterator[None]]:
    """The managers' databases as one context of the whole: when one can't be opened, aiohttp closes only that."""
    contexts: list[tuple[web.Application, Any]]  # Any: aiohttp takes generators and context managers alike
    contexts = [(manager, context) for manager in managers for context in manager.cleanup_ctx]
    for manager in managers:
        manager.cleanup_ctx.clear()

    async def together(_: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for manager, context in contexts:
                await stack.enter_async_context(asynccontextmanager(context)(manager))
            yield

    return together


def _at_once(managers: Collection[web.Application]) -> Callable[[web.Application], Awaitable[None]]:
    """What the managers do when they are told to end, side by side: deaf listeners of one hold up no other."""
    handlers = [(manager, handler) for manager in managers for handler in manager.on_shutdown]
    for manager in managers:
        manager.on_shutdown.clear()

    async def at_once(_: web.Application) -> None:
        await asyncio.gather(*(handler(manager) for manager, handler in handlers))

    return at_once


def _settings_of(kind: type[T], fixed: Mapping[str, Any]) -> T:
    """A service's settings: what all services share is given, the rest comes from the environment."""
    return parse_settings(kind, prog=PROG, description=_DESCRIPTION, arguments=[], fixed=fixed)


def _database_of(settings: Settings, manager: Manager) -> Path:
    return settings.data / f"{manager.hostname.removesuffix('.localhost')}.db"


def _welcome(settings: Settings, roster: Roster, port: int) -> str:
    """What runs where, and lines to try."""
    here = f"localhost:{port}"
    rows = [("dispatcher", f"http://{here}", "")]
    rows += [(one.region, one.url, str(_database_of(settings, one))) for one in roster.managers]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    table = [f"  {name:{widths[0]}}  {url:{widths[1]}}  {database}".rstrip() for name, url, database in rows]
    example = roster.managers[min(1, len(roster.managers) - 1)]
    parties = f"{example.url}/parties"
    post = f"curl -X POST {parties}"
    json = "-H 'content-type: application/json' -d"
    return "\n".join(
        [
            "",
            *table,
            "",
            "Try:",
            f'  curl "http://{here}/managers/find?lng={example.lng}&lat={example.lat}"',
            f'  {post} {json} \'{{"device_id":"phone-1"}}\'',
            f'  {post}/<party_code>/participants {json} \'{{"device_id":"phone-2","participant_name":"Ann"}}\'',
            f"  curl -N {parties}/<party_code>/events -H 'Authorization: Bearer <token>'",
            "",
            f"Docs: http://{here}/docs and {example.url}/docs. Ctrl-C ends it.",
            "",
        ]
    )

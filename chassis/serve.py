"""Running an application as a process: sockets, signals, the lame duck, a clean end."""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence

import structlog
from aiohttp import web

from chassis.lifetime import Lifetime
from chassis.protocol import Site

DRAIN_S = 10.0
SETTLE_S = 0.05

_log = structlog.get_logger()


class StartError(Exception):
    """Why a service can't start: one sentence for whoever typed the command."""


def run(serve: Callable[[], Awaitable[int]], *, prog: str) -> int:
    """Runs a service to its end, on uvloop where there is one. Returns the exit code: 2 if it can't start."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_as_coroutine(serve))
    except StartError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


async def serve_until_told(
    app: web.Application,
    *,
    lifetime: Lifetime,
    host: str,
    port: int,
    lame_duck_s: float,
    reuse_port: bool = False,
    metrics: tuple[web.Application, int] | None = None,
    on_listening: Callable[[int], None] = lambda _: None,
) -> int:
    """Serves `app` until SIGTERM or SIGINT, or until its lifetime ends. Returns the exit code.

    After SIGTERM the service is a lame duck for `lame_duck_s` seconds: it answers, but is not ready and closes each
    connection, so that proxies and dispatchers go elsewhere with the next request. SIGINT, and a second signal, skip
    that. `metrics` is an application for a port of its own. Raises StartError.
    """
    ports = [(_runner(app), port)]
    if metrics is not None:
        ports.append((_runner(metrics[0]), metrics[1]))
    runners = [runner for runner, _ in ports]
    sites: list[Site] = []
    hurried = _heed_signals(lifetime)
    try:
        for runner in runners:
            await runner.setup()
        gc.collect()
        gc.freeze()  # what is loaded now stays: collections need not walk it again
        if not lifetime.end.is_set():  # told to end while loading: nobody has been asked to come here yet
            for runner, its_port in ports:
                sites.append(Site(runner, host, its_port, reuse_port=reuse_port and its_port == port))
                await _listen(sites[-1])
            bound_port = int(runners[0].addresses[0][1])
            _log.info("listening", host=host, port=bound_port)
            on_listening(bound_port)
            await lifetime.end.wait()
            await _be_lame_duck(lifetime, hurried, lame_duck_s)
    finally:
        await _stop(sites)
        for runner in runners:
            await runner.cleanup()
    if lifetime.failure is not None:
        _log.error("ended", reason=lifetime.failure)
        return 1
    _log.info("ended")
    return 0


async def _be_lame_duck(lifetime: Lifetime, hurried: asyncio.Event, lame_duck_s: float) -> None:
    if lifetime.failure is None and not hurried.is_set():
        _log.info("lame duck", seconds=lame_duck_s)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(hurried.wait(), lame_duck_s)


async def _stop(sites: Sequence[Site]) -> None:
    """Accepts no more connections, and lets those that were just accepted say what they want.

    aiohttp would wait in vain for one whose handler has not begun when it is told to close.
    """
    for site in sites:
        await site.stop()
    await asyncio.sleep(SETTLE_S)


def _heed_signals(lifetime: Lifetime) -> asyncio.Event:
    """SIGTERM ends the lifetime, SIGINT and a second signal also set the event that is returned.

    Before anything else happens: a first process (PID 1, as in a container) ignores signals that it has no handler for.
    """
    hurried = asyncio.Event()

    def told(signal_number: int) -> None:
        if signal_number == signal.SIGINT or lifetime.end.is_set():
            hurried.set()
        lifetime.is_lame_duck = True
        lifetime.end.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told, number)
    return hurried


def _runner(app: web.Application) -> web.AppRunner:
    return web.AppRunner(app, shutdown_timeout=DRAIN_S)


async def _listen(site: Site) -> None:
    try:
        await site.start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise StartError(f"can't listen on {site.name}: {reason}.") from None


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # it has no build for this machine
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _as_coroutine(serve: Callable[[], Awaitable[int]]) -> int:
    return await serve()

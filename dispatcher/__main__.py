"""`python -m dispatcher`: tells phones which manager is nearest."""

import sys
from dataclasses import replace

from chassis.http import metrics_app
from chassis.lifetime import Lifetime
from chassis.roster import Roster, RosterError, read_roster
from chassis.serve import StartError, run, serve_until_told
from chassis.settings import parse_settings
from chassis.telemetry import configure_logs
from chassis.workers import reserve, supervise
from dispatcher.app import dispatcher_app
from dispatcher.settings import Settings

PROG = "python -m dispatcher"
_LAST_PORT = 65535


async def serve(settings: Settings, roster: Roster) -> int:
    """Serves until told to end. Returns the exit code."""
    lifetime = Lifetime()
    app = dispatcher_app(settings, roster, lifetime)
    return await serve_until_told(
        app,
        lifetime=lifetime,
        host=settings.host,
        port=settings.port,
        lame_duck_s=settings.lame_duck_s,
        reuse_port=settings.workers > 1,
        metrics=metrics_app(app, settings.metrics_port, lifetime),
    )


def main() -> int:
    """Returns the exit code."""
    settings = parse_settings(Settings, prog=PROG, description="Tells phones which manager is nearest to them.")
    configure_logs(settings.log_format)
    try:
        roster = read_roster(settings.config)
        if settings.workers == 1:
            return run(lambda: serve(settings, roster), prog=PROG)
        _check_ports(settings)
        with reserve(settings.host, settings.port) as holder:
            shared = replace(settings, port=holder.getsockname()[1])
            return supervise(shared.workers, lambda number: _work(shared, roster, number))
    except (RosterError, StartError) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        return 2


def _check_ports(settings: Settings) -> None:
    """Workers share their port in silence, so a metrics port among them would take its requests. Raises StartError."""
    ports = range(settings.metrics_port, settings.metrics_port + settings.workers)
    if settings.metrics_port and (settings.port in ports or ports[-1] > _LAST_PORT):
        raise StartError(f"the workers' metrics ports {ports[0]}-{ports[-1]} must be free ports other than --port.")


def _work(settings: Settings, roster: Roster, number: int) -> int:
    metrics_port = settings.metrics_port + number if settings.metrics_port else 0
    return run(lambda: serve(replace(settings, metrics_port=metrics_port), roster), prog=PROG)


if __name__ == "__main__":
    sys.exit(main())

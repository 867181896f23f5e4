"""`python -m manager`: one regional manager."""

import sys

from chassis.http import metrics_app
from chassis.lifetime import Lifetime
from chassis.roster import RosterError, read_roster
from chassis.serve import StartError, run, serve_until_told
from chassis.settings import parse_settings
from chassis.telemetry import configure_logs
from manager.app import manager_app
from manager.settings import Settings

PROG = "python -m manager"


async def serve(settings: Settings) -> int:
    """Serves until told to end. Returns the exit code."""
    lifetime = Lifetime()
    try:
        roster = read_roster(settings.config)
    except RosterError as error:
        raise StartError(str(error)) from None
    app = manager_app(settings, roster, lifetime)
    return await serve_until_told(
        app,
        lifetime=lifetime,
        host=settings.host,
        port=settings.port,
        lame_duck_s=settings.lame_duck_s,
        metrics=metrics_app(app, settings.metrics_port, lifetime),
    )


def main() -> int:
    """Returns the exit code."""
    settings = parse_settings(
        Settings, prog=PROG, description="Keeps the parties of one region, in memory and in an SQLite file."
    )
    configure_logs(settings.log_format)
    return run(lambda: serve(settings), prog=PROG)


if __name__ == "__main__":
    sys.exit(main())

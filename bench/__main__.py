"""`python -m bench`: the services beside their ceilings, one interleaved run, one table."""

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench import choice, fanout, gathering, load, nodejs, start
from bench.calls import CallError
from bench.choice import Choice
from bench.fanout import Fan
from bench.progress import say
from bench.report import Report
from bench.rows import WrongAnswerError
from bench.run import run
from bench.servers import LOAD_CORE, SERVICE_CORE, Servers, StartError
from bench.services import Services
from bench.table import header

LOAD_ROUNDS = 3


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="The services beside what aiohttp itself can do on the same core in the same run. "
        "The rows fan-* stand beside Node's ws, which npm puts into bench/node; without Node they are skipped. "
        f"Services and what they stand beside run on core {SERVICE_CORE}, wrk and listeners on core {LOAD_CORE}. "
        "Progress goes to stderr, the tables to stdout.",
        epilog=f"Rows: {', '.join(choice.NAMES)}. Exit code 0; 1 when an answer was wrong or missing, and with "
        "--strict when a target was missed; 2 when it can't run here.",
    )
    parser.add_argument("--rounds", type=count, default=5, help="rounds of every row (default 5)")
    parser.add_argument("--seconds", type=count, default=2, help="whole seconds of each side in each round (default 2)")
    parser.add_argument("--only", nargs="+", choices=choice.NAMES, metavar="NAME", help="only these rows")
    parser.add_argument("--all", action="store_true", help="also the durable rows at 1, 8 and 256 connections")
    parser.add_argument(
        "--quick", action="store_true", help="one round of one second over a tenth of the parties and streams"
    )
    parser.add_argument("--strict", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write every round's figures here as JSON")
    parser.add_argument(
        "--folder", type=Path, help="where the run keeps its databases (default: among the temporary files)"
    )
    return parser.parse_args(argv)


def count(text: str) -> int:
    """A whole number from 1 on."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """Run and print; the exit code."""
    options = parse(argv)
    if complaint := missing():
        print(f"python -m bench: {complaint}", file=sys.stderr)
        return 2
    for stop in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="partyline-bench-", dir=options.folder) as folder:
            return measure(options, Path(folder))
    except (StartError, WrongAnswerError, CallError, ConnectionError) as failure:
        print(f"python -m bench: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("python -m bench: interrupted.", file=sys.stderr)
        return 130


def measure(options: argparse.Namespace, folder: Path) -> int:
    """One run over the chosen rows, its tables, and the exit code."""
    chosen = choice.possible(asked_for(options))
    if chosen.is_empty:
        return 2
    report = Report(header(folder) | ({"node": nodejs.versions()} if chosen.needs_node else {}))
    rounds, seconds = (1, 1) if options.quick else (options.rounds, options.seconds)
    with Servers(folder) as servers:
        if chosen.with_start:
            report.started = start.measure(start.PARTIES, folder, servers, times=LOAD_ROUNDS)
        if chosen.rows:
            report.results = run(chosen.rows, Services(folder, servers), rounds=rounds, seconds=seconds)
            servers.stop_all()
        for row in chosen.streams:
            if isinstance(row, Fan):
                report.streams.append(fanout.measure(row, folder, servers, rounds=rounds, seconds=seconds))
            else:
                report.streams.append(gathering.measure(row, folder, servers))
    print(report.text())
    if options.output:
        options.output.write_text(json.dumps(report.as_json(), indent=2) + "\n")
    if report.failed:
        say(f"Requests or deliveries failed in: {', '.join(report.failed)}. The figures of these rows mean nothing.")
    return 1 if report.failed or (options.strict and report.missed) else 0


def asked_for(options: argparse.Namespace) -> Choice:
    """The rows of the command line."""
    if options.only:
        asked = choice.of_names(options.only)
    else:
        asked = choice.everything() if options.all else choice.usual()
        # A full manager can't be started quickly.
        asked = replace(asked, with_start=not options.quick)
    return choice.quick(asked) if options.quick else asked


def missing() -> str | None:
    """What this machine lacks, in one sentence."""
    if not hasattr(os, "sched_setaffinity") or not {SERVICE_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
        return f"It needs Linux and the cores {SERVICE_CORE} (for the services) and {LOAD_CORE} (for the load)."
    if not load.installed():
        return "It needs wrk to make the load: apt-get install wrk."
    return None


if __name__ == "__main__":
    sys.exit(main())

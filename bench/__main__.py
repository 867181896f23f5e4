"""`python -m bench`: the services beside their ceilings, one interleaved run, one table."""

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from bench import load, start
from bench.progress import say
from bench.rows import FURTHER_ROWS, ROWS, Row, WrongAnswerError
from bench.run import Result, run
from bench.servers import LOAD_CORE, SERVICE_CORE, Servers, StartError
from bench.services import Dispatcher, Manager, Services
from bench.start import Started
from bench.table import header, table

LOAD_ROUNDS = 3
QUICK_SHARE = 10


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    names = [row.name for row in (*ROWS, *FURTHER_ROWS)] + [start.NAME]
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="The services beside what aiohttp itself can do on the same core in the same run. "
        f"Services and ceilings run on core {SERVICE_CORE}, wrk on core {LOAD_CORE}. "
        "Progress goes to stderr, the table to stdout.",
        epilog=f"Rows: {', '.join(names)}. Exit code 0; 1 when an answer was wrong or missing, and with "
        "--strict when a target was missed; 2 when it can't run here.",
    )
    parser.add_argument("--rounds", type=count, default=5, help="rounds of every row (default 5)")
    parser.add_argument("--seconds", type=count, default=2, help="whole seconds of each side in each round (default 2)")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help="only these rows")
    parser.add_argument("--all", action="store_true", help="also the durable rows at 1, 8 and 256 connections")
    parser.add_argument("--quick", action="store_true", help="one round of one second over a tenth of the parties")
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
    except (StartError, WrongAnswerError) as failure:
        print(f"python -m bench: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("python -m bench: interrupted.", file=sys.stderr)
        return 130


def measure(options: argparse.Namespace, folder: Path) -> int:
    """One run over the chosen rows, its table, and the exit code."""
    about = header(folder)
    rows, with_start = chosen(options)
    rounds, seconds = (1, 1) if options.quick else (options.rounds, options.seconds)
    started: Started | None = None
    with Servers(folder) as servers:
        if with_start:
            started = start.measure(start.PARTIES, folder, servers, times=LOAD_ROUNDS)
        results = run(rows, Services(folder, servers), rounds=rounds, seconds=seconds) if rows else []
    print(" · ".join(about.values()))
    print(table(results, started))
    if options.output:
        options.output.write_text(json.dumps(as_json(about, results, started), indent=2) + "\n")
    failed = [result.row.name for result in results if result.errors]
    if failed:
        say(f"Requests failed in: {', '.join(failed)}. The figures of these rows mean nothing.")
    missed = [result.row.name for result in results if result.reached is False]
    missed += [start.NAME] if started and not started.reached else []
    return 1 if failed or (options.strict and missed) else 0


def chosen(options: argparse.Namespace) -> tuple[list[Row], bool]:
    """The rows to run, and whether to measure the start of a full manager."""
    rows = [*ROWS, *FURTHER_ROWS] if options.all or options.only else [*ROWS]
    if options.only:
        rows = [row for row in rows if row.name in options.only]
    if options.quick:
        rows = [smaller(row) for row in rows if row.against_ceiling]
    return rows, start.NAME in options.only if options.only else not options.quick


def smaller(row: Row) -> Row:
    """The same row over fewer parties: quick to seed, and good for nothing but to see that it works."""
    if isinstance(row.service, Dispatcher):
        return row
    seed = row.service.seed
    return replace(row, service=Manager(replace(seed, parties=seed.parties // QUICK_SHARE)))


def as_json(about: dict[str, str], results: list[Result], started: Started | None) -> dict[str, object]:
    """Everything that was measured, round by round."""
    return {
        "about": about,
        "rows": [
            {
                "row": result.row.name,
                "target": result.row.target,
                "ratio": result.ratio,
                "reached": result.reached,
                "ratios": result.ratios,
                "rounds": [{"ceiling": asdict(other), "ours": asdict(ours)} for other, ours in result.rounds],
            }
            for result in results
        ],
        "load": asdict(started) if started else None,
    }


def missing() -> str | None:
    """What this machine lacks, in one sentence."""
    if not hasattr(os, "sched_setaffinity") or not {SERVICE_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
        return f"It needs Linux and the cores {SERVICE_CORE} (for the services) and {LOAD_CORE} (for wrk)."
    if not load.installed():
        return "It needs wrk to make the load: apt-get install wrk."
    return None


if __name__ == "__main__":
    sys.exit(main())

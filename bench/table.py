"""The one table that a run prints, and the line above it that says on what it ran."""

import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.figures import Figure
from bench.run import Result
from bench.start import MOST_KIB, MOST_S, Started

COLUMNS = (
    "row",
    "ceiling req/s",
    "ours req/s",
    "ratio",
    "by CPU",
    "p50 ms",
    "p99 ms",
    "errors",
    "target",
    "reached",
)
FIGURE_COLUMNS = ("streams", "figure", "ws", "ours", "ratio", "by CPU", "target", "reached")


def header(folder: Path) -> dict[str, str]:
    """Date, machine and versions, and the file system under the databases."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": f"{cpu_model()} ({os.cpu_count()} cores)",
        "python": f"Python {platform.python_version()}",
        "aiohttp": f"aiohttp {version('aiohttp')}",
        "uvloop": f"uvloop {version('uvloop')}",
        "filesystem": f"databases on {filesystem(folder)}",
    }


def table(results: list[Result], started: Started | None) -> str:
    """Markdown: medians over the rounds, and the median of the rounds' ratios."""
    cells = [COLUMNS, *(result_cells(result) for result in results)]
    if started is not None:
        cells += start_cells(started)
    return markdown(cells, texts=1)


def figures_table(rows: Iterable[tuple[str, Iterable[Figure]]]) -> str:
    """Markdown: all figures of the rows that have more to say than one ratio."""
    cells = [FIGURE_COLUMNS, *(figure_cells(name, figure) for name, figures in rows for figure in figures)]
    return markdown(cells, texts=2)


def markdown(cells: Sequence[Sequence[str]], *, texts: int) -> str:
    """Lines of equal width; the first so many columns are texts, the others numbers. The first line is the heading."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| "
        + " | ".join(text.ljust(widths[n]) if n < texts else text.rjust(widths[n]) for n, text in enumerate(line))
        + " |"
        for line in cells
    ]
    rule = "|" + "|".join("-" * (width + 1) + ("-" if n < texts else ":") for n, width in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def figure_cells(name: str, figure: Figure) -> tuple[str, ...]:
    """One figure as text."""
    return (
        name,
        figure.name,
        amount(figure.theirs),
        amount(figure.ours),
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
        "" if figure.ratio_by_cpu is None else f"{figure.ratio_by_cpu:.2f}",
        figure.bound,
        yes_or_no(figure.reached),
    )


def amount(number: float | None) -> str:
    """Counts and large figures whole, others with one decimal."""
    if number is None:
        return ""
    return f"{number:,.0f}" if isinstance(number, int) or number >= 1000 else f"{number:.1f}"


def result_cells(result: Result) -> tuple[str, ...]:
    """One row's figures as text."""
    row = result.row
    ceilings = [other.measured for other, _ in result.rounds]
    ours = [mine.measured for _, mine in result.rounds]
    times = "" if row.against_ceiling else " x cost"
    bound = "" if row.target is None else f"{'>=' if row.against_ceiling else '<='} {row.target:.2f}{times}"
    return (
        row.name if row.against_ceiling else f"{row.name} (beside ten thousand)",
        f"{statistics.median(measured.requests_per_s for measured in ceilings):,.0f}",
        f"{statistics.median(measured.requests_per_s for measured in ours):,.0f}",
        f"{result.ratio:.2f}{times}",
        f"{result.ratio_by_cpu:.2f}",
        f"{statistics.median(measured.p50_ms for measured in ours):.1f}",
        f"{statistics.median(measured.p99_ms for measured in ours):.1f}",
        str(result.errors),
        bound,
        yes_or_no(result.reached),
    )


def start_cells(started: Started) -> list[tuple[str, ...]]:
    """The two figures of starting a full manager, as rows of the same table."""
    figures = (("s", started.load_s, MOST_S), ("KiB each", started.kib_per_party, MOST_KIB))
    return [
        (
            f"load {started.parties:,}, {unit}",
            "",
            "",
            f"{got:.2f}",
            *[""] * 4,
            f"<= {most:.2f}",
            yes_or_no(got <= most),
        )
        for unit, got, most in figures
    ]


def yes_or_no(reached: bool | None) -> str:
    """Nothing where there was no target."""
    return "" if reached is None else "yes" if reached else "NO"


def cpu_model() -> str:
    """From /proc/cpuinfo; the platform's word where that doesn't say."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def filesystem(folder: Path) -> str:
    """Kind of the file system that holds the folder, from /proc/mounts; on tmpfs a commit costs nothing."""
    resolved = folder.resolve()
    best, kind = Path("/"), "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mounted, found, *_ = line.split()
        point = Path(mounted)
        if resolved.is_relative_to(point) and len(point.parts) >= len(best.parts):
            best, kind = point, found
    return kind

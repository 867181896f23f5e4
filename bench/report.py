"""What a run gave, as tables for people and as JSON."""

from dataclasses import asdict, dataclass, field

from bench import start
from bench.fanout import FanResult
from bench.gathering import Gathered
from bench.run import Result
from bench.start import Started
from bench.table import figures_table, table


@dataclass(slots=True)
class Report:
    """All results of one run."""

    about: dict[str, str]
    results: list[Result] = field(default_factory=list)
    streams: list[FanResult | Gathered] = field(default_factory=list)
    started: Started | None = None

    @property
    def failed(self) -> list[str]:
        """The rows in which an answer or a delivery was wrong or missing."""
        return [one.row.name for one in self.results if one.errors] + [
            one.row.name for one in self.streams if one.errors
        ]

    @property
    def missed(self) -> list[str]:
        """The rows that missed a target."""
        names = [one.row.name for one in self.results if one.reached is False]
        names += [one.row.name for one in self.streams if not one.reached]
        return names + ([start.NAME] if self.started and not self.started.reached else [])

    def text(self) -> str:
        """Where it ran, and the tables."""
        parts = [" · ".join(self.about.values())]
        if self.results or self.started:
            parts.append(table(self.results, self.started))
        if self.streams:
            parts.append(figures_table((one.row.name, one.figures()) for one in self.streams))
        return "\n\n".join(parts)

    def as_json(self) -> dict[str, object]:
        """Everything that was measured, round by round."""
        return {
            "about": self.about,
            "rows": [
                {
                    "row": one.row.name,
                    "target": one.row.target,
                    "ratio": one.ratio,
                    "reached": one.reached,
                    "ratios": one.ratios,
                    "rounds": [{"ceiling": asdict(other), "ours": asdict(ours)} for other, ours in one.rounds],
                }
                for one in self.results
            ],
            "streams": [
                {"reached": one.reached, "figures": [asdict(figure) for figure in one.figures()], **asdict(one)}
                for one in self.streams
            ],
            "load": asdict(self.started) if self.started else None,
        }

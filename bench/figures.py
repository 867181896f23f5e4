"""Figures of both sides with the bounds that they have to keep, where a row has more to say than one ratio."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured of the others and of ours. `bound` is the target in words."""

    name: str
    ours: float
    theirs: float | None = None
    ratio: float | None = None
    ratio_by_cpu: float | None = None
    bound: str = ""
    reached: bool | None = None


def at_least(least: float | None, name: str, *, theirs: float, ours: float, ratio: float, by_cpu: float) -> Figure:
    """A figure whose ratio, ours to theirs, is to be no less than this; None for no target."""
    if least is None:
        return Figure(name, ours, theirs, ratio, by_cpu)
    return Figure(name, ours, theirs, ratio, by_cpu, f">= {least:.2f}", ratio >= least)


def at_most(most: float, name: str, *, theirs: float, ours: float, ratio: float) -> Figure:
    """A figure whose ratio, ours to theirs, is to be no more than this."""
    return Figure(name, ours, theirs, ratio, bound=f"<= {most:.2f}", reached=ratio <= most)


def within(most: float, name: str, *, ours: float, theirs: float | None = None) -> Figure:
    """A figure of ours that is to be no more than this, whatever theirs is."""
    return Figure(name, ours, theirs, bound=f"<= {most:g}", reached=ours <= most)


def exactly(wanted: int, name: str, *, ours: int) -> Figure:
    """A count that is to be right."""
    return Figure(name, ours, bound=f"= {wanted:,}", reached=ours == wanted)

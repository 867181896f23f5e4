"""Progress, for people: stdout is for the table."""

import sys


def say(text: str) -> None:
    """One line on stderr, at once."""
    print(text, file=sys.stderr, flush=True)

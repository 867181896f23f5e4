"""One process's life as its services see it: serving, lame duck, or broken beyond repair."""

import asyncio


class Lifetime:
    """Shared by all apps of a process. A lame duck still answers, tells everyone to go elsewhere, and then leaves."""

    def __init__(self) -> None:
        self.is_lame_duck = False
        self.end = asyncio.Event()
        self.failure: str | None = None

    def fail(self, reason: str) -> None:
        """Ends the process with exit code 1: what it holds can no longer be trusted, so it must load afresh."""
        self.failure = reason
        self.is_lame_duck = True
        self.end.set()

"""Services as real processes, started as the README says: on port 0, ready when they say where they listen."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
START_TIMEOUT_S = 60.0
END_TIMEOUT_S = 60.0


class Service:
    """A running service. Its standard output is read all the time, so that it never blocks on a full pipe."""

    def __init__(self, module: str, arguments: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the service; see close()
        self._process = subprocess.Popen(
            command(module, arguments),
            cwd=ROOT,
            env=environment_with(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            process_group=0,
        )
        self.id = self._process.pid
        self._lines: list[str] = []
        self._has_ended = False
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = 0

    def lines(self) -> list[str]:
        """What it has written to standard output so far."""
        with self._news:
            return list(self._lines)

    def events(self) -> list[dict[str, Any]]:
        """Its log so far; a line that isn't JSON raises ValueError."""
        return [json.loads(line) for line in self.lines()]

    def stderr(self) -> str:
        """What it has written to standard error so far."""
        self._stderr.seek(0)
        return self._stderr.read().decode()

    def wait_for(self, event: str, *, times: int = 1) -> dict[str, Any]:
        """The log line of this event, or of its second or third time; everything else may come in between."""
        entry: dict[str, Any] = json.loads(self.wait_for_line(f'"event": "{event}"', times=times))
        return entry

    def wait_for_line(self, part: str, *, times: int = 1) -> str:
        """The line that has this in it, or the second or third such.

        Raises AssertionError when the process ends or time runs out first.
        """
        until = time.monotonic() + START_TIMEOUT_S
        with self._news:
            while True:
                found = [line for line in self._lines if part in line]
                if len(found) >= times:
                    return found[times - 1]
                left_s = until - time.monotonic()
                if self._has_ended or left_s <= 0:
                    raise AssertionError(f"no line with {part!r}: {self._lines} {self.stderr()}")
                self._news.wait(left_s)

    def memory_kib(self) -> int:
        """Its resident memory."""
        status = Path(f"/proc/{self.id}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    def children(self) -> list[int]:
        """The ids of the processes that it has started."""
        return [int(number) for number in Path(f"/proc/{self.id}/task/{self.id}/children").read_text().split()]

    def signal(self, number: signal.Signals) -> None:
        """Sends the signal; does nothing when the process has ended."""
        self._process.send_signal(number)

    def wait(self, *, timeout_s: float = END_TIMEOUT_S) -> int:
        """Its exit code, once it has ended and all it wrote is read."""
        code = self._process.wait(timeout_s)
        self._reader.join(timeout_s)
        return code

    def has_ended(self) -> bool:
        """Whether it, and all that it has started, have ended."""
        with self._news:
            return self._has_ended

    def end(self) -> int:
        """Ends it at once but cleanly, as Ctrl-C does. Returns the exit code."""
        self.signal(signal.SIGINT)
        return self.wait()

    def kill(self) -> None:
        """Ends it as a power switch would."""
        self.signal(signal.SIGKILL)
        self.wait()

    def close(self) -> None:
        """Gives up all that is held for it; kills it, and whatever it has started, if that still runs."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.id, signal.SIGKILL)
        self.wait()
        self._stderr.close()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._news:
                self._lines.append(line.decode().rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._has_ended = True
            self._news.notify_all()


@contextlib.contextmanager
def running(module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Service]:
    """`python -m module`, on any free port and with a short lame duck unless told otherwise, from when it listens."""
    service = Service(module, ("--port", "0", "--lame-duck-s", "0", *arguments), environment or {})
    try:
        service.port = service.wait_for("listening")["port"]
        yield service
    finally:
        service.close()


def running_manager(
    database: Path, *arguments: str, hostname: str = "us-east-1.app.local"
) -> contextlib.AbstractContextManager[Service]:
    """One manager of config/managers.yaml."""
    return running("manager", "--hostname", hostname, "--database", str(database), *arguments)


def outcome(module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Runs a command that ends by itself. Returns exit code, standard output and standard error."""
    done = subprocess.run(
        command(module, arguments),
        cwd=ROOT,
        env=environment_with(environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=END_TIMEOUT_S,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def command(module: str, arguments: tuple[str, ...]) -> list[str]:
    """As a user types it. `module` may hold a subcommand, as in "partyline up"."""
    return [sys.executable, "-m", *module.split(), *arguments]


def environment_with(more: Mapping[str, str]) -> dict[str, str]:
    """Ours without its PARTYLINE_ variables, and `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PARTYLINE_")}
    return {**kept, **more}

"""Servers under test: started as a user would, pinned to one core, and always stopped."""

import contextlib
import http.client
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

SERVICE_CORE = 0
LOAD_CORE = 1
START_LIMIT_S = 300.0  # A manager with a million parties loads for about twenty seconds.
STOP_LIMIT_S = 60.0
POLL_S = 0.01
CHECKOUT = Path(__file__).resolve().parent.parent


class StartError(Exception):
    """A server ended, or wasn't ready in time; the text holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server that has said it is ready, `ready_after_s` seconds after its process was started."""

    process: subprocess.Popen[bytes]
    port: int
    ready_after_s: float

    @property
    def cpu_us(self) -> float:
        """Processor time of all its threads so far, in microseconds, from /proc."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1000

    @property
    def rss_kib(self) -> int:
        """Resident memory in KiB, from /proc."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


@dataclass(slots=True)
class Servers:
    """All servers of one run; leaving the `with` block stops every one of them. Logs go into `folder`."""

    folder: Path
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> "Servers":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop_all()

    def start(self, name: str, module: str, arguments: Sequence[str]) -> Server:
        """Run `python -m module arguments --port <free>` and wait for its /readyz."""
        return self.run(name, [sys.executable, "-m", module, *arguments])

    def run(self, name: str, command: Sequence[str]) -> Server:
        """Run `command --port <free>` and wait for its /readyz."""
        port = free_port()
        log = self.folder / f"{name}.log"
        started = time.perf_counter()
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "--port", str(port)],
                cwd=CHECKOUT,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C reaches only this process, which then stops them in order.
                start_new_session=True,
                preexec_fn=on_core(SERVICE_CORE),
            )
        self._running.append(process)
        while not ready(port):
            if process.poll() is not None or time.perf_counter() - started > START_LIMIT_S:
                raise StartError(f"{name} did not start; its log ends:\n{log.read_text()[-2000:]}")
            time.sleep(POLL_S)
        return Server(process, port, time.perf_counter() - started)

    def stop_all(self) -> None:
        """All that run."""
        self.stop(self._running)

    def stop(self, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        """SIGINT, which skips the lame duck, to all; who is still there in the end is killed."""
        leaving = list(processes)
        for process in leaving:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + STOP_LIMIT_S
        try:
            for process in leaving:
                process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            for process in leaving:
                process.kill()
                process.wait()
        self._running = [process for process in self._running if process not in leaving]


@contextlib.contextmanager
def keeping_to_core(core: int) -> Iterator[None]:
    """This process stays on one core meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def allow_open_files(needed: int) -> str | None:
    """Let this process, and those that it starts, have so many files open; why that can't be, in one sentence."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        return f"It takes {needed:,} open files in one process, and this system allows {hard:,}: see 'ulimit -Hn'."
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    return None


def on_core(core: int) -> Callable[[], None]:
    """What a child does before it runs: stay on one core, threads included."""
    return lambda: os.sched_setaffinity(0, {core})


def environment() -> dict[str, str]:
    """Ours without PARTYLINE_ settings, so that a run measures the defaults."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PARTYLINE_")}


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ready(port: int) -> bool:
    """Whether /readyz answers 200."""
    try:
        return fetch(port, "/readyz", timeout_s=5.0)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def fetch(port: int, path: str, *, body: bytes | None = None, timeout_s: float = 30.0) -> tuple[int, str]:
    """One request outside of wrk, a POST when there is a body: status and text of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET" if body is None else "POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()

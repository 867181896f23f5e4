"""Several processes on one port: the kernel spreads connections over all that listen with SO_REUSEPORT."""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

import structlog

from chassis.serve import StartError

# A worker that ends sooner than this couldn't start, and the next one couldn't either.
_START_S = 2.0
_PASSED_ON = (signal.SIGTERM, signal.SIGINT)

_log = structlog.get_logger()


def reserve(host: str, port: int) -> socket.socket:
    """A socket that holds the port without listening, so that port 0 becomes one port for all. Raises StartError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    holder = socket.socket(family, socket.SOCK_STREAM)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        holder.bind((host, port))
    except OSError as error:
        holder.close()
        raise StartError(f"can't listen on {host}:{port}: {error.strerror}.") from None
    return holder


def supervise(count: int, work: Callable[[int], int]) -> int:
    """Forks `count` workers, each of which runs `work` with its number, and replaces those that die.

    SIGTERM and SIGINT are passed on. Returns the exit code: that of a worker that couldn't start, else 0.
    """
    return _Workers(count, work).run()


class _Workers:
    def __init__(self, count: int, work: Callable[[int], int]) -> None:
        self._count = count
        self._work = work
        self._running: dict[int, tuple[int, float]] = {}  # process id -> number, when it started
        self._is_ending = False
        self._exit_code = 0
        # Only the parent holds the writing end: when it dies, however it dies, its workers read the end of the pipe.
        self._parent_lives, self._parent = os.pipe()

    def run(self) -> int:
        for signal_number in _PASSED_ON:
            signal.signal(signal_number, self._pass_on)
        for number in range(self._count):
            self._fork(number)
        while self._running:
            process_id, status = os.wait()
            number, started = self._running.pop(process_id, (-1, 0.0))
            if number < 0 or self._is_ending:
                continue
            if os.WIFEXITED(status) and time.monotonic() - started < _START_S:
                self._exit_code = os.WEXITSTATUS(status) or 1
                self._pass_on(signal.SIGTERM, None)
                continue
            _log.error("worker died", number=number, status=os.waitstatus_to_exitcode(status))
            self._fork(number)
        return self._exit_code

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        self._is_ending = True
        for process_id in self._running:
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(process_id, number)

    def _end_with_parent(self) -> None:
        os.read(self._parent_lives, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    def _fork(self, number: int) -> None:
        sys.stdout.flush()
        # No signal between the fork and the child's own handlers: it would run the parent's.
        signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
        process_id = os.fork()
        if process_id:
            self._running[process_id] = (number, time.monotonic())
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
            if self._is_ending:  # told to end while this one was being made
                os.kill(process_id, signal.SIGTERM)
            return
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
        os.close(self._parent)
        threading.Thread(target=self._end_with_parent, daemon=True).start()
        code = 1
        try:
            code = self._work(number)
        finally:
            sys.stdout.flush()
            os._exit(code)

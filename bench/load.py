"""wrk, pinned to a core of its own: what it sends, and what it measured."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.servers import LOAD_CORE, on_core

# Requests are put together by a Lua script from a file of paths, one a line, taken in turn. What reads is
# formatted once; what writes gets a device id that was never used before, under the label of its round.
REPORT = """
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\\n{"requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, "errors": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""

READS = (
    """
local ready, sent = {}, 0

function init(args)
  for path in io.lines(args[1]) do ready[#ready + 1] = wrk.format("GET", path) end
end

function request()
  sent = sent + 1
  return ready[sent % #ready + 1]
end
"""
    + REPORT
)

WRITES = (
    """
local heads, sent, label, rest = {}, 0, "", ""

function init(args)
  label, rest = args[2], args[3]
  for path in io.lines(args[1]) do
    heads[#heads + 1] = "POST " .. path .. " HTTP/1.1\\r\\nHost: " .. wrk.headers["Host"]
      .. "\\r\\nContent-Type: application/json\\r\\nContent-Length: "
  end
end

function request()
  sent = sent + 1
  local body = string.format('{"device_id":"%s-%09d"%s}', label, sent, rest)
  return heads[sent % #heads + 1] .. #body .. "\\r\\n\\r\\n" .. body
end
"""
    + REPORT
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of wrk. Errors are answers of 400 and more, broken sockets and timeouts."""

    requests: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    errors: int


@dataclass(frozen=True, slots=True)
class Load:
    """Requests to send: GET of every path in turn, or POST with a new device id each and `rest` after it."""

    paths: Sequence[str]
    rest: str | None = None

    def body(self, label: str, number: int) -> bytes | None:
        """The body of one request as the script writes it, for a single request outside of wrk."""
        return None if self.rest is None else f'{{"device_id":"{label}-{number:09d}"{self.rest}}}'.encode()


@dataclass(frozen=True, slots=True)
class Wrk:
    """The load generator; scripts and paths go into `folder`."""

    folder: Path

    def run(self, load: Load, *, port: int, connections: int, seconds: int, label: str) -> Measured:
        """Send for so long over so many connections; `label` sets the device ids of this run apart."""
        script, paths = self.folder / f"{label}.lua", self.folder / f"{label}.paths"
        script.write_text(READS if load.rest is None else WRITES)
        paths.write_text("\n".join(load.paths) + "\n")
        command = ["wrk", "--threads=1", f"--connections={connections}", f"--duration={seconds}s"]
        command += ["--timeout=10s", "--latency", f"--script={script}", f"http://127.0.0.1:{port}", "--"]
        command += [str(paths), label, load.rest or ""]
        output = subprocess.run(
            command, check=True, text=True, stdout=subprocess.PIPE, preexec_fn=on_core(LOAD_CORE)
        ).stdout
        found = json.loads(output.strip().splitlines()[-1])
        return Measured(
            requests=found["requests"],
            requests_per_s=found["requests"] / (found["duration_us"] / 1e6),
            p50_ms=found["p50_us"] / 1000,
            p99_ms=found["p99_us"] / 1000,
            errors=found["errors"],
        )


def installed() -> bool:
    """Whether wrk can be found."""
    return shutil.which("wrk") is not None

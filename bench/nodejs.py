"""Node with the `ws` that bench/node pins: the fan-out of others, beside which ours is measured."""

import json
import shutil
import subprocess

from bench.servers import CHECKOUT

FOLDER = CHECKOUT / "bench" / "node"
SERVER = FOLDER / "server.mjs"
INSTALLED = FOLDER / "node_modules" / ".package-lock.json"
LOCK = FOLDER / "package-lock.json"
NPM_LIMIT_S = 60.0


def install() -> str | None:
    """Install what the lock pins, unless it is there; why that can't be done, in one sentence."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return f"There is no {program} on this machine (Debian and Ubuntu: apt install nodejs npm)."
    if INSTALLED.exists() and packages(INSTALLED.read_text()) == packages(LOCK.read_text()):
        return None
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        subprocess.run(command, cwd=FOLDER, check=True, capture_output=True, text=True, timeout=NPM_LIMIT_S)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as failure:
        lines = (line.split(maxsplit=2) for line in str(failure.stderr or "").splitlines())
        said = [words[2] for words in lines if len(words) == 3 and words[1].lower().startswith("err")]
        return f"'npm ci' in {FOLDER} failed: {'; '.join(said[:2]) or failure}"
    return None


def packages(lock: str) -> dict[str, str]:
    """Name and version of every package in a lock, npm's own record of what it installed included."""
    return {name: entry["version"] for name, entry in json.loads(lock)["packages"].items() if name}


def versions() -> str:
    """Node and ws, for the line above the table."""
    node = subprocess.run(["node", "--version"], check=True, text=True, capture_output=True).stdout.strip()
    return f"Node {node.removeprefix('v')} with ws {packages(LOCK.read_text())['node_modules/ws']}"

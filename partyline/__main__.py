"""`python -m partyline`: the command line."""

import sys

from partyline import up

_USAGE = """usage: python -m partyline up [--help] [FLAGS]

  up   run a dispatcher and the managers of a roster in one process
"""


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    match arguments:
        case ["up", *rest]:
            return up.main(rest)
        case ["-h" | "--help"]:
            print(_USAGE, end="")
            return 0
        case _:
            print(_USAGE, end="", file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

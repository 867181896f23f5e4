"""Settings: one frozen dataclass per service, filled from flags, else from the environment, else from its defaults."""

import argparse
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

ENVIRONMENT_PREFIX = "PARTYLINE_"
T = TypeVar("T")
_REQUIRED = dataclasses.MISSING


def setting(
    help: str,
    *,
    default: Any = _REQUIRED,
    read: Callable[[str], Any] = str,
) -> Any:
    """A field of a settings dataclass. `read` turns its text into a value or raises ValueError with a reason."""
    return dataclasses.field(default=default, metadata={"help": help, "read": read})


def whole(lowest: int, highest: int) -> Callable[[str], int]:
    """Reads a whole number within bounds."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or not lowest <= int(text) <= highest:
            raise ValueError(f"must be a whole number from {lowest} to {highest}")
        return int(text)

    return read


def decimal(lowest: float, highest: float) -> Callable[[str], float]:
    """Reads a decimal number within bounds."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not lowest <= value <= highest:
            raise ValueError(f"must be a number from {lowest:g} to {highest:g}")
        return value

    return read


def one_of(*words: str) -> Callable[[str], str]:
    """Reads one of a few words."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text

    return read


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSettings:
    """What can be set about every process that serves."""

    host: str = setting("address to listen on", default="127.0.0.1")
    port: int = setting("port to listen on, 0 for any free one", default=8080, read=whole(0, 65535))
    log_format: str = setting(
        "json, text, or auto: text on a terminal", default="auto", read=one_of("auto", "json", "text")
    )
    lame_duck_s: float = setting(
        "seconds from SIGTERM during which requests are still answered", default=3.0, read=decimal(0, 86_400)
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """A mistake is answered in one sentence, without the usage in front of it."""
        self.exit(2, f"{self.prog}: {message.rstrip('.')}; see --help.\n")


def parse_settings(
    kind: type[T],
    *,
    prog: str,
    description: str,
    arguments: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
    fixed: Mapping[str, Any] | None = None,
) -> T:
    """Settings from the command line and the environment. `fixed` ones are given and have no flag.

    Exits with code 2 and one sentence on standard error for a mistake, 0 after --help.
    """
    environ = os.environ if environment is None else environment
    given = dict(fixed or {})
    parser = _Parser(
        prog=prog,
        description=description,
        epilog=f"Each flag is also an environment variable: --log-format is {ENVIRONMENT_PREFIX}LOG_FORMAT.",
        allow_abbrev=False,
    )
    fields = [field for field in dataclasses.fields(kind) if field.name not in given]  # type: ignore[arg-type]
    for field in fields:
        default = "required" if field.default is _REQUIRED else f"default {str(field.default) or 'none'}"
        text = f"{field.metadata['help']} ({default})".replace("%", "%%")
        parser.add_argument(_flag(field.name), metavar="VALUE", help=text)
    flags = vars(parser.parse_args(arguments))
    for field in fields:
        variable = ENVIRONMENT_PREFIX + field.name.upper()
        text, source = flags[field.name], _flag(field.name)
        if text is None and variable in environ:
            text, source = environ[variable], variable
        if text is not None:
            try:
                given[field.name] = field.metadata["read"](text)
            except ValueError as error:
                parser.error(f"{source} {error}, not {text!r}")
        elif field.default is _REQUIRED:
            parser.error(f"{_flag(field.name)} (or {variable}) is missing")
    return kind(**given)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")

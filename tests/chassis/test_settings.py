"""Flags and environment become settings, and each mistake is answered in one sentence."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import dispatcher.settings
import manager.settings
from chassis.settings import decimal, one_of, parse_settings, setting, whole

SERVICES = [dispatcher.settings.Settings, manager.settings.Settings]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    name: str = setting("what it is called")
    port: int = setting("where it listens; 50% of all ports are taken", default=80, read=whole(0, 65535))
    grace_s: float = setting("how long it waits", default=1.5, read=decimal(0, 86_400))
    colour: str = setting("how it looks", default="red", read=one_of("red", "blue"))
    folder: Path = setting("where it lives", default=Path("data"), read=Path)


def parsed(*arguments: str, environment: Mapping[str, str] | None = None, fixed: Any = None) -> Settings:
    """The settings that a command line gives."""
    return parse_settings(
        Settings, prog="it", description="Is.", arguments=arguments, environment=environment or {}, fixed=fixed
    )


def test_what_is_not_said_is_the_default() -> None:
    assert parsed("--name", "a") == Settings(name="a", port=80, grace_s=1.5, colour="red", folder=Path("data"))


def test_each_flag_is_read_as_what_it_is() -> None:
    settings = parsed("--name", "a", "--port=0", "--grace-s", "0.25", "--colour", "blue", "--folder", "/x")
    assert settings == Settings(name="a", port=0, grace_s=0.25, colour="blue", folder=Path("/x"))


def test_each_flag_is_an_environment_variable_too() -> None:
    environment = {"PARTYLINE_NAME": "a", "PARTYLINE_GRACE_S": "2", "PARTYLINE_PORT": "81", "PATH": "x", "PORT": "1"}
    assert parsed(environment=environment) == Settings(name="a", port=81, grace_s=2.0)


def test_a_flag_counts_more_than_its_variable() -> None:
    assert parsed("--name", "flag", environment={"PARTYLINE_NAME": "variable"}).name == "flag"


def test_what_a_command_fixes_has_no_flag_and_no_variable(capsys: pytest.CaptureFixture[str]) -> None:
    assert parsed(environment={"PARTYLINE_NAME": "variable"}, fixed={"name": "fixed"}).name == "fixed"
    with pytest.raises(SystemExit):
        parsed("--name", "flag", fixed={"name": "fixed"})
    assert "--name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        ([], {}, "--name (or PARTYLINE_NAME) is missing"),
        (["--name"], {}, "--name"),
        (["--name", "a", "--speed", "1"], {}, "--speed"),
        (["--name", "a", "--por", "1"], {}, "--por"),
        (["--name", "a", "surplus"], {}, "surplus"),
        (["--name", "a", "--port", "65536"], {}, "--port must be a whole number from 0 to 65535, not '65536'"),
        (["--name", "a", "--port", "-1"], {}, "--port"),
        (["--name", "a", "--port", "1.0"], {}, "--port must be"),
        (["--name", "a", "--port", "٣"], {}, "--port must be"),
        (["--name", "a", "--port", ""], {}, "--port must be"),
        (["--name", "a", "--grace-s", "nan"], {}, "--grace-s must be a number from 0 to 86400"),
        (["--name", "a", "--grace-s", "inf"], {}, "--grace-s must be"),
        (["--name", "a", "--grace-s", "soon"], {}, "--grace-s must be"),
        (["--name", "a", "--colour", "green"], {}, "--colour must be one of red, blue, not 'green'"),
        (["--name", "a"], {"PARTYLINE_PORT": "http"}, "PARTYLINE_PORT must be a whole number"),
        (["--name", "a"], {"PARTYLINE_COLOUR": ""}, "PARTYLINE_COLOUR must be one of"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], environment: dict[str, str], named: str
) -> None:
    with pytest.raises(SystemExit) as exit_:
        parsed(*arguments, environment=environment)
    assert exit_.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("it: ")
    assert err.endswith(".\n")
    assert err.count("\n") == 1
    assert named in err


def test_help_says_everything_of_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        parsed("--help")
    assert exit_.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in ("--name", "what it is called (required)", "50% of all ports are taken (default 80)", "--grace-s"):
        assert words in text
    assert "PARTYLINE_" in text


@pytest.mark.parametrize("kind", SERVICES, ids=lambda kind: kind.__module__)
def test_every_service_s_flag_is_in_its_help(kind: type[Any], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_settings(kind, prog="it", description="Is.", arguments=["--help"], environment={})
    text = capsys.readouterr().out
    for field in dataclasses.fields(kind):
        assert "--" + field.name.replace("_", "-") in text


@pytest.mark.parametrize("kind", SERVICES, ids=lambda kind: kind.__module__)
def test_every_service_s_default_is_one_that_could_be_typed(kind: type[Any]) -> None:
    for field in dataclasses.fields(kind):
        if field.default is not dataclasses.MISSING:
            assert field.metadata["read"](str(field.default)) == field.default

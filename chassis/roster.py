"""The roster: which managers there are, from config/managers.yaml to checked, immutable values."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address
from pathlib import Path

import yaml

from chassis.codes import FIRST_AREA_CODE, LAST_AREA_CODE, AreaCodes

__all__ = ["AreaCodes", "Manager", "Roster", "RosterError", "read_roster"]

MAX_FILE_BYTES = 1024 * 1024
MAX_MANAGERS = LAST_AREA_CODE - FIRST_AREA_CODE + 1
"""Every manager needs an area code of its own, and there are no more."""

_MAX_SHOWN = 60
_NUMBER = re.compile(r"[-+]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})", re.ASCII)
_SPAN = re.compile(r"(\d{3})(?: ?- ?(\d{3}))?", re.ASCII)
_REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HOST = r"(?=[^:]{1,253}(?::|\Z))[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
_HOSTNAME = re.compile(_HOST)
_URL = re.compile(rf"https?://({_HOST}|\[(?P<ipv6>[0-9a-f:.]{{2,45}})\])(:(?P<port>[0-9]{{1,5}}))?")

_NULL_TAG = "tag:yaml.org,2002:null"
_SCALAR_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "timestamp"))

_ROOT_RULE = "must be a mapping with the one key managers"
_ENTRY_RULE = "must be a mapping with the fields of one manager"
_AREA_CODE_RULE = "must be a code within 100-999 or a range of them from low to high, as in 200-299"
_URL_RULE = "must be http:// or https://, a host and perhaps a port, as in http://us-east-1.app.local:8080"
_MANAGERS = {"managers": f"must be a list of 1 to {MAX_MANAGERS} managers"}
_FIELDS = {
    "hostname": "must be a lower-case host name without scheme or port, as in us-east-1.app.local",
    "region": "must be 1 to 64 letters, digits, dots, dashes or underscores, as in us-east-1",
    "lat": "must be a number from -90 to 90",
    "lng": "must be a number from -180 to 180",
    "area_codes": "must be a list of codes or ranges within 100-999, as in [200-299, 457]",
    "url": _URL_RULE,
    "internal_url": _URL_RULE,
}
_OPTIONAL = frozenset({"url", "internal_url"})


class RosterError(Exception):
    """The roster can't be used; one sentence says file, line, field and what to write instead."""


@dataclass(frozen=True, slots=True)
class Manager:
    """One regional manager: degrees for lat and lng, `url` for clients, `internal_url` for services."""

    hostname: str
    region: str
    lat: float
    lng: float
    area_codes: AreaCodes
    url: str
    internal_url: str


@dataclass(frozen=True, slots=True)
class Roster:
    """All managers, in the order of the file. No two share a hostname or an area code."""

    managers: tuple[Manager, ...]
    _by_hostname: dict[str, Manager] = field(init=False, repr=False, compare=False)
    _by_area_code: dict[int, Manager] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_hostname = {manager.hostname: manager for manager in self.managers}
        by_area_code = {code: manager for manager in self.managers for code in manager.area_codes}
        object.__setattr__(self, "_by_hostname", by_hostname)
        object.__setattr__(self, "_by_area_code", by_area_code)

    def of_area_code(self, area_code: int) -> Manager | None:
        """Whose parties have this area code."""
        return self._by_area_code.get(area_code)

    def of_hostname(self, hostname: str) -> Manager | None:
        """Who is called this; without a port, in lower case."""
        return self._by_hostname.get(hostname)

    def at_port(self, port: int) -> "Roster":
        """The same managers, with the port in every URL that is the default http://{hostname}."""
        return Roster(tuple(_at_port(manager, port) for manager in self.managers))


def _at_port(manager: Manager, port: int) -> Manager:
    default = f"http://{manager.hostname}"
    there = default if port == 80 else f"{default}:{port}"
    return replace(
        manager,
        url=there if manager.url == default else manager.url,
        internal_url=there if manager.internal_url == default else manager.internal_url,
    )


def read_roster(path: str | Path) -> Roster:
    """Read and check a roster file; whatever is wrong with it raises RosterError."""
    file = str(path)
    root = _Spot(file, "", _ROOT_RULE, _compose(file, _text_of(file)))
    listed = root.members(_MANAGERS)["managers"].items(_ENTRY_RULE, at_most=MAX_MANAGERS)
    entries = [entry.members(_FIELDS, optional=_OPTIONAL) for entry in listed]
    _refuse_shared_hostnames(entry["hostname"] for entry in entries)
    _refuse_shared_area_codes(span for entry in entries for span in _spans(entry))
    return Roster(tuple(_manager(entry) for entry in entries))


def _spans(entry: "dict[str, _Spot]") -> "list[_Spot]":
    return entry["area_codes"].items(_AREA_CODE_RULE, at_most=MAX_MANAGERS)


def _manager(entry: "dict[str, _Spot]") -> Manager:
    hostname = entry["hostname"].text(_HOSTNAME)[0]
    url = _url(entry["url"]) if "url" in entry else f"http://{hostname}"
    return Manager(
        hostname=hostname,
        region=entry["region"].text(_REGION)[0],
        lat=_number(entry["lat"], 90),
        lng=_number(entry["lng"], 180),
        area_codes=AreaCodes(tuple(_area_codes(span) for span in _spans(entry))),
        url=url,
        internal_url=_url(entry["internal_url"]) if "internal_url" in entry else url,
    )


def _refuse_shared_hostnames(spots: "Iterable[_Spot]") -> None:
    taken: dict[str, _Spot] = {}
    for spot in spots:
        first = taken.setdefault(spot.text(_HOSTNAME)[0], spot)
        if first is not spot:
            raise spot.refused(f"is {first.field} (line {first.line}) too; give each manager a name of its own")


def _refuse_shared_area_codes(spots: "Iterable[_Spot]") -> None:
    taken: dict[int, _Spot] = {}
    for spot in spots:
        low, high = _area_codes(spot)
        for code in range(low, high + 1):
            first = taken.setdefault(code, spot)
            if first is not spot:
                where = f"{first.field} (line {first.line})"
                raise spot.refused(f"holds {code}, which {where} holds already; write codes that are free")


def _text_of(file: str) -> str:
    try:
        with open(file, "rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise RosterError(f"{file}: can't be read ({reason}); name a roster file that is there.") from None
    if len(content) > MAX_FILE_BYTES:
        raise RosterError(f"{file}: is over {MAX_FILE_BYTES} bytes; write a shorter roster.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RosterError(f"{file}:{line}: isn't UTF-8 text; save the file as UTF-8.") from None


def _compose(file: str, text: str) -> yaml.Node:
    # SafeLoader, not the faster CSafeLoader, whose recursion overruns the C stack when brackets nest deeply.
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except RecursionError:
        raise RosterError(f"{file}: nests too deeply; write a list of managers and their fields.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _not_yaml(file, mark.line + 1 if mark else 1, str(error.problem or error.context)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _not_yaml(file, line, "a character that has no place in a text file") from None
    except (ValueError, OverflowError):
        # PyYAML lets these through: an escape beyond Unicode, a %YAML version of thousands of digits.
        raise _not_yaml(file, 1, "a number in an escape or directive is too large") from None
    if root is None:
        raise RosterError(f"{file}:1: managers: is missing; it {_MANAGERS['managers']}.")
    return root


def _not_yaml(file: str, line: int, problem: str) -> RosterError:
    shown = " ".join(problem.split())[:_MAX_SHOWN]
    return RosterError(f"{file}:{line}: isn't YAML ({shown}); check the indentation, colons and quotes.")


@dataclass(frozen=True, slots=True, eq=False)
class _Spot:
    """A node of the file: where it stands, the fields that lead to it, and the rule for what stands there."""

    file: str
    field: str
    rule: str
    node: yaml.Node

    @property
    def line(self) -> int:
        return int(self.node.start_mark.line) + 1

    def refused(self, fault: str) -> RosterError:
        field = f" {self.field}:" if self.field else ""
        return RosterError(f"{self.file}:{self.line}:{field} {fault}.")

    def broken(self) -> RosterError:
        """The rule is not kept; says the rule and what stands there instead."""
        if isinstance(self.node, yaml.ScalarNode):
            shown = "nothing" if self.node.tag == _NULL_TAG else _shown(self.node.value)
        else:
            kind = "list" if isinstance(self.node, yaml.SequenceNode) else "mapping"
            shown = f"a {kind}" if self.node.value else f"an empty {kind}"
        return self.refused(f"{self.rule}, not {shown}")

    def members(self, rules: dict[str, str], *, optional: frozenset[str] = frozenset()) -> "dict[str, _Spot]":
        """The values of a mapping by key; each key known, at most once, and there unless it is optional."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.broken()
        prefix = f"{self.field}." if self.field else ""
        found: dict[str, _Spot] = {}
        for key_node, node in self.node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else "a list or mapping as key"
            spot = _Spot(self.file, prefix + key, rules.get(key, ""), node)
            at_key = replace(spot, node=key_node)
            if key not in rules:
                known = ", ".join(rules)
                raise replace(at_key, field=self.field).refused(f"has no field {_shown(key)}; write {known}")
            if key in found:
                raise at_key.refused(f"is there twice, first on line {found[key].line}; keep one")
            found[key] = spot
        for key, rule in rules.items():
            if key not in found and key not in optional:
                raise replace(self, field=prefix + key).refused(f"is missing; it {rule}")
        return found

    def items(self, rule: str, *, at_most: int) -> "list[_Spot]":
        """The values of a list, which all keep one rule; at least one."""
        if not isinstance(self.node, yaml.SequenceNode) or not self.node.value:
            raise self.broken()
        if len(self.node.value) > at_most:
            raise self.refused(f"{self.rule}, not {len(self.node.value)} of them")
        fields = (f"{self.field}[{index}]" for index in range(len(self.node.value)))
        return [_Spot(self.file, f, rule, node) for f, node in zip(fields, self.node.value, strict=True)]

    def text(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """What is written, whatever YAML takes it for: 200-299 is text to it and 457 a number."""
        if not isinstance(self.node, yaml.ScalarNode) or self.node.tag not in _SCALAR_TAGS:
            raise self.broken()
        match = pattern.fullmatch(self.node.value)
        if match is None:
            raise self.broken()
        return match


def _shown(value: str) -> str:
    return repr(value if len(value) <= _MAX_SHOWN else value[:_MAX_SHOWN] + "...")


def _number(spot: _Spot, bound: int) -> float:
    number = float(spot.text(_NUMBER)[0])
    if abs(number) > bound:
        raise spot.broken()
    if isinstance(spot.node, yaml.ScalarNode) and spot.node.style:
        raise spot.refused(f"{spot.rule}, without quotes")
    return number


def _area_codes(spot: _Spot) -> tuple[int, int]:
    match = spot.text(_SPAN)
    low, high = int(match[1]), int(match[2] or match[1])
    if not FIRST_AREA_CODE <= low <= high <= LAST_AREA_CODE:
        raise spot.broken()
    return low, high


def _url(spot: _Spot) -> str:
    match = spot.text(_URL)
    try:
        if match["ipv6"]:
            IPv6Address(match["ipv6"])
    except ValueError:
        raise spot.broken() from None
    if match["port"] and not 1 <= int(match["port"]) <= 65535:
        raise spot.broken()
    return match[0]

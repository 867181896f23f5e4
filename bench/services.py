"""The dispatchers and managers that rows ask for, with the rosters and databases that they need."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import seed
from bench.places import CENTRE_LAT, CENTRE_LNG, on_the_globe
from bench.progress import say
from bench.seed import Seed
from bench.servers import Server, Servers

HOSTNAME = "bench.app.local"
AREA_CODES = range(100, 1000)


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """A dispatcher over a made-up roster of so many managers, spread over the globe."""

    managers: int

    @property
    def name(self) -> str:
        """As files and messages call it."""
        return f"dispatcher-{self.managers}"


@dataclass(frozen=True, slots=True)
class Manager:
    """A manager that finds these parties in its database when it starts."""

    seed: Seed

    @property
    def name(self) -> str:
        """As files and messages call it."""
        return f"manager-{self.seed.parties}x{self.seed.participants}-{self.seed.around}"


Service = Dispatcher | Manager


@dataclass(slots=True)
class Services:
    """Starts each service once, when a row first asks for it. Databases and rosters stand in `folder`."""

    folder: Path
    servers: Servers
    _started: dict[Service, tuple[Server, Sequence[str]]] = field(default_factory=dict)

    def start(self, service: Service) -> tuple[Server, Sequence[str]]:
        """The running service and the codes of the parties that it holds."""
        if service not in self._started:
            self._started[service] = self._start(service)
        return self._started[service]

    def _start(self, service: Service) -> tuple[Server, Sequence[str]]:
        if isinstance(service, Dispatcher):
            arguments = dispatcher_arguments(service, self.folder)
            return self.servers.start(service.name, "dispatcher", arguments), ()
        say(f"seeding {service.name}")
        database = self.folder / f"{service.name}.db"
        codes = seed.write(service.seed, database)
        return self.servers.start(service.name, "manager", manager_arguments(database)), codes


def dispatcher_arguments(dispatcher: Dispatcher, folder: Path) -> list[str]:
    """A dispatcher over as many managers as it says, each with an equal share of the area codes."""
    draw = random.Random(dispatcher.managers)
    share = len(AREA_CODES) // dispatcher.managers
    lines = []
    for number in range(dispatcher.managers):
        place, first = on_the_globe(draw), AREA_CODES[number * share]
        lines += entry(f"region-{number}.app.local", place.lat, place.lng, f"{first}-{first + share - 1}")
    return ["--config", str(roster(folder / f"roster-{dispatcher.managers}.yaml", lines))]


def manager_arguments(database: Path, *, max_capacity: int = seed.CAPACITY) -> list[str]:
    """A manager that owns every area code; its roster stands beside its database."""
    lines = entry(HOSTNAME, CENTRE_LAT, CENTRE_LNG, f"{AREA_CODES[0]}-{AREA_CODES[-1]}")
    config = roster(database.with_suffix(".yaml"), lines)
    arguments = ["--config", str(config), "--hostname", HOSTNAME, "--database", str(database)]
    return [*arguments, "--max-capacity", str(max_capacity)]


def crowded_manager_arguments(database: Path, people: int) -> list[str]:
    """A manager that takes a party of so many people."""
    arguments = manager_arguments(database, max_capacity=max(people, seed.CAPACITY))
    # A device may say 20 things a second; to measure what a manager can tell, one says as much as it takes.
    return [*arguments, "--rate-limits", "off"]


def entry(hostname: str, lat: float, lng: float, area_codes: str) -> list[str]:
    """One manager's lines in a roster."""
    return [
        f"  - hostname: {hostname}",
        f"    region: {hostname.partition('.')[0]}",
        f"    lat: {lat:.4f}",
        f"    lng: {lng:.4f}",
        f"    area_codes: [{area_codes}]",
    ]


def roster(path: Path, lines: Iterable[str]) -> Path:
    """The path of a roster with these entries in it."""
    path.write_text("\n".join(["managers:", *lines]) + "\n")
    return path

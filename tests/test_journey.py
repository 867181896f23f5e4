"""The whole way of a party, over real processes started as the README says: a dispatcher and three managers."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from chassis.roster import read_roster
from tests.processes import ROOT, Service, running, running_manager
from tests.talking import Names

DISPATCHER = "dispatcher.app.local"
HOSTNAMES = [manager.hostname for manager in read_roster(ROOT / "config/managers.yaml").managers]


@contextlib.contextmanager
def managers_running(folder: Path) -> Iterator[dict[str, Service]]:
    """The managers of config/managers.yaml by name, each with its database in the folder."""
    with contextlib.ExitStack() as stack:
        yield {
            hostname: stack.enter_context(
                running_manager(folder / f"{hostname.partition('.')[0]}.db", hostname=hostname)
            )
            for hostname in HOSTNAMES
        }


@contextlib.asynccontextmanager
async def phone(services: dict[str, Service]) -> AsyncIterator["Phone"]:
    """A client for which the names lead where DNS and proxy would lead them."""
    names = Names({hostname: service.port for hostname, service in services.items()})
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=names)) as session:
        yield Phone(session)


class Phone:
    """Asks by URL, follows redirects, and expects a status."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def get(self, url: str, *, status: int = 200) -> Any:
        """The JSON at the URL."""
        async with self._session.get(url) as reply:
            assert reply.status == status, await reply.text()
            return await reply.json(content_type=None)

    async def post(self, url: str, body: dict[str, Any], *, status: int = 201) -> Any:
        """The JSON in answer to a body."""
        async with self._session.post(url, json=body) as reply:
            assert reply.status == status, await reply.text()
            return await reply.json(content_type=None)

    async def delete(self, url: str, token: str) -> int:
        """The status in answer to a wish that has a token."""
        async with self._session.delete(url, headers={"Authorization": f"Bearer {token}"}) as reply:
            return reply.status

    async def nearest(self, lat: float, lng: float) -> str:
        """The URL of the nearest manager."""
        found = await self.get(f"http://{DISPATCHER}/managers/find?lng={lng}&lat={lat}")
        return str(found["url"])

    async def leaders(self, party_url: str) -> list[str]:
        """The names of everybody in the party, its leader's with a star."""
        listed = await self.get(f"{party_url}/participants")
        return [one["participant_name"] + "*" * one["is_leader"] for one in listed["participants"]]


async def test_a_party_lives_from_find_to_the_last_one_out(tmp_path: Path) -> None:
    with running("dispatcher") as dispatcher, managers_running(tmp_path) as managers:
        services = {DISPATCHER: dispatcher, **managers}
        async with phone(services) as ask:
            # Lea, in Montreal, finds the manager that is nearest and starts a party there.
            url = await ask.nearest(45.50, -73.57)
            assert url == "http://ca-central-1.app.local"
            lea = await ask.post(
                f"{url}/parties", {"device_id": "phone-1", "participant_name": "Lea", "lat": 45.5, "lng": -73.57}
            )
            code = lea["party_code"]
            assert 400 <= int(code[:3]) <= 499

            # Ann has the code only. The dispatcher says whose it is; asking the wrong manager leads there as well.
            typed = f"{code[:3]} {code[3:6]} {code[6:]}"
            owner = await ask.get(f"http://{DISPATCHER}/managers/find?party_code={typed}")
            assert (owner["url"], owner["healthy"]) == (url, True)
            party = f"{owner['url']}/parties/{code}"
            ann = await ask.post(f"{party}/participants", {"device_id": "phone-2", "participant_name": "Ann"})
            assert ann["participant_id"] == 1
            bob = await ask.post(
                f"http://us-east-1.app.local/parties/{code}/participants",
                {"device_id": "phone-3", "participant_name": "Bob"},
            )
            assert (bob["party_code"], bob["participant_id"]) == (code, 2)
            assert await ask.leaders(party) == ["Lea*", "Ann", "Bob"]

            # It is seen nearby, by those who are near.
            near = await ask.get(f"{url}/parties/nearby?lat=45.51&lng=-73.56")
            assert [one["party_code"] for one in near["parties"]] == [code]
            assert near["parties"][0]["distance_km"] == pytest.approx(1.3, abs=1)
            assert (await ask.get(f"{url}/parties/nearby?lat=46.5&lng=-73.56"))["parties"] == []

            # The leader leaves, and whoever has been there longest leads; then she sends Bob away and leaves.
            assert await ask.delete(f"{party}/participants/0", lea["token"]) == 204
            assert await ask.leaders(party) == ["Ann*", "Bob"]
            assert await ask.delete(f"{party}/participants/1", bob["token"]) == 403
            assert await ask.delete(f"{party}/participants/2", ann["token"]) == 204
            assert await ask.delete(f"{party}/participants/1", ann["token"]) == 204
            await ask.get(party, status=404)
            assert (await ask.get(f"{url}/parties/nearby?lat=45.51&lng=-73.56"))["parties"] == []
        for service in services.values():
            assert service.end() == 0
            assert [entry["event"] for entry in service.events()] == ["listening", "ended"]
            assert service.stderr() == ""


async def test_regions_are_apart_and_all_of_it_outlives_a_restart(tmp_path: Path) -> None:
    places = {"us-east-1": (38.1, -78.4), "ca-central-1": (45.5, -73.6), "eu-central-1": (50.1, 8.7)}
    codes: dict[str, str] = {}
    tokens: dict[str, str] = {}
    with managers_running(tmp_path) as services:
        async with phone(services) as ask:
            for region, (lat, lng) in places.items():
                # One phone may sit in one party of each region.
                made = await ask.post(
                    f"http://{region}.app.local/parties",
                    {"device_id": "phone-1", "participant_name": region, "lat": lat, "lng": lng},
                )
                codes[region], tokens[region] = made["party_code"], made["token"]
        for service in services.values():
            assert service.end() == 0
    assert [codes[region][0] for region in places] == ["2", "4", "5"]
    with managers_running(tmp_path) as services:
        async with phone(services) as ask:
            for region, code in codes.items():
                for asked in HOSTNAMES:
                    assert await ask.leaders(f"http://{asked}/parties/{code}") == [f"{region}*"]
                its = f"http://{region}.app.local"
                assert (await ask.post(f"{its}/me", {"device_id": "phone-1"}, status=200))["token"] == tokens[region]
                lat, lng = places[region]
                near = await ask.get(f"{its}/parties/nearby?lat={lat}&lng={lng}")
                assert [one["party_code"] for one in near["parties"]] == [code]
                assert await ask.delete(f"{its}/parties/{code}/participants/0", tokens[region]) == 204

"""What a dispatcher answers, asked over a socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from chassis.geo import Point, distance_km
from chassis.lifetime import Lifetime
from chassis.roster import read_roster
from dispatcher.app import dispatcher_app
from dispatcher.settings import Settings
from tests.processes import ROOT
from tests.talking import ask, serving

ENTRY = """
  - hostname: {name}.test
    region: {name}
    lat: {lat}
    lng: {lng}
    area_codes: {area_codes}
"""
# The two of Quito stand at one place; fiji and samoa on either side of the antimeridian.
AROUND_THE_WORLD = {
    "quito-1": (0.0, -78.5, "[100]"),
    "quito-2": (0.0, -78.5, "[101]"),
    "svalbard": (78.2, 15.6, "[200-210, 457]"),
    "antarctica": (-77.8, 166.7, "[300]"),
    "fiji": (-18.0, 178.0, "[400]"),
    "samoa": (-13.8, -171.8, "[500]"),
    "cape-town": (-33.9, 18.4, "[999]"),
}


@asynccontextmanager
async def dispatcher(config: Path) -> AsyncIterator[int]:
    """A dispatcher of that roster; yields its port."""
    lifetime = Lifetime()
    async with serving(dispatcher_app(Settings(config=config), read_roster(config), lifetime), lifetime) as port:
        yield port


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[int]:
    """A dispatcher of managers around the world."""
    entries = (
        ENTRY.format(name=name, lat=lat, lng=lng, area_codes=codes)
        for name, (lat, lng, codes) in AROUND_THE_WORLD.items()
    )
    config = tmp_path / "managers.yaml"
    config.write_text("managers:" + "".join(entries))
    async with dispatcher(config) as port:
        yield port


@pytest.fixture
async def three() -> AsyncIterator[int]:
    """A dispatcher of the three managers in config/managers.yaml."""
    async with dispatcher(ROOT / "config/managers.yaml") as port:
        yield port


async def test_montreal_is_sent_to_canada(three: int) -> None:
    reply = await ask(three, "GET", "/managers/find?lng=-73.57&lat=45.50")
    assert reply.json() == {
        "hostname": "ca-central-1.app.local",
        "region": "ca-central-1",
        "url": "http://ca-central-1.app.local",
        "distance_km": 0.0,
        "alternates": ["us-east-1.app.local", "eu-central-1.app.local"],
        "degraded": False,
        "ttl_s": 30,
    }
    assert reply.header("cache-control") == "no-store"


@pytest.mark.parametrize(
    ("lat", "lng", "nearest"),
    [
        ("0", "-78.4", "quito-1"),
        ("90", "0", "svalbard"),
        ("90", "-180", "svalbard"),
        ("-90", "0", "antarctica"),
        ("-90", "180", "antarctica"),
        ("-17", "179.9", "fiji"),
        ("-17", "-179.9", "fiji"),
        ("-17", "180", "fiji"),
        ("-17", "-180", "fiji"),
        ("-14", "-175", "samoa"),
        ("-34", "18", "cape-town"),
        ("-5.5e1", "%2B20.0", "cape-town"),
        (".5", "-78.", "quito-1"),
        ("-0", "-78.5", "quito-1"),
    ],
)
async def test_the_nearest_is_named_and_how_far_it_is(world: int, lat: str, lng: str, nearest: str) -> None:
    found = (await ask(world, "GET", f"/managers/find?lat={lat}&lng={lng}")).json()
    assert found["region"] == nearest
    here = Point(float(lat), float(lng.replace("%2B", "+")))
    by_distance = sorted((distance_km(here, Point(at[0], at[1])), index) for index, at in enumerate(_places()))
    assert found["distance_km"] == pytest.approx(by_distance[0][0], abs=0.001)
    assert found["alternates"] == [f"{list(AROUND_THE_WORLD)[index]}.test" for _, index in by_distance[1:4]]


async def test_both_names_of_the_antimeridian_are_one_place(world: int) -> None:
    east, west = [(await ask(world, "GET", f"/managers/find?lat=-17&lng={lng}")).body for lng in ("180", "-180")]
    assert east == west


async def test_a_pole_is_one_place_at_every_longitude(world: int) -> None:
    answers = {(await ask(world, "GET", f"/managers/find?lat=90&lng={lng}")).body for lng in range(-180, 181, 45)}
    assert len(answers) == 1


@pytest.mark.parametrize("code", ["457495738", "457 495 738", "457-495-738", " 457495738 ", "457\u00a0495\u2011738"])
async def test_a_party_code_is_found_however_it_is_typed(world: int, code: str) -> None:
    reply = await ask(world, "GET", f"/managers/find?party_code={quote(code)}")
    assert reply.json() == {
        "hostname": "svalbard.test",
        "region": "svalbard",
        "url": "http://svalbard.test",
        "healthy": True,
        "degraded": False,
        "ttl_s": 30,
    }
    assert reply.header("cache-control") == "no-store"


async def test_a_plus_is_a_space_in_a_query(world: int) -> None:
    assert (await ask(world, "GET", "/managers/find?party_code=999+000+000")).json()["region"] == "cape-town"


@pytest.mark.parametrize(
    ("code", "region"), [("100000000", "quito-1"), ("210999999", "svalbard"), ("999999999", "cape-town")]
)
async def test_an_area_code_reaches_from_its_first_code_to_its_last(world: int, code: str, region: str) -> None:
    assert (await ask(world, "GET", f"/managers/find?party_code={code}")).json()["region"] == region


@pytest.mark.parametrize("code", ["102000000", "211000000", "456999999", "458000000"])
async def test_an_area_code_that_nobody_has_is_404(world: int, code: str) -> None:
    reply = await ask(world, "GET", f"/managers/find?party_code={code}")
    assert reply.refusal() == (404, "area_code_unknown")
    assert reply.problem()["field"] == "party_code"


@pytest.mark.parametrize(
    "code",
    ["", "45749573", "4574957380", "057495738", "45749573x", "457.495.738", "%2B57495738", "٤٥٧٤٩٥٧٣٨", "4" * 500],
)
async def test_what_is_no_party_code_is_refused(world: int, code: str) -> None:
    reply = await ask(world, "GET", f"/managers/find?party_code={code if code.isascii() else quote(code)}")
    assert reply.refusal() == (400, "bad_party_code")
    assert reply.problem()["field"] == "party_code"


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("", "bad_query", None),
        ("lat=1", "missing_parameter", "lng"),
        ("lng=1", "missing_parameter", "lat"),
        ("lat=1&lng=", "bad_number", "lng"),
        ("lat=91&lng=1", "bad_coordinates", "lat"),
        ("lat=-90.0000001&lng=1", "bad_coordinates", "lat"),
        ("lat=1&lng=180.0000001", "bad_coordinates", "lng"),
        ("lat=1&lng=-181", "bad_coordinates", "lng"),
        ("lat=nan&lng=1", "bad_number", "lat"),
        ("lat=1&lng=infinity", "bad_number", "lng"),
        ("lat=1e999&lng=1", "bad_coordinates", "lat"),
        ("lat=45,5&lng=1", "bad_number", "lat"),
        ("lat=1&lng=1&lat=1", "repeated_parameter", "lat"),
        ("lat=1&lng=1&party_code=457495738", "bad_query", "party_code"),
        ("lat=1&party_code=457495738", "bad_query", "party_code"),
        ("party_code=457495738&party_code=457495738", "repeated_parameter", "party_code"),
        ("lat=1&lng=1&limit=3", "unknown_parameter", "limit"),
        ("latitude=1&longitude=1", "unknown_parameter", "latitude"),
    ],
)
async def test_a_bad_question_is_refused(three: int, query: str, code: str, field: str | None) -> None:
    reply = await ask(three, "GET", f"/managers/find?{query}")
    assert reply.refusal() == (400, code)
    assert reply.problem().get("field") == field


async def test_all_managers_are_listed_as_the_roster_has_them(world: int) -> None:
    reply = await ask(world, "GET", "/managers")
    listed = reply.json()["managers"]
    assert [(one["region"], one["lat"], one["lng"]) for one in listed] == [
        (name, lat, lng) for name, (lat, lng, _) in AROUND_THE_WORLD.items()
    ]
    svalbard = listed[2]
    since = datetime.fromisoformat(svalbard.pop("since"))
    assert timedelta(0) <= datetime.now(UTC) - since < timedelta(minutes=5)
    assert svalbard == {
        "hostname": "svalbard.test",
        "region": "svalbard",
        "url": "http://svalbard.test",
        "lat": 78.2,
        "lng": 15.6,
        "area_codes": ["200-210", "457"],
        "healthy": True,
    }
    assert reply.header("cache-control") == "no-store"


async def test_the_list_takes_no_parameters(three: int) -> None:
    reply = await ask(three, "GET", "/managers?limit=1")
    assert reply.refusal() == (400, "unknown_parameter")


@pytest.mark.parametrize("path", ["/managers", "/managers/find?lat=1&lng=1", "/managers/find?party_code=457495738"])
async def test_head_and_get_agree(three: int, path: str) -> None:
    got, headed = await ask(three, "GET", path), await ask(three, "HEAD", path)
    assert (headed.status, headed.header("content-length")) == (got.status, str(len(got.body)))


@pytest.mark.parametrize("host", ["localhost", "us-east-1.app.local", "evil.test:99", "[::1]:80"])
async def test_a_dispatcher_answers_under_any_host(three: int, host: str) -> None:
    assert (await ask(three, "GET", "/managers/find?lat=1&lng=1", headers={"Host": host})).status == 200


async def test_a_dispatcher_is_ready_whatever_its_managers_do(three: int) -> None:
    assert (await ask(three, "GET", "/readyz")).status == 200


async def test_a_dispatcher_says_what_it_is(three: int) -> None:
    assert (await ask(three, "GET", "/version")).json()["service"] == "dispatcher"


def _places() -> list[tuple[float, float]]:
    return [(lat, lng) for lat, lng, _ in AROUND_THE_WORLD.values()]

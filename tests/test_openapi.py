"""The OpenAPI documents against the code: the same routes, refusals, bounds and versions, and examples that fit."""

import re
from dataclasses import fields
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from openapi_spec_validator import OpenAPIV31SpecValidator

from chassis.health import VERSION
from chassis.lifetime import Lifetime
from chassis.origins import AllowedOrigins
from chassis.reading import MAX_BODY_BYTES, MAX_QUERY_CHARACTERS
from chassis.roster import read_roster
from dispatcher.app import dispatcher_app
from dispatcher.settings import Settings as DispatcherSettings
from manager import wire
from manager.api import DEFAULT_LIMIT, DEFAULT_RADIUS_KM, MAX_LIMIT, MAX_RADIUS_KM
from manager.app import manager_app
from manager.settings import Settings as ManagerSettings
from tests.contract.documents import METHODS, SERVICES, Operation, document_of, limits_of
from tests.contract.refusals import Raised, raised_in

ROOT = Path(__file__).parents[1]

# Swagger UI fills examples into its forms: a code beside a position is refused, the same key twice is a repetition, and
# a version is soon not the latest.
UNFILLED = frozenset({"party_code", "Idempotency-Key", "If-Match", "X-Request-Id"})

each_service = pytest.mark.parametrize("service", SERVICES)
each_struct = pytest.mark.parametrize(
    ("struct", "schema"),
    [
        (wire.CreateParty, "CreateParty"),
        (wire.JoinParty, "JoinParty"),
        (wire.UpdateParty, "UpdateParty"),
        (wire.UpdateParticipant, "UpdateParticipant"),
        (wire.HandOver, "HandOver"),
        (wire.Say, "Say"),
        (wire.Me, "Me"),
        (wire.MembershipView, "Membership"),
        (wire.PartyView, "PartyMembers"),
        (wire.PlaceView, "Place"),
        (wire.NearbyView, "NearbyParties"),
        (wire.ParticipantView, "Participant"),
        (wire.ParticipantsView, "Participants"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)


def app_of(service: str) -> web.Application:
    """A service put together as its entry point does it, not started."""
    config = ROOT / "config/managers.yaml"
    roster = read_roster(config)
    if service == "dispatcher":
        return dispatcher_app(DispatcherSettings(config=config), roster, Lifetime())
    settings = ManagerSettings(config=config, hostname=roster.managers[0].hostname, database=Path("never-opened.db"))
    return manager_app(settings, roster, Lifetime())


def routes_of(service: str) -> set[Operation]:
    """What the service has routes for; the last one, which takes what no other takes, isn't one to document."""
    routes = [(route.method, route.resource) for route in app_of(service).router.routes()]
    named = {Operation(method, resource.canonical) for method, resource in routes if resource is not None}
    return {operation for operation in named if operation.path != "/{anything}"}


@each_service
def test_the_document_is_valid_openapi_3_1(service: str) -> None:
    root = document_of(service).root
    assert root["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(root).iter_errors()] == []


@each_service
def test_every_route_is_documented_and_every_documented_route_exists(service: str) -> None:
    documented = {operation for operation, _ in document_of(service).operations()}
    assert documented == {route for route in routes_of(service) if route.method != "HEAD"}


@each_service
def test_head_is_routed_wherever_get_is_as_the_documents_say(service: str) -> None:
    routes = routes_of(service)
    assert {path for method, path in routes if method == "HEAD"} == {path for method, path in routes if method == "GET"}


@each_service
def test_every_call_is_named_after_its_handler_or_uniquely(service: str) -> None:
    names = [definition["operationId"] for _, definition in document_of(service).operations()]
    assert len(set(names)) == len(names)


def test_formats_are_checked_and_not_only_written_down() -> None:
    assert document_of("manager").faults({"type": "string", "format": "date-time"}, "2026-11-21") != []


@each_service
def test_every_example_of_an_answer_keeps_its_schema(service: str) -> None:
    document = document_of(service)
    for operation, status, name, value in document.answer_examples():
        [content] = document.responses(operation)[status]["content"].values()
        assert document.faults(content["schema"], value) == [], (operation, status, name)


@each_service
def test_every_example_of_a_request_keeps_its_schema(service: str) -> None:
    document = document_of(service)
    for operation, name, value in document.body_examples():
        definition = document.root["paths"][operation.path][operation.method.lower()]
        schema = definition["requestBody"]["content"]["application/json"]["schema"]
        assert document.faults(schema, value) == [], (operation, name)
    for operation, _ in document.operations():
        for parameter in document.parameters(operation):
            if "example" in parameter:
                assert document.faults(parameter["schema"], parameter["example"]) == [], (operation, parameter["name"])


@each_service
def test_every_parameter_and_every_body_has_an_example_that_the_form_in_docs_can_start_from(service: str) -> None:
    document = document_of(service)
    for operation, definition in document.operations():
        for parameter in document.parameters(operation):
            assert ("example" in parameter) == (parameter["name"] not in UNFILLED), (operation, parameter["name"])
        if "requestBody" in definition:
            assert operation in {where for where, *_ in document.body_examples()}


@each_service
def test_no_parameter_stands_where_swagger_ui_does_not_look(service: str) -> None:
    # It shows the calls of a path without following the references beside them.
    for path, item in document_of(service).root["paths"].items():
        assert set(item) <= set(METHODS), path


@each_service
def test_every_refusal_that_the_code_knows_is_documented_and_no_other(service: str) -> None:
    documented = document_of(service).refusals()
    own, shared = pairs(raised_in(ROOT / service)), pairs(raised_in(ROOT / "chassis"))
    assert own - documented == set()
    assert documented - own - shared == set()


def test_every_refusal_of_the_chassis_is_documented_somewhere() -> None:
    documented = {refusal for service in SERVICES for refusal in document_of(service).refusals()}
    assert pairs(raised_in(ROOT / "chassis")) - documented == set()


def test_a_refusal_that_nobody_documented_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text('def planted():\n    raise Conflict("planted_code", "A sentence.")\n')
    assert raised_in(tmp_path) == {Raised(409, "planted_code", "A sentence.")}


def test_both_documents_say_the_same_of_what_every_service_answers() -> None:
    dispatcher, manager = (document_of(service).root for service in SERVICES)
    for path in ("/livez", "/metrics", "/openapi.yaml", "/docs", "/docs/start.js", "/docs/swagger-ui-bundle.js"):
        assert dispatcher["paths"][path] == manager["paths"][path]
    for part in ("parameters", "headers", "responses"):
        ours = dispatcher["components"][part]
        assert ours == {name: manager["components"][part][name] for name in ours}
    for name in ("TypedPartyCode", "RequestId", "Problem", "ProblemMembers"):
        assert dispatcher["components"]["schemas"][name] == manager["components"]["schemas"][name]


@each_service
@pytest.mark.parametrize("allowed", ["https://game.example", "*"])
def test_what_pages_of_other_origins_may_read_is_documented(service: str, allowed: str) -> None:
    documented = set(re.findall(r"`([A-Za-z-]+)`", document_of(service).root["info"]["description"]))
    lines = AllowedOrigins.parse(allowed).lines_for("https://game.example").splitlines()
    assert {line.partition(":")[0] for line in lines} <= documented
    assert "OPTIONS" in documented


@each_service
def test_the_document_has_the_version_of_the_code(service: str) -> None:
    assert document_of(service).root["info"]["version"] == VERSION


@each_struct
def test_every_member_is_documented_with_its_bounds(struct: type[msgspec.Struct], schema: str) -> None:
    document = document_of("manager")
    documented = document.root["components"]["schemas"][schema]
    _, generated = msgspec.json.schema_components([struct])
    ours = generated[struct.__name__]
    assert documented.get("required", []) == ours["required"]
    assert list(documented["properties"]) == list(ours["properties"])
    if ours.get("additionalProperties") is False:
        assert documented["additionalProperties"] is False
        for name, member in ours["properties"].items():
            assert limits_of(document.flattened(documented["properties"][name])) == limits_of(member), name


def test_a_name_takes_the_documented_characters_and_no_others() -> None:
    documented = document_of("manager").root["components"]["schemas"]["Name"]["pattern"].removesuffix("$") + r"\Z"
    decoder = msgspec.json.Decoder(wire.Name)
    every = (character for number in range(0x3100) for character in (chr(number), f"a{chr(number)}"))
    for text in every:
        try:
            decoder.decode(msgspec.json.encode(text))
        except msgspec.ValidationError:
            assert not re.search(documented, text), ascii(text)
        else:
            assert re.search(documented, text), ascii(text)


def test_the_bounds_of_nearby_are_those_of_the_code() -> None:
    parameters = document_of("manager").parameters(Operation("GET", "/parties/nearby"))
    schemas = {parameter["name"]: parameter["schema"] for parameter in parameters}
    assert schemas["radius_km"]["maximum"] == MAX_RADIUS_KM
    assert schemas["radius_km"]["default"] == DEFAULT_RADIUS_KM
    assert (schemas["limit"]["maximum"], schemas["limit"]["default"]) == (MAX_LIMIT, DEFAULT_LIMIT)


@each_service
def test_the_bounds_in_the_prose_are_those_of_the_code(service: str) -> None:
    prose = document_of(service).root["info"]["description"]
    assert f"{MAX_QUERY_CHARACTERS:,} characters" in prose
    assert service == "dispatcher" or f"{MAX_BODY_BYTES // 1024} KiB" in prose


def test_the_limits_in_the_prose_are_those_that_are_set_by_default() -> None:
    prose = document_of("manager").root["info"]["description"]
    defaults = {field.name: field.default for field in fields(ManagerSettings)}
    for row in (
        f"| `creates` | parties that a device starts | {defaults['creates_per_h']} an hour |",
        f"| `joins` | seats that it takes | {defaults['joins_per_h']} an hour |",
        f"| `requests` | requests with its id or token, but for plain reads | {defaults['requests_per_s']} a second |",
        f"of an IPv4 address | {defaults['failed_lookups_per_h']} an hour |",
        f"of an IPv6 /64 | {defaults['failed_lookups_per_h_ipv6']} an hour |",
        f"may have {defaults['streams_per_device']} streams",
        f"{defaults['beat_s']:g} s (`--beat-s`)",
        f"{defaults['grace_s']:g} s (`--grace-s`)",
        f"{defaults['idle_expiry_h']:g} hours\n(`--idle-expiry-h`)",
    ):
        assert row in prose


def pairs(raised: set[Raised]) -> set[tuple[int, str]]:
    return {(one.status, one.code) for one in raised}

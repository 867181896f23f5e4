"""Web pages of other hosts: whose WebSockets are admitted, and whose pages may read answers."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from chassis.answer import Answer
from chassis.http import new_app
from chassis.lifetime import Lifetime
from chassis.origins import MAX_ORIGINS, NO_ORIGINS, AllowedOrigins, sharing
from chassis.settings import parse_settings, setting
from chassis.telemetry import new_registry
from tests.chassis.things import OPENAPI, routes
from tests.talking import Reply, ask, serving

GAME = "https://game.example"
EVIL = "https://evil.example"
EXPOSED = "ETag, Location, Retry-After, RateLimit, RateLimit-Policy, X-Request-Id"
ANSWERS = [
    ("GET", "/things/a", 200),
    ("HEAD", "/things/a", 200),
    ("GET", "/nothing", 404),
    ("DELETE", "/things/a", 405),
    ("GET", "/broken", 500),
    ("GET", "/refused/429", 429),
    ("GET", "/livez", 200),
]


@pytest.fixture
async def allowing_port() -> AsyncIterator[int]:
    """The things service, open to pages of the game and of another port of it."""
    async for port in _serving(f"{GAME},{GAME}:8443"):
        yield port


@pytest.fixture
async def open_port() -> AsyncIterator[int]:
    """The things service, open to every page."""
    async for port in _serving("*"):
        yield port


async def _serving(allowed: str) -> AsyncIterator[int]:
    lifetime = Lifetime()
    app = new_app(
        service="things",
        routes=routes,
        openapi=OPENAPI,
        registry=new_registry(),
        lifetime=lifetime,
        unready=list,
        origins=AllowedOrigins.parse(allowed),
    )
    async with serving(app, lifetime) as port:
        yield port


def cors(reply: Reply) -> dict[str, str]:
    """The headers of an answer that browsers and caches go by."""
    return {name: value for name, value in reply.headers if name.startswith("access-control-") or name == "vary"}


async def preflight(port: int, path: str, origin: str) -> Reply:
    """What a browser asks before a page may join."""
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    return await ask(port, "OPTIONS", path, headers=headers)


@pytest.mark.parametrize(
    "text", ["", " ", GAME, f"{GAME},{GAME}:8443", "http://localhost:3000", "capacitor://localhost"]
)
def test_a_list_of_origins_is_read_and_written_alike(text: str) -> None:
    assert str(AllowedOrigins.parse(text)) == text.strip()
    assert AllowedOrigins.parse(str(AllowedOrigins.parse(text))) == AllowedOrigins.parse(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("https://GAME.example", GAME),
        ("HTTPS://game.example:443", GAME),
        (f" {GAME} , {GAME} ", GAME),
        ("http://game.example:80", "http://game.example"),
        ("http://game.example:443", "http://game.example:443"),
        ("http://[2001:DB8:0::1]:8080", "http://[2001:db8::1]:8080"),
        (" * ", "*"),
    ],
)
def test_origins_are_kept_as_browsers_write_them(text: str, meant: str) -> None:
    assert str(AllowedOrigins.parse(text)) == meant


@pytest.mark.parametrize(
    "text",
    [
        "game.example",
        "https://",
        "//game.example",
        f"{GAME}/",
        f"{GAME}/page",
        f"{GAME}?",
        f"{GAME}:0",
        f"{GAME}:65536",
        f"{GAME}:",
        "https://*.example",
        "https://a@game.example",
        "null",
        f"{GAME},",
        f",{GAME}",
        f"{GAME} {GAME}",
        f"*,{GAME}",
        "https://gäme.example",
        "https://[::g]",
        "https://game\r\n.example",
        f"{GAME}:٣",
        ",".join(f"https://{number}.example" for number in range(MAX_ORIGINS + 1)),
    ],
)
def test_a_bad_origin_stops_the_start_with_a_sentence(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse_settings(_Settings, prog="it", description="Is.", arguments=["--allowed-origins", text], environment={})
    assert exit_.value.code == 2
    words = capsys.readouterr().err
    assert words.startswith("it: --allowed-origins must be * or up to 100 origins")
    assert "https://game.example:8443" in words


def test_no_origin_is_the_default_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    settings = parse_settings(_Settings, prog="it", description="Is.", arguments=[], environment={})
    assert not settings.allowed_origins
    with pytest.raises(SystemExit):
        parse_settings(_Settings, prog="it", description="Is.", arguments=["--help"], environment={})
    assert "who may come (default none)" in capsys.readouterr().out


@pytest.mark.parametrize("allowed", ["", GAME, "*"])
def test_what_sends_no_origin_is_no_browser_and_is_admitted(allowed: str) -> None:
    assert AllowedOrigins.parse(allowed).admits(None, "here.example")
    assert AllowedOrigins.parse(allowed).admits(None, None)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://here.example", "here.example"),
        ("http://here.example", "here.example"),
        ("https://HERE.example", "here.EXAMPLE"),
        ("https://here.example", "here.example:443"),
        ("http://here.example:80", "here.example"),
        ("http://here.example:8081", "here.example:8081"),
        ("http://127.0.0.1:8081", "127.0.0.1:8081"),
        ("http://[::1]:8081", "[0:0::1]:8081"),
    ],
)
def test_a_page_of_the_same_host_is_admitted(origin: str, host: str) -> None:
    assert NO_ORIGINS.admits(origin, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (EVIL, "here.example"),
        ("https://here.example.evil.example", "here.example"),
        ("https://evilhere.example", "here.example"),
        ("https://evil.example/here.example", "here.example"),
        ("https://here.example@evil.example", "here.example"),
        ("https://evil.example#here.example", "here.example"),
        ("https://here.example/", "here.example"),
        ("https://here.example, https://evil.example", "here.example"),
        ("https://here.example:8443", "here.example"),
        ("https://here.example", "here.example:8443"),
        ("https://here.example", "here.example:80"),
        ("capacitor://here.example", "here.example"),
        ("here.example", "here.example"),
        ("https://", ""),
        ("https://here.example", None),
        ("https://here.example", ""),
        ("https://evil.example", "evil.example/"),
        ("null", "null"),
        ("null", "here.example"),
        ("", ""),
        ("", "here.example"),
    ],
)
def test_pages_of_other_hosts_are_refused(origin: str, host: str | None) -> None:
    assert not NO_ORIGINS.admits(origin, host)
    assert not AllowedOrigins.parse(GAME).admits(origin, host)


@pytest.mark.parametrize("origin", [GAME, "https://GAME.example", f"{GAME}:443"])
def test_an_allowed_origin_is_admitted_however_it_is_written(origin: str) -> None:
    assert AllowedOrigins.parse(GAME).admits(origin, "here.example")


@pytest.mark.parametrize(
    "origin", ["http://game.example", f"{GAME}:8443", "https://a.game.example", "https://game.example.", f"{GAME}/"]
)
def test_what_is_like_an_allowed_origin_is_none(origin: str) -> None:
    assert not AllowedOrigins.parse(GAME).admits(origin, "here.example")


@pytest.mark.parametrize("origin", [EVIL, "null", "", "file://", "anything"])
def test_a_star_admits_everything(origin: str) -> None:
    assert AllowedOrigins.parse("*").admits(origin, "here.example")


@given(st.text(max_size=60), st.none() | st.text(max_size=60))
def test_no_text_breaks_it_or_reaches_a_header(origin: str, host: str | None) -> None:
    NO_ORIGINS.admits(origin, host)
    assert EVIL not in AllowedOrigins.parse(GAME).lines_for(f"{EVIL}{origin}")
    for allowed in (GAME, "*"):
        assert AllowedOrigins.parse(allowed).lines_for(origin).isascii()


@pytest.mark.parametrize(("method", "path", "status"), ANSWERS)
async def test_every_answer_to_an_allowed_page_can_be_read_by_it(
    allowing_port: int, method: str, path: str, status: int
) -> None:
    for origin in (GAME, f"{GAME}:8443"):
        reply = await ask(allowing_port, method, path, headers={"Origin": origin})
        assert reply.status == status
        assert cors(reply) == {
            "access-control-allow-origin": origin,
            "access-control-expose-headers": EXPOSED,
            "vary": "Origin",
        }


@pytest.mark.parametrize(("method", "path", "status"), ANSWERS)
async def test_other_pages_get_answers_that_browsers_do_not_show_them(
    allowing_port: int, method: str, path: str, status: int
) -> None:
    for origin in (EVIL, "null", "*", "", f"{GAME}, {EVIL}"):
        reply = await ask(allowing_port, method, path, headers={"Origin": origin})
        assert (reply.status, cors(reply)) == (status, {"vary": "Origin"})


async def test_an_answer_to_no_page_is_not_cached_for_one(allowing_port: int) -> None:
    assert cors(await ask(allowing_port, "GET", "/docs")) == {"vary": "Origin"}


@pytest.mark.parametrize("origin", [EVIL, "null", None])
async def test_a_star_lets_every_page_read(open_port: int, origin: str | None) -> None:
    reply = await ask(open_port, "GET", "/things/a", headers={} if origin is None else {"Origin": origin})
    assert cors(reply) == {"access-control-allow-origin": "*", "access-control-expose-headers": EXPOSED}


@pytest.mark.parametrize(("path", "methods"), [("/things", "GET, HEAD, POST"), ("/things/a", "GET, HEAD")])
async def test_a_preflight_of_an_allowed_page_is_told_what_the_path_takes(
    allowing_port: int, path: str, methods: str
) -> None:
    reply = await preflight(allowing_port, path, GAME)
    assert (reply.status, reply.body, reply.header("content-length")) == (204, b"", None)
    assert cors(reply) == {
        "access-control-allow-origin": GAME,
        "access-control-allow-methods": methods,
        "access-control-allow-headers": "Authorization, Content-Type, Idempotency-Key, If-Match, X-Request-Id",
        "access-control-expose-headers": EXPOSED,
        "access-control-max-age": "600",
        "vary": "Origin",
    }


async def test_with_a_star_the_preflight_of_every_page_is_answered(open_port: int) -> None:
    for origin in (EVIL, "null"):
        reply = await preflight(open_port, "/things", origin)
        assert (reply.status, reply.header("access-control-allow-origin")) == (204, "*")


async def test_a_preflight_of_another_page_is_told_nothing(allowing_port: int, port: int) -> None:
    for its_port, origin, headers in ((allowing_port, EVIL, {"vary": "Origin"}), (port, GAME, {})):
        reply = await preflight(its_port, "/things", origin)
        assert (reply.refusal(), cors(reply)) == ((405, "method_not_allowed"), headers)


async def test_a_preflight_for_nothing_is_404(allowing_port: int) -> None:
    assert (await preflight(allowing_port, "/nothing", GAME)).refusal() == (404, "not_found")


async def test_options_that_is_no_preflight_is_refused_as_ever(allowing_port: int) -> None:
    reply = await ask(allowing_port, "OPTIONS", "/things", headers={"Origin": GAME})
    assert reply.refusal() == (405, "method_not_allowed")


async def test_credentials_are_never_allowed(allowing_port: int, open_port: int) -> None:
    for port in (allowing_port, open_port):
        for reply in (
            await ask(port, "GET", "/things/a", headers={"Origin": GAME, "Cookie": "a=b"}),
            await preflight(port, "/things", GAME),
        ):
            assert reply.header("access-control-allow-credentials") is None


async def test_where_no_origin_is_allowed_no_answer_says_anything_of_origins(port: int) -> None:
    for method, path, status in ANSWERS:
        reply = await ask(port, method, path, headers={"Origin": GAME})
        assert (reply.status, cors(reply)) == (status, {})


def test_where_no_origin_is_allowed_a_request_costs_nothing_more() -> None:
    async def handler(_: web.Request) -> Answer:
        return Answer()

    assert sharing(handler, NO_ORIGINS) is handler


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    allowed_origins: AllowedOrigins = setting("who may come", default=NO_ORIGINS, read=AllowedOrigins.parse)

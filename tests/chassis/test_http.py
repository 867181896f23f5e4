"""What every service's HTTP has in common, seen from the other end of the socket."""

import logging
import re

import pytest
from structlog.testing import capture_logs

from chassis.lifetime import Lifetime
from tests.chassis.things import KINDS, SECRET, things_app
from tests.talking import Wire, ask, request_bytes, serving

A_PAGE = [
    "/livez",
    "/readyz",
    "/version",
    "/openapi.yaml",
    "/docs",
    "/docs/start.js",
    "/docs/swagger-ui.css",
    "/things/a",
]


async def test_a_path_where_nothing_is_answers_404(port: int) -> None:
    for path in ("/", "/nothing", "/things/a/b", "/things/", "//things", "/x/../things", "/docs/../../etc/passwd"):
        assert (await ask(port, "GET", path)).refusal() == (404, "not_found"), path


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/things/a", "GET, HEAD"),
        ("PUT", "/things", "GET, HEAD, POST"),
        ("POST", "/livez", "GET, HEAD"),
        ("PATCH", "/docs", "GET, HEAD"),
        ("OPTIONS", "/things", "GET, HEAD, POST"),
        ("TRACE", "/things", "GET, HEAD, POST"),
        ("PROPFIND", "/things", "GET, HEAD, POST"),
    ],
)
async def test_a_method_that_a_path_does_not_take_answers_405_and_says_which_it_takes(
    port: int, method: str, path: str, allowed: str
) -> None:
    reply = await ask(port, method, path)
    assert reply.refusal() == (405, "method_not_allowed")
    assert reply.header("allow") == allowed


@pytest.mark.parametrize("target", ["*", "a:80"])
async def test_targets_that_are_no_path_are_refused_like_everything_else(port: int, target: str) -> None:
    reply = await ask(port, "OPTIONS" if target == "*" else "CONNECT", target)
    assert reply.refusal() == (404, "not_found")


async def test_an_unknown_expectation_is_417(port: int) -> None:
    reply = await ask(port, "POST", "/things", body={"name": "a"}, headers={"Expect": "surprise"})
    assert reply.refusal() == (417, "expectation_failed")


async def test_a_client_that_asks_first_is_told_to_continue(port: int) -> None:
    async with await Wire.to(port) as wire:
        await wire.send(request_bytes("POST", "/things", headers={"Expect": "100-continue", "Content-Length": "12"}))
        assert (await wire.reply()).status == 100
        await wire.send(b'{"name":"a"}')
        assert (await wire.reply()).status == 201


@pytest.mark.parametrize("status", sorted(KINDS))
async def test_every_kind_of_refusal_is_a_problem_document_with_its_headers(port: int, status: int) -> None:
    reply = await ask(port, "GET", f"/refused/{status}")
    assert reply.refusal() == (status, "so_it_is")
    assert reply.problem()["field"] == "name"
    assert reply.problem()["detail"] == "It can't be."
    assert reply.header("retry-after") == "7"
    assert reply.header("location") == "http://there.test/x"
    assert reply.header("cache-control") == "no-store"
    assert reply.header("www-authenticate") == ("Bearer" if status == 401 else None)


async def test_a_bug_shows_nothing_of_the_inside_and_is_logged_under_its_request_id(port: int) -> None:
    with capture_logs() as logs:
        reply = await ask(port, "GET", "/broken", headers={"X-Request-Id": "my-id"})
    assert reply.refusal() == (500, "internal_error")
    assert SECRET.encode() not in reply.body
    assert b"RuntimeError" not in reply.body
    [entry] = logs
    assert (entry["request_id"], entry["log_level"]) == ("my-id", "error")


async def test_after_a_bug_the_connection_goes_on(port: int) -> None:
    async with await Wire.to(port) as wire:
        for path, status in (("/broken", 500), ("/livez", 200)):
            await wire.send(request_bytes("GET", path))
            assert (await wire.reply()).status == status


@pytest.mark.parametrize("request_id", ["a", "A-z_0.9:1", "x" * 128])
async def test_a_well_formed_request_id_comes_back(port: int, request_id: str) -> None:
    for path in ("/livez", "/nothing", "/broken"):
        reply = await ask(port, "GET", path, headers={"X-Request-Id": request_id})
        assert reply.header("x-request-id") == request_id


@pytest.mark.parametrize("request_id", ["", "x" * 129, "a b", "a;b", "{}", 'a"b', "\xe9", "a%0d%0aX: y", "<b>"])
async def test_a_malformed_request_id_is_replaced(port: int, request_id: str) -> None:
    for path in ("/livez", "/nothing", "/broken"):
        its = (await ask(port, "GET", path, headers={"X-Request-Id": request_id})).header("x-request-id")
        assert its is not None
        assert re.fullmatch(r"[0-9a-f]{16}-\d+", its)


async def test_request_ids_are_made_once_each(port: int) -> None:
    ids = [(await ask(port, "GET", path)).header("x-request-id") for path in ("/livez", "/nothing", "/livez")]
    assert len(set(ids)) == 3


@pytest.mark.parametrize("path", ["/livez%0d%0aX-Evil:%201", "/things/a%0d%0aX-Evil:%201", "/%0d%0aX-Evil:%201"])
async def test_nothing_in_a_path_becomes_a_header(port: int, path: str) -> None:
    reply = await ask(port, "GET", path)
    assert reply.header("x-evil") is None


@pytest.mark.parametrize("name", ["Host", "X-Request-Id", "Idempotency-Key", "Authorization"])
@pytest.mark.parametrize("ending", ["\r", "\n", "\x00", "\r\r\n", "\n "])
async def test_a_header_with_a_line_ending_inside_is_no_http(port: int, name: str, ending: str) -> None:
    async with await Wire.to(port) as wire:
        head = f"GET /livez HTTP/1.1\r\nHost: test\r\n{name}: a{ending}X-Evil: 1\r\n\r\n"
        await wire.send(head.encode())
        reply = await wire.reply()
        assert reply.refusal() == (400, "bad_http")
        assert reply.header("x-evil") is None
        assert await wire.rest() == b""


@pytest.mark.parametrize("path", A_PAGE)
async def test_head_has_the_headers_of_get_and_no_body(port: int, path: str) -> None:
    same_id = {"X-Request-Id": "same"}
    async with await Wire.to(port) as wire:
        await wire.send(request_bytes("GET", path, headers=same_id))
        got = await wire.reply()
        await wire.send(request_bytes("HEAD", path, headers=same_id) + request_bytes("GET", "/livez"))
        headed = await wire.reply(to_head=True)
        assert (await wire.reply()).status == 200  # a body would have stood in its way
    assert (headed.status, _dateless(headed.headers)) == (got.status, _dateless(got.headers))
    assert got.body


async def test_head_of_what_is_refused_has_no_body_either(port: int) -> None:
    async with await Wire.to(port) as wire:
        await wire.send(request_bytes("HEAD", "/nothing") + request_bytes("GET", "/livez"))
        assert (await wire.reply(to_head=True)).status == 404
        assert (await wire.reply()).status == 200


async def test_the_docs_come_from_the_service_alone(port: int) -> None:
    page = await ask(port, "GET", "/docs")
    assert page.header("content-type") == "text/html; charset=utf-8"
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.body.decode())
    assert len(sources) == 3
    for source in sources:
        assert source.startswith("/docs/")
        assert (await ask(port, "GET", source)).status == 200
    assert "default-src 'none'" in str(page.header("content-security-policy"))


async def test_a_service_is_ready_unless_it_gives_reasons() -> None:
    reasons: list[str] = []
    lifetime = Lifetime()
    async with serving(things_app(lifetime, reasons), lifetime) as port:
        assert (await ask(port, "GET", "/readyz")).json() == {"status": "ready"}
        reasons.append("disk full")
        reply = await ask(port, "GET", "/readyz")
        assert reply.refusal() == (503, "not_ready")
        assert reply.problem()["reasons"] == ["disk full"]
        assert reply.header("retry-after") is not None
        assert (await ask(port, "GET", "/livez")).status == 200


async def test_a_lame_duck_answers_and_closes_each_connection() -> None:
    lifetime = Lifetime()
    async with serving(things_app(lifetime), lifetime) as port:
        async with await Wire.to(port) as wire:
            await wire.send(request_bytes("GET", "/things/a"))
            assert (await wire.reply()).header("connection") is None
            lifetime.is_lame_duck = True
            await wire.send(request_bytes("GET", "/things/a"))
            last = await wire.reply()
            assert (last.status, last.header("connection")) == (200, "close")
            assert await wire.rest() == b""
        ready = await ask(port, "GET", "/readyz")
        assert (ready.refusal(), ready.problem()["reasons"]) == ((503, "not_ready"), ["draining"])
        assert (await ask(port, "GET", "/nothing")).header("connection") == "close"


async def test_durations_are_counted_by_method_route_and_status(port: int) -> None:
    for path in ("/things/a", "/things/b", "/nothing", "/elsewhere", "/broken"):
        await ask(port, "GET", path)
    await ask(port, "HEAD", "/things/a")
    metrics = (await ask(port, "GET", "/metrics")).body.decode()
    counted = dict(re.findall(r"partyline_request_duration_seconds_count\{(.*?)\} (\S+)", metrics))
    assert counted['method="GET",route="/things/{name}",status="200"'] == "2.0"
    assert counted['method="HEAD",route="/things/{name}",status="200"'] == "1.0"
    assert counted['method="GET",route="unmatched",status="404"'] == "2.0"
    assert counted['method="GET",route="/broken",status="500"'] == "1.0"


async def test_refused_bytes_are_not_logged(port: int, caplog: pytest.LogCaptureFixture) -> None:
    with capture_logs() as logs, caplog.at_level(logging.DEBUG):
        async with await Wire.to(port) as wire:
            await wire.send(b"GET /things HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer SECRET\r\n SECRET\r\n\r\n")
            assert (await wire.reply()).refusal() == (400, "bad_http")
    assert "SECRET" not in f"{logs}{caplog.text}"


def _dateless(headers: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    return [pair for pair in headers if pair[0] != "date"]

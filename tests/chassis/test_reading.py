"""What comes in is parsed once, at the edge, and whatever is wrong with it is said."""

import asyncio
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis import reading
from chassis.errors import Malformed
from chassis.reading import MAX_BODY_BYTES, MAX_QUERY_CHARACTERS, parse
from tests.chassis.things import Thing
from tests.talking import Wire, ask, request_bytes

NO_JSON = {
    "nothing": b"",
    "only space": b"  ",
    "a word": b"hello",
    "half an object": b'{"name": "a"',
    "half a string": b'{"name": "a',
    "NaN": b'{"name": "a", "size": NaN}',
    "Infinity": b'{"name": "a", "size": Infinity}',
    "minus Infinity": b'{"name": "a", "size": -Infinity}',
    "a number past all bounds": b'{"name": "a", "size": 1e999}',
    "a leading zero": b'{"name": "a", "size": 01}',
    "a hexadecimal number": b'{"name": "a", "size": 0x1}',
    "single quotes": b"{'name': 'a'}",
    "a trailing comma": b'{"name": "a",}',
    "a comment": b'{"name": "a"} // why not',
    "something after it": b'{"name": "a"}{}',
    "a NUL after it": b'{"name": "a"}\x00',
    "a byte order mark": b'\xef\xbb\xbf{"name": "a"}',
    "UTF-16": '{"name": "a"}'.encode("utf-16"),
    "Latin-1": b'{"name": "\xe9"}',
    "half a character": b'{"name": "\xc3"}',
    "an overlong character": b'{"name": "\xc0\xaf"}',
    "a surrogate as UTF-8": b'{"name": "\xed\xa0\x80"}',
    "a lone surrogate": b'{"name": "\\ud800"}',
    "surrogates in the wrong order": b'{"name": "\\udc00\\ud800"}',
    "a control character in a string": b'{"name": "a\nb"}',
    "an unknown escape": b'{"name": "\\x41"}',
    "wrong UTF-8 in an unknown field": b'{"name": "a", "more": "\xff"}',
    "no UTF-8 in a field's name": b'{"name": "a", "\xff": 1}',
    "lists without end": b"[" * 10_000,
    "objects without end": b'{"a":' * 3_000,
    "lists without end in an unknown field": b'{"name": "a", "more": ' + b"[" * 10_000,
    "lists without end in a known field": b'{"name": "a", "tags": ' + b"[" * 10_000,
    "deep lists that end": b'{"name": "a", "tags": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
}
NOT_THIS = {
    "a list": (b"[]", None),
    "null": (b"null", None),
    "a string": (b'"a"', None),
    "a number": (b"1", None),
    "no name": (b"{}", "name"),
    "null for a name": (b'{"name": null}', "name"),
    "a number for a name": (b'{"name": 1}', "name"),
    "a number for a name, and no UTF-8 behind it": (b'{"name": 1, "\xff": 1}', None),
    "an empty name": (b'{"name": ""}', "name"),
    "a name that is too long": (json.dumps({"name": "a" * 17}).encode(), "name"),
    "a string for a size": (b'{"name": "a", "size": "1"}', "size"),
    "a fraction for a size": (b'{"name": "a", "size": 1.5}', "size"),
    "a truth for a size": (b'{"name": "a", "size": true}', "size"),
    "a size that is too much": (b'{"name": "a", "size": 11}', "size"),
    "a size that is too little": (b'{"name": "a", "size": -1}', "size"),
    "a size of forty digits": (b'{"name": "a", "size": ' + b"1" * 40 + b"}", "size"),
    "an object for tags": (b'{"name": "a", "tags": {}}', "tags"),
    "a number among the tags": (b'{"name": "a", "tags": ["b", 1]}', "tags"),
    "an unknown field": (b'{"name": "a", "colour": "red"}', "colour"),
    "an unknown field's long name": (b'{"name": "a", "' + b"c" * 500 + b'": 1}', "c" * 64),
    "another case": (b'{"name": "a", "Size": 1}', "Size"),
    "wrong the first time": (b'{"name": 1, "name": "a", "colour": 1}', "colour"),
}


@pytest.mark.parametrize("body", NO_JSON.values(), ids=NO_JSON.keys())
async def test_what_is_no_json_is_refused(port: int, body: bytes) -> None:
    status, code = (await ask(port, "POST", "/things", body=body)).refusal()
    assert status == 400
    assert code in {"bad_json", "bad_body"}


@pytest.mark.parametrize(("body", "field"), NOT_THIS.values(), ids=NOT_THIS.keys())
async def test_what_is_not_of_the_right_shape_is_refused_and_the_field_named(
    port: int, body: bytes, field: str | None
) -> None:
    reply = await ask(port, "POST", "/things", body=body)
    assert reply.refusal() == (400, "bad_body")
    assert reply.problem().get("field") == field


async def test_of_a_field_that_is_there_twice_the_last_counts(port: int) -> None:
    reply = await ask(port, "POST", "/things", body=b'{"name": "a", "name": "b", "size": 1, "size": 2}')
    assert reply.json() == {"name": "b", "size": 2, "tags": None}


async def test_space_around_the_body_and_any_content_type_are_fine(port: int) -> None:
    for content_type in ("application/json", "text/plain", "x", "application/json; charset=latin-1"):
        reply = await ask(
            port, "POST", "/things", body='\r\n {"name": "é😀"}\t '.encode(), headers={"Content-Type": content_type}
        )
        assert reply.json()["name"] == "é😀"


async def test_a_body_of_16_kib_is_read_and_one_byte_more_is_413(port: int) -> None:
    body = b'{"name": "a"}'
    at_most = body + b" " * (MAX_BODY_BYTES - len(body))
    assert (await ask(port, "POST", "/things", body=at_most)).status == 201
    assert (await ask(port, "POST", "/things", body=at_most + b" ")).refusal() == (413, "body_too_large")


async def test_a_body_that_says_it_is_too_large_is_refused_unread(port: int) -> None:
    async with await Wire.to(port) as wire:
        await wire.send(request_bytes("POST", "/things", headers={"Content-Length": "99999999999"}) + b"{")
        assert (await wire.reply()).refusal() == (413, "body_too_large")


async def test_a_chunked_body_that_grows_too_large_is_413(port: int) -> None:
    async with await Wire.to(port) as wire:
        await wire.send(request_bytes("POST", "/things", headers={"Transfer-Encoding": "chunked"}))
        for _ in range(5):
            await wire.send(b"1000\r\n" + b" " * 0x1000 + b"\r\n")
        assert (await wire.reply()).refusal() == (413, "body_too_large")


async def test_a_chunked_body_is_read_like_any_other(port: int) -> None:
    async with await Wire.to(port) as wire:
        await wire.send(request_bytes("POST", "/things", headers={"Transfer-Encoding": "chunked"}))
        for byte in b'{"name": "a"}':
            await wire.send(b"1;extension=x\r\n%c\r\n" % byte)
        await wire.send(b"0\r\nTrailer: x\r\n\r\n")
        assert (await wire.reply()).json()["name"] == "a"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
async def test_a_body_that_is_not_in_the_encoding_it_names_is_refused(port: int, encoding: str) -> None:
    reply = await ask(port, "POST", "/things", body=b'{"name": "a"}', headers={"Content-Encoding": encoding})
    assert reply.problem()["status"] in {400, 415}


async def test_a_body_that_does_not_come_is_given_up(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BODY_TIMEOUT_S", 0.05)
    for body in (b"", b'{"name": '):
        async with await Wire.to(port) as wire:
            await wire.send(request_bytes("POST", "/things", headers={"Content-Length": "13"}) + body)
            assert (await wire.reply()).refusal() == (400, "body_timeout")


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("", "missing_parameter", "near"),
        ("count=3", "missing_parameter", "near"),
        ("near=", "bad_number", "near"),
        ("near=x", "bad_number", "near"),
        ("near=nan", "bad_number", "near"),
        ("near=inf", "bad_number", "near"),
        ("near=1_0", "bad_number", "near"),
        ("near=0x1", "bad_number", "near"),
        ("near=1,5", "bad_number", "near"),
        ("near=%20 1", "bad_http", None),
        ("near=+1", "bad_number", "near"),
        ("near=%D9%A1", "bad_number", "near"),
        ("near=" + "1" * 41, "bad_number", "near"),
        ("near=1&near=2", "repeated_parameter", "near"),
        ("near=1&near=1", "repeated_parameter", "near"),
        ("near=1&far=2", "unknown_parameter", "far"),
        ("near=1&Near=2", "unknown_parameter", "Near"),
        ("near=1;count=2", "bad_number", "near"),
        ("near=1&=", "unknown_parameter", ""),
        ("near=1&" + "f" * 100, "unknown_parameter", "f" * 64),
        ("near=1&n%ffx", "unknown_parameter", "n\ufffdx"),
        ("near=1&count=0", "bad_number", "count"),
        ("near=1&count=10", "bad_number", "count"),
        ("near=1&count=-1", "bad_number", "count"),
        ("near=1&count=1.0", "bad_number", "count"),
        ("near=1&count=", "bad_number", "count"),
        ("near=1&count=" + "9" * 30, "bad_number", "count"),
        ("near=" + "0" * MAX_QUERY_CHARACTERS, "bad_query", None),
    ],
)
async def test_a_bad_query_is_refused_and_the_parameter_named(
    port: int, query: str, code: str, field: str | None
) -> None:
    reply = await ask(port, "GET", f"/things?{query}")
    assert reply.refusal() == (400, code)
    assert reply.problem().get("field") == field


@pytest.mark.parametrize(
    ("query", "near", "count"),
    [
        ("near=1", 1.0, 3),
        ("near=-1.5&count=9", -1.5, 9),
        ("count=1&near=.5", 0.5, 1),
        ("near=%2B1e2", 100.0, 3),
        ("ne%61r=1.", 1.0, 3),
        ("near=1&count=0009", 1.0, 9),
        ("&near=1&", 1.0, 3),
        ("near=1#count=5", 1.0, 3),
    ],
)
async def test_a_good_query_is_read(port: int, query: str, near: float, count: int) -> None:
    assert (await ask(port, "GET", f"/things?{query}")).json() == {"near": near, "count": count}


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", None), ("Bearer", ""), ("", None), ("abc", None)],
)
async def test_only_a_bearer_token_is_one(port: int, header: str, token: str | None) -> None:
    assert (await ask(port, "GET", "/things/a", headers={"Authorization": header})).json()["token"] == token


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["name", "size", "tags", "x"]), inner)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_bytes_become_a_value_or_a_declared_refusal(body: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert 1 <= len(parse(body, Thing).name) <= 16


async def test_bodies_that_come_byte_by_byte_do_not_hold_up_others(port: int) -> None:
    async with await Wire.to(port) as slow:
        request = request_bytes("POST", "/things", body=b'{"name": "a"}')
        for index in range(len(request)):
            await slow.send(request[index : index + 1])
            if index % 10 == 0:
                assert (await ask(port, "GET", "/livez")).status == 200
        assert (await asyncio.wait_for(slow.reply(), 1)).status == 201

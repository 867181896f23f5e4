"""What comes in, parsed at the edge: JSON bodies into msgspec structs, query strings into checked words and numbers."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any, TypeVar, get_args
from urllib.parse import unquote_plus

import msgspec
from aiohttp import web

from chassis.errors import Malformed, TooLarge

MAX_BODY_BYTES = 16 * 1024
MAX_QUERY_CHARACTERS = 2048
BODY_TIMEOUT_S = 10.0

T = TypeVar("T", bound=msgspec.Struct)

_BODY = web.RequestKey("body", bytes)

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_WHOLE_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
_decoders: dict[type[msgspec.Struct], msgspec.json.Decoder[Any]] = {}


async def read_bytes(request: web.Request) -> bytes:
    """The whole body, as often as one asks. Raises TooLarge over 16 KiB, Malformed if it takes over ten seconds."""
    read: bytes | None = request.get(_BODY)
    if read is not None:
        return read
    length = request.content_length
    if length is not None and length > MAX_BODY_BYTES:
        raise _too_large()
    content = request.content
    try:
        if content.is_eof():  # it usually came in one packet with its head
            body = content.read_nowait(-1)
        else:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await request.read()
    except TimeoutError:
        raise Malformed("body_timeout", f"The body didn't arrive within {BODY_TIMEOUT_S:.0f} s.") from None
    except web.HTTPRequestEntityTooLarge:
        raise _too_large() from None
    except web.RequestPayloadError:
        raise Malformed("bad_http", "The body is chunked or compressed in a way that can't be undone.") from None
    if len(body) > MAX_BODY_BYTES:
        raise _too_large()
    request[_BODY] = body
    return body


def parse(body: bytes, kind: type[T]) -> T:
    """`body` as a `kind`. Raises Malformed, with the offending field where there is one."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        value: T = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid(body, kind, error) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Malformed("bad_json", "The body must be one JSON object in UTF-8.") from None
    except RecursionError:
        raise Malformed("bad_json", "The body is nested too deep.") from None
    return value


def query(request: web.Request, allowed: frozenset[str]) -> Mapping[str, str]:
    """The query string's words. Raises Malformed for unknown and repeated ones."""
    text = request.raw_path.partition("?")[2].partition("#")[0]
    if not text:
        return {}
    if len(text) > MAX_QUERY_CHARACTERS:
        raise Malformed("bad_query", f"The query string must be at most {MAX_QUERY_CHARACTERS} characters.")
    is_escaped = "%" in text or "+" in text
    words: dict[str, str] = {}
    for pair in text.split("&"):
        name, _, value = pair.partition("=")
        if is_escaped:
            name, value = unquote_plus(name), unquote_plus(value)
        if name in words:
            raise Malformed("repeated_parameter", f"{name} stands in the query twice.", field=name)
        if name in allowed:
            words[name] = value
        elif pair:
            names = ", ".join(sorted(allowed)) or "none at all"
            raise Malformed("unknown_parameter", f"The query takes {names}.", field=name[:64])
    return words


def number(words: Mapping[str, str], name: str) -> float:
    """A decimal number. Raises Malformed when it is missing or is none."""
    text = words.get(name)
    if text is None:
        raise Malformed("missing_parameter", f"The query must say {name}.", field=name)
    if len(text) > 40 or not _NUMBER.fullmatch(text):
        raise Malformed("bad_number", f"{name} must be a decimal number.", field=name)
    return float(text)


def whole_number(words: Mapping[str, str], name: str, *, lowest: int, highest: int, default: int) -> int:
    """A whole number within bounds, or its default. Raises Malformed."""
    text = words.get(name)
    if text is None:
        return default
    if not _WHOLE_NUMBER.fullmatch(text) or not lowest <= int(text) <= highest:
        raise Malformed("bad_number", f"{name} must be a whole number from {lowest} to {highest}.", field=name)
    return int(text)


def yes_or_no(words: Mapping[str, str], name: str, *, default: str) -> bool:
    """`true` or `false`. Raises Malformed."""
    text = words.get(name, default)
    if text not in {"true", "false"}:
        raise Malformed("bad_flag", f"{name} must be true or false.", field=name)
    return text == "true"


def _too_large() -> TooLarge:
    return TooLarge("body_too_large", f"A body may hold up to {MAX_BODY_BYTES} bytes.")


def _invalid(body: bytes, kind: type[msgspec.Struct], error: msgspec.ValidationError) -> Malformed:
    """Which field spoils the body, and what it must be: the description of its type where that has one."""
    name, described = _offending_field(body, kind)
    if name is not None and described is not None:
        return Malformed("bad_body", f"{name} {described}.", field=name)
    return Malformed("bad_body", f"{str(error).replace('`', '')}.", field=name)


def _offending_field(body: bytes, kind: type[msgspec.Struct]) -> tuple[str | None, str | None]:
    """msgspec names the field in its message only, and messages aren't parsed here."""
    try:
        raw = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, None
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name in raw:
        if name not in fields:
            return name[:64], None
    for name, field in fields.items():
        if name not in raw:
            if field.required:
                return name, None
            continue
        try:
            msgspec.json.decode(raw[name], type=field.type)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return name, _description(field.type)
    return None, None


def _description(kind: object) -> str | None:
    """What the field's type, or one that it is made of, says of itself."""
    for part in get_args(kind):
        if isinstance(part, msgspec.Meta):
            return part.description
        if (inner := _description(part)) is not None:
            return inner
    return None

"""Where a request comes from: what trusted proxies say counts, what clients claim doesn't."""

from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from chassis.answer import Answer
from chassis.client import UNKNOWN, ClientNetwork, client_network, network_of
from chassis.http import answer, new_app
from chassis.lifetime import Lifetime
from chassis.telemetry import new_registry
from tests.talking import Wire, serving

PEER = "127.0.0.1"
"""Who calls in these tests: to the service, the proxy nearest to it."""


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A service that answers whom it takes a caller for, behind as many proxies as the path says."""

    async def show(request: web.Request) -> Answer:
        return answer(client_network(request, int(request.match_info["trusted_proxies"])).text)

    lifetime = Lifetime()
    app = new_app(
        service="mirror",
        routes=[web.get("/behind/{trusted_proxies}", show)],
        openapi=Path(__file__),
        registry=new_registry(),
        lifetime=lifetime,
        unready=list,
    )
    async with serving(app, lifetime) as its_port:
        yield its_port


async def seen(port: int, trusted_proxies: int, *lines: str) -> object:
    """Whom the service sees when these X-Forwarded-For lines arrive."""
    head = "".join(f"X-Forwarded-For: {line}\r\n" for line in lines)
    async with await Wire.to(port) as wire:
        await wire.send(f"GET /behind/{trusted_proxies} HTTP/1.1\r\nHost: test\r\n{head}\r\n".encode("latin-1"))
        return (await wire.reply()).json()


async def test_without_proxies_it_is_the_other_end_of_the_connection_whatever_is_claimed(port: int) -> None:
    assert await seen(port, 0) == PEER
    assert await seen(port, 0, "192.0.2.1") == PEER
    assert await seen(port, 0, "192.0.2.1, 127.0.0.2") == PEER


async def test_behind_proxies_it_is_whom_the_outermost_trusted_one_saw(port: int) -> None:
    assert await seen(port, 1, "192.0.2.1") == "192.0.2.1"
    assert await seen(port, 2, "192.0.2.1, 10.0.0.1") == "192.0.2.1"
    assert await seen(port, 3, "192.0.2.1, 10.0.0.1, 10.0.0.2") == "192.0.2.1"


@pytest.mark.parametrize(
    "claimed", ["198.51.100.7", "198.51.100.7, 198.51.100.8", "", ",,,", "unknown", "::1", "127.0.0.1", '"', "\xff"]
)
async def test_what_a_client_claims_itself_stands_to_the_left_and_counts_for_nothing(port: int, claimed: str) -> None:
    assert await seen(port, 1, f"{claimed}, 192.0.2.1") == "192.0.2.1"
    assert await seen(port, 1, claimed, "192.0.2.1") == "192.0.2.1"
    assert await seen(port, 2, f"{claimed},192.0.2.1", "10.0.0.1") == "192.0.2.1"


async def test_all_lines_are_one_list(port: int) -> None:
    assert await seen(port, 2, "198.51.100.7", "192.0.2.1", "10.0.0.1") == "192.0.2.1"
    assert await seen(port, 2, "198.51.100.7, 192.0.2.1", "10.0.0.1") == "192.0.2.1"


async def test_a_list_that_is_too_short_is_not_trusted(port: int) -> None:
    for lines in ([], [""], ["192.0.2.1"]):
        assert await seen(port, 2, *lines) == PEER


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "unknown",
        "_hidden",
        "192.0.2",
        "192.0.2.256",
        "192.0.02.1",
        "0x7f.1",
        "192.0.2.1/24",
        "for=192.0.2.1",
        "192.0.2.1:",
        "192.0.2.1 192.0.2.2",
        "[192.0.2.1",
        "2001:db8::g",
        "9" * 65,
        "::1%" + "a" * 80,
        "\xb2",
    ],
)
async def test_where_an_address_should_stand_and_none_does_the_proxy_s_own_counts(port: int, entry: str) -> None:
    assert await seen(port, 1, f"198.51.100.7, {entry}") == PEER


async def test_a_very_long_list_is_read_from_its_end_only(port: int) -> None:
    assert await seen(port, 1, "9," * 3_000 + "192.0.2.1") == "192.0.2.1"


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:0201", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:4711", "192.0.2.1"),
    ],
)
def test_an_ipv4_address_is_itself_however_it_is_written(text: str, network: str) -> None:
    assert network_of(text) == ClientNetwork(network, is_ipv6=False)


@pytest.mark.parametrize(
    "text",
    [
        "2001:db8:1:2::",
        "2001:db8:1:2::1",
        "2001:DB8:1:2:ffff:ffff:ffff:ffff",
        "2001:0db8:0001:0002::1",
        "[2001:db8:1:2::1]",
        "[2001:db8:1:2::1]:4711",
        "2001:db8:1:2::192.0.2.1",
        "2001:db8:1:2::1%eth0",
    ],
)
def test_an_ipv6_address_is_its_64(text: str) -> None:
    assert network_of(text) == ClientNetwork("2001:db8:1:2::/64", is_ipv6=True)


def test_neighbouring_64s_are_apart() -> None:
    assert network_of("2001:db8:1:3::1") != network_of("2001:db8:1:2::1")


@given(st.ip_addresses())
def test_every_address_is_in_its_network(address: IPv4Address | IPv6Address) -> None:
    text, is_ipv6 = network_of(str(address))
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    network = ip_network(text)
    assert (mapped or address) in network
    assert is_ipv6 == isinstance(network, IPv6Network)
    assert network.prefixlen == (64 if is_ipv6 else 32)


@given(st.text(max_size=80))
def test_any_text_is_a_network_or_unknown(text: str) -> None:
    network = network_of(text)
    assert network == UNKNOWN or ip_network(network.text)

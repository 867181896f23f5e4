"""Who is calling, as far as a network address tells: behind trusted proxies, and in one shape for each network."""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

from aiohttp import web

IPV6_NETWORK_BITS = 64
_MAX_CHARACTERS = 64
_MAX_REMEMBERED = 10_000

# Some proxies write the client's port too: 192.0.2.1:4711, [2001:db8::1]:4711.
_WITH_PORT = re.compile(r"\[([^\]]+)\](?::[0-9]+)?|([0-9.]+):[0-9]+", re.ASCII)


class ClientNetwork(NamedTuple):
    """A client's IPv4 address, or its IPv6 /64: whoever has one IPv6 address has all of its /64."""

    text: str
    is_ipv6: bool


UNKNOWN = ClientNetwork("unknown", is_ipv6=False)


def client_network(request: web.Request, trusted_proxies: int) -> ClientNetwork:
    """Where a request comes from, past this many trusted proxies, each of which appends to X-Forwarded-For.

    Each proxy appends the address that called it, so the client's is the `trusted_proxies`-th from the right; all to
    the left of it is what the client itself claims. When there are fewer, or that one is no address, a proxy was
    passed by or doesn't append, and the nearest address that nobody can make up is taken: the other end of the
    connection, usually a proxy's own, which many then share. A limit is stricter by that, never looser. For the same
    reason all that have no address at all (their connection is gone, or no TCP) are `UNKNOWN` together.

    With more proxies configured than there are, clients could choose their address. `Forwarded` (RFC 7239) isn't read.
    """
    if trusted_proxies:
        forwarded = ",".join(request.headers.getall("X-Forwarded-For", ()))
        entries = forwarded.rsplit(",", trusted_proxies)
        if len(entries) >= trusted_proxies:
            network = network_of(entries[-trusted_proxies].strip())
            if network is not UNKNOWN:
                return network
    return network_of(request.remote or "")


def network_of(text: str) -> ClientNetwork:
    """The network of an address as it is written; UNKNOWN when it is none."""
    return _parsed(text) if len(text) <= _MAX_CHARACTERS else UNKNOWN


@lru_cache(_MAX_REMEMBERED)  # the same few people ask again and again, and parsing takes longer than limiting
def _parsed(text: str) -> ClientNetwork:
    if with_port := _WITH_PORT.fullmatch(text):
        text = with_port[1] or with_port[2]
    try:
        address: IPv4Address | IPv6Address = ip_address(text)
    except ValueError:
        return UNKNOWN
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            network = IPv6Network((int(address) >> IPV6_NETWORK_BITS << IPV6_NETWORK_BITS, IPV6_NETWORK_BITS))
            return ClientNetwork(str(network), is_ipv6=True)
        address = address.ipv4_mapped
    return ClientNetwork(str(address), is_ipv6=False)

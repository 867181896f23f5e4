"""A client's Idempotency-Key and the request it came with, as the store keeps them."""

import hashlib

import msgspec

from manager.store import Once
from manager.wishes import Wish


def once_of(key: str | None, *request: Wish | str | int | bytes | None) -> Once | None:
    """Both as hashes; None without a key. Devices and places go in as they are kept, never as they were sent."""
    if key is None:
        return None
    return Once(_digest(key.encode()), _digest(msgspec.msgpack.encode(request)))


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=16).digest()

"""Tokens that say who somebody is in a party, and the hash under which a device is kept. Pure."""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error

from chassis.errors import Unauthenticated

KEY_BYTES = 32
_MAC_BYTES = 16
_TOKEN_CHARACTERS = 28  # base64 of a 4-byte participant id, one spare byte and the MAC


def token_for(key: bytes, party_id: int, participant_id: int) -> str:
    """The participant's token: its id and an HMAC-SHA-256, cut to 128 bits, over the party's id and its own.

    The same on every replica, after a move and on replay, since it holds nothing but what it is made of.
    """
    body = participant_id.to_bytes(5, "big")
    return urlsafe_b64encode(body + _mac(key, party_id, body)).decode()


def participant_of(token: str | None, key: bytes, party_id: int) -> int:
    """Whose token this is in that party. Raises Unauthenticated for one that isn't of this party."""
    if token is None:
        raise Unauthenticated("token_missing", "This needs the participant's token: 'Authorization: Bearer ...'.")
    try:
        raw = urlsafe_b64decode(token) if len(token) == _TOKEN_CHARACTERS else b""
    except (Base64Error, ValueError):
        raw = b""
    body, mac = raw[:5], raw[5:]
    # A token has one spelling: the decoder would also take characters of base64's other alphabet.
    if not hmac.compare_digest(mac, _mac(key, party_id, body)) or urlsafe_b64encode(raw).decode() != token:
        raise invalid()
    return int.from_bytes(body, "big")


def invalid() -> Unauthenticated:
    """The refusal for a token that is good for nothing: forged, of another party, or of somebody who has left."""
    return Unauthenticated("token_invalid", "This token isn't good for this party.")


def device_hash(key: bytes, device_id: str) -> bytes:
    """Under which a device is kept and found again: keyed BLAKE2b, 128 bits."""
    return hashlib.blake2b(device_id.encode(), key=key, digest_size=16).digest()


def _mac(key: bytes, party_id: int, body: bytes) -> bytes:
    return hmac.digest(key, party_id.to_bytes(8, "big") + body, "sha256")[:_MAC_BYTES]

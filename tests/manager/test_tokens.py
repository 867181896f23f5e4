"""Tokens: good for one participant of one party under one key, and for nothing else."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chassis.errors import Unauthenticated
from manager.tokens import KEY_BYTES, device_hash, participant_of, token_for

KEY = bytes(range(KEY_BYTES))
OTHER_KEY = bytes(range(1, KEY_BYTES + 1))
PARTY = 3 << 40 | 17
KEYS = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)
PARTY_IDS = st.integers(0, 2**62)
PARTICIPANT_IDS = st.integers(0, 2**40 - 1)


def is_refused(token: str | None, key: bytes = KEY, party_id: int = PARTY) -> bool:
    try:
        participant_of(token, key, party_id)
    except Unauthenticated as refusal:
        return refusal.code == "token_invalid"
    return False


@given(KEYS, PARTY_IDS, PARTICIPANT_IDS)
def test_a_token_says_whose_it_is(key: bytes, party_id: int, participant_id: int) -> None:
    assert participant_of(token_for(key, party_id, participant_id), key, party_id) == participant_id


@given(KEYS, PARTY_IDS, PARTICIPANT_IDS)
def test_a_token_is_the_same_on_replay(key: bytes, party_id: int, participant_id: int) -> None:
    assert token_for(key, party_id, participant_id) == token_for(key, party_id, participant_id)


def test_a_token_goes_into_a_header_as_it_is() -> None:
    for participant_id in range(300):
        token = token_for(KEY, PARTY, participant_id)
        assert token.isascii()
        assert not set(token) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_token_is_what_it_has_always_been() -> None:
    # What phones hold must be good after every update.
    assert token_for(KEY, PARTY, 5) == "AAAAAAV2-WPy695rQayDO4ZjiuPJ"


def test_no_token_is_told_from_a_bad_one() -> None:
    with pytest.raises(Unauthenticated, match="token_missing"):
        participant_of(None, KEY, PARTY)


def test_a_token_is_no_good_under_another_key() -> None:
    assert is_refused(token_for(OTHER_KEY, PARTY, 0))


def test_a_token_is_no_good_in_another_party() -> None:
    assert is_refused(token_for(KEY, PARTY + 1, 0))


@given(PARTICIPANT_IDS, PARTICIPANT_IDS)
def test_a_token_can_not_be_made_into_somebody_elses(mine: int, theirs: int) -> None:
    raw = urlsafe_b64decode(token_for(KEY, PARTY, mine))
    forged = urlsafe_b64encode(theirs.to_bytes(5, "big") + raw[5:]).decode()
    assert is_refused(forged) == (mine != theirs)


@given(st.integers(0, 8 * 21 - 1))
def test_one_turned_bit_spoils_a_token(bit: int) -> None:
    raw = int.from_bytes(urlsafe_b64decode(token_for(KEY, PARTY, 1)), "big") ^ (1 << bit)
    assert is_refused(urlsafe_b64encode(raw.to_bytes(21, "big")).decode())


@given(st.integers(0, 27))
def test_a_truncated_token_is_refused(length: int) -> None:
    token = token_for(KEY, PARTY, 1)
    assert is_refused(token[:length])
    assert is_refused(token[:length].ljust(28, "="))
    assert is_refused(token[-length:] if length else "")


@given(st.text(max_size=3))
def test_a_token_with_something_behind_it_is_refused(tail: str) -> None:
    token = token_for(KEY, PARTY, 1)
    assert is_refused(token + tail) == bool(tail)
    assert is_refused(tail + token) == bool(tail)


# A header that isn't UTF-8 arrives with lone surrogates in it.
ANY_TEXT = st.text(st.characters(), max_size=40) | st.text(st.characters(), min_size=28, max_size=28)
BASE64_LIKE = st.text("ABCxyz019+/-_= \n\u00e9\u0660\udc80", min_size=28, max_size=28)


@given(ANY_TEXT | BASE64_LIKE)
@example("")
@example("=" * 28)
@example("\udcff" * 28)
@example("\u0660" * 28)
@example("A" * 27 + "\n")
@example("A" * 27 + "\x00")
@example("\U0001f600" * 28)
def test_garbage_is_refused_and_nothing_worse(text: str) -> None:
    assert is_refused(text)


@given(st.integers(0, 27), st.characters())
def test_no_other_spelling_of_a_token_is_good(at: int, character: str) -> None:
    token = token_for(KEY, PARTY, 1)
    spelled = token[:at] + character + token[at + 1 :]
    assert is_refused(spelled) == (spelled != token)


@pytest.mark.parametrize(("ours", "theirs"), [("-", "+"), ("_", "/")])
def test_the_other_base64_alphabet_is_no_good(ours: str, theirs: str) -> None:
    token = next(one for n in range(1000) if ours in (one := token_for(KEY, PARTY, n)))
    assert is_refused(token.replace(ours, theirs))


@given(st.text(min_size=1, max_size=128))
def test_a_device_is_kept_under_sixteen_bytes_that_depend_on_the_key(device_id: str) -> None:
    try:
        kept = device_hash(KEY, device_id)
    except UnicodeEncodeError:
        assert any(0xD800 <= ord(character) <= 0xDFFF for character in device_id)
        return
    assert len(kept) == 16
    assert kept == device_hash(KEY, device_id)
    assert kept != device_hash(OTHER_KEY, device_id)
    assert kept != device_hash(KEY, device_id + "x")

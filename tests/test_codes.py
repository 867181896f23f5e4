"""Party codes and area codes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.codes import FIRST_AREA_CODE, LAST_AREA_CODE, AreaCodes, area_code_of, parse_party_code
from chassis.errors import Malformed

CODES = st.integers(100_000_000, 999_999_999)


@given(CODES)
def test_a_code_reads_as_it_is_written(code: int) -> None:
    assert parse_party_code(str(code)) == code


@pytest.mark.parametrize(
    "typed",
    ["457495738", "457 495 738", "457-495-738", " 457 495-738 ", "4 5 7 4 9 5 7 3 8", "457\u00a0495\u2013738"],
)
def test_spaces_and_dashes_in_a_typed_code_are_forgiven(typed: str) -> None:
    assert parse_party_code(typed) == 457495738


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " - ",
        "45749573",
        "4574957380",
        "057495738",
        "45749573x",
        "457.495.738",
        "457_495_738",
        "+457495738",
        "457495738\n",
        "457\t495\t738",
        "0x1b44f1ca",
        "٤٥٧٤٩٥٧٣٨",
        "\uff14\uff15\uff17\uff14\uff19\uff15\uff17\uff13\uff18",
        "²²²²²²²²²",
        "457495738" + " " * 1000,
    ],
)
def test_everything_else_is_no_party_code(typed: str) -> None:
    with pytest.raises(Malformed, match="nine digits") as refusal:
        parse_party_code(typed)
    assert (refusal.value.code, refusal.value.field) == ("bad_party_code", "party_code")


@given(st.text())
def test_any_text_is_a_code_or_refused(typed: str) -> None:
    try:
        code = parse_party_code(typed)
    except Malformed:
        return
    assert FIRST_AREA_CODE <= area_code_of(code) <= LAST_AREA_CODE


def test_the_first_three_digits_are_the_area_code() -> None:
    assert [area_code_of(code) for code in (100_000_000, 457_495_738, 999_999_999)] == [100, 457, 999]


def test_area_codes_hold_their_spans_and_nothing_else() -> None:
    codes = AreaCodes(((200, 299), (457, 457)))
    assert [code for code in range(1000) if code in codes] == [*range(200, 300), 457]
    assert list(codes) == [*range(200, 300), 457]
    assert len(codes) == 101


def test_area_codes_are_in_ascending_order_however_they_are_given() -> None:
    codes = AreaCodes(((457, 457), (200, 299)))
    assert codes == AreaCodes(((200, 299), (457, 457)))
    assert codes.ranges() == ("200-299", "457")


@pytest.mark.parametrize("spans", [((99, 200),), ((900, 1000),), ((300, 299),), ((200, 299), (299, 300))])
def test_impossible_area_codes_are_a_bug(spans: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(ValueError, match=r"^(\d+-\d+ is no span|area code \d+ is there twice)"):
        AreaCodes(spans)


@given(st.sets(st.integers(FIRST_AREA_CODE, LAST_AREA_CODE)))
def test_area_codes_are_the_set_they_were_made_of(wanted: set[int]) -> None:
    codes = AreaCodes(tuple((code, code) for code in wanted))
    assert set(codes) == wanted
    assert len(codes) == len(wanted)

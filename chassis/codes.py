"""Party codes and area codes: nine digits, of which the first three say where the party lives."""

from collections.abc import Iterator
from dataclasses import dataclass

from chassis.errors import Malformed

FIRST_AREA_CODE = 100
LAST_AREA_CODE = 999
CODES_PER_AREA = 1_000_000

_DIGITS = 9
_MAX_TYPED = 64
# What people put between groups of digits, and what phones and messengers make of it.
_SEPARATORS = dict.fromkeys(map(ord, " \u00a0\u2007\u2009\u202f-\u2010\u2011\u2012\u2013\u2014"))


def parse_party_code(text: str) -> int:
    """The code that somebody typed, as a number; spaces and dashes are forgiven.

    Everything but nine ASCII digits with an area code from 100 to 999 raises Malformed `bad_party_code`.
    """
    if not (len(text) == _DIGITS and text.isascii() and text.isdigit()):
        text = text.translate(_SEPARATORS) if len(text) <= _MAX_TYPED else ""
    if not (len(text) == _DIGITS and text.isascii() and text.isdigit() and text[0] != "0"):
        raise Malformed(
            "bad_party_code",
            "A party code is nine digits and doesn't begin with 0, as in 457 495 738.",
            field="party_code",
        )
    return int(text)


def area_code_of(code: int) -> int:
    """The first three of a party code's nine digits."""
    return code // CODES_PER_AREA


@dataclass(frozen=True, slots=True)
class AreaCodes:
    """An immutable set of area codes, held as inclusive spans in ascending order.

    A span that is backwards, outside 100-999 or shares a code with another raises ValueError.
    """

    spans: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "spans", tuple(sorted(self.spans)))
        last_taken = FIRST_AREA_CODE - 1
        for first, last in self.spans:
            if not FIRST_AREA_CODE <= first <= last <= LAST_AREA_CODE:
                raise ValueError(f"{first}-{last} is no span within {FIRST_AREA_CODE}-{LAST_AREA_CODE}")
            if first <= last_taken:
                raise ValueError(f"area code {first} is there twice")
            last_taken = last

    def __contains__(self, area_code: int) -> bool:
        return any(first <= area_code <= last for first, last in self.spans)

    def __iter__(self) -> Iterator[int]:
        for first, last in self.spans:
            yield from range(first, last + 1)

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.spans)

    def ranges(self) -> tuple[str, ...]:
        """As they stand in JSON and in the roster: "200-299", or "457" for a span of one."""
        return tuple(str(first) if first == last else f"{first}-{last}" for first, last in self.spans)

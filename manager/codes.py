"""Drawing party codes. Reading typed ones stands in chassis/codes.py, as the dispatcher does that too. Pure."""

from collections.abc import Callable, Sequence

from chassis.codes import CODES_PER_AREA
from chassis.errors import Unavailable

_DRAWS = 64
_RETRY_AFTER_S = 3600


def draw(area_codes: Sequence[int], *, is_taken: Callable[[int], bool], below: Callable[[int], int]) -> int:
    """A party code that isn't taken, drawn uniformly over all codes of the area codes.

    `below(n)` gives a uniform number from 0 to n - 1 and must be cryptographic: codes are what keeps strangers out.
    Raises Unavailable when none is left, which takes a look at each: don't ask again at once.
    """
    total = len(area_codes) * CODES_PER_AREA
    for _ in range(_DRAWS):
        code = _nth(area_codes, below(total))
        if not is_taken(code):
            return code
    # Nearly all are taken: from a random place on, the first that is free.
    start = below(total)
    for step in range(total):
        code = _nth(area_codes, (start + step) % total)
        if not is_taken(code):
            return code
    raise no_codes_left()


def no_codes_left() -> Unavailable:
    """The refusal for when every code is in use or rests."""
    return Unavailable("no_codes_left", "Every party code of this manager is in use.", retry_after_s=_RETRY_AFTER_S)


def _nth(area_codes: Sequence[int], number: int) -> int:
    index, rest = divmod(number, CODES_PER_AREA)
    return area_codes[index] * CODES_PER_AREA + rest

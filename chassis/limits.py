"""Rate limits: how often somebody may do something, held in bounded memory."""

import math
import re
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import Self

from chassis.errors import Policy, Refusal, TooManyRequests

MAX_KEYS = 100_000

Key = bytes | str | tuple[object, ...]

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)  # it stands between quotes in a header
_PERIODS: dict[float, str] = {1: "a second", 60: "a minute", 3600: "an hour", 86_400: "a day"}
# Times are floats: who comes back exactly when told to mustn't be turned away by the last bit of one.
_ROUNDING_S = 1e-6
_DROPS_PER_CALL = 2


class RateLimit:
    """`quota` requests in `per_s` seconds for each key, by the generic cell rate algorithm.

    GCRA (ITU-T I.371, annex A, virtual scheduling) keeps one number for a key, the theoretical arrival time: when
    all that it has taken would be paid for at one request each `per_s / quota` seconds. A key that has rested may take
    its whole quota at once, and then goes on at that pace: in any stretch of time the quota and what the pace gives,
    in the long run `quota` in `per_s`.

    At most `max_keys` keys are kept, each about 200 bytes and what the key itself takes. Those that owe nothing any
    more are dropped as calls come in, a few with each, at the latest when they have rested for `per_s`; when it is
    full of debtors, the one that has rested longest is forgiven. The limit is false while nobody is counted, so that a
    hot path can pass by before it makes a key.

    A limit of 0 isn't one, as no `Retry-After` would be honest: raises ValueError, as for a bad name or period.
    """

    def __init__(
        self, name: str, quota: int, per_s: float, clock_s: Callable[[], float], max_keys: int = MAX_KEYS
    ) -> None:
        """`clock_s` must never go back, as time.monotonic."""
        if not _NAME.fullmatch(name) or quota < 1 or not 0 < per_s < math.inf or max_keys < 1:
            raise ValueError(f"{name!r} can't be a limit of {quota} in {per_s} s for {max_keys} keys.")
        # The header has whole seconds only: by a longer window a client that paces itself is on the safe side.
        self._policy = Policy(name, quota, math.ceil(per_s))
        self._period = _PERIODS.get(per_s, f"in {per_s:g} s")
        self._pace_s = per_s / quota
        self._burst_s = per_s - self._pace_s
        self._refused_over_s = self._burst_s + _ROUNDING_S
        self._clock_s = clock_s
        self._max_keys = max_keys
        # In the order of the last taking, so that the first has rested longest.
        self._paid_at_s: OrderedDict[Key, float] = OrderedDict()

    def take(self, key: Key) -> None:
        """Takes one. Raises TooManyRequests, and takes nothing, when the quota is used up."""
        now_s = self._now_s()
        paid_at_s = self._paid_at_s.get(key, now_s)
        if paid_at_s - now_s > self._refused_over_s:
            raise self._refusal(paid_at_s - now_s)
        self._owe(key, max(paid_at_s, now_s) + self._pace_s)

    def check(self, key: Key) -> None:
        """Takes nothing. Raises TooManyRequests when `take` would."""
        now_s = self._now_s()
        owed_s = self._paid_at_s.get(key, now_s) - now_s
        if owed_s > self._refused_over_s:
            raise self._refusal(owed_s)

    def count(self, key: Key) -> None:
        """Takes one that can't be refused any more, such as a failed look-up.

        Nobody ever owes more than a whole quota, however many calls got past `check` together.
        """
        now_s = self._now_s()
        paid_at_s = self._paid_at_s.get(key, now_s)
        if paid_at_s - now_s <= self._refused_over_s:
            self._owe(key, max(paid_at_s, now_s) + self._pace_s)

    def give_back(self, key: Key) -> None:
        """Undoes one `take`: nothing came of it."""
        paid_at_s = self._paid_at_s.get(key)
        if paid_at_s is not None:
            self._paid_at_s[key] = paid_at_s - self._pace_s

    def __len__(self) -> int:
        """How many keys are counted."""
        return len(self._paid_at_s)

    def _now_s(self) -> float:
        now_s = self._clock_s()
        paid_at_s = self._paid_at_s
        for _ in range(_DROPS_PER_CALL):  # more than a call can add, and never a long pause
            if not paid_at_s:
                break
            first = next(iter(paid_at_s))
            if paid_at_s[first] > now_s:
                break
            del paid_at_s[first]
        return now_s

    def _owe(self, key: Key, paid_at_s: float) -> None:
        if key in self._paid_at_s:
            self._paid_at_s.move_to_end(key)
        elif len(self._paid_at_s) >= self._max_keys:
            self._paid_at_s.popitem(last=False)
        self._paid_at_s[key] = paid_at_s

    def _refusal(self, owed_s: float) -> TooManyRequests:
        retry_after_s = max(1, math.ceil(owed_s - self._burst_s))
        policy = self._policy
        return TooManyRequests(
            "too_many_requests",
            f"The limit {policy.name} of {policy.quota} {self._period} is used up; come back in {retry_after_s} s.",
            retry_after_s=retry_after_s,
            policy=policy,
        )


class Unlimited:
    """Stands where a limit could, and limits nothing: `--rate-limits off`. It is false, as nobody is counted."""

    def take(self, key: Key) -> None:
        """Never raises."""

    def check(self, key: Key) -> None:
        """Never raises."""

    def count(self, key: Key) -> None:
        """Counts nothing."""

    def give_back(self, key: Key) -> None:
        """Nothing was taken."""

    def __len__(self) -> int:
        return 0


Limit = RateLimit | Unlimited


class Claim:
    """One taking for something that may yet fail: leaving the `with` block by a Refusal gives it back."""

    def __init__(self, limit: Limit, key: Key) -> None:
        self._limit = limit
        self._key = key
        self._has_taken = False

    def take(self) -> None:
        """Takes one, however often it is called. Raises TooManyRequests."""
        if not self._has_taken:
            self._limit.take(self._key)
            self._has_taken = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, failure: BaseException | None, __: TracebackType | None) -> None:
        if self._has_taken and isinstance(failure, Refusal):
            self._limit.give_back(self._key)

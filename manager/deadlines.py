"""When a party has to be looked at again. Pure: a calendar whose pages are short near by and long far away."""

from collections.abc import Iterator, Sequence
from math import ceil

PAGE_S = 0.05
"""How exactly deadlines are kept."""

_FAR_S = 120.0
_FAR_PAGE_S = 60.0


class Deadlines:
    """One deadline for each key, kept to the page, and up to a minute early while it is far away.

    Being early is harmless, since whoever is told looks for themselves and sets it again. So keys share pages, which
    costs less memory than a heap and leaves nothing behind when a key goes.
    """

    def __init__(self, now_s: float) -> None:
        self._page_of: dict[int, int] = {}
        self._pages: dict[int, set[int]] = {}
        self._turned = int(now_s / PAGE_S)

    def set(self, key: int, deadline_s: float, now_s: float) -> None:
        """Puts the key where it belongs; infinity takes it out."""
        self.discard(key)
        if deadline_s == float("inf"):
            return
        if deadline_s - now_s > _FAR_S:
            deadline_s -= deadline_s % _FAR_PAGE_S
        page = max(ceil(deadline_s / PAGE_S), self._turned)
        self._page_of[key] = page
        self._pages.setdefault(page, set()).add(key)

    def advance(self, key: int, deadline_s: float, now_s: float) -> None:
        """Puts the key earlier, unless it stands there already."""
        page = self._page_of.get(key)
        if page is None or deadline_s < page * PAGE_S:
            self.set(key, deadline_s, now_s)

    def discard(self, key: int) -> None:
        """Takes the key out if it is there."""
        page = self._page_of.pop(key, None)
        if page is not None:
            keys = self._pages[page]
            keys.discard(key)
            if not keys:
                del self._pages[page]

    def is_due(self, key: int, now_s: float) -> bool:
        """Whether the key's deadline has come."""
        page = self._page_of.get(key)
        return page is not None and page * PAGE_S <= now_s

    def due(self, now_s: float) -> Iterator[int]:
        """The keys whose deadline has come, earliest first. They stay until they are set again or taken out."""
        current = int(now_s / PAGE_S)
        pages: Sequence[int] = range(self._turned, current + 1)
        if len(pages) > len(self._pages):
            pages = sorted(page for page in self._pages if page <= current)
        for page in pages:
            yield from tuple(self._pages.get(page, ()))
        self._turned = current

    def __len__(self) -> int:
        return len(self._page_of)

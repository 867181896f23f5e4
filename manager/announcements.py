"""What is announced of a party: values, before anybody has made them into bytes."""

from typing import NamedTuple

from chassis.bus import Hub
from manager.store import Change


class Present(NamedTuple):
    """A participant has come online, or has gone offline."""

    participant_id: int
    online: bool
    at_ms: int


class Said(NamedTuple):
    """A participant's message to everyone in the party. `body` is a JSON object."""

    participant_id: int
    body: bytes
    at_ms: int


Announcement = Change | Present | Said

Announcements = Hub[Announcement]
"""What happens in each party, by the party's id and in the order in which it happened."""

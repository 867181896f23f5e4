"""Who calls: devices by their ids, participants by their tokens, and none more often than it may."""

from chassis.codes import area_code_of
from chassis.errors import Unauthenticated
from manager.limits import Limits
from manager.party import Party
from manager.store import Keys
from manager.tokens import device_hash, invalid, participant_of, token_for


class Callers:
    """Recognises callers; `device` and `participant` count as one of their requests."""

    def __init__(self, keys: Keys, limits: Limits) -> None:
        self.limits = limits
        self._keys = keys

    def device(self, device_id: str) -> bytes:
        """The device with this id, as it is kept. Raises TooManyRequests."""
        device = device_hash(self._keys.device, device_id)
        self.limits.requests.take(device)
        return device

    def participant(self, party: Party, token: str | None) -> int:
        """Whose token this is. Raises Unauthenticated, TooManyRequests."""
        key = self._keys.area[area_code_of(party.code)]
        participant = party.participant(participant_of(token, key, party.id))
        if participant is None:
            raise invalid()
        self.limits.requests.take(participant.device)
        return participant.id

    def uncounted(self, party: Party, token: str | None) -> int | None:
        """Whose token this is, None if it is good for nothing; doesn't count as a request."""
        participant_id = self.named(party.code, party.id, token)
        return participant_id if participant_id is not None and party.participant(participant_id) else None

    def named(self, code: int, party_id: int, token: str | None) -> int | None:
        """Which participant of this party the token names, who may have left; None if it isn't one of ours."""
        key = self._keys.area.get(area_code_of(code), self._keys.device)  # any, so that it takes as long
        try:
            return participant_of(token, key, party_id)
        except Unauthenticated:
            return None

    def token(self, code: int, party_id: int, participant_id: int) -> str:
        """The token of a participant of this party."""
        return token_for(self._keys.area[area_code_of(code)], party_id, participant_id)

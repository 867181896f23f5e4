"""What phones, time and a manager's operator do to parties: the steps of a program, and how programs are made.

Every step can be taken at any time: phones know the seat that they were last given and use it for as long as they are
not given another, also when it is long gone.
"""

from dataclasses import dataclass
from typing import Any, Literal

from hypothesis import strategies as st

PHONES = 4
MAX_CAPACITY = 4
HOUR_S = 3600
YEAR_S = 365 * 24 * HOUR_S

Match = Literal["", "current", "stale"]
"""What If-Match says: nothing, the version the phone has just seen, or the one before."""


@dataclass(frozen=True)
class Create:
    phone: int
    capacity: int = MAX_CAPACITY
    has_place: bool = False


@dataclass(frozen=True)
class Join:
    phone: int
    host: int  # into the party that this phone was last in


@dataclass(frozen=True)
class Remove:
    phone: int
    whom: int
    ban: bool = False


@dataclass(frozen=True)
class Close:
    phone: int


@dataclass(frozen=True)
class HandOver:
    phone: int
    whom: int
    match: Match = ""


@dataclass(frozen=True)
class UpdateParty:
    phone: int
    change: dict[str, Any]  # as in PATCH, but "has_place" for lat and lng
    match: Match = ""


@dataclass(frozen=True)
class UpdateParticipant:
    phone: int
    change: dict[str, Any]
    match: Match = ""


@dataclass(frozen=True)
class Say:
    phone: int


@dataclass(frozen=True)
class Beat:
    phone: int


@dataclass(frozen=True)
class AskForMe:
    phone: int


@dataclass(frozen=True)
class Look:
    """A phone reads the party it was last in, with its token, which is a sign of life if the token is good."""

    phone: int


@dataclass(frozen=True)
class Listen:
    phone: int
    transport: Literal["websocket", "sse"] = "websocket"


@dataclass(frozen=True)
class Hush:
    """A phone's stream ends: the oldest or the newest, with a word or without."""

    phone: int
    which: Literal["oldest", "newest"] = "oldest"
    how: Literal["cleanly", "abruptly"] = "cleanly"


@dataclass(frozen=True)
class Pass:
    """Time goes by. `unasked`: the manager has to notice by itself what comes of it, before anybody asks."""

    seconds: int
    unasked: bool = False


@dataclass(frozen=True)
class StepClock:
    """The clock on the wall is set; no time passes."""

    seconds: int


@dataclass(frozen=True)
class Restart:
    """Cleanly, or by starting another manager on what is on the disk just now."""

    how: Literal["cleanly", "from the disk"] = "cleanly"


Call = (
    Create
    | Join
    | Remove
    | Close
    | HandOver
    | UpdateParty
    | UpdateParticipant
    | Say
    | Beat
    | AskForMe
    | Look
    | Listen
    | Hush
    | Pass
)
"""What may happen while something else does."""


@dataclass(frozen=True)
class Together:
    """All of these at once, each once its phone has got so many answers to something else."""

    calls: tuple[Call, ...]
    delays: tuple[int, ...] = (0, 0, 0)


Step = Call | StepClock | Restart | Together

_phone = st.integers(0, PHONES - 1)
_match: st.SearchStrategy[Match] = st.sampled_from(["", "", "current", "stale"])
_name = st.sampled_from([None, "a", "b"])
_attributes = st.sampled_from([None, {"n": 1}, {"n": 2}])

# Sums of a few of these come near no period: 30.3 s without a beat, 60.5 s of grace, an hour between two notices of a
# plain phone, 24 to 25 hours until it is out. See tests/live/model.py.
_seconds = st.sampled_from([1, 10, 25, 25, 35, 35, 61, 95, 7 * HOUR_S])

_creates = st.builds(Create, _phone, st.integers(1, MAX_CAPACITY), st.booleans())
_joins = st.builds(Join, _phone, _phone)
_leader_calls = st.one_of(
    st.builds(Remove, _phone, _phone, st.booleans()),
    st.builds(HandOver, _phone, _phone, _match),
    st.builds(
        UpdateParty,
        _phone,
        st.fixed_dictionaries(
            {},
            optional={
                "name": _name,
                "capacity": st.integers(1, MAX_CAPACITY),
                "locked": st.booleans(),
                "has_place": st.booleans(),
                "discoverable": st.booleans(),
                "attributes": _attributes,
            },
        ),
        _match,
    ),
)
_own_calls = st.one_of(
    _phone.map(lambda phone: Remove(phone, phone)),
    st.builds(
        UpdateParticipant,
        _phone,
        st.fixed_dictionaries({}, optional={"participant_name": _name, "attributes": _attributes}),
        _match,
    ),
    st.builds(Say, _phone),
)
_listens = st.builds(Listen, _phone, st.sampled_from(["websocket", "sse"]))
_hushes = st.builds(Hush, _phone, st.sampled_from(["oldest", "newest"]), st.sampled_from(["cleanly", "abruptly"]))
_beats = st.builds(Beat, _phone)
_passes = st.builds(Pass, _seconds, st.sampled_from([False, False, False, True]))

# A heartbeat under way while time jumps may be counted before or after the jump, so those two don't go together.
_calls = st.one_of(_joins, _joins, _leader_calls, _own_calls, _listens, _hushes, _creates)
_delays = st.tuples(*[st.sampled_from([0, 0, 1, 2, 3, 5, 8])] * 3)
_together = st.builds(
    Together,
    st.one_of(
        st.lists(st.one_of(_calls, _calls, _beats), min_size=2, max_size=3).map(tuple),
        st.tuples(_listens, st.one_of(_joins, _leader_calls, _own_calls)),
        st.tuples(_calls, st.builds(Pass, _seconds)),
    ),
    _delays,
)

# Somebody comes while somebody else changes one thing after the other.
_arrivals = st.builds(
    lambda listen, phone, delay: Together(
        (listen, *(UpdateParticipant(phone, {"attributes": {"n": n}}) for n in (3, 4, 5))), (delay, 0, 2, 4)
    ),
    _listens,
    _phone,
    st.integers(0, 5),
)

_seldom = st.one_of(
    _creates,
    st.builds(AskForMe, _phone),
    st.builds(Look, _phone),
    st.builds(Close, _phone),
    st.builds(Pass, st.just(26 * HOUR_S), st.booleans()),
    st.builds(StepClock, st.sampled_from([HOUR_S, -HOUR_S, YEAR_S, -YEAR_S])),
    st.builds(Restart, st.sampled_from(["cleanly", "from the disk"])),
)

# What belongs together meets more often when it is among itself for a while.
_presence: st.SearchStrategy[Step] = st.one_of(_listens, _beats, _hushes, _passes, _passes)
_company: st.SearchStrategy[Step] = st.one_of(
    _joins, _leader_calls, _own_calls, _listens, _together, _together, _arrivals
)
_everything: st.SearchStrategy[Step] = st.one_of(
    _listens, _joins, _leader_calls, _own_calls, _beats, _hushes, _passes, _together, _arrivals, _seldom
)


@st.composite
def gatherings(draw: st.DrawFn) -> list[Step]:
    """A new party of some phones, of whom some listen or beat."""
    crowd = draw(st.permutations(range(PHONES)))[: draw(st.integers(1, PHONES))]
    signs: list[Step] = [sign for phone in crowd for sign in (Listen(phone), Listen(phone, "sse"), Beat(phone))]
    joins = [Join(phone, crowd[0]) for phone in crowd[1:]]
    return [Create(crowd[0]), *joins, *draw(st.lists(st.sampled_from(signs), max_size=PHONES))]


@st.composite
def programs(draw: st.DrawFn, pieces: int = 4) -> list[Step]:
    """Pieces of up to twelve steps, six on average, before some of which a new party gathers."""
    # One long list would end early more often than not, and one of a least length couldn't shrink below that.
    program = draw(gatherings())
    for _ in range(pieces):
        program += draw(st.one_of(st.just([]), gatherings()))
        program += draw(st.lists(draw(st.sampled_from([_presence, _company, _everything])), max_size=12))
    return program


@st.composite
def programs_with_kills(draw: st.DrawFn) -> list[Step]:
    """For a process whose time we don't make: what happens at once, and two restarts."""
    program: list[Step] = []
    for _ in range(2):
        drawn = draw(gatherings()) + draw(st.lists(_company, min_size=3, max_size=8))
        program += [step for step in drawn if not (isinstance(step, Together) and isinstance(step.calls[-1], Pass))]
        program.append(Restart())
    return program

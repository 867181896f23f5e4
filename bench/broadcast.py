"""Messages to a party, a bounded number of them under way at a time, each awaited at all of its listeners."""

import asyncio
import statistics
import time
from dataclasses import dataclass, field

from bench.calls import Caller, Reply, post
from bench.filling import Filled
from bench.listeners import NUMBER_DIGITS, Audience
from bench.progress import say
from bench.servers import Server

STALL_S = 30.0
SURPLUS_S = 0.1
"""How long deliveries that nobody sent have to show up."""

TAKEN = 202
EXPECTED = b'{"type":"message","at":"2026-11-21T02:13:12.588000Z","participant_id":0,"body":{"n":"0000000000"}}'


@dataclass(frozen=True, slots=True)
class Told:
    """One broadcast. A delivery is one message that has reached one listener.

    Latency runs from a message's request to its arrival, at the listeners that are samples. `errors` are refused
    messages, lost streams, and deliveries too few or too many. The shares are of one core.
    """

    messages: int
    deliveries: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int
    cpu_us: float
    server_share: float
    load_share: float

    def per_s(self) -> float:
        """Deliveries a second, from the first message's request to the last delivery of all."""
        return self.deliveries / self.seconds

    def cost(self) -> float:
        """The server's processor time for a delivery, in microseconds."""
        return self.cpu_us


def message(party: Filled, number: int) -> bytes:
    """The request by which a party's leader says this number. It is sent on as EXPECTED has it."""
    body = f'{{"body":{{"n":"{number:0{NUMBER_DIGITS}}"}}}}'.encode()
    return post(party.messages, body, token=party.tokens[0])


@dataclass(slots=True)
class Speaker:
    """A leader who says one number after the other, one at a time over each of their connections."""

    party: Filled
    idle: list[Caller]
    sent_s: list[float] = field(default_factory=list)
    refused: int = 0
    _answers: set["asyncio.Task[None]"] = field(default_factory=set)

    def say(self) -> None:
        """The next number, over a connection that is idle."""
        request, caller = message(self.party, len(self.sent_s)), self.idle.pop()
        self.sent_s.append(time.perf_counter())
        task = asyncio.create_task(self._await(caller, caller.ask(request)))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    async def until_idle(self) -> None:
        """Until a connection is idle; TimeoutError when none is after STALL_S."""
        while not self.idle:
            answered, _ = await asyncio.wait(self._answers, return_when=asyncio.FIRST_COMPLETED, timeout=STALL_S)
            if not answered:
                raise TimeoutError

    async def until_answered(self) -> None:
        """Until every message is answered."""
        if self._answers:
            await asyncio.wait(self._answers, timeout=STALL_S)

    async def _await(self, caller: Caller, reply: "asyncio.Future[Reply]") -> None:
        try:
            self.refused += (await reply).status != TAKEN
        except ConnectionError:
            self.refused += 1
        self.idle.append(caller)


async def broadcast(speaker: Speaker, audience: Audience, server: Server, *, seconds: float) -> Told:
    """Speak for so long, with as many messages under way as the speaker has connections.

    What is missing after STALL_S without progress counts as errors.
    """
    audience.start_counting()
    server_us, load_s, began_s = server.cpu_us, time.process_time(), time.perf_counter()
    await speak(speaker, audience, until_s=began_s + seconds)
    took_s = time.perf_counter() - began_s
    server_us, load_s = server.cpu_us - server_us, time.process_time() - load_s
    await speaker.until_answered()
    await asyncio.sleep(SURPLUS_S)
    messages = len(speaker.sent_s)
    wrong = sum(abs(listener.texts - messages) for listener in audience.listeners)
    p50_ms, p99_ms = percentiles_ms(
        [came_s - speaker.sent_s[number] for number, came_s in audience.samples if number < messages]
    )
    return Told(
        messages=messages,
        deliveries=audience.texts,
        seconds=took_s,
        p50_ms=p50_ms,
        p99_ms=p99_ms,
        errors=wrong + speaker.refused + len(audience.lost),
        cpu_us=server_us / max(1, audience.texts),
        server_share=server_us / 1e6 / took_s,
        load_share=load_s / took_s,
    )


async def speak(speaker: Speaker, audience: Audience, *, until_s: float) -> None:
    """The next message goes out when no more deliveries are missing than one message less makes. Awaits the last."""
    window, people = len(speaker.idle), len(audience.listeners)
    try:
        while time.perf_counter() < until_s:
            await audience.reach((len(speaker.sent_s) - window + 1) * people, within_s=STALL_S)
            await speaker.until_idle()
            speaker.say()
        await audience.reach(len(speaker.sent_s) * people, within_s=STALL_S)
    except TimeoutError:
        say(f"Only {audience.texts:,} of {len(speaker.sent_s) * people:,} deliveries arrived.")


def percentiles_ms(latencies_s: list[float]) -> tuple[float, float]:
    """p50 and p99, in milliseconds; nothing came if they are infinite."""
    if len(latencies_s) < 2:
        return float("inf"), float("inf")
    cuts = statistics.quantiles(latencies_s, n=100, method="inclusive")
    return cuts[49] * 1000, cuts[98] * 1000

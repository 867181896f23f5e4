"""A stream: the snapshot first, then all that happens, in order, over both transports alike."""

from pathlib import Path

import pytest

from tests.live.streams import TRANSPORTS, Listen, look
from tests.manager.asking import create, join, managing, remove

over_both = pytest.mark.parametrize("listen", TRANSPORTS.values(), ids=TRANSPORTS)


@over_both
async def test_a_stream_begins_with_a_snapshot_and_goes_on_with_what_happens(tmp_path: Path, listen: Listen) -> None:
    async with managing(tmp_path / "m.db") as port:
        ann = await create(port, "ann")
        code = ann["party_code"]
        async with listen(port, code, ann["token"]) as stream:
            snapshot = await stream.next()
            assert (snapshot["type"], snapshot["seq"]) == ("snapshot", 1)
            assert stream.view == await look(port, code)
            bob = await join(port, code, "bob")
            assert (await stream.next())["type"] == "participant_joined"
            assert stream.view == await look(port, code)
            await remove(port, code, bob["participant_id"], bob["token"])
            await stream.until("participant_left", participant_id=1, reason="left")
            assert stream.view == await look(port, code)
            await remove(port, code, 0, ann["token"])
            assert [event["type"] for event in await stream.rest()] == ["participant_left", "party_closed"]
            assert await stream.end() == 1000

"""A listener that is a process of its own, so that it can be killed: `python -m tests.live.lone_listener PORT CODE`.

Its token is in the environment, as LISTENER_TOKEN. It prints the type of each event that it gets.
"""

import asyncio
import os
import sys

from tests.live.streams import listening


async def listen(port: int, code: str, token: str) -> None:
    async with listening(port, code, token) as stream:
        while True:
            print((await stream.next())["type"], flush=True)


if __name__ == "__main__":
    asyncio.run(listen(int(sys.argv[1]), sys.argv[2], os.environ["LISTENER_TOKEN"]))

"""Listens to a party as a browser does, and prints each event, then the close code; deploy/check.sh runs it.

    docker compose exec -T dispatcher python - HOST PARTY_CODE TOKEN < deploy/listen.py

It runs in a container of ours, because there is aiohttp, and goes to nginx like everybody.
"""

import asyncio
import sys

import aiohttp


async def listen(host: str, code: str, token: str) -> None:
    """Returns when the stream has ended. Raises aiohttp.WSServerHandshakeError where it is refused."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            f"http://nginx:8080/parties/{code}/events",
            protocols=("partyline.v1", f"bearer.{token}"),  # a page can't set headers
            origin=f"http://{host}",
            headers={"Host": host},
        ) as connection,
    ):
        while (message := await connection.receive()).type is aiohttp.WSMsgType.TEXT:
            print(message.data, flush=True)
        print("closed", connection.close_code, message.extra, flush=True)


if __name__ == "__main__":
    asyncio.run(listen(*sys.argv[1:]))

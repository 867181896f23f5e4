"""A process whose disk breaks: run by test_sqlite_broken.py. Past a file size limit the kernel refuses every write."""

import asyncio
import json
import os
import resource
import sys
from pathlib import Path

from chassis.errors import Refusal
from tests.store.disk import answers, opened
from tests.store.people import create, device, join


async def main(path: Path) -> None:
    broken: list[str] = []
    async with opened(path, broken=broken.append) as store:
        acknowledged = [(await create(store, device(n))).code for n in range(5)]
        # The write-ahead log can grow no more: EFBIG, which SQLite reports as an I/O error.
        size = os.stat(f"{path}-wal").st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        at_once = [create(store, device(100)), join(store, acknowledged[0], device(101)), create(store, device(1))]
        refused = [one.code for one in await answers(at_once) if isinstance(one, Refusal)]
        refused += [one.code for one in await answers([create(store, device(102))]) if isinstance(one, Refusal)]
        seen = [code for code in acknowledged if await store.party(code)]
        strangers = [n for n in (100, 101, 102) if await store.party_of(device(n))]
    print(json.dumps([acknowledged, refused, seen, strangers, broken]))


asyncio.run(main(Path(sys.argv[1])))

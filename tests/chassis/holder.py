"""A process that holds a database open until it is ended: run by test_database.py."""

import asyncio
import sys
from pathlib import Path

from chassis.database import Database


async def main(path: Path, schema: Path) -> None:
    database = await Database.open(path, schema)
    await database.write([("INSERT INTO things (name) VALUES (?)", [("by another process",)])])
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await database.close()


asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))

"""A daemon whose network goes down and up again, in a network namespace of its own (`unshare --net`).

Prints one JSON document: how many seconds after the link's return each stream stood again, and what was told.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

from helpers.world import NODE_ID, world

LONG_PAUSES = "[backoff]\nfirst_seconds = 30\nmax_seconds = 60\n"
DOWN_SECONDS = 3.0
BEFORE, AFTER = "198.51.100.7", "203.0.113.9"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def make_network() -> None:
    ip("link", "set", "lo", "up")
    ip("link", "add", "outside", "type", "veth", "peer", "name", "gateway")
    ip("link", "set", "gateway", "up")
    ip("address", "add", f"{BEFORE}/24", "dev", "outside")
    ip("link", "set", "outside", "up")
    ip("route", "add", "default", "dev", "outside")


def go_down() -> None:
    """The way out is gone, and what is on its way on loopback is lost; no connection is ended."""
    ip("link", "set", "outside", "down")
    ip("link", "set", "lo", "down")


def come_up_elsewhere() -> None:
    ip("link", "set", "lo", "up")
    ip("address", "flush", "dev", "outside")
    ip("address", "add", f"{AFTER}/24", "dev", "outside")
    ip("link", "set", "outside", "up")
    ip("route", "add", "default", "dev", "outside")


async def live(directory: Path) -> dict[str, object]:
    make_network()
    async with world(directory) as w:
        await w.make_node()
        node = await w.greenlight.schedule(NODE_ID)
        env = w.configure(LONG_PAUSES)
        async with w.daemon(SIGNERD_CONFIG=env["SIGNERD_CONFIG"]) as daemon:
            await daemon.said("scheduler-stream-open")
            await daemon.said("node-attached")
            await node.examine()
            go_down()
            await asyncio.sleep(DOWN_SECONDS)
            returned = time.monotonic()
            come_up_elsewhere()
            changed = await daemon.said("network-changed")
            await daemon.said("node-attached", times=2)
            answered = len(await node.examine())
            seconds = time.monotonic() - returned
            code, _ = await daemon.stop()
    return {"seconds": seconds, "answered": answered, "addresses": changed["addresses"], "code": code}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(live(Path(sys.argv[1])))))

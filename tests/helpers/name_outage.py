"""A name that nobody can look up, and then everybody can, in a mount namespace of its own.

To be run with `unshare --mount`. Prints how many seconds after the name service's return the endpoint was
found to be back.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from pathlib import Path

from signerd.daemon.clock import SystemClock
from signerd.daemon.reach import Reach
from signerd.greenlight.endpoint import Endpoint
from signerd.greenlight.reachability import Found, Probe


class Watched(Probe):
    """Tells when it was made."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.made = asyncio.Event()

    async def __call__(self, seconds: float = 2.0) -> Found:
        found = await super().__call__(seconds)
        self.made.set()
        return found


async def live(directory: Path) -> float:
    hosts, resolver = directory / "hosts", directory / "resolv.conf"
    hosts.write_text("")
    resolver.write_text("nameserver 127.0.0.1\n")  # where nobody answers
    for file in (hosts, resolver):
        subprocess.run(["mount", "--bind", file, f"/etc/{file.name}"], check=True)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        probe = Watched(Endpoint("scheduler.test", listening.getsockname()[1]))
        back = asyncio.create_task(Reach(probe, SystemClock()).back())
        await probe.made.wait()
        returned = time.monotonic()
        hosts.write_text("127.0.0.1 scheduler.test\n")
        await back
    return time.monotonic() - returned


if __name__ == "__main__":
    sys.stdout.write(str(asyncio.run(live(Path(sys.argv[1])))))

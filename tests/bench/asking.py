"""How long `signerd status` and `signerd health` take, start-up included, with a signer that answers."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.plan import Plan
from bench.rig import python_environment
from bench.table import Row, at_most, row
from helpers.boards import NOW, busy_board
from helpers.control import control_socket

from signerd.control import document
from signerd.control.document import Readings
from signerd.observe import readiness

LIMIT_MS = 150


def measure(directory: Path, plan: Plan) -> list[Row]:
    """Wall time of each, with and without a configuration to read first."""
    environment = python_environment(directory)
    rows = []
    with _answering() as path:
        named, read = ["--socket", str(path)], {**environment, "SIGNERD_DATA_DIR": str(path.parent)}
        for title, arguments, env in (
            ("signerd status --socket FILE", ["status", *named], environment),
            ("signerd status", ["status"], read),
            ("signerd health", ["health"], read),
        ):
            taken = []
            for _ in range(1 + plan.starts):
                begun = time.perf_counter()
                subprocess.run(
                    [sys.executable, "-m", "signerd", *arguments], capture_output=True, env=env, check=False
                )
                taken.append(time.perf_counter() - begun)
            milliseconds = statistics.median(taken[1:]) * 1000
            rows.append(
                row(
                    f"{title}: wall time, median of {plan.starts}", "ms", milliseconds,
                    target=f"≤ {LIMIT_MS}", judge=at_most(LIMIT_MS),
                )
            )  # fmt: skip
    return rows


@contextmanager
def _answering() -> Iterator[Path]:
    """A control socket as the daemon has one, in a thread of its own."""
    found: list[Path] = []
    begun, over = threading.Event(), threading.Event()

    async def serve() -> None:
        pages = {
            "/status": lambda: document.encode(document.status(busy_board(), Readings(pid=1), NOW)),
            "/health": lambda: document.encode({"v": 1, **document.health(readiness.health(busy_board()))}),
        }
        async with control_socket(pages=pages) as (path, _):
            found.append(path)
            begun.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    begun.wait()
    try:
        yield found[0]
    finally:
        over.set()
        thread.join()

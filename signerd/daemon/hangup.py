"""SIGHUP means "read the configuration again", from the first moment on; it never ends signerd."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator


class Hangups:
    """Hears the signal from when it is made. One that comes before anybody waits is remembered."""

    def __init__(self) -> None:
        self._early = False
        signal.signal(signal.SIGHUP, self._note)

    async def __aiter__(self) -> AsyncIterator[None]:
        """One turn for a signal, or for several that came meanwhile."""
        heard = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, heard.set)
        try:
            if self._early:
                heard.set()
            while True:
                await heard.wait()
                heard.clear()
                yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            # On the way out there is nothing left to reload.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _note(self, _number: int, _frame: object) -> None:
        self._early = True

"""The states of channels as they are on disk, kept in memory as far as there is room for them."""

from __future__ import annotations

from collections import OrderedDict

MOST_BYTES = 32 * 1024 * 1024
"""Of memory: over twenty thousand channels without payments."""
OVERHEAD_BYTES = 300
"""What a state takes besides its own bytes."""


class StoredStates:
    """Bytes by the channel's id on disk. What was used longest ago goes first; any of them may be missing."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._states: OrderedDict[bytes, bytes] = OrderedDict()
        self._bytes = 0
        self._most_bytes = most_bytes

    def get(self, key: bytes) -> bytes | None:
        """None does not say that there is none on disk."""
        state = self._states.get(key)
        if state is not None:
            self._states.move_to_end(key)
        return state

    def put(self, key: bytes, state: bytes) -> None:
        """This is on disk now."""
        self.drop(key)
        self._states[key] = state
        self._bytes += len(state) + OVERHEAD_BYTES
        while self._bytes > self._most_bytes:
            self.drop(next(iter(self._states)))

    def drop(self, key: bytes) -> None:
        """This is not on disk any more, or need not be kept."""
        state = self._states.pop(key, None)
        if state is not None:
            self._bytes -= len(state) + OVERHEAD_BYTES

"""State entries that were examined: a node repeats all of them with each request, and few have changed.

An entry is known by its bytes on the wire. What differs in one of them is examined like any other.
"""

from __future__ import annotations

from collections.abc import Iterable

from signerd.greenlight import wire_scan
from signerd.greenlight.pb import greenlight_pb2

MOST_BYTES = 64 * 1024 * 1024
"""Of memory for the entries that are remembered: as much as one message may have."""
OVERHEAD_BYTES = 200
"""What an entry takes besides its own bytes."""

_STATE = greenlight_pb2.HsmRequest.DESCRIPTOR.fields_by_name["signer_state"].number
_VERSION_TAG = b"\x08"
_OUT_OF_PLACE = 64


class KnownEntries:
    """Entries as they were when they were last examined: each a field of an HsmRequest, by the entry's key.

    They stand in the order in which they come. So most of a message is recognised without being read: it goes
    on with the next known entry, or with the one after that, if the next has changed and comes later now.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._known: dict[bytes, bytes] = {}
        self._bytes = 0
        self._most_bytes = most_bytes

    def left_out(self, raw: bytes, limit: int) -> bytes | None:
        """An HsmRequest (protobuf) without the entries that are known.

        None if it has more than `limit` fields, known entries included, or one of a kind that has no length.
        """
        known, kept, size = list(self._known.values()), [], len(raw)
        last = len(known) - 1
        position, place, count, out_of_place = 0, 0, 0, 0
        while position < size and count <= limit:
            # A thousand times for each message: nothing is made here, and little is called.
            if place <= last and raw.startswith(known[place], position):
                position += len(known[place])
                place += 1
                count += 1
            elif place < last and raw.startswith(known[place + 1], position):
                place += 1
            else:
                start = position
                number, body, position = wire_scan.field(raw, start)
                if number == 0:
                    return None
                count += 1
                if number == _STATE and self._known.get(_key(raw, body, position)) == raw[start:position]:
                    out_of_place += 1
                else:
                    kept.append(raw[start:position])
        if out_of_place > _OUT_OF_PLACE:
            self._follow(raw)
        return b"".join(kept) if count <= limit else None

    def remember(self, entries: Iterable[greenlight_pb2.SignerStateEntry]) -> None:
        """These were examined, and what follows from them is on disk."""
        for entry in entries:
            raw = greenlight_pb2.HsmRequest(signer_state=[entry]).SerializeToString()
            _, body, end = wire_scan.field(raw, 0)
            key = _key(raw, body, end)
            self._forget(key)
            self._known[key] = raw
            self._bytes += len(raw) + OVERHEAD_BYTES
            while self._bytes > self._most_bytes:
                self._forget(next(iter(self._known)))

    def _forget(self, key: bytes) -> None:
        if key in self._known:
            self._bytes -= len(self._known.pop(key)) + OVERHEAD_BYTES

    def _follow(self, raw: bytes) -> None:
        """Take over the order of this message."""
        position = 0
        while position < len(raw):
            number, body, position = wire_scan.field(raw, position)
            key = _key(raw, body, position) if number == _STATE else b""
            if key in self._known:
                self._known[key] = self._known.pop(key)


def _key(raw: bytes, start: int, end: int) -> bytes:
    """The key of the entry that starts and ends here, with its tag and length: it comes after the version."""
    if raw.startswith(_VERSION_TAG, start):
        _, start = wire_scan.varint(raw, start + 1)
    length, body = wire_scan.varint(raw, start + 1)
    # A length may lie, and many short entries must not have one long key each.
    return raw[start : min(body + length, end)]

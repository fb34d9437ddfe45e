"""State entries that were examined: a node repeats all of them with each request, and few have changed.

An entry is known by its bytes on the wire. What differs in one of them is examined like any other.
"""

from __future__ import annotations

from collections.abc import Iterable

from signerd.greenlight import wire_scan
from signerd.greenlight.pb import greenlight_pb2

MOST_BYTES = 64 * 1024 * 1024
"""Of the entries that are remembered: as much as one message may have."""

_STATE = greenlight_pb2.HsmRequest.DESCRIPTOR.fields_by_name["signer_state"].number
_PENDING = greenlight_pb2.HsmRequest.DESCRIPTOR.fields_by_name["requests"].number
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

        None if it has more than `limit` entries and pending requests, known ones included.
        """
        known, kept = list(self._known.values()), []
        position, place, count, out_of_place = 0, 0, 0, 0
        while position < len(raw) and count <= limit:
            ahead = known[place : place + 2]
            if ahead and raw.startswith(ahead[0], position):
                position += len(ahead[0])
                place, count = place + 1, count + 1
            elif ahead and raw.startswith(ahead[-1], position):
                place += 1
            else:
                start = position
                number, body, position = wire_scan.field(raw, start)
                count += number in (_STATE, _PENDING)
                if number == _STATE and self._known.get(_key(raw, body)) == raw[start:position]:
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
            _, body, _ = wire_scan.field(raw, 0)
            key = _key(raw, body)
            self._bytes += len(raw) - len(self._known.pop(key, b""))
            self._known[key] = raw
            while self._bytes > self._most_bytes:
                self._bytes -= len(self._known.pop(next(iter(self._known))))

    def _follow(self, raw: bytes) -> None:
        """Take over the order of this message."""
        position = 0
        while position < len(raw):
            number, body, position = wire_scan.field(raw, position)
            key = _key(raw, body) if number == _STATE else b""
            if key in self._known:
                self._known[key] = self._known.pop(key)


def _key(raw: bytes, start: int) -> bytes:
    """The key of the entry that starts here, with its tag and length: it comes after the version."""
    if raw.startswith(_VERSION_TAG, start):
        _, start = wire_scan.varint(raw, start + 1)
    length, body = wire_scan.varint(raw, start + 1)
    return raw[start : body + length]

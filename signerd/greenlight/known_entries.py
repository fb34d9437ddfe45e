"""State entries that were examined: a node repeats all of them with each request, and few have changed.

An entry is known by its bytes on the wire. What differs in one of them is examined like any other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from signerd.greenlight import wire_scan
from signerd.greenlight.pb import greenlight_pb2

MOST_BYTES = 64 * 1024 * 1024
"""Of memory for the entries that are remembered: as much as one message may have."""
OVERHEAD_BYTES = 200
"""What an entry takes besides its own bytes."""

_STATE = greenlight_pb2.HsmRequest.DESCRIPTOR.fields_by_name["signer_state"].number
_VERSION_TAG, _KEY_TAG = b"\x08", b"\x12"
_OUT_OF_PLACE = 64
_RUN_ENTRIES, _RUN_BYTES = 32, 256 * 1024
"""What a run has at most. A longer entry has one for itself."""


@dataclass(eq=False, slots=True)
class _Run:
    """Entries, one behind the other, and where each of them is, by its key."""

    joined: bytes = b""
    places: dict[bytes, slice] = field(default_factory=dict)
    first: bytes = b""

    @property
    def pieces(self) -> dict[bytes, bytes]:
        return {key: self.joined[place] for key, place in self.places.items()}

    def piece(self, key: bytes) -> bytes:
        return self.joined[self.places[key]]

    def hold(self, pieces: Mapping[bytes, bytes]) -> None:
        """These, and no others."""
        end = 0
        self.places = {key: slice(end, end := end + len(piece)) for key, piece in pieces.items()}
        self.joined = b"".join(pieces.values())
        self.first = next(iter(pieces.values()), b"")


class KnownEntries:
    """Entries as they were when they were last examined: each a field of an HsmRequest, by the entry's key.

    They stand in the order in which they come, in runs. So most of a message is recognised without being
    read: it goes on with the next known run, or with the next entry of one that is not whole there, or with
    the one after that, if the next has changed and comes later now.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._runs: list[_Run] = []
        self._run_of: dict[bytes, _Run] = {}
        self._bytes = 0
        self._most_bytes = most_bytes

    def left_out(self, raw: bytes, limit: int) -> bytes | None:
        """An HsmRequest (protobuf) without the entries that are known.

        None if it has more than `limit` fields, known entries included, or one of a kind that has no length.
        """
        # What may come, the next one last: a run, or an entry of one.
        ahead: list[_Run | bytes] = [*reversed(self._runs)]
        kept, size = [], len(raw)
        position, count, out_of_place = 0, 0, 0
        while position < size and count <= limit:
            known = ahead[-1] if ahead else b""
            if isinstance(known, _Run):
                ahead.pop()
                if raw.startswith(known.joined, position):
                    position += len(known.joined)
                    count += len(known.places)
                else:
                    ahead += reversed(known.pieces.values())
            elif known and raw.startswith(known, position):
                position += len(known)
                count += 1
                ahead.pop()
            elif len(ahead) > 1 and raw.startswith(_first(ahead[-2]), position):
                ahead.pop()
            else:
                start = position
                number, body, position = wire_scan.field(raw, start)
                if number == 0:
                    return None
                count += 1
                if number == _STATE and self._knows(_key(raw, body, position), raw[start:position]):
                    out_of_place += 1
                else:
                    kept.append(raw[start:position])
        if count > limit:
            return None
        if out_of_place > _OUT_OF_PLACE:
            self._follow(raw)
        return b"".join(kept)

    def remember(self, entries: Iterable[greenlight_pb2.SignerStateEntry]) -> None:
        """These were examined, and what follows from them is on disk."""
        pieces: dict[bytes, bytes] = {}
        for entry in entries:
            raw = greenlight_pb2.HsmRequest(signer_state=[entry]).SerializeToString()
            _, body, end = wire_scan.field(raw, 0)
            key = _key(raw, body, end)
            pieces.pop(key, None)
            pieces[key] = raw
        if not pieces:
            return
        self._forget(pieces)
        self._append(pieces.items())
        for run in self._runs:
            if self._bytes <= self._most_bytes:
                break
            self._forget(_leading(run, self._bytes - self._most_bytes))
        self._runs = [run for run in self._runs if run.places]

    def _knows(self, key: bytes, raw: bytes) -> bool:
        run = self._run_of.get(key)
        if run is None:
            return False
        place = run.places[key]
        return place.stop - place.start == len(raw) and run.joined.startswith(raw, place.start)

    def _append(self, pieces: Iterable[tuple[bytes, bytes]]) -> None:
        run = self._runs.pop() if self._runs else _Run()
        taken, size = run.pieces, len(run.joined)
        for key, piece in pieces:
            self._bytes += _memory(key, len(piece))
            if taken and (len(taken) == _RUN_ENTRIES or size + len(piece) > _RUN_BYTES):
                self._close(run, taken)
                run, taken, size = _Run(), {}, 0
            taken[key] = piece
            size += len(piece)
        if taken:
            self._close(run, taken)

    def _close(self, run: _Run, pieces: Mapping[bytes, bytes]) -> None:
        run.hold(pieces)
        self._runs.append(run)
        self._run_of.update(dict.fromkeys(pieces, run))

    def _forget(self, keys: Iterable[bytes]) -> None:
        """Runs that are empty then are left to the caller."""
        gone = defaultdict(list)
        for key in keys:
            if (run := self._run_of.pop(key, None)) is not None:
                gone[run].append(key)
        for run, lost in gone.items():
            pieces = run.pieces
            for key in lost:
                self._bytes -= _memory(key, len(pieces.pop(key)))
            run.hold(pieces)

    def _follow(self, raw: bytes) -> None:
        """Take over the order of this message."""
        order = dict.fromkeys(self._run_of)
        position = 0
        while position < len(raw):
            number, body, position = wire_scan.field(raw, position)
            if number == _STATE and (key := _key(raw, body, position)) in order:
                order[key] = order.pop(key)
        run_of, self._runs, self._run_of, self._bytes = self._run_of, [], {}, 0
        # Old runs go as new ones come: all of them can be as long as a message may be.
        self._append((key, run_of.pop(key).piece(key)) for key in order)


def _memory(key: bytes, size: int) -> int:
    return len(key) + size + OVERHEAD_BYTES


def _leading(run: _Run, size: int) -> list[bytes]:
    """The keys of so many bytes of memory, from the run's beginning."""
    found = []
    for key, place in run.places.items():
        if size <= 0:
            break
        size -= _memory(key, place.stop - place.start)
        found.append(key)
    return found


def _first(known: _Run | bytes) -> bytes:
    return known.first if isinstance(known, _Run) else known


def _key(raw: bytes, start: int, end: int) -> bytes:
    """The key of the entry that starts and ends here, with its tag and length: it comes after the version.

    Empty where something else comes there.
    """
    if raw.startswith(_VERSION_TAG, start):
        _, start = wire_scan.varint(raw, start + 1)
    if not raw.startswith(_KEY_TAG, start):
        return b""
    length, body = wire_scan.varint(raw, start + 1)
    # A length may lie, and many short entries must not have one long key each.
    return raw[start : min(body + length, end)]

"""The signer state that a node keeps for its signers: merged by version, handed out by what is new."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from signerd.dev.ledger import Entry
from signerd.greenlight.pb import greenlight_pb2 as pb

TOMBSTONE = 2**64 - 1
"""The version of a deleted entry; its value is JSON null."""


class BadEntry(Exception):
    """An entry that no honest signer sends."""


@dataclass(slots=True)
class _Held:
    entry: Entry
    changed_at: int


class NodeState:
    """All entries of one node. Each change gets a number; a stream remembers the last one it was sent.

    Rules of a merge: absent: taken; a higher version wins; a lower one, or another value under the same
    version, is ignored and counted as a conflict; an equal value brings its signature; deleted stays deleted.
    """

    def __init__(self, entries: Iterable[Entry], save: Callable[[list[Entry]], None]) -> None:
        self._held: dict[str, _Held] = {}
        self._fields: dict[str, bytes] = {}
        self._save = save
        self._changes = 0
        self.conflicts = 0
        for entry in entries:
            self._set(entry)

    @property
    def mark(self) -> int:
        """The number of the last change."""
        return self._changes

    def get(self, key: str) -> Entry | None:
        held = self._held.get(key)
        return held.entry if held else None

    def live(self) -> list[Entry]:
        """All entries but the deleted ones."""
        return [held.entry for held in self._held.values() if held.entry.version != TOMBSTONE]

    def since(self, mark: int) -> list[Entry]:
        """Entries changed after `mark`, deleted ones included, oldest change first."""
        newest: list[Entry] = []
        # The dictionary is kept in the order of change.
        for held in reversed(self._held.values()):
            if held.changed_at <= mark:
                break
            newest.append(held.entry)
        return newest[::-1]

    def live_fields(self) -> Iterable[bytes]:
        """`live` as fields of an HsmRequest (protobuf), which a node sends again and again."""
        return self._fields.values()

    def merge(self, entries: Iterable[Entry]) -> list[Entry]:
        """Take what is new, store it, and return it. Raises BadEntry, with nothing taken."""
        changed: dict[str, Entry] = {}
        for entry in entries:
            held = self._held.get(entry.key)
            present = changed.get(entry.key) or (held.entry if held else None)
            if present != entry and (taken := self._decide(present, _checked(entry))) is not None:
                changed[entry.key] = taken
        if changed:
            self._save(list(changed.values()))
            for entry in changed.values():
                self._set(entry)
        return list(changed.values())

    def _decide(self, present: Entry | None, entry: Entry) -> Entry | None:
        if present is None:
            return entry
        if present.version == TOMBSTONE:
            self.conflicts += entry.version != TOMBSTONE
            return None
        if entry.version > present.version:
            return entry
        if entry.version < present.version:
            self.conflicts += 1
            return None
        if _equal(entry.value, present.value):
            return replace(present, signature=entry.signature)
        return None

    def _set(self, entry: Entry) -> None:
        self._changes += 1
        self._held.pop(entry.key, None)
        self._held[entry.key] = _Held(entry, self._changes)
        self._fields.pop(entry.key, None)
        if entry.version != TOMBSTONE:
            self._fields[entry.key] = field_of(entry)


def field_of(entry: Entry) -> bytes:
    """An entry as a field of an HsmRequest (protobuf)."""
    message = pb.SignerStateEntry(
        key=entry.key, version=entry.version, value=entry.value, signature=entry.signature
    )
    return pb.HsmRequest(signer_state=[message]).SerializeToString()


def _checked(entry: Entry) -> Entry:
    if not entry.key:
        raise BadEntry("an entry has an empty key")
    if entry.signature and len(entry.signature) != 64:
        raise BadEntry(f"the signature of {entry.key!r} has {len(entry.signature)} bytes, not 64")
    if entry.version == TOMBSTONE:
        return replace(entry, value=b"null")
    _json(entry.value, entry.key)
    return entry


def _equal(one: bytes, other: bytes) -> bool:
    return one == other or bool(_json(one, "") == _json(other, ""))


def _json(value: bytes, key: str) -> object:
    try:
        parsed: object = json.loads(value)
    except ValueError as error:
        raise BadEntry(f"the value of {key!r} is not JSON") from error
    return parsed

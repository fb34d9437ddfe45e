"""The pairing inbox and the register of devices in the store: a change comes whole, or not at all."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from signerd.core.audit.record import Record
from signerd.core.devices import Device, MintedRune, device_called, paired_by
from signerd.core.pairing import PairingApproval
from signerd.core.pairing_inbox import Item, Revoked, State
from signerd.errors import Refused
from signerd.store import made_runes, revocations
from signerd.store.state_db import StateDb
from signerd.units import UnixTime

MAX_RUNES = 20_000
"""Of devices that are not revoked: a device that approves others must not be able to fill the disk."""
USE_SECONDS = 60
"""How exactly the last use of a device is known. Writing each one down would cost more than it tells."""

_AUTO = "auto:"
_ITEM = (
    "number, digest, device_id, timestamp, name, restrictions, sig, pubkey, approver, received, expires, "
    "state, rule"
)


@dataclass(frozen=True, slots=True)
class Revocation:
    """Which devices it is about, whom the first of them let in, whose keys are new to it, and what waits."""

    concerned: tuple[Device, ...]
    let_in: tuple[Device, ...]
    new: tuple[bytes, ...]
    waiting: tuple[Item, ...]


class Pairings:
    """What the store knows of pairings, read once and kept up with. Raises StateError when the disk fails."""

    def __init__(self, store: StateDb) -> None:
        self._store = store
        rows = store.rows(f"SELECT {_ITEM} FROM pairing ORDER BY number")  # noqa: S608 (names of ours)
        self._items = {item.digest: item for item in map(_item, rows)}
        self._revoked = revocations.read(store)
        self._used = {key: UnixTime(time) for key, time in store.rows("SELECT key, time FROM device_use")}
        self._standing = self._count_standing()

    @property
    def items(self) -> Mapping[bytes, Item]:
        """Digest → the approvals that wait, and those that were decided and could come again."""
        return MappingProxyType(self._items)

    @property
    def waiting(self) -> tuple[Item, ...]:
        """In the order in which they came."""
        return tuple(item for item in self._items.values() if item.state is State.WAITING)

    @property
    def revoked(self) -> Mapping[bytes, UnixTime]:
        """Key (65 bytes) → since when."""
        return MappingProxyType(self._revoked)

    @property
    def is_full(self) -> bool:
        """Whether no further rune may be made."""
        return self._standing >= MAX_RUNES

    def auto_count(self, pattern: str, since: UnixTime) -> int:
        """How many runes the rule with this pattern has let through, since then or (by a clock) later."""
        rows = self._store.rows("SELECT count(*) FROM minted WHERE rule = ? AND time > ?", pattern, since)
        return int(rows[0][0])

    def devices(self) -> tuple[Device, ...]:
        """Every key that is known, in the order in which they came.

        Raises Refused if the list of the runes that nobody approved cannot be read.
        """
        return self._devices(made_runes.read(self._store.directory))

    def known_devices(self) -> tuple[Device, ...]:
        """As `devices`, but for that list if it cannot be read."""
        try:
            return self.devices()
        except Refused:
            return self._devices(())

    def _devices(self, made: Sequence[MintedRune]) -> tuple[Device, ...]:
        runes: defaultdict[bytes, dict[bytes, MintedRune]] = defaultdict(dict)
        approved = self._store.rows(
            "SELECT device, name, restrictions, fingerprint, time, approver, by, rule FROM minted ORDER BY id"
        )
        for rune in sorted([*made, *map(_rune, approved)], key=lambda rune: rune.time):
            runes[rune.device].pop(rune.fingerprint, None)
            runes[rune.device][rune.fingerprint] = rune
        keys = dict.fromkeys([*runes, *self._used, *self._revoked])
        return tuple(
            Device(key, tuple(runes[key].values()), self._used.get(key), self._revoked.get(key))
            for key in keys
        )

    # Changes; on disk when these return

    def hold(self, item: Item) -> Item:
        """Put an approval into the inbox; it comes back with its number."""
        with self._store.transaction() as connection:
            number = _insert(connection, item)
        held = replace(item, number=number)
        self._items[item.digest] = held
        return held

    def grant(
        self,
        rune: MintedRune,
        *,
        digest: bytes,
        timestamp: UnixTime,
        expires: UnixTime,
        item: Item | None,
        records: Sequence[Record] = (),
    ) -> Item | None:
        """Remember an approval that is answered with `rune`, and `item`, which is approved with it."""
        with self._store.transaction(records) as connection:
            self._store.note_approval(digest, timestamp=timestamp, expires=expires, now=rune.time)
            connection.execute(
                "INSERT INTO minted (device, name, restrictions, fingerprint, time, approver, by, rule) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                _rune_row(rune),
            )
            used = _is_news(self._used.get(rune.approver), rune.time)
            if used:
                connection.execute(
                    "INSERT OR REPLACE INTO device_use VALUES (?, ?)", (rune.approver, rune.time)
                )
            decided = item and _decide(connection, item, State.APPROVED, rune.by, rune.time)
        self._standing += 1
        if used:
            self._used[rune.approver] = rune.time
        if decided is not None:
            self._keep([decided], rune.time)
        return decided

    def close(
        self,
        items: Iterable[Item],
        state: State,
        rule: str,
        now: UnixTime,
        records: Sequence[Record] = (),
    ) -> tuple[Item, ...]:
        """Remember that these are denied or expired."""
        with self._store.transaction(records) as connection:
            closed = tuple(self._close(connection, item, state, rule, now) for item in items)
        self._keep(closed, now)
        return closed

    def plan_revocation(self, name: str, *, with_paired: bool) -> Revocation:
        """What it means to believe a device no more, by its handle, the beginning of that, or its key in hex.

        `with_paired`: nor those that it let in, and so on. Raises Refused.
        """
        # Whatever is wrong with a list: who has the key of a stolen device is rid of it.
        known = self.known_devices()
        device = device_called(name, known)
        let_in = paired_by(known, device.key)
        concerned = (device, *(let_in if with_paired else ()))
        new = tuple(item.key for item in concerned if item.revoked is None)
        keys = frozenset(new)
        waiting = tuple(item for item in self.waiting if item.keys & keys)
        return Revocation(concerned, tuple(let_in), new, waiting)

    def revoke(
        self, plan: Revocation, *, rule: str, now: UnixTime, records: Sequence[Record] = ()
    ) -> Revoked:
        """Carry it out. What waits for or by these devices is denied by `rule`."""
        new = plan.new
        with self._store.transaction(records) as connection:
            connection.executemany("INSERT INTO revoked VALUES (?, ?)", [(key, now) for key in new])
            denied = tuple(self._close(connection, item, State.DENIED, rule, now) for item in plan.waiting)
            # Whatever fails has to fail in here: afterwards, memory could not follow the disk.
            standing = self._count_standing()
        self._revoked |= dict.fromkeys(new, now)
        self._standing = standing
        self._keep(denied, now)
        return Revoked(
            devices=tuple(replace(item, revoked=self._revoked[item.key]) for item in plan.concerned),
            new=new,
            denied=denied,
            let_in=tuple(item for item in plan.let_in if item.key not in self._revoked),
        )

    def _close(
        self, connection: sqlite3.Connection, item: Item, state: State, rule: str, now: UnixTime
    ) -> Item:
        # It counts as answered: also under another policy, and with another clock, it is not answered later.
        timestamp = UnixTime(item.approval.timestamp)
        self._store.note_approval(item.digest, timestamp=timestamp, expires=item.expires, now=now)
        return _decide(connection, item, state, rule, now)

    def _keep(self, items: Iterable[Item], now: UnixTime) -> None:
        self._items |= {item.digest: item for item in items}
        for digest in [d for d, item in self._items.items() if _is_forgotten(item, now)]:
            del self._items[digest]

    def _count_standing(self) -> int:
        rows = self._store.rows("SELECT count(*) FROM minted WHERE device NOT IN (SELECT key FROM revoked)")
        return int(rows[0][0])


def _decide(connection: sqlite3.Connection, item: Item, state: State, rule: str, now: UnixTime) -> Item:
    decided = replace(item, state=state, rule=rule)
    if item.number:
        connection.execute(
            "UPDATE pairing SET state = ?, rule = ? WHERE number = ?", (state, rule, item.number)
        )
    else:
        decided = replace(decided, number=_insert(connection, decided))
    connection.execute("DELETE FROM pairing WHERE state != 'waiting' AND expires < ?", (now,))
    return decided


def _is_forgotten(item: Item, now: UnixTime) -> bool:
    return item.state is not State.WAITING and item.expires < now


def _is_news(known: UnixTime | None, now: UnixTime) -> bool:
    return known is None or not known <= now < known + USE_SECONDS


def _insert(connection: sqlite3.Connection, item: Item) -> int:
    approval = item.approval
    row = (
        item.digest, approval.device_id, approval.timestamp, approval.device_name, approval.restrictions,
        approval.sig, approval.pubkey, item.approver, item.received, item.expires, item.state, item.rule,
    )  # fmt: skip
    cursor = connection.execute(
        f"INSERT INTO pairing ({_ITEM.removeprefix('number, ')}) "  # noqa: S608 (names of ours)
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        row,
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _item(row: tuple[Any, ...]) -> Item:
    number, digest, device_id, timestamp, name, restrictions, sig, pubkey, *rest = row
    approver, received, expires, state, rule = rest
    approval = PairingApproval(device_id, timestamp, name, restrictions, sig, pubkey, rune="")
    return Item(number, digest, approval, approver, received, expires, State(state), rule)


def _rune_row(rune: MintedRune) -> tuple[Any, ...]:
    by, _, pattern = rune.by.partition(":")
    return (
        rune.device, rune.name, rune.restrictions, rune.fingerprint, rune.time, rune.approver, by,
        pattern if rune.by.startswith(_AUTO) else None,
    )  # fmt: skip


def _rune(row: tuple[Any, ...]) -> MintedRune:
    device, name, restrictions, fingerprint, time, approver, by, pattern = row
    by = by if pattern is None else _AUTO + pattern
    return MintedRune(device, name, restrictions, fingerprint, UnixTime(time), approver, by)

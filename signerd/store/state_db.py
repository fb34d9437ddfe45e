"""What this signer must not forget across a restart: one SQLite file, on disk before an answer leaves."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from signerd.core.audit.record import Head, Record
from signerd.core.state import codec
from signerd.core.state.book import Changes, ChannelId
from signerd.core.state.channel import ChannelState
from signerd.core.state.node import ApprovedPayment, NodeState
from signerd.core.tx.transaction import Outpoint
from signerd.store import audit_table, failure, rehearsal, schema
from signerd.store.mark import Mark
from signerd.store.stored_states import StoredStates
from signerd.units import UnixTime

PRUNE_SECONDS = 60
"""How often expired approvals are forgotten, at most."""
CACHED_CHANNELS = 256
"""Channels that are kept decoded; the others are read first, mostly from memory."""


class StateDb:
    """The store, and the Book that handlers read. Raises StateError when the disk fails."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cache: OrderedDict[ChannelId, ChannelState] = OrderedDict()
        # A look-up in SQLite takes longer than what is done with a channel's state.
        self._stored = StoredStates()
        try:
            self._connection = schema.open_store(path)
        except (sqlite3.Error, OSError) as error:
            raise failure.failed(self._path, error) from error
        self._node = self._load_node()
        # Counting them takes longer, the more there are: done once, and then kept up with.
        self._channels = self._count("channel")
        self._foreign = self._count("foreign_channel")
        self._pruned = UnixTime(-PRUNE_SECONDS)
        self._audit_head: Head | None = None
        self._marked: Mark | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Flush and let go of the file."""
        self._connection.close()

    # What handlers read

    @property
    def directory(self) -> Path:
        """Where the file is."""
        return self._path.parent

    @property
    def node(self) -> NodeState:
        """The node as a whole."""
        return self._node

    def channel(self, channel_id: ChannelId) -> ChannelState | None:
        """One channel, None if there is none."""
        if channel_id in self._cache:
            self._cache.move_to_end(channel_id)
            return self._cache[channel_id]
        key = _key(channel_id)
        state = self._stored.get(key)
        if state is None:
            row = self._one("SELECT state FROM channel WHERE id = ?", (key,))
            if row is None:
                return None
            state = row[0]
        channel = codec.decode_channel(state)
        self._stored.put(key, state)
        self._keep(channel_id, channel)
        return channel

    def has_channel(self, channel_id: ChannelId) -> bool:
        """Whether `channel` would find it; its state is not looked at."""
        key = _key(channel_id)
        if channel_id in self._cache or self._stored.get(key) is not None:
            return True
        return self._one("SELECT 1 FROM channel WHERE id = ?", (key,)) is not None

    @property
    def channel_count(self) -> int:
        """How many channels are known, forgotten ones that must stay known with them."""
        return self._channels

    @property
    def highest_channel(self) -> int:
        """The highest database id of a channel, forgotten and foreign ones with them; 0 before the first."""
        row = self._one(
            "SELECT max(substr(id, -8)) "
            "FROM (SELECT id FROM channel UNION ALL SELECT id FROM foreign_channel)",
            (),
        )
        known = int.from_bytes(row[0], "big") if row and row[0] else 0
        return max(known, self._node.forgotten_dbid)

    @property
    def writes(self) -> int:
        """How many rows were written since it was opened."""
        return self._connection.total_changes

    def channel_funded_by(self, outpoint: Outpoint) -> ChannelId | None:
        """The channel that an output carries, None for any other output."""
        row = self._one("SELECT channel FROM funding WHERE outpoint = ?", (outpoint.serialize(),))
        return None if row is None else _channel_id(row[0])

    def is_foreign(self, channel_id: ChannelId) -> bool:
        """Whether another signer has made this channel, and we do not know its state."""
        if not self._foreign:
            return False
        return self._one("SELECT 1 FROM foreign_channel WHERE id = ?", (_key(channel_id),)) is not None

    @property
    def foreign_count(self) -> int:
        """How many such channels are known."""
        return self._foreign

    def payment(self, payment_hash: bytes) -> ApprovedPayment | None:
        """An approval, expired or not."""
        row = self._one(
            "SELECT invoice_hash, amount_msat, expires FROM payment WHERE payment_hash = ?", (payment_hash,)
        )
        return None if row is None else ApprovedPayment(row[0], int(row[1]), row[2])

    def payments_since(self, time: UnixTime) -> int:
        """How many approvals do not expire before `time`."""
        row = self._one("SELECT count(*) FROM payment WHERE expires >= ?", (time,))
        return 0 if row is None else int(row[0])

    def approvals(self) -> dict[bytes, UnixTime]:
        """Digest (32 bytes) → until when to remember it, of the approvals that were answered."""
        try:
            rows = self._connection.execute("SELECT digest, expires FROM approval").fetchall()
        except sqlite3.Error as error:
            raise failure.failed(self._path, error) from error
        return {digest: UnixTime(expires) for digest, expires in rows}

    def approval_floor(self) -> UnixTime:
        """The latest timestamp of an approval that was forgotten: what is dated then may be a replay."""
        row = self._one("SELECT timestamp FROM approval_floor WHERE id = 0", ())
        return UnixTime(0 if row is None else row[0])

    @property
    def mark(self) -> Mark | None:
        """By what this store is known again; None if it never was in use."""
        row = self._one("SELECT name, node_id, uses FROM lineage WHERE id = 0", ())
        found = None if row is None else Mark(*row)
        if self._marked not in (None, found):
            raise failure.gone_back(self._path, "another mark")
        return found

    @property
    def audit_head(self) -> Head:
        """The last record of the audit chain, number 0 before the first."""
        if self._audit_head is None:
            try:
                self._audit_head = audit_table.head(self._connection)
            except sqlite3.Error as error:
                raise failure.failed(self._path, error) from error
        return self._audit_head

    # What is remembered; on disk when these return

    def set_mark(self, mark: Mark) -> None:
        """Remember by what this store is known again."""
        try:
            with self._connection:
                self._connection.execute(
                    "INSERT OR REPLACE INTO lineage VALUES (0, ?, ?, ?)",
                    (mark.name, mark.node_id, mark.uses),
                )
        except sqlite3.Error as error:
            raise failure.failed(self._path, error) from error
        self._marked = mark
        if self._audit_head is not None and not self._audit_head.number:
            self._audit_head = None  # an empty chain begins with the mark

    def commit(self, changes: Changes, records: Sequence[Record] = ()) -> None:
        """All of it or nothing, with the records of what was decided."""
        channels, foreign, head = self._channels, self._foreign, self.audit_head
        states = {
            channel_id: None if channel is None else codec.encode(channel)
            for channel_id, channel in changes.channels.items()
        }
        try:
            with self._connection:
                for channel_id, channel in changes.channels.items():
                    channels += self._write_channel(channel_id, channel, states[channel_id])
                for payment_hash, payment in changes.payments.items():
                    self._write_payment(payment_hash, payment)
                if changes.foreign:
                    foreign += self._connection.executemany(
                        "INSERT OR IGNORE INTO foreign_channel VALUES (?)",
                        [(_key(channel_id),) for channel_id in changes.foreign],
                    ).rowcount
                if changes.node is not None:
                    self._connection.execute(
                        "INSERT OR REPLACE INTO node VALUES (0, ?)", (codec.encode(changes.node),)
                    )
                if records:
                    head = audit_table.append(self._connection, head, records)
        except sqlite3.Error as error:
            raise failure.failed(self._path, error) from error
        # Memory follows the disk, never the other way round.
        self._channels, self._foreign, self._audit_head = channels, foreign, head
        for channel_id, channel in changes.channels.items():
            self._follow(channel_id, channel, states[channel_id])
        self._node = changes.node or self._node

    def rehearse(self, *, thorough: bool) -> None:
        """Write to every table and take it back; `thorough` looks at what is there too. Raises StateError.

        StateDamaged, if the disk works again and has gone back to what was there earlier.
        """
        try:
            rehearsal.rehearse(self._connection, thorough=thorough)
            if self._audit_head not in (None, audit_table.head(self._connection)):
                raise failure.gone_back(self._path, "another last record")
        except sqlite3.Error as error:
            raise failure.failed(self._path, error) from error
        if thorough:
            # What can be read may still be no state, and would be met again.
            self.require_channels()
            if self._load_node() != self._node:
                raise failure.gone_back(self._path, "another state of the node")

    def require_channels(self) -> None:
        """Read the state of every channel. Raises StateError, for another than was committed too."""
        rows = 0
        try:
            for key, state in self._connection.execute("SELECT id, state FROM channel"):
                channel, known = codec.decode_channel(state), self._stored.get(key)
                if known not in (None, state) or self._cache.get(_channel_id(key), channel) != channel:
                    raise failure.gone_back(self._path, f"another state of channel {_channel_id(key).dbid}")
                if known is None:
                    self._stored.put(key, state)
                rows += 1
        except sqlite3.Error as error:
            raise failure.failed(self._path, error) from error
        if rows != self._channels:
            raise failure.gone_back(self._path, f"{rows} channels, another number")

    def forget_payments(self, before: UnixTime) -> None:
        """Drop the approvals that expired before then."""
        try:
            with self._connection:
                self._connection.execute("DELETE FROM payment WHERE expires < ?", (before,))
        except sqlite3.Error as error:
            raise failure.failed(self._path, error) from error

    def prune_audit(self, *, keep: int, oldest: UnixTime) -> bool:
        """Forget records beyond the newest `keep`, or from before then. Whether there may be more of them."""
        try:
            with self._connection:
                gone = audit_table.prune(self._connection, self.audit_head.number, keep=keep, oldest=oldest)
        except sqlite3.Error as error:
            raise failure.failed(self._path, error) from error
        return gone >= audit_table.PRUNED_AT_ONCE

    def remember_approval(
        self, digest: bytes, *, timestamp: UnixTime, expires: UnixTime, now: UnixTime
    ) -> None:
        """Remember one approval of a pairing; at times forget the expired, but for when they were made."""
        with self.transaction():
            self.note_approval(digest, timestamp=timestamp, expires=expires, now=now)

    @contextlib.contextmanager
    def transaction(self, records: Sequence[Record] = ()) -> Iterator[sqlite3.Connection]:
        """All that happens inside, and the records, are on disk afterwards, or nothing. Not to be nested."""
        head = self.audit_head
        try:
            with self._connection:
                if records:
                    head = audit_table.append(self._connection, head, records)
                yield self._connection
        except sqlite3.Error as error:
            raise failure.failed(self._path, error) from error
        self._audit_head = head

    def note_approval(self, digest: bytes, *, timestamp: UnixTime, expires: UnixTime, now: UnixTime) -> None:
        """As `remember_approval`, as a part of a transaction."""
        if not self._pruned <= now < self._pruned + PRUNE_SECONDS:
            self._prune_approvals(now)
        self._connection.execute(
            "INSERT INTO approval (digest, expires, timestamp) VALUES (?, ?, ?)", (digest, expires, timestamp)
        )

    def rows(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """What a query finds."""
        try:
            found: list[tuple[Any, ...]] = self._connection.execute(query, arguments).fetchall()
        except sqlite3.Error as error:
            raise failure.failed(self._path, error) from error
        return found

    def _prune_approvals(self, now: UnixTime) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO approval_floor SELECT 0, max(timestamp) FROM ("
            "SELECT timestamp FROM approval WHERE expires < ? "
            "UNION ALL SELECT timestamp FROM approval_floor) HAVING max(timestamp) IS NOT NULL",
            (now,),
        )
        self._connection.execute("DELETE FROM approval WHERE expires < ?", (now,))
        self._pruned = now

    def _write_channel(self, channel_id: ChannelId, channel: ChannelState | None, state: bytes | None) -> int:
        """By how many channels there are more. `state` is the channel, encoded."""
        key = _key(channel_id)
        if channel is None:
            return -self._connection.execute("DELETE FROM channel WHERE id = ?", (key,)).rowcount
        updated = self._connection.execute("UPDATE channel SET state = ? WHERE id = ?", (state, key)).rowcount
        if not updated:
            self._connection.execute("INSERT INTO channel VALUES (?, ?)", (key, state))
        known = self._cache.get(channel_id)
        if known is None or known.fundings != channel.fundings:
            self._connection.executemany(
                "INSERT OR REPLACE INTO funding VALUES (?, ?)",
                [(funding.outpoint.serialize(), key) for funding in channel.fundings],
            )
        return 1 - updated

    def _write_payment(self, payment_hash: bytes, payment: ApprovedPayment | None) -> None:
        if payment is None:
            self._connection.execute("DELETE FROM payment WHERE payment_hash = ?", (payment_hash,))
            return
        # Amounts are unsigned 64-bit numbers, SQLite's integers are signed.
        row = (payment_hash, payment.invoice_hash, str(payment.amount_msat), payment.expires)
        self._connection.execute("INSERT OR REPLACE INTO payment VALUES (?, ?, ?, ?)", row)

    def _count(self, table: str) -> int:
        row = self._one(f"SELECT count(*) FROM {table}", ())  # noqa: S608 (a name of ours)
        return 0 if row is None else int(row[0])

    def _load_node(self) -> NodeState:
        row = self._one("SELECT state FROM node WHERE id = 0", ())
        return NodeState() if row is None else codec.decode_node(row[0])

    def _follow(self, channel_id: ChannelId, channel: ChannelState | None, state: bytes | None) -> None:
        """This is on disk: keep it, or that there is none."""
        if channel is None or state is None:
            self._cache.pop(channel_id, None)
            self._stored.drop(_key(channel_id))
        else:
            self._keep(channel_id, channel)
            self._stored.put(_key(channel_id), state)

    def _keep(self, channel_id: ChannelId, channel: ChannelState) -> None:
        self._cache[channel_id] = channel
        self._cache.move_to_end(channel_id)
        while len(self._cache) > CACHED_CHANNELS:
            self._cache.popitem(last=False)

    def _one(self, query: str, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        try:
            row: tuple[Any, ...] | None = self._connection.execute(query, arguments).fetchone()
        except sqlite3.Error as error:
            raise failure.failed(self._path, error) from error
        return row


def _key(channel_id: ChannelId) -> bytes:
    return channel_id.peer_id + channel_id.dbid.to_bytes(8, "big")


def _channel_id(key: bytes) -> ChannelId:
    return ChannelId(key[:-8], int.from_bytes(key[-8:], "big"))

"""Nodes with many channels, for both signers.

signerd's are all opened, by its own core and store, in this process. Of gl-client's one is opened, and the
others are copies with ids and funding outpoints of their own, in the state that its node keeps: opening takes
gl-client longer than all measurements, and what it does with a state does not depend on what is in it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from bench.rig import Contender, Rig
from helpers.lives import account_of, request_of

from signerd.core.keys import secp256k1
from signerd.core.requests import Signed
from signerd.core.signer import Signer
from signerd.core.state.book import ChannelId
from signerd.core.wire.composites import Side
from signerd.dev import commitments, player
from signerd.dev.channel import Channel, Terms
from signerd.dev.ledger import Entry
from signerd.dev.lifecycle import Life
from signerd.dev.steps import Step, Steps
from signerd.store import lineage
from signerd.units import UnixTime

TERMS = Terms(funder=Side.REMOTE, value_sat=10_000_000, push_msat=5_000_000_000)
STATE_FILE = "signerd.db"
WORK_DBID = 1_000_000
"""The first number of the channels that are worked with: above those that are only there."""


class ShortLife(Life):
    """As Life, without sign_remote_htlc_tx: 483 of them would be most of the time."""

    def sign_remote(self, channel: Channel) -> Steps[None]:
        channel.updates.sign(Side.REMOTE)
        held = channel.compose_next(Side.REMOTE)
        whole = commitments.sign_remote(channel, held)
        yield next(whole)
        whole.close()
        channel.held[Side.REMOTE].append(held)
        channel.revocation_due = True


def work_life(contender: Contender) -> ShortLife:
    """Whose channels the measurements are about."""
    account = account_of(contender.device.keys)
    return ShortLife(account, seed=b"work", now=int(time.time()), first_dbid=WORK_DBID)


def open_in_store(contender: Contender, count: int) -> list[ChannelId]:
    """`count` more channels in the store of a signerd that is not running."""
    keys, now = contender.device.keys, int(time.time())
    signer, ids = Signer(keys, "regtest"), []
    with lineage.in_use(contender.directory / STATE_FILE, keys.node_id) as store:
        life = Life(account_of(keys), seed=b"others", now=now)

        def answer(step: Step) -> bytes:
            outcome = signer.handle(request_of(step), store, UnixTime(now))
            assert isinstance(outcome, Signed), f"{step.name}: {outcome}"
            store.commit(outcome.changes)
            return outcome.reply

        for _ in range(count):
            channel = player.play_at_once(answer, life.open(TERMS))
            life.channels.clear()
            ids.append(ChannelId(channel.peer.node_id, channel.dbid))
    return ids


async def peer_state(rig: Rig, peer: Contender) -> list[Entry]:
    """What gl-client's node keeps after one channel was opened."""
    async with rig.running(peer) as signer:
        await signer.attached()
        life = Life(account_of(peer.device.keys), seed=b"others", now=int(time.time()))
        await signer.until(player.play(signer.node, life.open(TERMS)))
        return signer.node.state.live()


def made_up(count: int) -> list[ChannelId]:
    """Ids of channels that nobody opened."""
    secrets = (hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(count))
    return [ChannelId(secp256k1.public_key(secret), dbid) for dbid, secret in enumerate(secrets, start=2)]


def state_with(template: Sequence[Entry], node_id: bytes, ids: Iterable[ChannelId]) -> list[Entry]:
    """The state of a node that has these channels, each like the one in `template`.

    A node whose own state the template is keeps that one too.
    """
    channel = _only(template, "channels/")
    head, _, tracker = _only(template, "trackers/").value.partition(b'"listeners":[')
    listener = tracker[: tracker.rindex(b'],"network"')]
    txid = channel.value.partition(b'"txid":"')[2][:64]
    entries: list[Entry] = []
    listeners = [listener] if node_id.hex() in channel.key else []
    for channel_id in ids:
        other = hashlib.sha256(channel_id.peer_id + channel_id.dbid.to_bytes(8, "big")).digest()
        key = node_id + channel_id.peer_id + channel_id.dbid.to_bytes(8, "little")
        value = _with_txid(channel.value, txid, other)
        entries.append(replace(channel, key=f"channels/{key.hex()}", value=value))
        listeners.append(_with_txid(listener, txid, other))
    tail = tracker[len(listener) :]
    whole = head + b'"listeners":[' + b",".join(listeners) + tail
    for entry in template:
        kind = entry.key.partition("/")[0]
        if kind != "channels":
            value = whole if kind == "trackers" else entry.value
            entries.append(
                replace(entry, key=f"{kind}/{node_id.hex()}", value=value, version=entry.version + 1)
            )
    return entries


def changing(entries: Sequence[Entry]) -> Iterator[Entry]:
    """One entry of a channel after the other as it would look after a request about it, without end."""
    channels = [entry for entry in entries if entry.key.startswith("channels/")]
    version = max(entry.version for entry in channels)
    while True:
        for entry in channels:
            version += 1
            value = entry.value.replace(b'"blockheight":null', b'"blockheight":%d' % version)
            yield replace(entry, version=version, value=value)


def _with_txid(value: bytes, old: bytes, new: bytes) -> bytes:
    """Both ways round: as displayed, and as hashed."""
    reversed_old = bytes.fromhex(old.decode())[::-1].hex().encode()
    return value.replace(old, new.hex().encode()).replace(reversed_old, new[::-1].hex().encode())


def _only(entries: Sequence[Entry], prefix: str) -> Entry:
    (found,) = [entry for entry in entries if entry.key.startswith(prefix)]
    return found

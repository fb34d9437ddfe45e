"""Requests that are made, not recorded: a commitment as the tape has it, composed and signed as by a peer.

What is only composed rightly gets past the comparison of transactions, to where numbers decide.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from helpers.one_channel import ANCHORS, STATIC, OneChannel, bitcoin_tx, offered, received

from fuzz.lives import Life
from fuzz.tape import Tape
from signerd.core.requests import Context, SigningRequest
from signerd.core.signer import Signer
from signerd.core.state.channel import Funding
from signerd.core.tx.chains import CHAIN_HASHES
from signerd.core.tx.signing import Dialect
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction
from signerd.core.wire import channel as channel_wire
from signerd.core.wire import codec, onchain, session
from signerd.core.wire.composites import Htlc

SECRET = b"\x21" * 32
"""Of the node in `OneChannel`."""
MOST_HTLCS = 12
MAIN_DAEMONS = frozenset({5, 11, 30, 34, 146})
"""Types of messages that are not asked by a channel's daemon."""
SPLICES = (1_200_000, 800_000)
"""The value of the funding after a splice that puts in, and one that takes out: satoshi."""
_ELSEWHERE = Output(300_000, b"\x00\x14" + bytes(20))
_SPLICE_FEE = 1000


def _request(channel: OneChannel, message: Any) -> SigningRequest:
    context = Context(channel.id.peer_id, channel.id.dbid, 0)
    return SigningRequest(1, codec.encode(message), None if message.TYPE in MAIN_DAEMONS else context)


def _opening(channel: OneChannel) -> list[SigningRequest]:
    messages = (channel.new(), channel.set_up(), channel.sign_remote(0), channel.validate(0))
    return [_request(channel, message) for message in messages]


@cache
def channels() -> Mapping[str, OneChannel]:
    """One of each kind, by the name of its life."""
    return {
        f"made, {dialect.value}, {channel_type.hex()}, {is_outbound}": OneChannel(
            dialect=dialect, channel_type=channel_type, is_outbound=is_outbound, push_msat=400_000_000
        )
        for dialect in Dialect
        for channel_type in (STATIC, ANCHORS)
        for is_outbound in (True, False)
    }


@cache
def lives() -> tuple[Life, ...]:
    """Their openings."""
    return tuple(
        Life.of(name, SECRET, Signer(channel.node, channel.network, channel.dialect), _opening(channel))
        for name, channel in channels().items()
    )


def _htlcs(tape: Tape) -> list[Htlc]:
    found = []
    for at in range(tape.number() % (MOST_HTLCS + 1)):
        amount = tape.number(2) * 10_000
        found.append((offered if at & 1 else received)(tape.number() % 8, amount, 500 + tape.number() % 4))
    return found


def splice_of(channel: OneChannel, value_sat: int) -> tuple[Transaction, Funding]:
    """A transaction that moves the first funding to another value, with somebody's money beside it."""
    old = channel.funding
    change = old.value_sat + _ELSEWHERE.value - value_sat - _SPLICE_FEE
    tx = Transaction(
        2,
        (Input(old.outpoint, 0), Input(Outpoint(b"\x0a" * 32, 3), 0xFFFF_FFFD)),
        (Output(value_sat, channel.composer.funding_output(old).script), Output(change, _ELSEWHERE.script)),
    )
    return tx, Funding(Outpoint(tx.txid, 0), value_sat, old.counterparty_key)


def _sign_splice(channel: OneChannel, value_sat: int) -> onchain.SignSpliceTx:
    tx, _ = splice_of(channel, value_sat)
    spent = [channel.composer.funding_output(channel.funding), _ELSEWHERE]
    return onchain.SignSpliceTx(bitcoin_tx(tx, spent), channel.funding.counterparty_key, 0)


def _init(version: int) -> session.Init:
    """A plain node's, of this wire version at most."""
    chain = CHAIN_HASHES["regtest"]
    return session.Init(*PUBLIC_AND_PRIVATE, chain, None, None, None, None, None, min(4, version), version)


PUBLIC_AND_PRIVATE = (0x043587CF, 0x04358394)
"""BIP 32's versions on test networks."""


def make(life: Life, tape: Tape) -> SigningRequest | None:
    """The next request of a made life. None for what cannot even be composed."""
    channel = channels()[life.name]
    kind, number, htlcs = tape.one_of(_KINDS), tape.number() % 8, _htlcs(tape)
    feerate, shift = 253 + tape.number() * 40, tape.signed() * 1_000_000
    where = tape.number() % 4
    before = channel.balances, channel.feerate, channel.funding
    value = SPLICES[where // 2]
    added = 0 if where & 1 else (value - channel.funding.value_sat) * 1000
    message: codec.Message
    try:
        if kind is Kind.SPLICE:
            message = _sign_splice(channel, value)
        else:
            ours, theirs = channel.balances
            in_flight = sum(item.amount_msat for item in htlcs)
            channel.balances = (ours + shift, theirs + added - shift - in_flight)
            channel.feerate = feerate
            channel.funding = channel.funding if where & 1 else splice_of(channel, value)[1]
            message = _MAKERS[kind](channel, number, htlcs)
    except (ValueError, OverflowError, IndexError, AssertionError):
        return None
    finally:
        channel.balances, channel.feerate, channel.funding = before
    return _request(channel, message)


class Kind(enum.IntEnum):
    """What can be asked."""

    SIGN = 0
    VALIDATE = 1
    REVOCATION = 2
    REVOKE = 3
    PUBLISH = 4
    REMOTE_HTLC = 5
    LOCAL_HTLC = 6
    SET_UP = 7
    LOCK = 8
    POINT = 9
    FORGET = 10
    NEW = 11
    SPLICE = 12
    INIT = 13


_KINDS = tuple(Kind)
_MAKERS: Mapping[Kind, Callable[[OneChannel, int, list[Htlc]], Any]] = {
    Kind.SIGN: lambda channel, number, htlcs: channel.sign_remote(number, htlcs),
    Kind.VALIDATE: lambda channel, number, htlcs: channel.validate(number, htlcs),
    Kind.REVOCATION: lambda channel, number, htlcs: channel.revocation(number),
    Kind.REVOKE: lambda channel, number, htlcs: channel_wire.RevokeCommitmentTx(number),
    Kind.PUBLISH: lambda channel, number, htlcs: channel.publish(number, htlcs),
    Kind.REMOTE_HTLC: lambda channel, number, htlcs: channel.remote_htlc(number, htlcs),
    Kind.LOCAL_HTLC: lambda channel, number, htlcs: channel.local_htlc(number, htlcs),
    Kind.SET_UP: lambda channel, number, htlcs: channel.set_up(),
    Kind.LOCK: lambda channel, number, htlcs: channel_wire.LockOutpoint(
        channel.funding.outpoint.txid, channel.funding.outpoint.index
    ),
    Kind.POINT: lambda channel, number, htlcs: channel_wire.GetPerCommitmentPoint(number),
    Kind.FORGET: lambda channel, number, htlcs: channel_wire.ForgetChannel(
        channel.id.peer_id, channel.id.dbid + number // 4
    ),
    Kind.NEW: lambda channel, number, htlcs: channel_wire.NewChannel(
        channel.id.peer_id, channel.id.dbid + number // 4
    ),
    Kind.INIT: lambda channel, number, htlcs: _init(number),
}

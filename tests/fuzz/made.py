"""Requests that are made, not recorded: a commitment as the tape has it, composed and signed as by a peer.

What is only composed rightly gets past the comparison of transactions, to where numbers decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from helpers.one_channel import ANCHORS, STATIC, OneChannel, offered, received

from fuzz.lives import Life
from fuzz.tape import Tape
from signerd.core.requests import Context, SigningRequest
from signerd.core.signer import Signer
from signerd.core.state.channel import Funding
from signerd.core.tx.signing import Dialect
from signerd.core.tx.transaction import Outpoint
from signerd.core.wire import channel as channel_wire
from signerd.core.wire import codec
from signerd.core.wire.composites import Htlc

SECRET = b"\x21" * 32
"""Of the node in `OneChannel`."""
MOST_HTLCS = 12
MAIN_DAEMONS = frozenset({5, 30, 34, 146})
"""Types of messages that name their channel themselves."""
SECOND = Outpoint(b"\x09" * 32, 0)
"""A splice."""


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


def make(life: Life, tape: Tape) -> SigningRequest | None:
    """The next request of a made life. None for what cannot even be composed."""
    channel = channels()[life.name]
    kind, number, htlcs = tape.one_of(_KINDS), tape.number() % 8, _htlcs(tape)
    feerate, balance = 253 + tape.number() * 40, tape.signed() * 1_000_000
    funding = None if tape.number() % 4 else Funding(SECOND, 1_000_000, channel.funding.counterparty_key)
    before = channel.balances, channel.feerate
    ours, theirs = channel.balances
    in_flight = sum(item.amount_msat for item in htlcs)
    channel.balances, channel.feerate = (ours + balance, theirs - balance - in_flight), feerate
    try:
        message = kind(channel, number, htlcs, funding)
    except (ValueError, OverflowError, IndexError, AssertionError):
        return None
    finally:
        channel.balances, channel.feerate = before
    return _request(channel, message)


Maker = Callable[[OneChannel, int, list[Htlc], Funding | None], Any]

_KINDS: tuple[Maker, ...] = (
    lambda channel, number, htlcs, funding: channel.sign_remote(number, htlcs, funding=funding),
    lambda channel, number, htlcs, funding: channel.validate(number, htlcs, funding=funding),
    lambda channel, number, htlcs, funding: channel.revocation(number),
    lambda channel, number, htlcs, funding: channel_wire.RevokeCommitmentTx(number),
    lambda channel, number, htlcs, funding: channel.publish(number, htlcs),
    lambda channel, number, htlcs, funding: channel.remote_htlc(number, htlcs),
    lambda channel, number, htlcs, funding: channel.local_htlc(number, htlcs),
    lambda channel, number, htlcs, funding: channel.set_up(funding),
    lambda channel, number, htlcs, funding: channel_wire.LockOutpoint(
        (funding or channel.funding).outpoint.txid, (funding or channel.funding).outpoint.index
    ),
    lambda channel, number, htlcs, funding: channel_wire.GetPerCommitmentPoint(number),
    lambda channel, number, htlcs, funding: channel_wire.ForgetChannel(
        channel.id.peer_id, channel.id.dbid + number // 4
    ),
    lambda channel, number, htlcs, funding: channel_wire.NewChannel(
        channel.id.peer_id, channel.id.dbid + number // 4
    ),
)


def seeds() -> Iterator[bytes]:
    """What follows an opening: each kind of request by itself, and whole lives. Action 11 is `make`."""

    def choices(kind: int, number: int, htlcs: int = 0, *, spliced: bool = False) -> bytes:
        return bytes([11, kind, number, htlcs, *_HTLC * htlcs, 20, 0, not spliced])

    for kind in range(len(_KINDS)):
        for htlcs in range(3):
            yield choices(kind, 1, htlcs)
            yield choices(kind, 1, htlcs) * 2
            yield choices(kind, 1, htlcs, spliced=True)
    for htlcs in range(4):
        life = b"".join(
            choices(0, number, htlcs)
            + choices(2, number - 1)
            + choices(1, number, htlcs)
            + choices(3, number - 1)
            for number in (1, 2, 3)
        )
        claims = choices(5, 3, htlcs) + choices(4, 3, htlcs) + choices(6, 3, htlcs)
        yield life + claims + choices(10, 0) + choices(11, 0)
        # What is over: the commitment before, its HTLCs, its point; a revocation too many.
        yield life + b"".join(choices(kind, 2, htlcs) for kind in (4, 6, 5, 9, 0, 1, 2, 3))
        yield life + choices(3, 3) + choices(2, 3) + choices(4, 3, htlcs) + choices(3, 2)
        both = b"".join(choices(kind, 0, spliced=spliced) for kind in (0, 1) for spliced in (True, False))
        spliced = choices(7, 0, spliced=True) + both + choices(8, 0, spliced=True)
        yield spliced + life
        yield spliced + choices(8, 0) + choices(0, 1) + choices(1, 1) + choices(3, 0)
        yield choices(7, 0, spliced=True) + both + choices(1, 1, spliced=True) + choices(3, 0)
    yield b"".join(choices(kind, number) for kind, number in ((11, 4), (10, 4), (10, 0), (11, 0), (11, 4)))
    yield b"".join(choices(kind, number) for kind, number in ((11, 4), (10, 0), (10, 4), (11, 4), (11, 0)))


_HTLC = (9, 9, 9, 9)

"""A channel is found by what carries it, for as long as it is known."""

from __future__ import annotations

from dataclasses import replace

from signerd.core.state.book import Changes, ChannelId, MemoryBook
from signerd.core.state.channel import ChannelState, Funding
from signerd.core.tx.transaction import Outpoint

FIRST, SECOND = (Outpoint(bytes([number]) * 32, number) for number in (1, 2))
ONE, OTHER = (ChannelId(b"\x02" + bytes(32), dbid) for dbid in (1, 2))


def carried(*outpoints: Outpoint) -> ChannelState:
    return ChannelState(fundings=tuple(Funding(outpoint, 1000, b"") for outpoint in outpoints))


def book_with(**channels: ChannelState) -> MemoryBook:
    book = MemoryBook()
    book.apply(
        Changes(channels={{"one": ONE, "other": OTHER}[name]: item for name, item in channels.items()})
    )
    return book


def test_finds_a_channel_by_each_of_its_fundings():
    book = book_with(one=carried(FIRST, SECOND), other=ChannelState())
    assert [ONE, ONE] == [book.channel_funded_by(outpoint) for outpoint in (FIRST, SECOND)]
    assert book.channel_funded_by(replace(FIRST, index=9)) is None


def test_finds_a_channel_by_the_funding_that_a_splice_adds():
    book = book_with(one=carried(FIRST))
    assert book.channel_funded_by(SECOND) is None
    book.apply(Changes(channels={ONE: carried(FIRST, SECOND)}))
    assert [ONE, ONE] == [book.channel_funded_by(outpoint) for outpoint in (FIRST, SECOND)]


def test_a_removed_channel_is_not_found_by_its_funding():
    book = book_with(one=carried(FIRST), other=carried(FIRST, SECOND))
    assert ONE == book.channel_funded_by(FIRST)
    book.apply(Changes(channels={ONE: None}))
    assert [OTHER, OTHER] == [book.channel_funded_by(outpoint) for outpoint in (FIRST, SECOND)]
    book.apply(Changes(channels={OTHER: None, ONE: None}))
    assert book.channel_funded_by(FIRST) is None

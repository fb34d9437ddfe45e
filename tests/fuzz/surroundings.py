"""Edits of what comes with a message: for whom it is asked, the node's state entries, a client's calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fuzz import octets
from fuzz.tape import Tape
from fuzz.witness import Witness
from signerd.core.requests import Context, Entry, PendingRequest, SigningRequest
from signerd.core.state.book import ChannelId

BITS = (0, 1, 12, 24, 40, 447, 1024, 1027, 2**32 - 1, 2**64 - 1)
DBIDS = (0, 1, 2, 3, 7, 2**31, 2**63, 2**64 - 1)
VALUES = (
    b"null", b"{}", b"[]", b"1", b'""', b"", b"{", b"[" * 3000, b'{"channel_setup":null}',
    b'{"channel_setup":{"is_outbound":true}}',
    b'{"invoices":[],"issued_invoices":[],"preimages":{},"dbid_high_water_mark":3}', b"\xff\xfe",
    b'"\\ud800"',
)  # fmt: skip
URIS = (
    "", "/cln.Node/Pay", "/cln.Node/PreApproveInvoice", "/greenlight.Node/TrampolinePay", "/cln.Node/SendPay",
    "/cln.Node/Invoice", "\udcff", "/" * 300,
)  # fmt: skip
MOST = 300


def with_context(request: SigningRequest, tape: Tape, witness: Witness) -> SigningRequest:
    """None, or a channel: a known one, one that is near it, or any bytes."""
    way = tape.number() % 6
    if way == 0:
        return replace(request, context=None)
    old = request.context or Context(b"", 0, 0)
    if way == 1:
        return replace(request, context=replace(old, capabilities=tape.one_of(BITS)))
    if way == 2:
        return replace(request, context=replace(old, dbid=tape.one_of(DBIDS)))
    if way == 3:
        return replace(request, context=replace(old, node_id=octets.edit(old.node_id, tape)[:100]))
    channel_id = _channel(tape, witness)
    return replace(request, context=Context(channel_id.peer_id, channel_id.dbid, old.capabilities))


def with_entry(request: SigningRequest, tape: Tape, witness: Witness) -> SigningRequest:
    """One entry more, or some."""
    channel_id = _channel(tape, witness)
    node_id = bytes(witness.signer.keys.node_id)
    key = (node_id + channel_id.peer_id + channel_id.dbid.to_bytes(8, "little")).hex()
    kind = tape.one_of(("channels", "nodestates", "nodes", "trackers", "channels/"))
    way, version = tape.number(), tape.one_of((0, 1, 2**32, 2**64 - 1))
    if way & 1:
        key = octets.edit(key.encode(), tape)[:400].decode("latin-1")
    value = tape.octets() if way & 2 else tape.one_of(VALUES)
    entry = Entry(f"{kind}/{key}", version, value, b"")
    return replace(request, entries=(request.entries + (entry,) * (tape.number(2) % MOST or 1))[:MOST])


def with_call(request: SigningRequest, tape: Tape, recorded: Sequence[PendingRequest]) -> SigningRequest:
    """One call more: a recorded one, with another method or other bytes, or one without sense."""
    way, call = tape.number(), tape.one_of(recorded)
    if way & 1:
        call = replace(call, uri=tape.one_of(URIS))
    if way & 2:
        call = replace(call, request=octets.edit(call.request, tape))
    if way & 4:
        call = replace(call, request=b"\x00" + len(body := tape.octets()).to_bytes(4, "big") + body)
    if way & 8:
        call = replace(call, rune=octets.edit(call.rune, tape), timestamp=tape.number(8))
    if way & 16:
        call = replace(call, signature=tape.octets(), pubkey=tape.octets())
    if way & 32:
        return replace(request, pending=())
    return replace(request, pending=(*request.pending, call)[:MOST])


def _channel(tape: Tape, witness: Witness) -> ChannelId:
    known = list(witness.book.channels) or [ChannelId(b"\x02" * 33, 1)]
    found = tape.one_of(known)
    # On the wire it has 64 bits.
    return replace(found, dbid=(found.dbid + tape.signed()) % 2**64) if tape.number() & 1 else found

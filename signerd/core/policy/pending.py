"""Can the client's calls that came with a request be read at all? Whether they are genuine is not asked.

A call is a gRPC frame: a flag (0, or 1 when compressed), a length (u32 big-endian), a protobuf message.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from signerd.core.policy import payments
from signerd.core.requests import PendingRequest
from signerd.errors import MalformedMessage

ASKED_FOR = frozenset({8, 38, 39})
"""Messages that a client's call brings about."""

_HEAD = 5
_INVOICE = {
    "/cln.Node/Pay": 1,
    "/cln.Node/PreApproveInvoice": 1,
    "/greenlight.Node/TrampolinePay": 1,
}
"""Method → the number of the field with the invoice that it must have."""
_OPTIONAL_INVOICE = {"/cln.Node/SendPay": 5}

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT = 10
"""Bytes."""


def require_readable(pending: Sequence[PendingRequest]) -> None:
    """Raises MalformedMessage for a call that is no frame, and for one to pay what is no invoice."""
    for item in pending:
        try:
            _require_readable(item)
        except MalformedMessage as problem:
            raise MalformedMessage(f"the pending call of {item.uri[:64]!r}: {problem.message}") from None


def _require_readable(item: PendingRequest) -> None:
    if len(item.request) < _HEAD or item.request[0]:
        raise MalformedMessage("it is not an uncompressed frame")
    message = item.request[_HEAD:]
    if item.uri in _INVOICE:
        texts = list(_texts(message, _INVOICE[item.uri])) or [b""]
    elif item.uri in _OPTIONAL_INVOICE:
        texts = list(_texts(message, _OPTIONAL_INVOICE[item.uri]))
    else:
        return
    for text in texts:
        payments.require_invoice(payments.without_scheme(text.decode("utf-8", errors="replace")))


def _texts(message: bytes, field: int) -> Iterator[bytes]:
    """The values of one length-delimited field; nothing after bytes that are no protobuf."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        kind = key & 7
        if kind == _DELIMITED:
            size, position = _varint(message, position)
            if key >> 3 == field and position + size <= len(message):
                yield message[position : position + size]
            position += size
        elif kind == _VARINT:
            _, position = _varint(message, position)
        elif kind in (_FIXED64, _FIXED32):
            position += 8 if kind == _FIXED64 else 4
        else:
            return


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(message[position : position + _MAX_VARINT]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, position + place + 1
    # Cut short or too long: nothing after it can be read.
    return 0, len(message)

"""Events to journald in its own protocol: one datagram each, every field by its name.

The protocol (systemd's "Native Journal Protocol"): `NAME=value` and a line feed for each field; where the
value has line feeds itself, `NAME`, a line feed, the length as 64 bits in little endian, the value and a line
feed.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

from signerd.observe import catalogue, lines
from signerd.observe.event import Event, Level

SOCKET = Path("/run/systemd/journal/socket")

PRIORITIES: Mapping[Level, int] = {"debug": 7, "info": 6, "warning": 4, "error": 3}
"""syslog(3)"""

_SHORT = {"node_id": "NODE", "request_id": "REQ"}
_LENGTH = struct.Struct("<Q")


class Journal:
    """The way to journald. Every datagram finds it anew: journald may be restarted, and come late."""

    def __init__(self, path: Path = SOCKET, *, node: str | None = None) -> None:
        self._path = os.fspath(path)
        self._node = node
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def send(self, event: Event, at: float) -> bool:
        """Whether journald has it: it may not be there, not keep up, or take nothing of that size."""
        del at  # it reads the clock itself, and so orders our lines with everybody's
        try:
            self._socket.sendto(encode(fields_of(event, node=self._node)), self._path)
        except OSError:
            return False
        return True

    def close(self) -> None:
        self._socket.close()


def fields_of(event: Event, *, node: str | None) -> dict[str, str]:
    """The event as the journal's fields. Ours begin with SIGNERD_."""
    told = {
        "MESSAGE": lines.sentence(event),
        "MESSAGE_ID": catalogue.message_id(type(event)),
        "PRIORITY": str(PRIORITIES[event.LEVEL]),
        "SYSLOG_IDENTIFIER": "signerd",
        "SIGNERD_EVENT": event.NAME,
    }
    if node:
        told["SIGNERD_NODE"] = node
    for name, value in lines.fields_of(event).items():
        told[f"SIGNERD_{_SHORT.get(name, name.upper())}"] = str(value)
    return told


def encode(fields: Mapping[str, str]) -> bytes:
    """One entry of the journal."""
    return b"".join(_field(name.encode("ascii"), value.encode("utf-8")) for name, value in fields.items())


def _field(name: bytes, value: bytes) -> bytes:
    if b"\n" in value:
        return name + b"\n" + _LENGTH.pack(len(value)) + value + b"\n"
    return name + b"=" + value + b"\n"


def is_stream(journal_stream: str | None, descriptor: int) -> bool:
    """Whether this descriptor is what JOURNAL_STREAM says leads to the journal: `device:inode`.

    A child of a service inherits the variable, but its stderr may have gone elsewhere since.
    """
    if not journal_stream:
        return False
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return journal_stream == f"{found.st_dev}:{found.st_ino}"


def names(kinds: Iterable[type[Event]]) -> set[str]:
    """Every field that these events have in the journal, for the documentation."""
    own = {"SIGNERD_EVENT", "SIGNERD_NODE"}
    return own | {
        f"SIGNERD_{_SHORT.get(name, name.upper())}" for kind in kinds for name in catalogue.field_names(kind)
    }

"""Who is at the other end of a Unix socket, as the kernel vouches for it."""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from typing import Self

_UCRED = struct.Struct("iII")  # unix(7): pid, uid, gid


@dataclass(frozen=True, slots=True)
class Peer:
    """The process that connected, and its user at that moment."""

    pid: int
    uid: int

    @classmethod
    def of(cls, connection: socket.socket) -> Self:
        """Whoever connected. Raises OSError."""
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        pid, uid, _ = _UCRED.unpack(raw)
        return cls(pid, uid)

    @property
    def may_ask(self) -> bool:
        """Our own user; and root, who could read our memory as well."""
        return self.uid in {os.geteuid(), 0}

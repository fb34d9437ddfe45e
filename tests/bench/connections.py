"""Attempts to connect to a port on loopback that nobody listens on: the kernel refuses them, we only count.

A packet socket counts exactly, and needs CAP_NET_RAW. Without it the kernel's count of failed attempts stands
in: of the whole machine, so anything else that fails to connect meanwhile adds to it.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

_SNMP = Path("/proc/net/snmp")
_ETH_P_IP, _ETH_P_IPV6 = 0x0800, 0x86DD
_SO_ATTACH_FILTER = 26
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_STATISTICS = struct.Struct("=II")

# Classic BPF, and where the fields are: protocol, destination port, TCP flags.
_LOAD_BYTE, _LOAD_HALF, _LOAD_BYTE_X, _LOAD_HALF_X, _X_IP_LENGTH = 0x30, 0x28, 0x50, 0x48, 0xB1
_AND, _JUMP_EQUAL, _RETURN = 0x54, 0x15, 0x06
_TCP, _SYN, _SYN_ACK = 6, 0x02, 0x12
_Instruction = tuple[int, int, int, int]


@contextlib.contextmanager
def counted(port: int) -> Iterator[Callable[[], int]]:
    """Yields a function that says how many attempts there were since it was last asked."""
    with contextlib.ExitStack() as stack:
        try:
            watches = [stack.enter_context(_watch(port, kind)) for kind in (_ETH_P_IP, _ETH_P_IPV6)]
        except PermissionError:
            yield _failed_on_this_machine()
        else:
            yield lambda: sum(_seen(watch) for watch in watches)


def _watch(port: int, protocol: int) -> socket.socket:
    watch = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    try:
        program = _program(port, protocol)
        code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
        fprog = struct.pack("@HP", len(program), ctypes.addressof(code))
        watch.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, fprog)
        # One protocol, and not all: outgoing packets, which loopback brings back, are not seen twice.
        watch.bind(("lo", protocol))
        _seen(watch)
    except BaseException:
        watch.close()
        raise
    return watch


def _program(port: int, protocol: int) -> list[_Instruction]:
    """Let a packet pass that opens a TCP connection to `port`. Jumps count the steps to skip."""
    if protocol == _ETH_P_IP:
        return [
            (_LOAD_BYTE, 0, 0, 9),
            (_JUMP_EQUAL, 0, 7, _TCP),
            (_X_IP_LENGTH, 0, 0, 0),
            (_LOAD_HALF_X, 0, 0, 2),
            (_JUMP_EQUAL, 0, 4, port),
            (_LOAD_BYTE_X, 0, 0, 13),
            (_AND, 0, 0, _SYN_ACK),
            (_JUMP_EQUAL, 0, 1, _SYN),
            (_RETURN, 0, 0, 0xFFFF),
            (_RETURN, 0, 0, 0),
        ]
    return [
        (_LOAD_BYTE, 0, 0, 6),
        (_JUMP_EQUAL, 0, 6, _TCP),
        (_LOAD_HALF, 0, 0, 42),
        (_JUMP_EQUAL, 0, 4, port),
        (_LOAD_BYTE, 0, 0, 53),
        (_AND, 0, 0, _SYN_ACK),
        (_JUMP_EQUAL, 0, 1, _SYN),
        (_RETURN, 0, 0, 0xFFFF),
        (_RETURN, 0, 0, 0),
    ]


def _seen(watch: socket.socket) -> int:
    """Packets that passed the filter since the last time, those included for which there was no room."""
    packets, _dropped = _STATISTICS.unpack(
        watch.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, _STATISTICS.size)
    )
    return int(packets)


def _failed_on_this_machine() -> Callable[[], int]:
    last = _failures()

    def since() -> int:
        nonlocal last
        before, last = last, _failures()
        return last - before

    return since


def _failures() -> int:
    names, values = (line.split() for line in _SNMP.read_text().splitlines() if line.startswith("Tcp:"))
    return int(values[names.index("AttemptFails")])

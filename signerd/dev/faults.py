"""How the local Greenlight misbehaves when told to: one fault per RPC method, or one for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from signerd.errors import UsageError

EVERY_METHOD = "*"

STATUS_NAMES = (
    "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
    "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What a call does wrong; the fields combine, in the order given here."""

    delay: float = 0.0
    """Seconds before anything else."""
    hang: bool = False
    """Accept the call and never answer."""
    status: str | None = None
    """End with this gRPC status: at once, or where `drop_after` says."""
    details: str = "told to fail"
    drop_after: int | None = None
    """End a stream after so many messages (0: at once); a download after so many bytes."""
    reply: bytes | None = None
    """Answer these bytes in the place of the protobuf."""
    pad_to: int | None = None
    """Make each answer at least this long, with an unknown field that decoders skip."""
    times: int | None = None
    """How many calls are affected; None: until cleared."""

    def __post_init__(self) -> None:
        if self.status is not None and self.status not in STATUS_NAMES:
            raise UsageError(f"{self.status!r} is no gRPC status", hint=f"one of {', '.join(STATUS_NAMES)}")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From a control command; `reply` is hex. Raises UsageError for an unknown field."""
        known = {entry.name for entry in fields(cls)}
        if unknown := set(values) - known:
            raise UsageError(f"a fault has no {min(unknown)!r}", hint=f"it has {', '.join(sorted(known))}")
        arguments = dict(values)
        if isinstance(arguments.get("reply"), str):
            arguments["reply"] = bytes.fromhex(arguments["reply"])
        return cls(**arguments)

    def padded(self, message: bytes) -> bytes:
        """`message`, or a longer encoding of the same when `pad_to` asks for it."""
        missing = (self.pad_to or 0) - len(message)
        if missing <= 0:
            return message
        return message + _varint(_PADDING_FIELD << 3 | 2) + _varint(missing) + bytes(missing)

    async def before_the_work(self) -> None:
        """Spend the delay, and hang if told to."""
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.hang:
            await asyncio.get_running_loop().create_future()


class Faults:
    """Which method misbehaves now. A method's own fault goes before the one for every method."""

    def __init__(self, faults: Mapping[str, Fault] | None = None) -> None:
        self._faults: dict[str, Fault] = dict(faults or {})

    def set(self, method: str, fault: Fault) -> None:
        """From now on calls of `method` (`GetNodeInfo`, or `*`) do `fault`; calls in progress go on."""
        self._faults[method] = fault

    def clear(self, method: str | None = None) -> None:
        """Behave again: one method, or all of them."""
        if method is None:
            self._faults.clear()
        else:
            self._faults.pop(method, None)

    def take(self, method: str) -> Fault | None:
        """The fault of one call that has just arrived; counts it."""
        name = method if method in self._faults else EVERY_METHOD
        fault = self._faults.get(name)
        if fault is None or fault.times is None:
            return fault
        if fault.times <= 1:
            del self._faults[name]
        else:
            self._faults[name] = replace(fault, times=fault.times - 1)
        return fault


_PADDING_FIELD = 536_870_000  # far from every field number in use


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)

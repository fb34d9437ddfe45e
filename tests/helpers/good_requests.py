"""One good request of every type that is answered, and the signer just before it: to begin bad ones with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass, replace
from functools import cache
from typing import Any

from fuzz import lives
from fuzz.lives import Life
from fuzz.witness import Witness

from signerd.core import handlers
from signerd.core.requests import Refusal, Signed, SigningRequest
from signerd.core.wire import codec, records
from signerd.core.wire.fields import Field

LONGEST = 2500
"""Bytes: the longest recorded request below that is taken, because it has the most parts."""

ALWAYS_REFUSED = 56
"""There are no BIP 86 keys here: this one is good but for that."""


@dataclass(frozen=True)
class Good:
    """`witness` is just before the request; a copy of it answers."""

    request: SigningRequest
    witness: Witness

    @property
    def message(self) -> Any:
        return codec.decode(self.request.raw)

    @property
    def name(self) -> str:
        return f"{type(self.message).__name__} (type {self.message.TYPE})"

    def but(self, **changes: Any) -> SigningRequest:
        """With other fields of the message."""
        return replace(self.request, raw=codec.encode(replace(self.message, **changes)))

    def refusal(self, request: SigningRequest | bytes) -> Refusal:
        """Of another request, or of this one with other bytes. The witness sees that nothing changes."""
        if isinstance(request, bytes):
            request = replace(self.request, raw=request)
        outcome = self.witness.ask(request)
        assert isinstance(outcome, Refusal), f"{self.name} was answered: {request.raw.hex()}"
        return outcome


@cache
def by_type() -> dict[int, Good]:
    """All of them, by their number."""
    found: dict[int, tuple[Life, int]] = {}
    for life in lives.lives():
        for at, request in enumerate(life.requests):
            number = int.from_bytes(request.raw[:2], "big")
            if number not in handlers.ANSWERED or len(request.raw) > LONGEST:
                continue
            if number in found and len(request.raw) <= len(found[number][0].requests[found[number][1]].raw):
                continue
            if number == ALWAYS_REFUSED or isinstance(life.after(at).ask(request), Signed):
                found[number] = life, at
    return {number: Good(life.requests[at], life.after(at)) for number, (life, at) in sorted(found.items())}


@dataclass(frozen=True)
class Place:
    """Where a part of a message begins, and by which field it is reached."""

    field: str
    kind: Field[Any]
    value: Any
    start: int


def places(message: Any) -> list[Place]:
    """Every part of an encoded message, in order."""
    return list(_places(message, 2, ""))


def _places(value: Any, start: int, path: str) -> Iterator[Place]:
    for name, kind in codec.layout(type(value)):
        part = getattr(value, name)
        field = path or name
        yield Place(field, kind, part, start)
        begin = start + (kind.name.startswith("?") and part is not None)
        if is_dataclass(part):
            yield from _places(part, begin, field)
        elif isinstance(part, tuple) and kind.name.endswith("[]"):
            begin += 2
            for item in part:
                if is_dataclass(item):
                    yield from _places(item, begin, field)
                    begin += len(records.write(item))
        start += len(kind.write(part))

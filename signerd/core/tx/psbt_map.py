"""One map of a PSBT: order and unknown keys are kept, the form of known keys is checked (BIP 174)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from signerd.core.tx.reader import Reader, octets
from signerd.errors import MalformedMessage


@dataclass(frozen=True, slots=True)
class KeyForm:
    """How a known key type looks: lengths that key data and value may have; None allows any.

    A value has at least `smallest` bytes, and a multiple of `step`. `sound` says whether key data and value
    can be what their type says, where lengths do not tell.
    """

    key_sizes: tuple[int, ...] = (0,)
    value_sizes: tuple[int, ...] | None = None
    smallest: int = 0
    step: int = 1
    sound: Callable[[bytes, bytes], bool] | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a key comes from: 4 bytes of the root's fingerprint, and the path (BIP 32)."""

    fingerprint: bytes
    path: tuple[int, ...]

    @classmethod
    def parse(cls, value: bytes) -> Self:
        """From a fingerprint and little-endian path elements; their length is checked by the map's form."""
        path = (int.from_bytes(value[at : at + 4], "little") for at in range(4, len(value), 4))
        return cls(value[:4], tuple(path))

    def serialize(self) -> bytes:
        return self.fingerprint + b"".join(step.to_bytes(4, "little") for step in self.path)


@dataclass(frozen=True, slots=True)
class Map:
    """Pairs of key and value as they came. The first byte of a key is its type."""

    pairs: tuple[tuple[bytes, bytes], ...] = ()

    @classmethod
    def parse(cls, reader: Reader, forms: Mapping[int, KeyForm], what: str, number: int | str = "") -> Self:
        """Up to and with the separator. Raises MalformedMessage for a repeated key or one of another form.

        `what` and `number` name the map in it.
        """
        pairs: dict[bytes, bytes] = {}
        # The separator reads as an empty key.
        while key := reader.octets():
            value = reader.octets()
            if key in pairs:
                raise MalformedMessage(f"{what}{number} of the PSBT has a key twice")
            form = forms.get(key[0])
            if form is not None and not _fits(form, key, value):
                raise MalformedMessage(
                    f"{what}{number} of the PSBT has a field {key[0]:#04x} of the wrong length"
                )
            if form is not None and form.sound is not None and not form.sound(key[1:], value):
                raise MalformedMessage(
                    f"{what}{number} of the PSBT has a field {key[0]:#04x} that is not what it should be"
                )
            pairs[key] = value
        return cls(tuple(pairs.items()))

    def serialize(self) -> bytes:
        """With the separator."""
        return b"".join(octets(key) + octets(value) for key, value in self.pairs) + b"\x00"

    def get(self, kind: int, key_data: bytes = b"") -> bytes | None:
        """The value of one key, None if it is absent."""
        wanted = bytes([kind]) + key_data
        for key, value in self.pairs:
            if key == wanted:
                return value
        return None

    def all(self, kind: int) -> list[tuple[bytes, bytes]]:
        """Key data and value of every key of one type, in order."""
        return [(key[1:], value) for key, value in self.pairs if key[0] == kind]

    def put(self, kind: int, value: bytes, key_data: bytes = b"") -> Self:
        """With one key set: in its place if it was there, else before the first greater key.

        Core Lightning and the reference signer write keys in ascending order.
        """
        key = bytes([kind]) + key_data
        if self.get(kind, key_data) is not None:
            return type(self)(tuple((k, value if k == key else v) for k, v in self.pairs))
        at = next((at for at, (other, _) in enumerate(self.pairs) if other > key), len(self.pairs))
        return type(self)((*self.pairs[:at], (key, value), *self.pairs[at:]))

    def without(self, *kinds: int) -> Self:
        """Without the keys of some types."""
        return type(self)(tuple(pair for pair in self.pairs if pair[0][0] not in kinds))


def _fits(form: KeyForm, key: bytes, value: bytes) -> bool:
    if len(key) - 1 not in form.key_sizes or len(value) < form.smallest or len(value) % form.step:
        return False
    return form.value_sizes is None or len(value) in form.value_sizes

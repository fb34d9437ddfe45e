"""Choices that can be made again: by a seed, or by a tape of numbers."""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Iterable, Sequence
from typing import TypeVar

from signerd.core.keys import secp256k1

T = TypeVar("T")


class Choices(abc.ABC):
    """Everything in a life that could be otherwise."""

    @abc.abstractmethod
    def below(self, limit: int) -> int:
        """One of 0 .. limit - 1."""

    def between(self, least: int, most: int) -> int:
        """One of least .. most."""
        return least + self.below(most - least + 1)

    def among(self, items: Sequence[T]) -> T:
        """One of the items, of which there is at least one."""
        return items[self.below(len(items))]

    def one_in(self, count: int) -> bool:
        """True once in so often; always if `count` is 1."""
        return self.below(count) == count - 1


class Dice(Choices):
    """Decided by a seed; also gives bytes that nobody else knows if the seed is secret."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._thrown = 0

    def fresh(self) -> bytes:
        """32 bytes."""
        self._thrown += 1
        return hashlib.sha256(self._seed + self._thrown.to_bytes(8, "big")).digest()

    def secret(self) -> bytes:
        """A valid private key, 32 bytes."""
        while not secp256k1.is_secret(candidate := self.fresh()):
            pass
        return candidate

    def below(self, limit: int) -> int:
        return int.from_bytes(self.fresh()[:8], "big") % limit


class Tape(Choices):
    """Decided by numbers, one for each choice; 0 after the last of them."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = iter(numbers)

    def below(self, limit: int) -> int:
        return next(self._numbers, 0) % limit

"""A list that a test can wait for, and the record of every call."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Journal(Generic[Item]):
    """Items in the order in which they happened."""

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    def append(self, item: Item) -> None:
        self._items.append(item)
        for count, future in self._waiting:
            if count <= len(self._items) and not future.done():
                future.set_result(None)

    async def reach(self, count: int) -> Item:
        """Wait until there are `count` items, and return that one."""
        if len(self._items) < count:
            waiter = (count, asyncio.get_running_loop().create_future())
            self._waiting.append(waiter)
            try:
                await waiter[1]
            finally:
                self._waiting.remove(waiter)
        return self._items[count - 1]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Item:
        return self._items[index]

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)


class Calls:
    """Every RPC that arrived, refused or not, by its method name (`GetNodeInfo`)."""

    def __init__(self) -> None:
        self._times: dict[str, Journal[float]] = {}
        self._order: list[str] = []

    def record(self, method: str) -> None:
        self._order.append(method)
        self._times.setdefault(method, Journal()).append(time.monotonic())

    def times(self, method: str) -> list[float]:
        """`time.monotonic()` of each call."""
        return list(self._times.get(method, ()))

    def order(self) -> list[str]:
        """Method names in the order of arrival."""
        return list(self._order)

    def counts(self) -> dict[str, int]:
        return dict(Counter(self._order))

    async def reach(self, method: str, count: int) -> float:
        """Wait for the `count`-th call since the start, and return when it arrived."""
        return await self._times.setdefault(method, Journal()).reach(count)

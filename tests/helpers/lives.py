"""Signers for a channel's life, with no network between: in memory, or on a file that is opened anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from signerd.core import startup
from signerd.core.keys.node import NodeKeys
from signerd.core.requests import Context, Refusal, SigningRequest
from signerd.core.signer import Signer
from signerd.core.state.book import MemoryBook
from signerd.core.tx.signing import Dialect
from signerd.dev.steps import Step
from signerd.dev.world import Account
from signerd.store.state_db import StateDb
from signerd.units import Network, Secret, UnixTime

NOW = 1_763_800_000


class Refused(Exception):
    """signerd refuses a step of a life."""


def keys_of(seed: int = 1) -> NodeKeys:
    return NodeKeys.derive(Secret(bytes([seed]) * 32))


def account_of(keys: NodeKeys, network: Network = "regtest") -> Account:
    return Account.of(startup.init_message(keys, network), network)


def request_of(step: Step) -> SigningRequest:
    context = None if step.context is None else Context(*step.context)
    return SigningRequest(1, step.raw, context)


def changes_of(reply: bytes) -> Iterator[bytes]:
    """The reply one byte longer and one shorter, and with one bit flipped in each fifth byte."""
    yield reply + b"\x00"
    yield reply[:-1]
    for place in range(len(reply) % 5, len(reply), 5):
        yield reply[:place] + bytes([reply[place] ^ 1]) + reply[place + 1 :]


class InMemory:
    """signerd's core, called with steps. `asked` counts the message types."""

    def __init__(
        self,
        keys: NodeKeys,
        network: Network = "regtest",
        dialect: Dialect = Dialect.HOSTED,
        *,
        now: int = NOW,
    ) -> None:
        self._signer = Signer(keys, network, dialect)
        self._book = MemoryBook()
        self._now = UnixTime(now)
        self.asked: Counter[int] = Counter()

    def __call__(self, step: Step) -> bytes:
        self.asked[int.from_bytes(step.raw[:2], "big")] += 1
        outcome = self._signer.handle(request_of(step), self._book, self._now)
        if isinstance(outcome, Refusal):
            raise Refused(f"{step.name}: {outcome}")
        self._book.apply(outcome.changes)
        return outcome.reply


class Stored:
    """signerd's core and store: a process that `restarts` says of each request whether it is another one.

    `restarted` counts.
    """

    def __init__(
        self,
        keys: NodeKeys,
        path: Path,
        network: Network = "regtest",
        dialect: Dialect = Dialect.HOSTED,
        *,
        now: int = NOW,
        restarts: Callable[[], bool] = lambda: False,
    ) -> None:
        self._keys = keys
        self._path = path
        self._network: Network = network
        self._dialect = dialect
        self._now = UnixTime(now)
        self._restarts = restarts
        self._store = StateDb(path)
        self._signer = Signer(keys, network, dialect)
        self.restarted = 0

    def __call__(self, step: Step) -> bytes:
        reply = self._answer(step)
        if self._restarts():
            # As by a process that died between store and answer: the node asks the next one again.
            self._store.close()
            self._store = StateDb(self._path)
            self._signer = Signer(self._keys, self._network, self._dialect)
            self.restarted += 1
            assert reply == self._answer(step), f"{step.name} was answered differently after a restart"
        return reply

    def _answer(self, step: Step) -> bytes:
        outcome = self._signer.handle(request_of(step), self._store, self._now)
        if isinstance(outcome, Refusal):
            raise Refused(f"{step.name}: {outcome}")
        self._store.commit(outcome.changes)
        return outcome.reply

    def close(self) -> None:
        self._store.close()

"""Target: the one door, asked a sequence of requests. Input: where to begin, and what to do then.

    u16  life (modulo their number): a recorded one, or one that is made
    u16  how many of its requests were answered before (modulo)
    then, until the end: u8 action (modulo), and what that action reads

A request in hand is the next one of the life, changed by edits until it is sent. So an input is a few bytes
long, nearly every input means something, and its corpus is small. What must hold is in `witness.py`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache

from fuzz import lives, made, made_seeds, octets, surroundings, values
from fuzz.lives import Life
from fuzz.tape import Tape
from fuzz.witness import Store, Witness
from signerd.core.requests import PendingRequest, SigningRequest
from signerd.core.state.book import Changes
from signerd.core.wire import codec
from signerd.errors import MalformedMessage
from signerd.units import UnixTime

MOST_ACTIONS = 96
OPENED = 4
"""Requests of an opening."""
MOST_REQUESTS = 32


class Run:
    """One input being played."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.life: Life = all_lives()[tape.number(2) % len(all_lives())]
        self.cursor = tape.number(2) % (len(self.life.requests) + 1)
        self.witness: Witness = self.life.after(self.cursor)
        self.requests = self.life.requests
        self.hand: SigningRequest | None = None
        self.sent = 0

    @property
    def request(self) -> SigningRequest:
        """In hand, or else the next one of the life, from the front again after its end."""
        return self.hand or self.requests[self.cursor % len(self.requests)]

    def send(self) -> None:
        """What is in hand."""
        request, self.hand = self.request, None
        self.cursor += 1
        self.sent += 1
        self.witness.ask(request)

    def play(self) -> None:
        for _ in range(1 + self.tape.number() % 8):
            if self.sent < MOST_REQUESTS:
                self.send()

    def skip(self) -> None:
        self.cursor = max(0, self.cursor + self.tape.signed())

    def splice(self) -> None:
        """Go on with another life's requests; the signer and its state stay."""
        other = self.tape.one_of(all_lives())
        self.requests, self.cursor = other.requests, self.tape.number(2)

    def edit_bytes(self) -> None:
        self.hand = dataclasses.replace(self.request, raw=octets.edit(self.request.raw, self.tape))

    def edit_values(self) -> None:
        try:
            message = codec.decode(self.request.raw)
        except MalformedMessage:
            return
        message = values.edit(message, self.tape, pool(self.life.name))
        self.hand = dataclasses.replace(self.request, raw=codec.encode(message)[: 2 * octets.LARGEST])

    def edit_context(self) -> None:
        self.hand = surroundings.with_context(self.request, self.tape, self.witness)

    def edit_entries(self) -> None:
        self.hand = surroundings.with_entry(self.request, self.tape, self.witness)

    def edit_pending(self) -> None:
        self.hand = surroundings.with_call(self.request, self.tape, calls())

    def write(self) -> None:
        """A message of the tape's own."""
        self.hand = dataclasses.replace(self.request, raw=self.tape.octets())

    def wait(self) -> None:
        self.witness.now = UnixTime(self.witness.now + self.tape.number(3))

    def make(self) -> None:
        if self.life.name in made.channels():
            self.hand = made.make(self.life, self.tape)
            if self.hand is not None:
                self.send()


_ACTIONS: Sequence[Callable[[Run], None]] = (
    Run.send,
    Run.play,
    Run.skip,
    Run.splice,
    Run.edit_bytes,
    Run.edit_values,
    Run.edit_context,
    Run.edit_entries,
    Run.edit_pending,
    Run.write,
    Run.wait,
    Run.make,
    Run.edit_values,
    Run.edit_values,
    Run.make,
    Run.send,
)


def check(data: bytes, store: Store | None = None) -> None:
    """Raises whatever the door raises, and AssertionError for a promise that is broken.

    With an empty store, everything is asked of that as well.
    """
    tape = Tape(data)
    run = Run(tape)
    if store is not None:
        book = run.witness.book
        store.commit(Changes(book.channels, book.payments, book.node, frozenset(book.foreign)))
        run.witness.store = store
    for _ in range(MOST_ACTIONS):
        if tape.ended or run.sent >= MOST_REQUESTS:
            break
        tape.one_of(_ACTIONS)(run)
    if run.hand is not None:
        run.send()


def prepare() -> None:
    """Play every life to its end, so that an input costs only what it does itself."""
    for life in all_lives():
        life.after(len(life.requests))
        pool(life.name)


@cache
def all_lives() -> Sequence[Life]:
    return (*made.lives(), *lives.lives())


@cache
def pool(name: str) -> values.Pool:
    """What the requests of a life hold, by the name of its type."""
    found: dict[str, dict[bytes, object]] = {}
    for request in next(life for life in all_lives() if life.name == name).requests:
        try:
            message = codec.decode(request.raw)
        except MalformedMessage:
            continue
        for kind, value in values.leaves(message):
            known = found.setdefault(kind, {})
            if len(known) < 256:
                known.setdefault(repr(value).encode(), value)
    return {kind: list(known.values()) for kind, known in found.items()}


@cache
def calls() -> Sequence[PendingRequest]:
    """Every call of a client that was recorded."""
    return [call for life in all_lives() for request in life.requests for call in request.pending]


def seeds() -> Iterator[bytes]:
    """Every life in pieces of a few requests, and every request with each kind of edit."""
    for number, life in enumerate(all_lives()):
        begin = number.to_bytes(2, "big")
        for at in range(len(life.requests)):
            where = begin + at.to_bytes(2, "big")
            if at % 4 == 0:
                yield where + bytes([1, 3])
            for action in (4, 5, 6, 7, 8, 12, 13):
                yield where + bytes([action]) + hashlib.sha256(where + bytes([action])).digest()[:12]
    yield from after_openings()


def after_openings() -> Iterator[bytes]:
    """What is made after the openings of the made lives, which come first."""
    for number in range(len(made.lives())):
        opened = number.to_bytes(2, "big") + OPENED.to_bytes(2, "big")
        yield from (opened + choices for choices in made_seeds.seeds())

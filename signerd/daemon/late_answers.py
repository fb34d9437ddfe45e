"""Answers to the scheduler that come later than their questions, perhaps on another stream.

The protocol does not say whether a scheduler asks again on a new stream, nor what it makes of an answer to
what was asked on the old one. So an answer goes out with the id that the question has on the stream that is
open; if it was not asked there, with the id that it had before, unless that has another meaning by now. If it
is asked again once it is answered, whoever answers questions gives the same answer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from signerd.core.devices import RevokedKeys
from signerd.core.pairing import Approved, Denied
from signerd.core.pairing_inbox import Item
from signerd.errors import RemoteError
from signerd.greenlight import translate
from signerd.greenlight.scheduler import SignerRequests


@dataclass(frozen=True, slots=True)
class _Question:
    request_id: int
    stream: int


@dataclass(frozen=True, slots=True)
class _Answer:
    item: Item
    outcome: Approved | Denied
    sent: asyncio.Event = field(default_factory=asyncio.Event)

    def may_go(self, revoked: RevokedKeys) -> bool:
        """Whether it gives no rune to one of these devices, or on its word."""
        return isinstance(self.outcome, Denied) or not any(key in revoked for key in self.item.keys)


RETRY_SECONDS = 1.0
"""Until an answer that a living stream did not take is tried again."""

_MOST = 64
"""Answers that find no question are kept in case it is asked again. Of more, the oldest is given up, and
denials before that."""

_MOST_GIVEN_UP = 1024
"""Answers that never went out, and are known not to have. By then, no inbox knows the first of so many."""


class LateAnswers:
    """Questions and answers by the digest of the approval (32 bytes). Only what waits is kept."""

    def __init__(self, revoked: RevokedKeys = frozenset()) -> None:
        """`revoked` is looked at before each answer: no rune goes out that is not believed any more."""
        self._revoked = revoked
        self._given_up: dict[bytes, None] = {}
        self._questions: dict[bytes, _Question] = {}
        self._answers: dict[bytes, _Answer] = {}
        self._news = asyncio.Event()
        self._stream = 0

    def opened(self) -> None:
        """A new stream is used from now on; ids that were given on another one may get another meaning."""
        self._stream += 1
        self._news.set()

    def heard(self, request_id: int) -> None:
        """The open stream asks something with this id: it stands for nothing older any more."""
        for digest, question in tuple(self._questions.items()):
            if question.request_id == request_id and question.stream != self._stream:
                del self._questions[digest]

    def asked(self, digest: bytes, request_id: int) -> None:
        """The open stream asks about this approval, and the answer will come later."""
        self._questions[digest] = _Question(request_id, self._stream)
        self._news.set()

    def request_id(self, digest: bytes) -> int:
        """By which id the scheduler knows it; 0 if by none."""
        question = self._questions.get(digest)
        return question.request_id if question else 0

    def put(self, item: Item, outcome: Approved | Denied) -> None:
        """Have this sent as soon as it can be."""
        self._answers[item.digest] = _Answer(item, outcome)
        while len(self._answers) > _MOST:
            denials = (d for d, answer in self._answers.items() if isinstance(answer.outcome, Denied))
            oldest = next(denials, next(iter(self._answers)))
            self._give_up(oldest)
            self._questions.pop(oldest, None)
        self._news.set()

    def withdraw(self, keys: RevokedKeys) -> tuple[Item, ...]:
        """Send no rune for or by the devices with these keys; what would have been."""
        found = [a.item for a in self._answers.values() if not a.may_go(keys)]
        for item in found:
            self._give_up(item.digest)
        return tuple(found)

    def answered(self, digest: bytes) -> None:
        """Its answer goes out otherwise."""
        self.forget(digest)
        self._given_up.pop(digest, None)

    def forget(self, digest: bytes) -> None:
        """Nobody waits for it any more."""
        self._questions.pop(digest, None)
        self._answers.pop(digest, None)

    async def sent(self, digest: bytes, seconds: float) -> bool:
        """Wait until the answer is sent, but no longer than this; whether it is."""
        if digest in self._given_up:
            return False
        answer = self._answers.get(digest)
        if answer is None:
            return True
        try:
            async with asyncio.timeout(seconds):
                await answer.sent.wait()
        except TimeoutError:
            return False
        return True

    async def send_on(self, stream: SignerRequests) -> None:
        """Send what is there and what comes, until cancelled. What fails stays."""
        while True:
            self._news.clear()
            for digest, answer in tuple(self._answers.items()):
                question = self._questions.get(digest)
                if question is None or self._answers.get(digest) is not answer:
                    continue
                if not answer.may_go(self._revoked):
                    self._give_up(digest)
                    self._questions.pop(digest, None)
                    continue
                try:
                    await stream.answer(translate.signer_response(question.request_id, answer.outcome))
                except RemoteError:
                    # If the stream is over, its reader meets the same error, tells, and ends this too.
                    await asyncio.sleep(RETRY_SECONDS)
                    self._news.set()
                    break
                answer.sent.set()
                if self._answers.get(digest) is answer:
                    self.forget(digest)
            await self._news.wait()

    def _give_up(self, digest: bytes) -> None:
        self._answers.pop(digest, None)
        self._given_up[digest] = None
        while len(self._given_up) > _MOST_GIVEN_UP:
            self._given_up.pop(next(iter(self._given_up)))

"""Answers to the scheduler that come later than their questions, perhaps on another stream.

The protocol does not say whether a scheduler asks again on a new stream, nor what it makes of an answer to
what was asked on the old one. So an answer goes out with the id that the question has on the stream that is
open; if it was not asked there, with the id that it had before, unless that has another meaning by now. If it
is asked again once it is answered, whoever answers questions gives the same answer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from signerd.core.pairing import Approved, Denied
from signerd.errors import RemoteError
from signerd.greenlight import translate
from signerd.greenlight.scheduler import SignerRequests


@dataclass(frozen=True, slots=True)
class _Question:
    request_id: int
    stream: int


@dataclass(frozen=True, slots=True)
class _Answer:
    outcome: Approved | Denied
    sent: asyncio.Event = field(default_factory=asyncio.Event)


RETRY_SECONDS = 1.0
"""Until an answer that a living stream did not take is tried again."""

_MOST = 64
"""Answers that find no question are kept in case it is asked again; the oldest of so many is given up."""


class LateAnswers:
    """Questions and answers by the digest of the approval (32 bytes). Only what waits is kept."""

    def __init__(self) -> None:
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

    def put(self, digest: bytes, outcome: Approved | Denied) -> None:
        """Have this sent as soon as it can be."""
        self._answers[digest] = _Answer(outcome)
        while len(self._answers) > _MOST:
            self._answers.pop(next(iter(self._answers)))
        self._news.set()

    def forget(self, digest: bytes) -> None:
        """It was answered otherwise, or nobody waits for it any more."""
        self._questions.pop(digest, None)
        self._answers.pop(digest, None)

    async def sent(self, digest: bytes, seconds: float) -> bool:
        """Wait until the answer is sent, but no longer than this; whether it is."""
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
                if question is None:
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

"""A step of a life: what a node asks its signer, for whom, and the judge of the answer.

A life is a generator of steps. Whoever plays it sends back what each step's judge made of the reply.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from signerd.core.wire import codec, names
from signerd.dev.verify import WrongAnswer
from signerd.errors import MalformedMessage

OPENINGD, CHANNELD, CLOSINGD, ONCHAIND, DUALOPEND = 24, 447, 40, 12, 344
"""Permission bits of Core Lightning's daemons, as the node states them in a request's context."""


class Context(NamedTuple):
    """For which channel a daemon asks: peer (33 bytes), the channel's number in the database, permissions."""

    peer_id: bytes
    dbid: int
    capabilities: int


@dataclass(frozen=True, slots=True)
class Step:
    """`raw` is an hsmd message, its type first. `context` is None for what the main daemon asks itself.

    `judge` takes the raw reply, raises WrongAnswer, and returns what the life goes on with. Where
    `deterministic` is False, good signers may answer differently.
    """

    raw: bytes = field(repr=False)
    context: Context | None
    judge: Callable[[bytes], Any] = field(repr=False)
    deterministic: bool = True

    @property
    def name(self) -> str:
        """As "sign_invoice (type 8)"."""
        return names.name_of(int.from_bytes(self.raw[:2], "big"))


T = TypeVar("T")
Steps = Generator[Step, Any, T]


def ask(
    message: codec.Message,
    judge: Callable[[Any], T],
    *,
    context: Context | None = None,
    deterministic: bool = True,
) -> Steps[T]:
    """One step. `judge` is given the decoded reply, which is one that answers the message."""

    def judge_raw(raw: bytes) -> T:
        try:
            return judge(codec.decode_reply(message, raw))
        except MalformedMessage as problem:
            raise WrongAnswer(f"{names.name_of(message.TYPE)}: {problem.message}") from problem
        except WrongAnswer as wrong:
            raise WrongAnswer(f"{names.name_of(message.TYPE)}: {wrong}") from wrong

    result: T = yield Step(codec.encode(message), context, judge_raw, deterministic)
    return result


def require(condition: bool, problem: str) -> None:  # noqa: FBT001 (it reads as a sentence)
    """Raises WrongAnswer."""
    if not condition:
        raise WrongAnswer(problem)

"""How a call is made: with a deadline, decoded by us, repeated only where allowed, cancelled when left.

A gRPC call object that is merely dropped stays open on the connection, so every path out of here cancels it;
after a call has ended that does nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

import grpc
import grpc.aio
import tenacity
from google.protobuf.message import DecodeError, Message

from signerd.errors import ProtocolViolation, Unavailable, UsageError
from signerd.greenlight import failures
from signerd.greenlight.transport import ClientOptions
from signerd.greenlight.values import Undecodable

Reply = TypeVar("Reply", bound=Message)
Request = TypeVar("Request", bound=Message)
AnyCall = TypeVar("AnyCall")

_LONGEST_PAUSE = 5.0


class _StreamCall(Protocol):
    """What the two kinds of streaming calls have in common."""

    async def read(self) -> Any: ...
    async def wait_for_connection(self) -> None: ...
    def cancel(self) -> bool: ...


class Caller:
    """Makes the calls of one channel. `peer` names the other side in messages."""

    def __init__(self, channel: grpc.aio.Channel, options: ClientOptions, *, peer: str) -> None:
        self._channel = channel
        self._options = options
        self._peer = peer
        self._callables: dict[tuple[str, type[Message]], Callable[..., Any]] = {}
        self._closed = False

    async def close(self) -> None:
        """Close the channel. Calls that are under way raise Unavailable, and so do those begun later."""
        self._closed = True
        await self._channel.close()

    async def unary(
        self,
        method: str,
        request: Message,
        reply: type[Reply],
        *,
        doing: str,
        deadline: float | None = None,
        waits: bool = False,
        repeatable: bool = False,
    ) -> Reply:
        """One request, one reply. `doing` completes "cannot …"; `waits` takes the long deadline.

        Raises Unavailable, Rejected, AccessDenied, or ProtocolViolation for a reply that is no protobuf.
        """
        multicallable = self._callable(method, reply)
        usual = self._options.long_deadline if waits else self._options.deadline
        seconds = usual if deadline is None else deadline

        async def attempt() -> Reply | Undecodable:
            call = self._begin(lambda: multicallable(request, timeout=seconds))
            try:
                answer: Reply | Undecodable = await call
            finally:
                call.cancel()
            return answer

        with _border(doing, self._peer):
            answer = await (self._repeated(attempt) if repeatable else attempt())
        if isinstance(answer, Undecodable):
            raise ProtocolViolation(
                f"cannot {doing}: {self._peer} answered {len(answer.raw)} bytes that are no "
                f"{reply.DESCRIPTOR.name}",
                hint="check that the URI leads to a Greenlight service",
            )
        return answer

    def subscription(
        self,
        method: str,
        request: Message,
        item: type[Reply],
        *,
        doing: str,
        parsed: Callable[[bytes], bytes | None] = lambda raw: raw,
    ) -> Subscription[Reply]:
        """One request, a stream of replies. The call starts when the result is entered.

        `parsed` says what of a message's bytes is parsed; with None, the message comes as Undecodable.
        """
        multicallable = self._channel.unary_stream(
            method, request_serializer=_encode, response_deserializer=_decoder(item, parsed)
        )
        return Subscription(lambda: self._begin(lambda: multicallable(request)), doing=doing, peer=self._peer)

    def conversation(self, method: str, item: type[Reply], *, doing: str) -> Conversation[Reply, Any]:
        """A stream both ways, on which the other side asks (`item`) and we answer."""
        multicallable = self._channel.stream_stream(
            method, request_serializer=_encode, response_deserializer=_decoder(item)
        )
        return Conversation(
            lambda: self._begin(multicallable),
            doing=doing,
            peer=self._peer,
            deadline=self._options.deadline,
        )

    def _begin(self, start: Callable[[], AnyCall]) -> AnyCall:
        """Whoever begins a call may hear last that its channel was closed; gRPC takes that for a bug."""
        if self._closed:
            raise Unavailable(f"the connection to {self._peer} was closed", code="CANCELLED")
        return start()

    def _callable(self, method: str, reply: type[Message]) -> Callable[..., Any]:
        """Made once for each method: a node's answers are thousands of calls."""
        found = self._callables.get((method, reply))
        if found is None:
            found = self._channel.unary_unary(
                method, request_serializer=_encode, response_deserializer=_decoder(reply)
            )
            self._callables[method, reply] = found
        return found

    async def _repeated(self, attempt: Callable[[], Awaitable[Reply | Undecodable]]) -> Reply | Undecodable:
        attempts = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(1 + self._options.retries),
            wait=tenacity.wait_random_exponential(self._options.retry_pause, _LONGEST_PAUSE),
            retry=tenacity.retry_if_exception(failures.may_pass),
            reraise=True,
        )
        return await attempts(attempt)


class Subscription(Generic[Reply]):
    """Messages as they arrive: `async with subscription as s`, then `async for message in s`.

    A message that is no protobuf comes as Undecodable. The iteration ends when the other side ends the
    stream, and raises a RemoteError when it fails. Cancelling a pending read ends the stream.
    """

    def __init__(self, start: Callable[[], _StreamCall], *, doing: str, peer: str) -> None:
        self._start = start
        self._doing = doing
        self._peer = peer
        self._call: _StreamCall | None = None

    async def __aenter__(self) -> Self:
        self._call = self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered.cancel()

    async def opened(self) -> None:
        """Wait until the call is on the wire. Raises a RemoteError if it cannot be brought there."""
        with _border(self._doing, self._peer):
            await self._entered.wait_for_connection()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Reply | Undecodable:
        with _border(self._doing, self._peer):
            message: Any = await self._entered.read()
        if message is grpc.aio.EOF:
            raise StopAsyncIteration
        received: Reply | Undecodable = message
        return received

    @property
    def _entered(self) -> _StreamCall:
        if self._call is None:
            raise RuntimeError("a stream is used inside `async with`")
        return self._call


class Conversation(Subscription[Request], Generic[Request, Reply]):
    """A Subscription on which the other side's messages are requests, to be answered."""

    def __init__(
        self,
        start: Callable[[], grpc.aio.StreamStreamCall[Any, Any]],
        *,
        doing: str,
        peer: str,
        deadline: float,
    ) -> None:
        super().__init__(start, doing=doing, peer=peer)
        self._deadline = deadline
        # gRPC takes one message at a time.
        self._turn = asyncio.Lock()

    async def answer(self, answer: Reply) -> None:
        """Send one answer, once those before it are sent; several tasks may.

        Raises a RemoteError if the stream is over, or does not take it in time.
        """
        call: Any = self._entered
        try:
            async with asyncio.timeout(self._deadline), self._turn:
                with _border(self._doing, self._peer):
                    await call.write(answer)
        except asyncio.InvalidStateError as error:
            raise Unavailable(f"cannot {self._doing}: {self._peer} has ended the stream") from error
        except TimeoutError as error:
            raise Unavailable(
                f"cannot {self._doing}: {self._peer} does not take our answer", code="DEADLINE_EXCEEDED"
            ) from error


@contextlib.contextmanager
def _border(doing: str, peer: str) -> Iterator[None]:
    """Where gRPC's own exceptions become ours."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise failures.remote_error(error, doing=doing, peer=peer) from error
    except asyncio.CancelledError:
        # gRPC says the same when a channel is closed under a call as when somebody cancels the task. Taken
        # for the latter, a closed channel would end a loop without a word.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Unavailable(f"cannot {doing}: the connection to {peer} was closed", code="CANCELLED") from None


def message(kind: type[Request], **fields: Any) -> Request:
    """A request with values that people chose. Raises UsageError for one that its field cannot hold."""
    try:
        return kind(**fields)
    except ValueError as error:
        raise UsageError(f"a value does not fit into {kind.DESCRIPTOR.name}: {error}") from error


def _encode(message: Message) -> bytes:
    return message.SerializeToString()


def _decoder(
    kind: type[Reply], parsed: Callable[[bytes], bytes | None] = lambda raw: raw
) -> Callable[[bytes], Reply | Undecodable]:
    """Never raises: an exception in a decoder would end a stream, and be logged by gRPC."""

    def decode(raw: bytes) -> Reply | Undecodable:
        try:
            wanted = parsed(raw)
            return Undecodable(raw) if wanted is None else kind.FromString(wanted)
        except DecodeError:
            return Undecodable(raw)

    return decode

"""How a call reaches a service: the caller is read from the certificate, the call counted, faults strike."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias, TypeVar

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.message import DecodeError, Message

from signerd.core.keys import p256
from signerd.dev.faults import Fault, Faults
from signerd.dev.journal import Calls

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound="Message | Encoded")
Requests: TypeAlias = AsyncIterator[Request]
Replies: TypeAlias = AsyncGenerator[Reply, None]
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = grpc.GenericRpcHandler

_DEVICE_NAME = re.compile(r"/users/([0-9a-f]{66})/(.+)", re.DOTALL)
_ROLES: dict[str, Literal["nobody", "developer"]] = {
    "GL /users/nobody": "nobody",
    "GL /users/developer": "developer",
}


@dataclass(frozen=True, slots=True)
class Encoded:
    """A reply whose bytes are there already."""

    raw: bytes

    def SerializeToString(self) -> bytes:  # noqa: N802 (as messages call it)
        return self.raw


class Refusal(Exception):
    """End the call with a gRPC status."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom the TLS certificate names: nobody, a developer, a device of a node (`node_id`, 33 bytes)."""

    role: Literal["nobody", "developer", "device", "other"]
    node_id: bytes
    device: str
    certificate: bytes

    @classmethod
    def of(cls, context: Context) -> Caller:
        """Raises Refusal (UNAUTHENTICATED) when there is no certificate."""
        properties = context.auth_context()
        names = list(properties.get("x509_common_name", ()))
        certificates = list(properties.get("x509_pem_cert", ()))
        if len(names) != 1 or not certificates:
            raise Refusal(grpc.StatusCode.UNAUTHENTICATED, "a client certificate is needed")
        name = names[0].decode("utf-8", "replace")
        if match := _DEVICE_NAME.fullmatch(name):
            return cls("device", bytes.fromhex(match[1]), match[2], certificates[0])
        return cls(_ROLES.get(name, "other"), b"", "", certificates[0])

    def require_device(self) -> Caller:
        """Raises Refusal (PERMISSION_DENIED) unless this is a device of some node."""
        if self.role != "device":
            raise Refusal(grpc.StatusCode.PERMISSION_DENIED, "a device certificate is needed")
        return self

    def require_anonymous(self) -> Caller:
        """Raises Refusal (PERMISSION_DENIED) unless this is nobody or a developer."""
        if self.role not in ("nobody", "developer"):
            raise Refusal(
                grpc.StatusCode.PERMISSION_DENIED, "the nobody or a developer certificate is needed"
            )
        return self

    def public_key(self) -> bytes:
        """The certificate's P-256 key, 65 bytes uncompressed."""
        key = x509.load_pem_x509_certificate(self.certificate).public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise Refusal(grpc.StatusCode.PERMISSION_DENIED, "the certificate is not for a P-256 key")
        return p256.public_bytes(key)


@dataclass(frozen=True, slots=True)
class Method:
    """One row of a service's table; make it with `unary`, `server_stream` or `both_streams`."""

    kind: Literal["unary", "server", "both"]
    parse: Callable[[bytes], Any]
    function: Callable[..., Any]


def unary(request: type[Request], function: Callable[[Request, Caller], Awaitable[Message]]) -> Method:
    return Method("unary", request.FromString, function)


def server_stream(request: type[Request], function: Callable[[Request, Caller], Replies[Reply]]) -> Method:
    return Method("server", request.FromString, function)


def both_streams(
    request: type[Request], function: Callable[[Requests[Request], Caller], Replies[Reply]]
) -> Method:
    return Method("both", request.FromString, function)


class Router:
    """Makes gRPC handlers of service tables; all of them share the faults and the record of calls."""

    def __init__(self, faults: Faults, calls: Calls) -> None:
        self._faults = faults
        self._calls = calls

    def service(self, name: str, methods: Mapping[str, Method]) -> Handler:
        """Messages pass as bytes, so that a fault can answer what is no protobuf."""
        handlers = {key: self._wrapped(key, method) for key, method in methods.items()}
        return grpc.method_handlers_generic_handler(name, handlers)

    def _wrapped(self, name: str, method: Method) -> grpc.RpcMethodHandler[Any, Any]:
        match method.kind:
            case "unary":
                return grpc.unary_unary_rpc_method_handler(self._unary(name, method))
            case "server":
                return grpc.unary_stream_rpc_method_handler(self._server(name, method))
            case "both":
                return grpc.stream_stream_rpc_method_handler(self._both(name, method))

    def _unary(self, name: str, method: Method) -> Callable[[bytes, Context], Awaitable[bytes]]:
        async def handle(request: bytes, context: Context) -> bytes:
            fault = await self._arrived(name)
            if fault and fault.status is not None:
                await _end(fault, context)
            if fault and fault.reply is not None:
                return fault.reply
            try:
                caller = Caller.of(context)
                reply: Message = await method.function(_parsed(method, request), caller)
            except Refusal as refusal:
                await context.abort(refusal.code, refusal.details)
            encoded = reply.SerializeToString()
            return fault.padded(encoded) if fault else encoded

        return handle

    def _server(self, name: str, method: Method) -> Callable[[bytes, Context], AsyncIterator[bytes]]:
        async def handle(request: bytes, context: Context) -> AsyncIterator[bytes]:
            fault = await self._arrived(name)
            try:
                # Parsed late: a garbled request is refused as any other.
                async for message in _dropped(
                    fault, context, lambda: method.function(_parsed(method, request), Caller.of(context))
                ):
                    yield message
            except Refusal as refusal:
                await context.abort(refusal.code, refusal.details)

        return handle

    def _both(
        self, name: str, method: Method
    ) -> Callable[[AsyncIterator[bytes], Context], AsyncIterator[bytes]]:
        async def handle(_requests: object, context: Context) -> AsyncIterator[bytes]:
            fault = await self._arrived(name)
            parsed = _Incoming(method, context)
            try:
                async for message in _dropped(
                    fault, context, lambda: method.function(parsed, Caller.of(context))
                ):
                    yield message
            except Refusal as refusal:
                await context.abort(refusal.code, refusal.details)

        return handle

    async def _arrived(self, name: str) -> Fault | None:
        self._calls.record(name)
        fault = self._faults.take(name)
        if fault:
            await fault.before_the_work()
        return fault


class _Incoming:
    """The requests of a stream, parsed.

    gRPC's own iterator is an asynchronous generator that may outlive the event loop, and complains then.
    """

    def __init__(self, method: Method, context: Context) -> None:
        self._method = method
        self._context = context

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        request = await self._context.read()
        if request is grpc.aio.EOF:
            raise StopAsyncIteration
        return _parsed(self._method, request)


async def _dropped(
    fault: Fault | None, context: Context, start: Callable[[], Replies[Message | Encoded]]
) -> AsyncIterator[bytes]:
    """The stream's messages, until the fault ends it."""
    if fault and (fault.drop_after == 0 or (fault.status is not None and fault.drop_after is None)):
        await _end(fault, context)
        return
    if fault and fault.reply is not None:
        yield fault.reply
    sent = 0
    async with contextlib.aclosing(start()) as messages:
        async for message in messages:
            encoded = message.SerializeToString()
            yield fault.padded(encoded) if fault else encoded
            sent += 1
            if fault and sent == fault.drop_after:
                await _end(fault, context)
                return


async def _end(fault: Fault, context: Context) -> None:
    """End a call as the fault says: with its status, or as if all were well."""
    if fault.status is not None:
        await context.abort(grpc.StatusCode[fault.status], fault.details)


def _parsed(method: Method, request: bytes) -> Any:
    try:
        return method.parse(request)
    except DecodeError as error:
        raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "the request is no such protobuf") from error

"""What a failed call means: gRPC statuses become our errors here, and nowhere else."""

from __future__ import annotations

import grpc
import grpc.aio

from signerd.errors import (
    AccessDenied,
    AlreadyExists,
    NotFound,
    Rejected,
    RemoteError,
    Unavailable,
)

MAX_TEXT = 300

_BY_CODE: dict[grpc.StatusCode, type[RemoteError]] = {
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.UNAUTHENTICATED: AccessDenied,
    grpc.StatusCode.PERMISSION_DENIED: AccessDenied,
    grpc.StatusCode.UNIMPLEMENTED: Rejected,
    grpc.StatusCode.INVALID_ARGUMENT: Rejected,
    grpc.StatusCode.FAILED_PRECONDITION: Rejected,
    grpc.StatusCode.OUT_OF_RANGE: Rejected,
}
"""Every other status is Unavailable: a server that stumbles today may do better tomorrow."""

# Schedulers wrap these conditions into whatever status is at hand.
_BY_TEXT: tuple[tuple[str, type[RemoteError]], ...] = (
    ("already_exists", AlreadyExists),
    ("already exist", AlreadyExists),
    ("not_found", NotFound),
    ("no rows returned", NotFound),
    ("recovery failed", NotFound),
)

# The network and the clock made these; their text is the C core's and names all sorts of things.
_OUR_OWN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)

_WRONG_CERTIFICATE = "its certificate is not signed by our CA"
_CHECK_CA = (
    "check that the CA (`scheduler.ca_file`, GL_CA_CRT) belongs to this service; "
    "if it does, something on the way answers in its place"
)
_TLS: tuple[tuple[str, str, str], ...] = (
    ("certificate has expired", "its certificate has expired", "check this machine's clock"),
    ("CERTIFICATE_VERIFY_FAILED", _WRONG_CERTIFICATE, _CHECK_CA),
    ("BAD_SIGNATURE", _WRONG_CERTIFICATE, _CHECK_CA),
    (
        "Hostname Verification Check failed",
        "its certificate does not carry the server name that we expect",
        "check the host in the URI: the certificate must name it",
    ),
    ("WRONG_VERSION_NUMBER", "it does not speak TLS", "check the port in the URI"),
    ("missing selected ALPN", "it does not speak HTTP/2", "check the port in the URI"),
    ("handshake failed", "the handshake failed", "check the URI and the CA"),
    ("Cannot check peer", "the handshake failed", "check the URI and the CA"),
)


def remote_error(error: grpc.aio.AioRpcError, *, doing: str, peer: str) -> RemoteError:
    """The error to raise for a failed call; `doing` completes "cannot …", `peer` names the other side."""
    code = error.code()
    details = error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE:
        for mark, problem, hint in _TLS:
            if mark in details:
                return Unavailable(
                    f"cannot {doing}: no secure connection to {peer}: {problem}", hint=hint, code=code.name
                )
    text = printable(details)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "message larger than max" in details:
        return Rejected(
            f"cannot {doing}: a message is over the size limit ({text})",
            hint="raise the limit (`max_message_bytes`) if the size is plausible",
            code=code.name,
        )
    kind = _kind(code, details)
    return kind(
        f"cannot {doing}: {peer} {_says(code, text)}", hint=_hint(kind, code, details), code=code.name
    )


def may_pass(error: BaseException) -> bool:
    """Whether repeating the call after a pause is worth it: the other side is unavailable, for now."""
    if not isinstance(error, grpc.aio.AioRpcError) or error.code() is not grpc.StatusCode.UNAVAILABLE:
        return False
    details = error.details() or ""
    return not any(mark in details for mark, _, _ in _TLS)


def printable(text: str) -> str:
    """One line of at most 300 characters, free of anything that steers a terminal or fakes a line."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 1] + "…"


def _kind(code: grpc.StatusCode, details: str) -> type[RemoteError]:
    kind = _BY_CODE.get(code, Unavailable)
    if kind in (Rejected, Unavailable) and code not in _OUR_OWN:
        lowered = details.lower()
        return next((by_text for mark, by_text in _BY_TEXT if mark in lowered), kind)
    return kind


def _says(code: grpc.StatusCode, text: str) -> str:
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return "did not answer in time"
    if code is grpc.StatusCode.UNAVAILABLE:
        return f"is not available ({text})" if text else "is not available"
    return f"answered {code.name}: {text}" if text else f"answered {code.name}"


def _hint(kind: type[RemoteError], code: grpc.StatusCode, details: str) -> str | None:
    if kind is AccessDenied:
        return "the credentials are refused: check that they belong to this service, or run `signerd recover`"
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return "the other side does not offer this"
    if code is grpc.StatusCode.UNAVAILABLE and "Socket closed" in details:
        return "it closes the connection: it may be restarting, or may not accept our certificate"
    if code in _OUR_OWN:
        return "check the URI and the network, or try again later"
    return "try again later" if kind is Unavailable else None

"""Whose certificate does a node show, and may that be our node's?

For most nodes the certificate's name is just `localhost`, which every certificate of the hierarchy carries,
even the public one of "nobody". gRPC checks no more than that, so we look first, over a TLS connection of our
own, and then let gRPC trust nothing but the very certificate that we saw.
"""

from __future__ import annotations

import asyncio
import ssl
import warnings

from cryptography import x509

from signerd.core import certificates
from signerd.errors import ProtocolViolation, Unavailable
from signerd.greenlight import failures, resolver, transport
from signerd.greenlight.endpoint import Endpoint
from signerd.greenlight.transport import Identity

_CHUNK = 65536

_FATAL_ALERT = (0x15, 2)
_PROXY_ALERTS = {
    221: "its proxy has an internal error",
    222: "its proxy could not read the server name",
    223: "its proxy cannot reach the node",
    224: "its proxy cannot reach the scheduler",
    225: "the scheduler could not place the node",
}
"""TLS alerts that the proxy in front of hosted nodes sends instead of a handshake."""


async def fetch(endpoint: Endpoint, identity: Identity, *, server_name: str, seconds: float) -> bytes:
    """DER of the leaf that the other side holds, verified against our CA and `server_name`.

    Raises Unavailable if there is no such connection within `seconds`, CredentialsError for our identity.
    """
    try:
        context = transport.tls_context(identity)
        async with asyncio.timeout(seconds):
            address = await resolver.resolve(endpoint.host, endpoint.port)
            reader, writer = await asyncio.open_connection(address, endpoint.port)
            try:
                return await _handshake(context, server_name, reader, writer, endpoint)
            finally:
                writer.close()
    except TimeoutError as error:
        raise Unavailable(
            f"cannot connect to the node at {endpoint}: it did not answer in time",
            hint="try again later",
            code="DEADLINE_EXCEEDED",
        ) from error
    except OSError as error:
        raise Unavailable(
            f"cannot connect to the node at {endpoint}: {failures.printable(error.strerror or str(error))}",
            hint="the node may be stopping; try again later",
            code="UNAVAILABLE",
        ) from error


def check(certificate: bytes, *, node_id: bytes, endpoint: Endpoint) -> None:
    """Raises ProtocolViolation if the certificate (DER) is made out to another user than our node.

    Names outside the users' part of the hierarchy are the operator's own services, and pass.
    """
    names = _common_names(certificate)
    if not names:
        raise ProtocolViolation(
            f"what answers as the node at {endpoint} shows a certificate without a name",
            hint="nothing was sent to it; something on the way answers in the node's place",
        )
    for name in names:
        user = certificates.user_of(name)
        if user is not None and user != node_id.hex():
            raise ProtocolViolation(
                f"what answers as the node at {endpoint} shows the certificate of somebody else: "
                f"{failures.printable(name)!r}",
                hint="nothing was sent to it; something on the way answers in the node's place",
            )


async def _handshake(
    context: ssl.SSLContext,
    server_name: str,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    endpoint: Endpoint,
) -> bytes:
    # By hand, because the alerts of _PROXY_ALERTS are unknown to the ssl module and lost in its errors.
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=server_name)
    received = b""
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
            received = await reader.read(_CHUNK)
            if not received:
                raise _insecure(endpoint, "it closes the connection") from None
            incoming.write(received)
        except ssl.SSLError as error:
            raise _insecure(endpoint, _reason(error, received)) from error
        else:
            break
    writer.write(outgoing.read())
    await writer.drain()
    leaf = tls.getpeercert(binary_form=True)
    if leaf is None:
        raise _insecure(endpoint, "it shows no certificate")
    return leaf


def _reason(error: ssl.SSLError, received: bytes) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {failures.printable(error.verify_message)}"
    # Record type, version, length, level, description (RFC 8446, 5.1 and 6).
    if len(received) == 7 and (received[0], received[5]) == _FATAL_ALERT and received[6] in _PROXY_ALERTS:
        return _PROXY_ALERTS[received[6]]
    return f"the handshake failed ({failures.printable(error.reason or str(error))})"


def _insecure(endpoint: Endpoint, reason: str) -> Unavailable:
    return Unavailable(
        f"no secure connection to the node at {endpoint}: {reason}",
        hint="if it stays so, check the CA (`scheduler.ca_file`, GL_CA_CRT), or ask the operator",
        code="UNAVAILABLE",
    )


def _common_names(certificate: bytes) -> list[str]:
    """Of the subject and of the issuer. Raises ProtocolViolation if they cannot be read."""
    with warnings.catch_warnings():
        # The library warns of common names over 64 characters, which are the rule here.
        warnings.simplefilter("ignore")
        try:
            leaf = x509.load_der_x509_certificate(certificate)
            return [
                str(attribute.value)
                for name in (leaf.subject, leaf.issuer)
                for attribute in name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
            ]
        except certificates.UNREADABLE as error:
            raise ProtocolViolation("the node's certificate has an unreadable name") from error

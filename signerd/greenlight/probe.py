"""Try the way to a server step by step, and say at which step it ends: name, connection, TLS, call."""

from __future__ import annotations

import asyncio
import email.utils
import socket
import ssl
import time
from dataclasses import dataclass

import grpc
import grpc.aio
from cryptography import x509

from signerd.errors import ProtocolViolation, Unavailable
from signerd.greenlight import failures, resolver, transport
from signerd.greenlight.endpoint import Endpoint
from signerd.greenlight.pb import scheduler_pb2
from signerd.greenlight.transport import ClientOptions, Identity
from signerd.units import UnixTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """A TLS connection as it was agreed. `not_before` and `not_after` are the leaf's, in Unix seconds."""

    version: str
    alpn: str | None
    not_before: UnixTime
    not_after: UnixTime
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a scheduler says of our node. `server_time` is None where the server does not tell it."""

    grpc_uri: str
    server_time: UnixTime | None
    seconds: float


async def addresses(endpoint: Endpoint, seconds: float) -> tuple[str, ...]:
    """The addresses of a host, in the order in which they are tried. Raises Unavailable."""
    try:
        async with asyncio.timeout(seconds):
            first = await resolver.resolve(endpoint.host, endpoint.port)
    except TimeoutError as error:
        raise Unavailable(
            f"the name {endpoint.host} was not resolved within {seconds:g} s",
            hint="the name server does not answer: check the network and /etc/resolv.conf",
        ) from error
    except socket.gaierror as error:
        why = failures.printable(error.strerror or str(error))
        raise Unavailable(
            f"the name {endpoint.host} cannot be resolved: {why}",
            hint="check the spelling in `scheduler.uri`, then the network and its name server",
        ) from error
    return (first,)


async def connect(endpoint: Endpoint, address: str, seconds: float) -> float:
    """How long it takes to connect, in seconds. Raises Unavailable."""
    begun = time.monotonic()
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(address, endpoint.port)
    except TimeoutError as error:
        raise Unavailable(
            f"{endpoint} ({address}) does not answer within {seconds:g} s",
            hint="a firewall swallows the connection, or the host is down",
        ) from error
    except OSError as error:
        raise Unavailable(
            f"no connection to {endpoint} ({address}): {failures.printable(error.strerror or str(error))}",
            hint="check the port in the URI, and whether a firewall lets it out",
        ) from error
    writer.close()
    return time.monotonic() - begun


async def handshake(endpoint: Endpoint, address: str, identity: Identity, seconds: float) -> Handshake:
    """Mutual TLS as the daemon does it. Raises Unavailable, or ProtocolViolation for somebody in between."""
    context = transport.tls_context(identity)
    begun = time.monotonic()
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(
                address, endpoint.port, ssl=context, server_hostname=endpoint.host
            )
    except ssl.SSLCertVerificationError as error:
        raise await _stranger(endpoint, address, error, seconds) from error
    except ssl.SSLError as error:
        raise Unavailable(
            f"no TLS with {endpoint}: {failures.printable(error.reason or str(error))}",
            hint="check the port in the URI; a proxy or a firewall may answer in the server's place",
        ) from error
    except (TimeoutError, OSError) as error:
        raise Unavailable(
            f"no TLS with {endpoint}: it breaks off or does not answer",
            hint="something between may not let this kind of TLS pass: try another network, or a VPN",
        ) from error
    took = time.monotonic() - begun
    agreed: ssl.SSLObject = writer.get_extra_info("ssl_object")
    leaf = agreed.getpeercert(binary_form=True)
    version, alpn = agreed.version() or "TLS", agreed.selected_alpn_protocol()
    writer.close()
    certificate = x509.load_der_x509_certificate(leaf or b"")
    return Handshake(
        version=version,
        alpn=alpn,
        not_before=UnixTime(int(certificate.not_valid_before_utc.timestamp())),
        not_after=UnixTime(int(certificate.not_valid_after_utc.timestamp())),
        seconds=took,
    )


async def ask(uri: str, identity: Identity, node_id: bytes, seconds: float) -> Answer:
    """Ask a scheduler where our node is, without starting it. Raises a RemoteError."""
    request = scheduler_pb2.NodeInfoRequest(node_id=node_id, wait=False)
    channel = transport.open_channel(uri, identity, ClientOptions())
    begun = time.monotonic()
    try:
        call = channel.unary_unary(
            "/scheduler.Scheduler/GetNodeInfo",
            request_serializer=scheduler_pb2.NodeInfoRequest.SerializeToString,
            response_deserializer=scheduler_pb2.NodeInfoResponse.FromString,
        )(request, timeout=seconds)
        try:
            metadata = await call.initial_metadata()
            reply = await call
        except grpc.aio.AioRpcError as error:
            raise failures.remote_error(error, doing="ask for the node", peer="the scheduler") from error
    finally:
        await channel.close()
    return Answer(
        grpc_uri=reply.grpc_uri,
        server_time=_date(dict(metadata or ()).get("date")),
        seconds=time.monotonic() - begun,
    )


def _date(text: str | bytes | None) -> UnixTime | None:
    """The `date` that servers behind a web proxy tell (RFC 9110, 6.6.1)."""
    if not isinstance(text, str):
        return None
    try:
        return UnixTime(int(email.utils.parsedate_to_datetime(text).timestamp()))
    except ValueError:
        return None


async def _stranger(
    endpoint: Endpoint, address: str, error: ssl.SSLCertVerificationError, seconds: float
) -> Exception:
    """Who answers with a certificate that we do not take: its issuer names a middlebox, mostly."""
    reason = failures.printable(error.verify_message)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    shown = "an unreadable certificate"
    try:
        async with asyncio.timeout(seconds):
            # Without our certificate, and nothing is said: only theirs is looked at.
            _, writer = await asyncio.open_connection(
                address, endpoint.port, ssl=context, server_hostname=endpoint.host
            )
        leaf = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        certificate = x509.load_der_x509_certificate(leaf or b"")
        issuer = failures.printable(certificate.issuer.rfc4514_string())
        subject = failures.printable(certificate.subject.rfc4514_string())
        shown = f"a certificate of {subject!r}, issued by {issuer!r}"
    except (OSError, TimeoutError, ValueError):
        # What matters is known already: ours does not take it.
        pass
    return ProtocolViolation(
        f"{endpoint} shows {shown}, which is refused: {reason}",
        hint="check the clock and the CA (`scheduler.ca_file`, GL_CA_CRT); if they are right, something "
        "between breaks TLS open (a company proxy, a virus scanner): take signerd's traffic out of it",
    )

"""How we connect: one gRPC channel over mutual TLS, with only our CA to trust."""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc
import grpc.aio

from signerd.errors import ConfigError, CredentialsError
from signerd.greenlight import endpoint as endpoints
from signerd.greenlight.endpoint import Endpoint

MIB = 1024 * 1024

KEEPALIVE_SECONDS = 330.0
"""A default gRPC server tolerates a ping every 300 s while nothing else is sent, and closes on more."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are on a connection, and whom we trust: PEM chain (leaf first), PEM key, PEM roots."""

    cert_chain: bytes
    private_key: bytes = field(repr=False)
    ca: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """What an application may choose. Sizes in bytes, times in seconds.

    `deadline` holds for each call, `long_deadline` for those that wait for something to happen.
    `retries` is how often a call that may be repeated is repeated while the other side is unavailable;
    `retry_pause` bounds the first pause, the later ones grow.
    """

    compression: bool = False
    max_decoding_message_size: int = 4 * MIB
    max_encoding_message_size: int | None = None
    interceptors: Sequence[grpc.aio.ClientInterceptor] = ()
    origin: str | None = None
    deadline: float = 30.0
    long_deadline: float = 900.0
    keepalive_seconds: float = KEEPALIVE_SECONDS
    keepalive_timeout_seconds: float = 20.0
    retries: int = 0
    retry_pause: float = 0.25
    http_proxy: bool = False


def open_channel(
    uri: str,
    identity: Identity,
    options: ClientOptions,
    *,
    server_name: str | None = None,
    handed_out: bool = False,
) -> grpc.aio.Channel:
    """A channel to an https URI; it connects with the first call.

    `server_name` replaces the URI's host as the name that the certificate must carry. Raises ConfigError
    (ProtocolViolation if the URI was `handed_out`), and CredentialsError for an identity that TLS refuses.
    """
    endpoint = endpoints.parse(uri, handed_out=handed_out)
    # gRPC would report an unfit key as an unavailable server.
    tls_context(identity)
    return grpc.aio.secure_channel(
        endpoint.target,
        grpc.ssl_channel_credentials(
            root_certificates=identity.ca,
            private_key=identity.private_key,
            certificate_chain=identity.cert_chain,
        ),
        options=channel_arguments(endpoint, options, server_name=server_name),
        compression=grpc.Compression.Gzip if options.compression else None,
        interceptors=list(options.interceptors),
    )


def channel_arguments(
    endpoint: Endpoint, options: ClientOptions, *, server_name: str | None = None
) -> list[tuple[str, int | str]]:
    """The C core's settings for a channel. Raises ConfigError for an origin that it cannot use."""
    name = server_name or endpoint.host
    arguments: list[tuple[str, int | str]] = [
        ("grpc.ssl_target_name_override", name),
        ("grpc.default_authority", _authority(endpoint, options.origin, name)),
        ("grpc.max_receive_message_length", options.max_decoding_message_size),
        (
            "grpc.max_send_message_length",
            -1 if options.max_encoding_message_size is None else options.max_encoding_message_size,
        ),
        ("grpc.keepalive_time_ms", int(options.keepalive_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", int(options.keepalive_timeout_seconds * 1000)),
        ("grpc.keepalive_permit_without_calls", 0),
        # A long poll sends no data for hours, and its connection must still be probed.
        ("grpc.http2.max_pings_without_data", 0),
        # Callers pause between attempts; the channel must be ready again by then.
        ("grpc.initial_reconnect_backoff_ms", 200),
        # Long only after a while of failures: by then the daemon probes, and makes a new channel.
        ("grpc.max_reconnect_backoff_ms", 10_000),
        # This is the time allowed for a connection attempt, in spite of its name.
        ("grpc.min_reconnect_backoff_ms", 10_000),
        # What may be repeated is our decision, call by call.
        ("grpc.enable_retries", 0),
        ("grpc.service_config_disable_resolution", 1),
        # Closing this channel must close its connection, and one channel's failures must not slow another.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", int(options.http_proxy)),
    ]
    return arguments


def tls_context(identity: Identity) -> ssl.SSLContext:
    """The same identity for the standard library. Raises CredentialsError if it cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    try:
        context.load_verify_locations(cadata=identity.ca.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise CredentialsError(
            "the CA certificate is not readable PEM", hint="check `scheduler.ca_file` and GL_CA_CRT"
        ) from error
    # The module reads files only, and a private key belongs into none.
    memory = os.memfd_create("signerd-identity", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(memory), "wb") as file:
            file.write(identity.cert_chain + b"\n" + identity.private_key)
        # An encrypted key must fail, not ask for its passphrase on the terminal.
        context.load_cert_chain(f"/proc/self/fd/{memory}", password="")
    except (ssl.SSLError, ValueError) as error:
        raise CredentialsError(
            "the certificate and the key of this device do not work together",
            hint="run `signerd recover` to get a new pair",
        ) from error
    finally:
        os.close(memory)
    return context


def _authority(endpoint: Endpoint, origin: str | None, server_name: str) -> str:
    """The `:authority` of our calls. With a port, the C core wants its host in the certificate."""
    if origin is None:
        bracketed = f"[{server_name}]" if ":" in server_name else server_name
        return f"{bracketed}:{endpoint.port}"
    wanted = origin if "://" in origin else f"https://{origin}"
    try:
        parsed = endpoints.parse(wanted)
    except ConfigError as error:
        raise ConfigError(f"the origin {origin!r} is not a host name") from error
    if parsed.host == server_name:
        return f"{parsed}"
    if parsed.port != endpoints.DEFAULT_PORT or ":" in parsed.host:
        raise ConfigError(
            f"the origin {origin!r} has a port or an IPv6 address", hint="write a host name only"
        )
    return parsed.host

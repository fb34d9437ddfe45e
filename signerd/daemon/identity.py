"""Who we are to the scheduler and the node: files and built-in anchors as TLS identities."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from signerd.core import certificates
from signerd.core.certificates import DeviceCertificate
from signerd.core.keys import p256
from signerd.errors import CredentialsError, InputMissing
from signerd.greenlight import builtin, transport
from signerd.greenlight.credentials import Credentials
from signerd.greenlight.transport import Identity
from signerd.store import files
from signerd.units import UnixTime

if TYPE_CHECKING:
    from pathlib import Path

    from signerd.config import Settings

MAX_PEM = 256 * 1024
MAX_CREDENTIALS = 1024 * 1024


def ca_pem(settings: Settings) -> bytes:
    """The CA in use: `scheduler.ca_file`, GL_CA_CRT, or Blockstream's. A named one must be readable."""
    if settings.ca_file is None:
        return builtin.ca_pem()
    pem = _read_pem(settings.ca_file, "scheduler.ca_file")
    certificates.load_chain(pem, what=f"the CA file {settings.ca_file}")
    return pem


def nobody(settings: Settings) -> Identity:
    """The identity for registering, recovering, and pairing a new device."""
    certificate, key = settings.nobody_cert_file, settings.nobody_key_file
    if (certificate is None) != (key is None):
        raise CredentialsError(
            "only one of the nobody certificate and its key is configured",
            hint="set both `scheduler.nobody_cert_file` and `scheduler.nobody_key_file`, or neither",
        )
    if certificate is None or key is None:
        return Identity(builtin.nobody_cert_pem(), builtin.nobody_key_pem(), ca_pem(settings))
    identity = Identity(
        _read_pem(certificate, "scheduler.nobody_cert_file"),
        _read_pem(key, "scheduler.nobody_key_file"),
        ca_pem(settings),
    )
    try:
        transport.tls_context(identity)
    except CredentialsError as error:
        raise CredentialsError(
            f"the nobody certificate {certificate} and its key {key} cannot be used: {error.message}",
            hint="check `scheduler.nobody_cert_file` and `nobody_key_file`, GL_NOBODY_CRT and GL_NOBODY_KEY",
        ) from error
    return identity


def load_credentials(settings: Settings) -> Credentials:
    """The credentials file. Raises CredentialsError if it is missing or damaged."""
    path = settings.credentials_file
    if not path.exists():
        raise CredentialsError(
            f"no credentials at {path}",
            hint="run `signerd register` (a new node) or `signerd recover` (a node that exists)",
        )
    try:
        return Credentials.decode(files.read_bounded(path, MAX_CREDENTIALS))
    except InputMissing as error:
        raise CredentialsError(error.message, hint=error.hint) from error
    except CredentialsError as error:
        raise CredentialsError(f"{path}: {error.message}", hint=error.hint) from error


def readable_by_others(settings: Settings) -> str | None:
    """What to type where others can read the credentials, which hold the device key; else None."""
    path = settings.credentials_file
    return f"chmod 600 {shlex.quote(str(path))}" if path.stat().st_mode & 0o077 else None


def device(settings: Settings, credentials: Credentials) -> Identity:
    """The identity of a paired device. A configured CA replaces the one in the credentials."""
    ca = credentials.ca if settings.ca_file is None else ca_pem(settings)
    return Identity(credentials.cert, credentials.key, ca)


def check(identity: Identity, *, node_id: bytes, now: UnixTime) -> DeviceCertificate:
    """That this identity is this node's, whole, and valid now. Raises CredentialsError."""
    key = p256.load_private_key(identity.private_key)
    return certificates.check_device(
        identity.cert_chain,
        ca_pem=identity.ca,
        node_id=node_id,
        public_key=p256.public_bytes(key),
        now=now,
    )


def _read_pem(path: Path, key: str) -> bytes:
    try:
        return files.read_bounded(path, MAX_PEM)
    except InputMissing as error:
        raise CredentialsError(f"{error.message} ({key})", hint="check the path") from error

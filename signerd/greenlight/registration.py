"""Register a node, or recover its credentials: prove the node key, get a certificate, check it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

from cryptography.hazmat.primitives.asymmetric import ec

from signerd.core import certificates, csr, startup
from signerd.core.keys import p256
from signerd.core.keys.node import NodeKeys
from signerd.core.runes import rune
from signerd.errors import (
    AccessDenied,
    AlreadyExists,
    CredentialsError,
    NotFound,
    ProtocolViolation,
    RemoteError,
)
from signerd.greenlight.credentials import Credentials
from signerd.greenlight.scheduler import SchedulerClient
from signerd.greenlight.values import ChallengeScope, IssuedCertificate
from signerd.units import Network, UnixTime

DEFAULT_DEVICE = "default"


async def register(
    scheduler: SchedulerClient,
    keys: NodeKeys,
    *,
    network: Network,
    signer_version: str,
    invite_code: str,
    device_key: ec.EllipticCurvePrivateKey,
    ca: bytes,
    now: Callable[[], UnixTime],
) -> Credentials:
    """Create the node. `device_key` is a fresh P-256 key, `ca` the PEM root in use.

    Raises AlreadyExists for a node that is known, ProtocolViolation for an answer that does not fit.
    """
    challenge = await scheduler.get_challenge(ChallengeScope.REGISTER, keys.node_id)
    with _hinting(
        {
            AlreadyExists: "run `signerd recover` to get credentials for it",
            AccessDenied: "a new node may need an invite code (`--invite-code`), or a developer's "
            "certificate (`scheduler.nobody_cert_file` and `scheduler.nobody_key_file`)",
        }
    ):
        issued = await scheduler.register(
            node_id=keys.node_id,
            bip32_key=keys.ext_key(network),
            startup_messages=startup.startup_messages(keys, network),
            network=network,
            challenge=challenge,
            signature=keys.sign_challenge(challenge),
            signer_version=signer_version,
            init_message=startup.init_message(keys, network),
            csr=csr.build(device_key, csr.common_name(keys.node_id, DEFAULT_DEVICE)),
            invite_code=invite_code,
        )
    return _credentials(issued, keys, device_key=device_key, ca=ca, now=now())


async def recover(
    scheduler: SchedulerClient,
    keys: NodeKeys,
    *,
    device_key: ec.EllipticCurvePrivateKey,
    ca: bytes,
    now: Callable[[], UnixTime],
) -> Credentials:
    """New credentials for a node that exists; those that were issued before stay valid.

    Raises NotFound for a node that is not known, ProtocolViolation for an answer that does not fit.
    """
    challenge = await scheduler.get_challenge(ChallengeScope.RECOVER, keys.node_id)
    device = f"recovered-{challenge[:8].hex()}"
    with _hinting({NotFound: "no node of this secret is known there; run `signerd register` to create it"}):
        issued = await scheduler.recover(
            node_id=keys.node_id,
            challenge=challenge,
            signature=keys.sign_challenge(challenge),
            csr=csr.build(device_key, csr.common_name(keys.node_id, device)),
        )
    return _credentials(issued, keys, device_key=device_key, ca=ca, now=now())


@contextlib.contextmanager
def _hinting(hints: Mapping[type[RemoteError], str]) -> Iterator[None]:
    """What to do next depends on what was asked: the same errors, with these hints."""
    try:
        yield
    except RemoteError as error:
        error.hint = hints.get(type(error), error.hint)
        raise


def _credentials(
    issued: IssuedCertificate,
    keys: NodeKeys,
    *,
    device_key: ec.EllipticCurvePrivateKey,
    ca: bytes,
    now: UnixTime,
) -> Credentials:
    if issued.device_key:
        raise ProtocolViolation(
            "the scheduler sent a private key of its own choice, which it would know too",
            hint="no credentials were written; this service is not one to trust",
        )
    chain = issued.device_cert.encode("utf-8")
    public_key = p256.public_bytes(device_key)
    try:
        certificates.check_device(chain, ca_pem=ca, node_id=keys.node_id, public_key=public_key, now=now)
    except CredentialsError as error:
        raise ProtocolViolation(
            f"the scheduler issued a certificate that does not fit: {error.message}",
            hint="no credentials were written; check the CA in use and this machine's clock",
        ) from error
    bound = rune.create(keys.rune_secret, [f"pubkey={public_key.hex()}"])
    return Credentials(chain, p256.private_key_pem(device_key), ca, bound.to_base64())

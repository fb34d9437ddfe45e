"""What the commands that talk to the scheduler share: who we are, and a client with retries."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from signerd.units import NodeId, UnixTime

if TYPE_CHECKING:
    from signerd.config import Settings
    from signerd.core.keys.node import NodeKeys
    from signerd.greenlight.credentials import Credentials
    from signerd.greenlight.scheduler import SchedulerClient
    from signerd.greenlight.transport import Identity

T = TypeVar("T")

RETRIES = 3


@dataclass(frozen=True, slots=True)
class Device:
    """This machine as a device of its node."""

    identity: Identity
    credentials: Credentials
    node_id: NodeId


def device(settings: Settings, keys: NodeKeys | None = None) -> Device:
    """Our credentials, checked; against the secret too, where there is one that needs no passphrase.

    Raises CredentialsError.
    """
    from signerd.cli import node_secret, output
    from signerd.core import certificates
    from signerd.daemon import identity

    credentials = identity.load_credentials(settings)
    if remedy := identity.readable_by_others(settings):
        output.talk(f"warning: others can read {settings.credentials_file}, which holds a key: {remedy}")
    ours = identity.device(settings, credentials)
    if keys is None and settings.secret_file.exists() and not _is_sealed(settings):
        keys = node_secret.load_keys(settings)
    node_id = keys.node_id if keys else certificates.read_device(credentials.cert).node_id
    identity.check(ours, node_id=node_id, now=now())
    return Device(ours, credentials, node_id)


def _is_sealed(settings: Settings) -> bool:
    # Nobody is asked for a passphrase by a command that does not use the secret.
    from signerd.cli import node_secret
    from signerd.store import secret_file

    return secret_file.is_sealed(settings.secret_file, handed_over=node_secret.is_handed_over(settings))


def client(settings: Settings, identity: Identity) -> SchedulerClient:
    """A client as a command needs it: patient with a network that stumbles."""
    from signerd.greenlight.scheduler import SchedulerClient
    from signerd.greenlight.transport import ClientOptions

    config = settings.config.scheduler
    options = ClientOptions(
        compression=config.compression,
        max_decoding_message_size=config.max_message_bytes,
        deadline=config.deadline_seconds,
        keepalive_seconds=config.keepalive_seconds,
        retries=RETRIES,
    )
    return SchedulerClient(settings.scheduler_uri, identity, options)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's asynchronous part; the C core's own log lines stay out of the terminal."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    return asyncio.run(work)


def now() -> UnixTime:
    """The moment of the command."""
    return UnixTime(int(time.time()))

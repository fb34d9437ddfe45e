"""Raw stubs and a ready-made device against a local Greenlight: as low as one can speak to it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import grpc
import grpc.aio
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from signerd.core import csr, startup
from signerd.core.keys import p256
from signerd.core.keys.node import NodeKeys
from signerd.core.runes import rune as runes
from signerd.dev.certificates import Identity
from signerd.dev.local import LocalGreenlight
from signerd.greenlight.pb import greenlight_pb2_grpc, scheduler_pb2_grpc
from signerd.greenlight.pb import scheduler_pb2 as pb
from signerd.units import Secret

PATIENCE = 30.0


def asynchronous(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a coroutine test in an event loop of its own, with an end in time."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def within_reason() -> None:
            async with asyncio.timeout(PATIENCE):
                await test(*args, **kwargs)

        asyncio.run(within_reason())

    return run


class Stubs:
    """All services at one address, called as `identity` (None: without a client certificate)."""

    def __init__(self, uri: str, ca_pem: bytes, identity: Identity | None) -> None:
        credentials = grpc.ssl_channel_credentials(
            root_certificates=ca_pem,
            private_key=identity.key if identity else None,
            certificate_chain=identity.chain if identity else None,
        )
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        self._channel = grpc.aio.secure_channel(uri.removeprefix("https://"), credentials, options=options)
        # The generated stubs are untyped.
        self.scheduler: Any = scheduler_pb2_grpc.SchedulerStub(self._channel)
        self.pairing: Any = scheduler_pb2_grpc.PairingStub(self._channel)
        self.debug: Any = scheduler_pb2_grpc.DebugStub(self._channel)
        self.node: Any = greenlight_pb2_grpc.NodeStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()


def ca_pem(greenlight: LocalGreenlight) -> bytes:
    return greenlight.ca_path.read_bytes()


def nobody(greenlight: LocalGreenlight) -> Identity:
    return Identity(greenlight.nobody_crt_path.read_bytes(), greenlight.nobody_key_path.read_bytes())


def developer(greenlight: LocalGreenlight) -> Identity:
    return Identity(greenlight.developer_crt_path.read_bytes(), greenlight.developer_key_path.read_bytes())


def stubs(greenlight: LocalGreenlight, identity: Identity | None) -> Stubs:
    return Stubs(greenlight.scheduler_uri, ca_pem(greenlight), identity)


@dataclass(frozen=True, slots=True)
class Device:
    """A registered device with its node's keys."""

    keys: NodeKeys
    key: ec.EllipticCurvePrivateKey
    identity: Identity

    @property
    def node_id(self) -> bytes:
        return self.keys.node_id

    @property
    def rune(self) -> str:
        """As register makes it: bound to this device, and to nothing else."""
        own = p256.public_bytes(self.key).hex()
        return runes.create(self.keys.rune_secret, [f"pubkey={own}"]).to_base64()


def node_keys(seed: int = 1) -> NodeKeys:
    return NodeKeys.derive(Secret(bytes([seed]) * 32))


def registration_request(
    keys: NodeKeys, challenge: bytes, key: ec.EllipticCurvePrivateKey
) -> pb.RegistrationRequest:
    """A request that is right in all its parts."""
    init_msg = startup.init_message(keys, "regtest")
    return pb.RegistrationRequest(
        node_id=keys.node_id,
        bip32_key=init_msg[69:147],
        startupmsgs=startup_messages(keys),
        network="regtest",
        challenge=challenge,
        signature=keys.sign_challenge(challenge),
        signer_proto="v25.05",
        init_msg=init_msg,
        csr=csr.build(key, csr.common_name(keys.node_id, "default")),
    )


def startup_messages(keys: NodeKeys) -> list[pb.StartupMessage]:
    return [
        pb.StartupMessage(request=m.request, response=m.response)
        for m in startup.startup_messages(keys, "regtest")
    ]


async def challenge_for(
    scheduler: Any, keys: NodeKeys, scope: pb.ChallengeScope.ValueType = pb.REGISTER
) -> bytes:
    reply = await scheduler.GetChallenge(pb.ChallengeRequest(scope=scope, node_id=keys.node_id))
    challenge: bytes = reply.challenge
    return challenge


async def registered(greenlight: LocalGreenlight, seed: int = 1) -> Device:
    """Register a node and return its first device."""
    keys, key = node_keys(seed), ec.generate_private_key(ec.SECP256R1())
    async with stubs(greenlight, nobody(greenlight)) as anonymous:
        request = registration_request(keys, await challenge_for(anonymous.scheduler, keys), key)
        reply = await anonymous.scheduler.Register(request)
    return Device(keys, key, Identity(reply.device_cert.encode(), p256.private_key_pem(key)))


@asynccontextmanager
async def device_stubs(greenlight: LocalGreenlight, device: Device) -> AsyncIterator[Stubs]:
    async with stubs(greenlight, device.identity) as called:
        yield called


@asynccontextmanager
async def node_stubs(greenlight: LocalGreenlight, node_id: bytes, identity: Identity) -> AsyncIterator[Any]:
    """The node's own service; the node must be placed."""
    async with Stubs(greenlight.node(node_id).grpc_uri, ca_pem(greenlight), identity) as called:
        yield called.node


async def refusal(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    """The error that a call ends with; a call that succeeds fails the test."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def code_of(call: Awaitable[Any]) -> grpc.StatusCode:
    return (await refusal(call)).code()


def changed(request: Any, **fields: Any) -> Any:
    """A copy of a protobuf with some fields replaced; lists replace repeated fields."""
    copy = type(request)()
    copy.CopyFrom(request)
    for name, value in fields.items():
        copy.ClearField(name)
        if isinstance(value, list):
            getattr(copy, name).extend(value)
        else:
            setattr(copy, name, value)
    return copy

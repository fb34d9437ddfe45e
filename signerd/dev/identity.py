"""What a node asks about its own keys: secrets for what it derives, its wallet's addresses (hsmd 27, 28)."""

from __future__ import annotations

from signerd.core.wire import identity as wire
from signerd.dev.steps import Steps, ask, require
from signerd.dev.world import World


def derive_secret(world: World, label: bytes) -> Steps[bytes]:
    """hsmd 27: the same secret for the same label, always."""

    def of_secret(reply: wire.DeriveSecretReply) -> bytes:
        known = world.labels.setdefault(label, reply.secret)
        require(reply.secret == known, f"the secret for {label.hex()} is not what it was")
        return reply.secret

    secret: bytes = yield from ask(wire.DeriveSecret(label), of_secret)
    return secret


def check_address(world: World, index: int, key: bytes | None = None) -> Steps[None]:
    """hsmd 28: is this the wallet's key `index`? With our own key for it, or another (33 bytes)."""
    ours = world.wallet.key(index)
    expected = key in (None, ours)

    def of_verdict(reply: wire.CheckPubKeyReply) -> None:
        require(reply.ok is expected, f"the verdict on wallet key {index} should be {expected}")

    yield from ask(wire.CheckPubKey(index, key or ours), of_verdict)

"""HANDLERS: message class → what we do. A message without a row is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from signerd.core.handlers import identity, session
from signerd.core.keys.node import NodeKeys
from signerd.core.wire import identity as wire_identity
from signerd.core.wire import session as wire_session
from signerd.units import Network, UnixTime

Handler = Callable[[Any, NodeKeys, Network, UnixTime], bytes]

HANDLERS: Mapping[type[Any], Handler] = {
    wire_session.Init: lambda message, keys, network, _now: session.init(message, keys, network),
    wire_session.GetHeartbeat: session.heartbeat,
    wire_identity.Ecdh: lambda message, keys, _network, _now: identity.ecdh(message, keys),
    wire_identity.DeriveSecret: lambda message, keys, _network, _now: identity.derive_secret(message, keys),
    wire_identity.CheckPubKey: lambda message, keys, _network, _now: identity.check_pubkey(message, keys),
}

ANSWERED = frozenset(kind.TYPE for kind in HANDLERS)
"""Type numbers that are answered."""

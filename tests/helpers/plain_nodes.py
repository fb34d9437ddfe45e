"""The recorded nodes of Core Lightning: their keys, from the secret files that they had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from signerd.core import secret_container
from signerd.core.keys.node import NodeKeys
from signerd.units import Secret


def keys_of(recorded: Mapping[str, Any]) -> NodeKeys:
    """Of a node, a session or a replay; its file may hold 32 bytes, or words with or without a passphrase."""
    passphrase = recorded.get("passphrase")
    given = None if passphrase is None else Secret(passphrase.encode())
    keys = secret_container.node_keys(bytes.fromhex(recorded["secret_file"]), given, source="hsm_secret")
    assert recorded["node_id"] == keys.node_id.hex()
    return keys

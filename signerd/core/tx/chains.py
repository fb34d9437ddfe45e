"""How Lightning's messages name our network: by the hash of its genesis block, and by a prefix."""

from __future__ import annotations

from signerd.units import Network

CHAIN_HASHES: dict[Network, bytes] = {
    "bitcoin": bytes.fromhex("6fe28c0ab6f1b372c1a6a246ae63f74f931e8365e15a089c68d6190000000000"),
    "testnet": bytes.fromhex("43497fd7f826957108f4a30fd9cec3aeba79972084e90ead01ea330900000000"),
    "signet": bytes.fromhex("f61eee3b63a380a477a063af32b2bbc97c9ff9f01f2c4225e973988108000000"),
    "regtest": bytes.fromhex("06226e46111a0b59caaf126043eb5bbf28c34f3a5e332a1fc7b2b73cf188910f"),
}
"""The genesis block's hash in internal byte order (BOLT 0's chain_hash)."""

PREFIXES: dict[Network, str] = {"bitcoin": "bc", "testnet": "tb", "signet": "tbs", "regtest": "bcrt"}
"""The human-readable part of addresses (BIP 173), and of invoices after `ln` (BOLT 11)."""

"""Scripts of a record as the addresses by which people know them; a record itself knows no network."""

from __future__ import annotations

from collections.abc import Mapping

from embit.base import EmbitError
from embit.networks import NETWORKS
from embit.script import Script

from signerd.core.audit.record import Fact
from signerd.units import Network

_NAMES: Mapping[Network, str] = {
    "bitcoin": "main",
    "testnet": "test",
    "signet": "signet",
    "regtest": "regtest",
}
_TO = " to "


def with_addresses(facts: Mapping[str, Fact], network: Network) -> dict[str, Fact]:
    """With `… sat to <address>` for `… sat to <script>`, where the script has an address."""
    return {
        key: tuple(_payment(text, network) for text in value)
        if key == "outputs" and isinstance(value, tuple)
        else value
        for key, value in facts.items()
    }


def _payment(text: str, network: Network) -> str:
    amount, separator, script = text.rpartition(_TO)
    try:
        return f"{amount}{separator}{Script(bytes.fromhex(script)).address(NETWORKS[_NAMES[network]])}"
    except (ValueError, EmbitError):
        return text

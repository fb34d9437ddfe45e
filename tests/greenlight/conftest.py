"""One certificate hierarchy for all of these tests, a server's certificate and a device's."""

from __future__ import annotations

import pytest
from helpers.ca import Authority, Issued

from signerd.core.keys.node import NodeKeys
from signerd.greenlight.transport import Identity
from signerd.units import Secret


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="session")
def keys() -> NodeKeys:
    return NodeKeys.derive(Secret(bytes(range(32))))


@pytest.fixture(scope="session")
def server_certificate(authority) -> Issued:
    return authority.issue("GL /services/scheduler")


@pytest.fixture(scope="session")
def node_certificate(authority, keys) -> Issued:
    return authority.issue(f"GL /users/{keys.node_id.hex()}/node")


@pytest.fixture(scope="session")
def identity(authority, keys) -> Identity:
    return authority.issue(f"/users/{keys.node_id.hex()}/default").identity

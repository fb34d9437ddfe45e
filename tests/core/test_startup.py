"""The init message, the start-up messages and the extended key, against the reference signer."""

from __future__ import annotations

import pytest
from helpers import vectors

from signerd.core import startup
from signerd.core.keys.node import NodeKeys
from signerd.units import NETWORKS, Secret

CASES = vectors.load("identity")["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['seed'][:8]}-{c['network']}")
def test_identity_equals_the_reference_signer(case):
    keys = NodeKeys.derive(Secret(bytes.fromhex(case["seed"])))
    network, registration = case["network"], case["registration"]
    messages = [
        {"request": m.request.hex(), "response": m.response.hex()}
        for m in startup.startup_messages(keys, network)
    ]
    assert keys.node_id.hex() == case["node_id"]
    assert startup.init_message(keys, network).hex() == case["init"] == registration["init_msg"]
    assert keys.ext_key(network).hex() == registration["bip32_key"]
    assert messages == registration["startupmsgs"] == case["upgrade"]["startupmsgs"]
    assert startup.DEFAULT_VERSION == case["version"] == registration["signer_proto"]
    challenge = bytes.fromhex(registration["challenge"])
    assert keys.sign_challenge(challenge).hex() == registration["signature"]


def test_only_the_reference_signers_network_names_exist():
    accepted = {c["network"] for c in CASES}
    refused = {c["network"] for c in vectors.load("identity")["odd_inputs"] if "error" in c}
    assert accepted == set(NETWORKS)
    assert refused.isdisjoint(NETWORKS)

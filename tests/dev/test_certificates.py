"""The throwaway hierarchy has the names, the depth and the purposes of the real one."""

from __future__ import annotations

import datetime
import warnings
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from helpers.greenlight import node_keys

from signerd.core import certificates, csr
from signerd.core.keys import p256
from signerd.dev.certificates import Authority
from signerd.errors import CredentialsError
from signerd.units import UnixTime

NODE_ID = node_keys(1).node_id
NOW = UnixTime(int(datetime.datetime.now(datetime.UTC).timestamp()))
LONG = datetime.timedelta(days=30)


def names(chain: bytes) -> list[str]:
    loaded = certificates.load_chain(chain, what="the chain")
    return [certificates.common_name(certificate) for certificate in loaded]


def device_chain(authority: Authority, key: ec.EllipticCurvePrivateKey, *, days: int = 30) -> bytes:
    request = csr.build(key, csr.common_name(NODE_ID, "default"))
    return authority.device(NODE_ID, request, lifetime=datetime.timedelta(days=days))


def test_chains_lead_from_the_leaf_to_below_the_root(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    user = NODE_ID.hex()
    assert ["GL /"] == names(authority.ca_pem)
    assert ["GL /users/nobody", "GL /users"] == names(authority.nobody.chain)
    assert ["GL /services/scheduler", "GL /services"] == names(authority.scheduler.chain)
    assert [f"GL /users/{user}/node", f"GL /users/{user}", "GL /users"] == names(
        authority.node(NODE_ID).chain
    )
    device = device_chain(authority, ec.generate_private_key(ec.SECP256R1()))
    assert [f"/users/{user}/default", f"GL /users/{user}", "GL /users"] == names(device)


def test_every_chain_is_signed_up_to_the_root(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    for chain in (authority.nobody.chain, authority.scheduler.chain, authority.node(NODE_ID).chain):
        certificates.check_chain(chain, ca_pem=authority.ca_pem, now=NOW)


def test_every_leaf_is_localhost_and_both_ends(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    chains = (
        authority.nobody.chain,
        authority.node(NODE_ID).chain,
        device_chain(authority, ec.generate_private_key(ec.SECP256R1())),
    )
    for chain in chains:
        leaf = certificates.load_chain(chain, what="the chain")[0]
        alternatives = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert [x509.DNSName("localhost")] == list(alternatives)
        usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH} == set(usages)


def test_the_root_allows_three_levels_below_it(tmp_path: Path) -> None:
    root = Authority(tmp_path).root.certificate
    constraints = root.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (True, 3) == (constraints.ca, constraints.path_length)


def test_a_pairing_request_gets_the_name_of_the_node(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    request = csr.build(key, csr.pairing_common_name("my phone"))
    name = csr.common_name(NODE_ID, "my phone")
    chain = Authority(tmp_path).device(NODE_ID, request, lifetime=LONG, name=name)
    device = certificates.read_device(chain)
    assert (NODE_ID, "my phone", p256.public_bytes(key)) == (device.node_id, device.device, device.public_key)
    subject = certificates.load_chain(chain, what="the chain")[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        attributes = [attribute.rfc4514_attribute_name for attribute in subject.subject]
    assert ["CN", "C", "L", "O", "ST", "OU"] == attributes


def test_a_negative_lifetime_makes_an_expired_certificate(tmp_path: Path) -> None:
    authority, key = Authority(tmp_path), ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(CredentialsError, match="expired"):
        certificates.check_device(
            device_chain(authority, key, days=-1),
            ca_pem=authority.ca_pem,
            node_id=NODE_ID,
            public_key=p256.public_bytes(key),
            now=NOW,
        )


def test_the_hierarchy_is_made_once(tmp_path: Path) -> None:
    one, again = Authority(tmp_path), Authority(tmp_path)
    assert (one.ca_pem, one.nobody.chain) == (again.ca_pem, again.nobody.chain)
    assert one.node(NODE_ID).chain == again.node(NODE_ID).chain

"""Certificate requests, byte for byte as the reference client builds them."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from helpers import vectors
from hypothesis import given
from hypothesis import strategies as st

from signerd.core import csr
from signerd.core.keys import p256
from signerd.errors import MalformedMessage

CASES = vectors.load("csr")["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["flow"])
@pytest.mark.filterwarnings("ignore:Attribute's length")
def test_request_equals_the_reference_clients_but_for_key_and_signature(case):
    theirs = case["csr"]
    key = ec.generate_private_key(ec.SECP256R1())
    name = theirs["subject"][0][1]
    ours = x509.load_pem_x509_csr(csr.build(key, name))
    expected = x509.load_pem_x509_csr(theirs["pem"].encode())
    with_their_key = ours.tbs_certrequest_bytes.replace(
        p256.public_bytes(key), bytes.fromhex(theirs["public_key"])
    )
    assert expected.tbs_certrequest_bytes == with_their_key
    assert ours.is_signature_valid
    assert expected.signature_algorithm_oid == ours.signature_algorithm_oid


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["flow"])
def test_reads_the_reference_clients_requests(case):
    theirs = case["csr"]
    read = csr.read(theirs["pem"].encode())
    assert theirs["subject"][0][1] == read.common_name
    assert theirs["public_key"] == read.public_key.hex()
    assert read.signature_valid


def test_pem_has_crlf_and_64_columns():
    pem = csr.build(ec.generate_private_key(ec.SECP256R1()), "/users/00/x")
    lines = pem.split(b"\r\n")
    assert lines[0] == b"-----BEGIN CERTIFICATE REQUEST-----"
    assert lines[-2:] == [b"-----END CERTIFICATE REQUEST-----", b""]
    assert {len(line) for line in lines[1:-3]} == {64}
    assert b"\n" not in pem.replace(b"\r\n", b"")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_any_device_name_survives(device):
    key = ec.derive_private_key(7, ec.SECP256R1())
    read = csr.read(csr.build(key, csr.pairing_common_name(device)))
    assert f"/users/3030/{device}" == read.common_name
    assert p256.public_bytes(key) == read.public_key


def test_a_request_signed_by_another_key_is_told():
    key, other = (ec.derive_private_key(n, ec.SECP256R1()) for n in (7, 8))
    der = x509.load_pem_x509_csr(csr.build(key, "a")).tbs_certrequest_bytes
    forged = csr._sequence(
        der,
        csr._sequence(csr._tlv(6, csr._ECDSA_WITH_SHA256)),
        csr._tlv(3, b"\x00" + other.sign(der, p256._SHA256)),
    )
    assert not csr.read(csr._pem("CERTIFICATE REQUEST", forged)).signature_valid


@pytest.mark.parametrize("pem", [b"", b"garbage", b"-----BEGIN CERTIFICATE REQUEST-----\n-----END"])
def test_refuses_what_is_no_request(pem):
    with pytest.raises(MalformedMessage):
        csr.read(pem)


def test_refuses_a_request_for_another_curve():
    key = ec.generate_private_key(ec.SECP384R1())
    with pytest.raises(MalformedMessage, match="P-256"):
        csr.read(csr.build(key, "a"))

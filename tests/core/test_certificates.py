"""Whose certificate is this, may we trust it, and is it still good?"""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from signerd.core import certificates, csr
from signerd.core.keys import p256, secp256k1
from signerd.dev.certificates import Authority
from signerd.errors import CredentialsError
from signerd.units import UnixTime

NODE_ID, OTHER_ID = (secp256k1.public_key(bytes([n]) * 32) for n in (1, 2))
KEY = ec.derive_private_key(7, ec.SECP256R1())
DAY = datetime.timedelta(days=1)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def now() -> UnixTime:
    return UnixTime(int(datetime.datetime.now(datetime.UTC).timestamp()))


def chain_of(authority, *, node_id=NODE_ID, key=KEY, name=None, lifetime=DAY) -> bytes:
    request = csr.build(key, name or csr.common_name(NODE_ID, "default"))
    return authority.device(node_id, request, lifetime=lifetime)


def check(chain, authority, **changes):
    expected = {
        "ca_pem": authority.ca_pem,
        "node_id": NODE_ID,
        "public_key": p256.public_bytes(KEY),
        "now": now(),
    } | changes
    return certificates.check_device(chain, **expected)


def refusal_of(chain, authority, **changes) -> CredentialsError:
    with pytest.raises(CredentialsError) as caught:
        check(chain, authority, **changes)
    return caught.value


def test_accepts_a_device_of_ours(authority):
    device = check(chain_of(authority), authority)
    assert (device.node_id, device.device) == (NODE_ID, "default")


def test_a_device_name_may_hold_slashes(authority):
    device = check(chain_of(authority, name=csr.common_name(NODE_ID, "a/b")), authority)
    assert device.device == "a/b"


def test_the_root_may_be_in_the_chain(authority):
    check(chain_of(authority) + authority.ca_pem, authority)


def test_refuses_another_nodes_certificate(authority):
    refused = refusal_of(chain_of(authority, name=csr.common_name(OTHER_ID, "default")), authority)
    assert OTHER_ID.hex() in refused.message
    assert NODE_ID.hex() in refused.message


def test_refuses_a_certificate_for_another_key(authority):
    other = ec.generate_private_key(ec.SECP256R1())
    assert "key" in refusal_of(chain_of(authority, key=other), authority).message


def test_refuses_an_expired_certificate_and_says_what_to_do(authority):
    refused = refusal_of(chain_of(authority, lifetime=-DAY), authority)
    assert "expired on" in refused.message
    assert "signerd recover" in (refused.hint or "")


def test_refuses_a_certificate_from_the_future(authority):
    refused = refusal_of(chain_of(authority), authority, now=UnixTime(1_000_000_000))
    assert "clock" in (refused.hint or "")


def test_refuses_a_chain_of_another_authority(authority, tmp_path: Path):
    foreign = Authority(tmp_path)
    refused = refusal_of(chain_of(authority), authority, ca_pem=foreign.ca_pem)
    assert "CA in use" in refused.message


def test_refuses_a_chain_with_a_missing_link(authority):
    leaf, *above = chain_of(authority).split(b"-----END CERTIFICATE-----\n")
    end = b"-----END CERTIFICATE-----\n"
    for broken in (leaf + end, leaf + end + above[1] + end):
        assert (
            "signed by" in refusal_of(broken, authority).message
            or "lead to" in refusal_of(broken, authority).message
        )


@pytest.mark.filterwarnings("ignore:Attribute's length")
def test_refuses_a_leaf_that_a_leaf_signed(authority):
    """A device that signs a certificate of its own is no authority."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    victim = chain_of(authority)
    device = x509.load_pem_x509_certificates(victim)[0]
    moment = datetime.datetime.now(datetime.UTC)
    forged = (
        x509.CertificateBuilder(subject_name=device.subject, issuer_name=device.subject)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(moment - DAY)
        .not_valid_after(moment + DAY)
        .sign(KEY, hashes.SHA256())
    )
    chain = forged.public_bytes(serialization.Encoding.PEM) + victim
    assert "not signed by the next one" in refusal_of(chain, authority).message


@pytest.mark.parametrize(
    "name",
    ["", "users", "/users/", "/users/nobody", "/users/zz/x", f"/users/{NODE_ID.hex()[:-2]}/x", "/services/x",
     f"/users/{NODE_ID.hex().upper()}/x", f"/users/ {NODE_ID.hex()}/x", f"/users/02{'ff' * 32}/x"],
)  # fmt: skip
def test_a_name_without_a_node_id_has_none(name):
    with pytest.raises(CredentialsError):
        certificates.node_id_of(name)


@pytest.mark.parametrize("prefix", ["", "GL "])
def test_finds_the_node_id_in_both_forms(prefix):
    assert certificates.node_id_of(f"{prefix}/users/{NODE_ID.hex()}/node") == NODE_ID


def test_a_certificate_of_an_unknown_version_is_unreadable_and_no_bug(authority):
    import base64

    pem = chain_of(authority)
    der = base64.b64decode(b"".join(pem.split(b"-----")[2].split()))
    # [0] { INTEGER version }: RFC 5280 knows 0 to 2.
    strange = der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x05", 1)
    text = b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(strange) + b"\n-----END CERTIFICATE-----\n"
    assert "readable" in refusal_of(text, authority).message


@pytest.mark.parametrize(
    "pem",
    [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
)
def test_refuses_what_is_no_certificate(authority, pem):
    assert "readable" in refusal_of(pem, authority).message

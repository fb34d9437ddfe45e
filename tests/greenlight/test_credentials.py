from __future__ import annotations

import pytest
from helpers import vectors
from hypothesis import given
from hypothesis import strategies as st

from signerd.errors import CredentialsError
from signerd.greenlight.credentials import Credentials
from signerd.greenlight.pb import credentials_pb2

VECTORS = vectors.load("csr")
DECODING = {case["what"]: bytes.fromhex(case["blob"]) for case in VECTORS["credentials_decoding"]}


def test_encodes_the_published_example():
    credentials = Credentials(cert=b"cb", key=b"a`", ca=b"_^", rune="non_functional_rune")
    assert credentials.encode().hex() == (
        "08011202636" + "21a0261602202" + "5f5e2a136e6f6e5f66756e6374696f6e616c5f72756e65"
    )


@pytest.mark.parametrize("case", VECTORS["credentials"], ids=lambda case: case["flow"])
def test_reads_and_writes_the_peer_s_files_byte_for_byte(case):
    blob = bytes.fromhex(case["blob"])
    credentials = Credentials.decode(blob)
    assert credentials.encode() == blob
    if "ca_pem" in case:
        assert credentials.ca.hex() == case["ca_pem"]
        assert credentials.cert.decode() == case["device_cert"]
        assert credentials.key.decode() == case["device_key"]
        assert credentials.rune == case["rune"]


@pytest.mark.parametrize("what", ["empty", "garbage", "truncated", "version 2", "unknown field 9"])
def test_refuses_what_the_peer_replaces_by_the_nobody_identity_or_reads_all_the_same(what):
    with pytest.raises(CredentialsError) as refusal:
        Credentials.decode(DECODING[what])
    assert refusal.value.hint


def test_reads_version_0_and_a_file_without_a_rune():
    assert Credentials.decode(DECODING["version 0"]).rune
    assert Credentials.decode(DECODING["no rune"]).rune == ""
    assert set(DECODING) == {
        "empty", "garbage", "truncated", "version 0", "version 2", "unknown field 9", "no rune",
    }  # fmt: skip


def test_writes_an_empty_rune_and_version_1():
    assert Credentials.decode(DECODING["version 0"]).encode()[:2] == b"\x08\x01"
    assert Credentials.decode(DECODING["no rune"]).encode().endswith(b"\x2a\x00")


@pytest.mark.parametrize("field", ["cert", "key", "ca"])
def test_names_the_part_that_is_missing(field):
    blob = credentials_pb2.Blob(version=1, cert=b"c", key=b"k", ca=b"a", rune="r")
    blob.ClearField(field)
    with pytest.raises(CredentialsError, match=f"have no {field}"):
        Credentials.decode(blob.SerializeToString())


def test_does_not_show_key_or_rune():
    shown = repr(Credentials(cert=b"cert", key=b"the key", ca=b"ca", rune="the rune"))
    assert "the key" not in shown
    assert "the rune" not in shown


@given(st.binary())
def test_bytes_from_anywhere_are_read_whole_or_refused(raw):
    try:
        credentials = Credentials.decode(raw)
    except CredentialsError:
        return
    assert Credentials.decode(credentials.encode()) == credentials


@given(*[st.binary(min_size=1)] * 3, st.text(st.characters(exclude_categories=["Cs"])))
def test_whatever_is_written_is_read_again(cert, key, ca, rune):
    credentials = Credentials(cert=cert, key=key, ca=ca, rune=rune)
    assert Credentials.decode(credentials.encode()) == credentials

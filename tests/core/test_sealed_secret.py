"""Sealed secrets: Core Lightning's own files open, and what we seal is what its tool would have written."""

from __future__ import annotations

import subprocess
import sys

import pytest
from helpers import sealing, vectors
from hypothesis import given
from hypothesis import strategies as st

from signerd.core import sealed_secret
from signerd.core.keys.node import NodeKeys
from signerd.errors import ExitCode, SecretError, WrongPassphrase
from signerd.units import Secret

SEALED = [case for case in vectors.load("hsm_secrets")["secrets"] if case["layout"] == "encrypted"]
BY_NAME = {case["name"]: case for case in SEALED}
CASE = BY_NAME["encrypted, unicode composed"]
KEY = Secret(bytes.fromhex(CASE["kdf_key"]))

of_core_lightning = pytest.mark.parametrize("case", SEALED, ids=lambda case: case["name"])


def test_all_of_core_lightnings_sealed_files_are_here():
    assert len(SEALED) == 8
    assert {case["passphrase"] for case in SEALED} >= {"", " "}


@of_core_lightning
def test_finds_the_key_of_a_passphrase_as_it_was_typed(case):
    key = sealed_secret.derive_key(Secret(case["passphrase"].encode()))
    assert key.expose().hex() == case["kdf_key"]


@of_core_lightning
def test_opens_to_the_node_that_core_lightning_becomes(case):
    content, key = bytes.fromhex(case["file"]), Secret(bytes.fromhex(case["kdf_key"]))
    secret = sealed_secret.unseal(content, key, source="hsm_secret")
    assert secret.expose().hex() == case["secret"]
    assert NodeKeys.derive(secret).node_id.hex() == case["hsmd_node_id"]


@of_core_lightning
def test_seals_to_the_bytes_that_core_lightning_wrote(case):
    content, key = bytes.fromhex(case["file"]), Secret(bytes.fromhex(case["kdf_key"]))
    assert sealed_secret.seal(Secret(bytes.fromhex(case["secret"])), key, content[:24]) == content


@of_core_lightning
def test_the_other_implementation_is_right(case):
    assert sealing.opened(bytes.fromhex(case["file"]), bytes.fromhex(case["kdf_key"])) == bytes.fromhex(
        case["secret"]
    )


@given(
    secret=st.binary(min_size=32, max_size=32),
    key=st.binary(min_size=32, max_size=32),
    header=st.binary(min_size=24, max_size=24),
)
def test_another_implementation_opens_what_we_seal(secret, key, header):
    content = sealed_secret.seal(Secret(secret), Secret(key), header)
    assert len(content) == 73
    assert sealing.opened(content, key) == secret
    assert sealed_secret.unseal(content, Secret(key), source="x").expose() == secret


@given(bit=st.integers(0, 73 * 8 - 1))
def test_a_single_changed_bit_does_not_open(bit):
    content = bytearray.fromhex(CASE["file"])
    content[bit // 8] ^= 1 << bit % 8
    with pytest.raises(WrongPassphrase):
        sealed_secret.unseal(bytes(content), KEY, source="hsm_secret")
    assert sealing.opened(bytes(content), KEY.expose()) is None


def test_a_wrong_passphrase_is_told_once_and_without_any_of_it():
    content = bytes.fromhex(CASE["file"])
    with pytest.raises(WrongPassphrase) as caught:
        sealed_secret.unseal(content, Secret(bytes(32)), source="/etc/hsm_secret")
    assert "/etc/hsm_secret" in caught.value.message
    assert caught.value.exit_code == ExitCode.WRONG_PASSPHRASE == 80
    assert isinstance(caught.value, SecretError)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_seals_nothing_but_32_bytes(size):
    with pytest.raises(SecretError, match=f"{size} bytes"):
        sealed_secret.seal(Secret(bytes(size)), KEY, bytes(24))


def test_too_little_memory_is_an_error_of_its_own():
    code = """if True:
        import resource
        from signerd.core import sealed_secret
        from signerd.errors import MemoryShort
        from signerd.units import Secret
        resource.setrlimit(resource.RLIMIT_AS, (200 << 20, 200 << 20))
        try:
            sealed_secret.derive_key(Secret(b"x"))
        except MemoryShort as error:
            print(int(error.exit_code), error.message)
    """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.startswith("75 there is not enough memory"), done.stdout

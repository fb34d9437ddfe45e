"""Every file layout is recognised by what it is, and nothing is ever cut to fit."""

from __future__ import annotations

import unicodedata

import pytest
from helpers import vectors
from hypothesis import given
from hypothesis import strategies as st

from signerd.core import secret_layout
from signerd.core.keys import mnemonic
from signerd.core.keys.node import NodeKeys
from signerd.errors import ExitCode, Sealed, SecretError, WrongPassphrase
from signerd.units import Secret

CLN = vectors.load("hsm_secrets")
WORDS = "abandon " * 11 + "about"
SECRETS = {case["name"]: case for case in CLN["secrets"]}
CONTAINERS = [case for case in CLN["secrets"] if case["words"]]
SEALED = [case for case in CLN["secrets"] if case["layout"] == "encrypted"]


def refusal_of(content: bytes, **options) -> SecretError:
    with pytest.raises(SecretError) as caught:
        secret_layout.read(content, source="hsm_secret", **options)
    return caught.value


def file_of(case) -> bytes:
    return bytes.fromhex(case["file"])


def passphrase_of(case) -> Secret | None:
    return None if case["passphrase"] is None else Secret(case["passphrase"].encode())


def test_every_layout_of_core_lightning_is_here():
    assert {"plain", "encrypted", "mnemonic", "mnemonic+passphrase"} == {c["layout"] for c in CLN["secrets"]}


@pytest.mark.parametrize(
    "case", [c for c in CLN["secrets"] if c["layout"] == "plain"], ids=lambda c: c["name"]
)
def test_reads_core_lightnings_plain_files(case):
    secret = secret_layout.read(file_of(case), source="x")
    assert case["hsmd_node_id"] == NodeKeys.derive(secret).node_id.hex()


@pytest.mark.parametrize("case", SEALED, ids=lambda c: c["name"])
def test_says_that_a_file_is_sealed_and_asks_for_its_passphrase(case):
    refused = refusal_of(file_of(case))
    assert isinstance(refused, Sealed)
    assert refused.exit_code == ExitCode.SEALED == 79
    assert "encrypted with a passphrase" in refused.message
    assert "--passphrase-file" in (refused.hint or "")
    assert secret_layout.needs_passphrase(file_of(case), source="x")


def test_opens_a_sealed_file_of_core_lightning_that_has_an_empty_passphrase():
    case = SECRETS["encrypted, empty"]
    secret = secret_layout.read(file_of(case), source="x", passphrase=Secret(b""))
    assert case["hsmd_node_id"] == NodeKeys.derive(secret).node_id.hex()


@pytest.mark.parametrize("case", CONTAINERS, ids=lambda c: c["name"])
def test_does_not_guess_which_node_a_container_means(case):
    # With the passphrase in hand it is no other answer: which node is meant is asked first.
    for passphrase in (None, passphrase_of(case)):
        refused = refusal_of(file_of(case), passphrase=passphrase)
        assert "mnemonic container" in refused.message
        assert not isinstance(refused, Sealed)
        assert "hosted" in (refused.hint or "")
        assert "core-lightning" in (refused.hint or "")


@pytest.mark.parametrize("case", CONTAINERS, ids=lambda c: c["name"])
def test_reads_the_hosted_node_of_a_container(case):
    content, given = file_of(case), passphrase_of(case)
    secret = secret_layout.read(content, source="x", passphrase=given, derivation="hosted")
    assert secret.expose() == bytes.fromhex(case["secret"])[:32]
    assert case["hsmd_node_id"] == NodeKeys.derive(secret).node_id.hex()
    assert secret_layout.needs_passphrase(content, source="x", derivation="hosted") == (given is not None)
    if given is None:
        # It is the node of the same words, typed in.
        assert secret == secret_layout.read(case["words"].encode(), source="x")


@pytest.mark.parametrize("case", CONTAINERS, ids=lambda c: c["name"])
def test_serves_nobody_with_core_lightnings_own_node(case):
    refused = refusal_of(file_of(case), passphrase=passphrase_of(case), derivation="core-lightning")
    assert "Core Lightning's own" in refused.message


def test_a_containers_passphrase_has_to_be_there_and_right():
    case = SECRETS["mnemonic 12 words with passphrase, unicode composed"]
    assert isinstance(refusal_of(file_of(case), derivation="hosted"), Sealed)
    decomposed = Secret(unicodedata.normalize("NFD", case["passphrase"]).encode())
    for wrong in (Secret(b""), decomposed):
        refused = refusal_of(file_of(case), derivation="hosted", passphrase=wrong)
        assert isinstance(refused, WrongPassphrase)
        assert refused.exit_code == ExitCode.WRONG_PASSPHRASE


@pytest.mark.parametrize(
    "bad", [bad for bad in CLN["bad_words"] if bad["words"]], ids=lambda bad: bad["name"]
)
def test_refuses_a_container_with_the_words_that_core_lightning_refuses(bad):
    for check_value in (bytes(32), bytes(31) + b"\xff"):
        refused = refusal_of(
            check_value + bad["words"].encode(), derivation="hosted", passphrase=Secret(b"x")
        )
        assert refused.hint
        assert not isinstance(refused, WrongPassphrase)


def test_words_as_text_mean_a_hosted_node_and_no_other():
    assert secret_layout.read(WORDS.encode(), source="x", derivation="hosted")
    refused = refusal_of(WORDS.encode(), derivation="core-lightning")
    assert "secret.derivation" in (refused.hint or "")


@pytest.mark.parametrize("derivation", ["hosted", "core-lightning"])
def test_what_is_said_of_containers_changes_nothing_for_32_bytes(derivation):
    content = bytes(range(32))
    given = {"passphrase": Secret(b"not needed"), "derivation": derivation}
    assert secret_layout.read(content, source="x", **given).expose() == content


@pytest.mark.parametrize("case", CLN["odd"], ids=lambda c: c["name"])
@pytest.mark.parametrize("passphrase", [None, "pw"])
def test_refuses_every_odd_file_but_those_of_32_bytes(case, passphrase):
    content, given = file_of(case), None if passphrase is None else Secret(passphrase.encode())
    if len(content) == 32:
        # Core Lightning takes these too, and ignores a passphrase.
        assert case["error_code"] is case["error_code_with_passphrase"] is None
        assert content == secret_layout.read(content, source="x", passphrase=given).expose()
    else:
        assert case["error_code"]
        refused = refusal_of(content, passphrase=given, derivation="hosted")
        assert refused.hint
        assert isinstance(refused, WrongPassphrase) == (len(content) == 73 and passphrase is not None)


@pytest.mark.parametrize(
    "content",
    [WORDS.encode(), f"{WORDS}\n".encode(), f"  {WORDS}  ".encode(), WORDS.replace(" ", "\n").encode()],
    ids=["glsdk", "newline", "blanks", "lines"],
)
def test_reads_words_as_the_other_tools_do(content):
    expected = mnemonic.node_secret(Secret(WORDS.encode()))
    assert expected == secret_layout.read(content, source="x")


def test_words_of_73_characters_are_words_and_not_an_encrypted_secret():
    for number in range(2**16):
        words = mnemonic.from_entropy(Secret(number.to_bytes(16, "big"))).expose()
        if len(words) == 73:
            break
    assert mnemonic.node_secret(Secret(words)) == secret_layout.read(words, source="x")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (bytes(31), "cut short"),
        (bytes(33), "33 bytes"),
        (bytes(33), "no words follow"),
        (b"\xff" * 33, "33 bytes"),
        (b"\xff" * 72, "72 bytes, a secret under a passphrase has 73"),
        (b"\xff" * 74, "74 bytes, a secret under a passphrase has 73"),
        (bytes(32) + b"one", "no words follow"),
        (bytes(32) + b"two words", "mnemonic container, but"),
        (bytes(64), "64 bytes"),
        (b"ab" * 32, "hexadecimal"),
        (b"ab" * 32 + b"\n", "hexadecimal"),
        (WORDS.replace("about", "abandon").encode(), "check sum"),
        (WORDS.replace("about", "abouts").encode(), "word 12"),
        (b"only two", "has 2"),
    ],
)
def test_says_what_is_wrong(content, says):
    assert says in refusal_of(content).message


@given(st.binary(max_size=200))
def test_uses_all_of_a_file_or_nothing(content):
    try:
        secret = secret_layout.read(content, source="x")
    except SecretError:
        return
    assert content == secret.expose() or len(content.split()) >= 12

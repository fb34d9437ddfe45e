"""Every file layout is recognised by what it is, and nothing is ever cut to fit."""

from __future__ import annotations

import pytest
from helpers import vectors
from hypothesis import given
from hypothesis import strategies as st

from signerd.core import secret_layout
from signerd.core.keys import mnemonic
from signerd.core.keys.node import NodeKeys
from signerd.errors import SecretError
from signerd.units import Secret

CLN = vectors.load("hsm_secrets")
WORDS = "abandon " * 11 + "about"
LAYOUT_NAMES = {
    "encrypted": "encrypted with a passphrase",
    "mnemonic": "mnemonic container",
    "mnemonic+passphrase": "mnemonic container",
}


def refusal_of(content: bytes) -> SecretError:
    with pytest.raises(SecretError) as caught:
        secret_layout.read(content, source="hsm_secret")
    return caught.value


@pytest.mark.parametrize("case", CLN["secrets"], ids=lambda c: c["name"])
def test_recognises_core_lightnings_own_files(case):
    content = bytes.fromhex(case["file"])
    if case["layout"] == "plain":
        secret = secret_layout.read(content, source="x")
        assert case["hsmd_node_id"] == NodeKeys.derive(secret).node_id.hex()
    else:
        refused = refusal_of(content)
        assert LAYOUT_NAMES[case["layout"]] in refused.message
        assert refused.hint


@pytest.mark.parametrize("case", CLN["odd"], ids=lambda c: c["name"])
def test_refuses_every_odd_file_but_those_of_32_bytes(case):
    content = bytes.fromhex(case["file"])
    if len(content) == 32:
        assert content == secret_layout.read(content, source="x").expose()
    else:
        assert refusal_of(content).hint


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

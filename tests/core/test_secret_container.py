"""Secret files of plain Core Lightning nodes, against the node that its own hsmd became with each."""

from __future__ import annotations

import pytest
from helpers import vectors

from signerd.core import secret_container
from signerd.core.keys.node import SecretKind
from signerd.core.signer import Signer
from signerd.core.tx.signing import Dialect
from signerd.errors import Sealed, SecretError, WrongPassphrase
from signerd.units import Secret

FILES = vectors.load("hsm_secrets")
OPENED = [case for case in FILES["secrets"] if case["layout"] != "encrypted"]
WITH_WORDS = [case for case in OPENED if case["words"]]
KINDS = {
    "plain": SecretKind.PLAIN,
    "mnemonic": SecretKind.WORDS,
    "mnemonic+passphrase": SecretKind.WORDS_WITH_PASSPHRASE,
}


def opened(content: bytes, passphrase: str | None = None):
    given = None if passphrase is None else Secret(passphrase.encode())
    return secret_container.node_keys(content, given, source="hsm_secret")


def refusal(content: bytes, passphrase: str | None = None, kind: type[SecretError] = SecretError) -> str:
    with pytest.raises(kind) as caught:
        opened(content, passphrase)
    return caught.value.message


@pytest.mark.parametrize("case", OPENED, ids=lambda case: case["name"])
def test_becomes_the_node_that_core_lightning_becomes(case):
    keys = opened(bytes.fromhex(case["file"]), case["passphrase"])
    assert (case["hsmd_node_id"], KINDS[case["layout"]]) == (keys.node_id.hex(), keys.kind)


def test_all_layouts_but_the_encrypted_one_were_opened():
    assert {"plain": 5, "mnemonic": 6, "mnemonic+passphrase": 7} == {
        layout: sum(case["layout"] == layout for case in OPENED) for layout in KINDS
    }


@pytest.mark.parametrize("case", WITH_WORDS, ids=lambda case: case["name"])
def test_a_passphrase_has_to_be_given_and_right_or_not_to_exist(case):
    content = bytes.fromhex(case["file"])
    if case["passphrase"] is None:
        assert "has no passphrase" in refusal(content, "")
    else:
        assert "none is given" in refusal(content, kind=Sealed)
        assert "is not that of" in refusal(content, case["passphrase"] + "x", WrongPassphrase)


@pytest.mark.parametrize(
    "case",
    [case for case in FILES["secrets"] if case["layout"] == "encrypted"]
    + [case for case in FILES["odd"] if len(case["file"]) != 64],
    ids=lambda case: case["name"],
)
def test_refuses_what_is_encrypted_and_what_core_lightning_refuses(case):
    assert "neither" in refusal(bytes.fromhex(case["file"]), case.get("passphrase"))


@pytest.mark.parametrize("change", [bytes.upper, lambda words: words + b"\n", lambda words: b" " + words])
def test_words_are_taken_as_core_lightning_wrote_them_or_not_at_all(change):
    content = bytes.fromhex(WITH_WORDS[0]["file"])
    assert refusal(content[:32] + change(content[32:]))


def test_keys_of_a_whole_seed_never_answer_a_hosted_node():
    keys = opened(bytes.fromhex(WITH_WORDS[0]["file"]), WITH_WORDS[0]["passphrase"])
    with pytest.raises(SecretError, match="32 bytes"):
        Signer(keys, "regtest")
    assert Signer(keys, "regtest", Dialect.CORE_LIGHTNING).keys is keys

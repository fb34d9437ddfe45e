"""BIP 39 words: made, checked, and turned into the node secret."""

from __future__ import annotations

import pytest
from helpers import vectors
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.keys import mnemonic
from signerd.core.keys.node import NodeKeys
from signerd.errors import SecretError
from signerd.units import Secret

ABANDON = "abandon " * 11 + "about"
# BIP 39, trezor vectors: entropy → words.
KNOWN = {
    "00" * 16: ABANDON,
    "7f" * 16: "legal winner thank year wave sausage worth useful legal winner thank yellow",
    "ff" * 32: "zoo " * 23 + "vote",
}
CLN_WORDS = [c["words"] for c in vectors.load("hsm_secrets")["secrets"] if c["words"]]


@pytest.mark.parametrize(("entropy", "words"), KNOWN.items())
def test_makes_the_words_of_bip39(entropy, words):
    assert words == mnemonic.from_entropy(Secret(bytes.fromhex(entropy))).expose().decode()


def test_leads_to_the_references_secret_and_node():
    secret = mnemonic.node_secret(mnemonic.check(ABANDON))
    assert secret.expose().hex() == "5eb00bbddcf069084889a8ab9155568165f5c453ccb85e70811aaed6f6da5fc1"
    node_id = NodeKeys.derive(secret).node_id.hex()
    assert node_id == "03653e90c1ce4660fd8505dd6d643356e93cfe202af109d382787639dd5890e87d"


@pytest.mark.parametrize("words", CLN_WORDS, ids=lambda w: f"{len(w.split())} words")
def test_accepts_core_lightnings_words(words):
    assert words == mnemonic.check(words).expose().decode()


@given(st.sampled_from([16, 20, 24, 28, 32]).flatmap(lambda n: st.binary(min_size=n, max_size=n)))
def test_checks_its_own_words(entropy):
    words = mnemonic.from_entropy(Secret(entropy)).expose().decode()
    spaced = "  " + words.replace(" ", " \n ") + "\n"
    assert words == mnemonic.check(spaced).expose().decode()


@given(st.binary(min_size=16, max_size=16), st.integers(0, 11), st.integers(0, 2047))
def test_one_changed_word_passes_only_by_chance_of_its_check_sum(entropy, position, number):
    words = mnemonic.from_entropy(Secret(entropy)).expose().decode().split()
    words[position] = mnemonic.WORDLIST[number]
    text = " ".join(words)
    try:
        accepted = mnemonic.check(text).expose().decode()
    except SecretError:
        return
    assert text == accepted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has 0"),
        ("abandon", "has 1"),
        ("abandon " * 11, "has 11"),
        ("abandon " * 12, "check sum"),
        ("abandon " * 11 + "zzz", "word 12 is not"),
        ("Abandon " * 11 + "about", "words 1, 2, 3"),
        (
            "pronto gorra sondeo avión poseer pomelo filtro brisa algodón leal traje esquí",
            "not in the English",
        ),
    ],
)
def test_says_what_is_wrong_with_words_and_never_repeats_one(text, message):
    with pytest.raises(SecretError, match=message) as caught:
        mnemonic.check(text)
    shown = f"{caught.value.message} {caught.value.hint}"
    assert not any(f" {word} " in f" {shown} " for word in set(text.split()))

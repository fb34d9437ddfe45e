"""The short code: the same for the same device, another for anything else. The document has the vectors."""

from __future__ import annotations

import re

from helpers.phones import public_key

from signerd.core.pairing_code import ALPHABET, pairing_code

DEVICE = public_key(2).hex()
TEXT = f"pubkey={DEVICE}"


def test_has_eight_symbols_that_are_not_taken_for_each_other():
    code = pairing_code(DEVICE, "phone", TEXT)

    assert re.fullmatch(f"[{ALPHABET}]{{4}}-[{ALPHABET}]{{4}}", code)
    assert len(set(ALPHABET)) == 32
    assert not set("ILOU") & set(ALPHABET)


def test_differs_with_the_key_the_name_and_the_restrictions_and_where_one_ends():
    codes = [
        pairing_code(*content)
        for content in (
            (DEVICE, "phone", TEXT),
            (public_key(3).hex(), "phone", TEXT),
            (DEVICE, "phone ", TEXT),
            (DEVICE, "phone", TEXT + "&method^list"),
            (DEVICE, "phonep", TEXT[1:]),
        )
    ]
    assert len(set(codes)) == len(codes)

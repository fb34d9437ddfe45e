"""Runes, against what the reference signer made of the same input."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from functools import cache

import pytest
from helpers import vectors
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.keys.node import NodeKeys
from signerd.core.runes import rune
from signerd.core.runes.rune import Alternative, Restriction, Rune
from signerd.errors import MalformedMessage, Refused
from signerd.units import Secret

VECTORS = vectors.load("runes")
SECRET = Secret(bytes(range(32)))

# seed, base rune (or None), restrictions, rune: from the protocol's published examples.
SEEDS = {"zero": "00" * 32, "one": "01" * 32, "range": bytes(range(32)).hex()}
SECRETS = {
    "zero": "42bcdfba3bc96ab8f55f3af2b841beda44c6c9dffc859b7c959e10393b174e80",
    "one": "562b92c8f4c551be5d5e85fe68bab4cdd9173a328364c7ff5c368e825df43c94",
    "range": "a54ac8d9c777b80359f6d33b58c3d030246866175c01f31c26660bc080d81a66",
}
MASTERS = {
    "zero": "8619cc27c8823535a6c08d1707fcba13ed21951273200e8f1764bd6f34c46346",
    "one": "519e285e1bda20e26030f6e004b87107f8037b31afcd9bfb4f37a26ed0ff039d",
    "range": "975b19c7287c5817b2e1d3645fd5d1148b74361b5523a48d773b0ee5ace541d6",
}
ESCAPED = r"name=a\&b\|c\\d"
PUBLISHED = [
    ("zero", ["pubkey=000000"], "2KbDsm4m62uytCvceNCtXIvo0Snjn6-q21J4hafbD049MC1nbDAmcHVia2V5PTAwMDAwMA=="),
    (
        "zero",
        ["pubkey=000000", "method^list|method^get"],
        "ZRwK-dco9YhpUXkrF7SFJ6LWTmTRB1-aqhUSDan-n2M9MC1nbDAmcHVia2V5PTAwMDAwMCZtZXRob2RebGlzdHxtZXRob2ReZ2V0",
    ),
    (
        "zero",
        ["pubkey=000000", "time<1700000000"],
        "AZboNsVFfKybFUldc72OVTpW4WPlDOaw0VGYdmwmZXE9MC1nbDAmcHVia2V5PTAwMDAwMCZ0aW1lPDE3MDAwMDAwMDA=",
    ),
    (
        "zero",
        ["pubkey=000000", ESCAPED],
        "rqsEOkoIEpXkZmIJkMWT14AbJ0czcLmVzzmHTqlS_dM9MC1nbDAmcHVia2V5PTAwMDAwMCZuYW1lPWFcJmJcfGNcXGQ=",
    ),
    (
        "zero",
        ["x#" + 58 * "c", "pubkey=000000"],
        (
            "KpCWsT7azGBON5-oqRFV3uBIgGOCb_gWS9rcvTmZjn09MC1nbDAmeCNjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2Nj"
            "Y2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjJnB1YmtleT0wMDAwMDA="
        ),
    ),
    ("one", ["pubkey=000000"], "ShxknEDa0SwPUg9Pk9ZzzrFT3aIn-7RS31JFUwoFcdc9MC1nbDAmcHVia2V5PTAwMDAwMA=="),
    (
        "one",
        ["pubkey=000000", "method^list|method^get"],
        "KnSP5bf2SVvrXi9I2R0gNmpsGpUEX0bzf-Ki8tl2A6M9MC1nbDAmcHVia2V5PTAwMDAwMCZtZXRob2RebGlzdHxtZXRob2ReZ2V0",
    ),
    (
        "one",
        ["pubkey=000000", "time<1700000000"],
        "4V7Wuup7ZlUG-qlTTUFekk90931ej-GhvLor43nuJrw9MC1nbDAmcHVia2V5PTAwMDAwMCZ0aW1lPDE3MDAwMDAwMDA=",
    ),
    ("range", ["pubkey=000000"], "uZXIovmbkThi9yGHxfSPzT2I_BZ8gvvCEjCHJ60GZps9MC1nbDAmcHVia2V5PTAwMDAwMA=="),
    (
        "range",
        ["pubkey=000000", "method^list|method^get"],
        "KWMat-GbTd2UgVzP5lbghChQFCJeaMZ3iblQxG9wMq09MC1nbDAmcHVia2V5PTAwMDAwMCZtZXRob2RebGlzdHxtZXRob2ReZ2V0",
    ),
    (
        "range",
        ["pubkey=000000", "time<1700000000"],
        "FZvMZAE8hi6SJIYYeBRKrMlb-pJNAO4Ad1eIfsogZDY9MC1nbDAmcHVia2V5PTAwMDAwMCZ0aW1lPDE3MDAwMDAwMDA=",
    ),
    (
        "range",
        ["pubkey=000000", ESCAPED],
        "If_Rnr9bSh6OmEtWAOKIpjH5qBblu6Q74mkv6UkSi3A9MC1nbDAmcHVia2V5PTAwMDAwMCZuYW1lPWFcJmJcfGNcXGQ=",
    ),
]
NARROWED_BY_METHOD_GET = {
    "zero": "1dAwG2XlhqprjNPvlaHstiLK7ZsAj4hK2tHoViSmucI9MC1nbDAmcHVia2V5PTAwMDAwMCZtZXRob2ReZ2V0",
    "one": "ZSm-aybfEbfbJexAOaBjP0reAv1MZ6WAcIp8qITUZV09MC1nbDAmcHVia2V5PTAwMDAwMCZtZXRob2ReZ2V0",
    "range": "zD7afO-a-Zt5BwjdHVL0eKbvyeoHa9v8RGvRcaLjIKM9MC1nbDAmcHVia2V5PTAwMDAwMCZtZXRob2ReZ2V0",
}


@cache
def secret_of(seed: str) -> Secret:
    return NodeKeys.derive(Secret(bytes.fromhex(seed))).rune_secret


def joined(case) -> list[str]:
    return ["|".join(alternatives) for alternatives in case["restrictions"]]


@pytest.mark.parametrize("name", SEEDS)
def test_rune_secret_and_master_authcode_are_the_published_ones(name):
    secret = secret_of(SEEDS[name])
    assert SECRETS[name] == secret.expose().hex()
    assert MASTERS[name] == rune.authcode(secret, ()).hex()


@pytest.mark.parametrize(("name", "restrictions", "expected"), PUBLISHED)
def test_makes_the_published_runes(name, restrictions, expected):
    made = rune.create(secret_of(SEEDS[name]), restrictions)
    assert expected == made.to_base64()
    assert made == Rune.from_base64(expected)


@pytest.mark.parametrize("name", SEEDS)
def test_narrows_the_published_runes(name):
    base = rune.create(secret_of(SEEDS[name]), ["pubkey=000000"])
    assert NARROWED_BY_METHOD_GET[name] == base.restrict(["method^get"]).to_base64()


def test_makes_every_rune_that_the_reference_makes():
    """175 recorded runes, byte for byte."""
    wrong = [
        case for case in VECTORS["cases"]
        if case["ok"] != rune.create(secret_of(case["seed"]), joined(case)).to_base64()
    ]  # fmt: skip
    assert [] == wrong
    assert 175 == len(VECTORS["cases"])


def test_makes_no_rune_that_the_reference_refuses_to_make():
    """130 recorded refusals."""
    for case in VECTORS["refused"]:
        with pytest.raises((MalformedMessage, Refused)):
            rune.create(secret_of(case["seed"]), joined(case))
    assert 130 == len(VECTORS["refused"])


# The reference drops a restriction that it cannot read and returns a rune wider than it was asked for.
DROPPED_BY_THE_REFERENCE = [[[]], [[""]], [["bad"]], [["method=pay"], ["bad"], ["time<1893456000"]]]


def test_narrows_every_rune_as_the_reference_does_but_never_drops_a_restriction():
    """125 recorded cases: 60 equal runes, 45 common refusals, and 20 where the reference drops something."""
    counts: Counter[str] = Counter()
    for case in VECTORS["narrowing"]:
        try:
            narrowed = Rune.from_base64(case["rune"]).restrict(joined(case)).to_base64()
        except MalformedMessage:
            if "error" in case:
                counts["refused by both"] += 1
            else:
                assert case["restrictions"] in DROPPED_BY_THE_REFERENCE, case
                counts["refused by us"] += 1
        else:
            assert case["ok"] == narrowed, case
            counts["equal"] += 1
    assert {"equal": 60, "refused by both": 45, "refused by us": 20} == counts


def test_no_recorded_case_meets_the_length_error_of_the_reference():
    """So that no vector is excused on its account."""
    bases = [Rune.from_base64(case["rune"]) for case in VECTORS["narrowing"] if "ok" in case]
    lengths = {len(item.encode()) % 64 for base in bases for item in base.restrictions}
    assert not lengths & {0, *range(56, 64)}


VALUES = st.text(st.characters(codec="utf-8"), max_size=150)
TEXTS = st.lists(VALUES.map(lambda value: Restriction((Alternative("x", "=", value),)).text), max_size=4)


@given(TEXTS, TEXTS)
def test_narrowing_without_the_secret_equals_making_with_it(first, more):
    """Also at the lengths at which the reference goes wrong."""
    narrowed = rune.create(SECRET, ["pubkey=00", *first]).restrict(more)
    assert rune.create(SECRET, ["pubkey=00", *first, *more]) == narrowed


@pytest.mark.parametrize("length", range(54, 130))
def test_narrows_correctly_after_a_restriction_of_any_length(length):
    texts = ["pubkey=00", "x#" + "c" * (length - 2)]
    expected = rune.create(SECRET, [*texts, "method^get"])
    assert expected == rune.create(SECRET, texts).restrict(["method^get"])


@given(TEXTS)
def test_decodes_what_it_encoded(texts):
    made = rune.create(SECRET, ["pubkey=00", *texts])
    assert made == Rune.from_base64(made.to_base64())
    assert made == Rune.from_bytes(made.to_bytes())


def test_the_authcode_covers_the_canonical_text():
    made = rune.create(SECRET, ["pubkey=00", "a=1"])
    sloppy = made.authcode + rb"=0-gl0&pubkey=\00|&a=1|&"
    assert made == Rune.from_bytes(sloppy)


def test_a_rune_may_have_no_restrictions():
    bare = Rune.from_bytes(hashlib.sha256(SECRET.expose()).digest())
    assert () == bare.restrictions
    assert rune.authcode(SECRET, bare.restrictions) == bare.authcode


def test_every_truncation_is_refused_or_is_another_rune():
    whole = rune.create(SECRET, ["pubkey=00", "method=pay"])
    text = whole.to_base64()
    for length in range(len(text)):
        try:
            cut = Rune.from_base64(text[:length])
        except MalformedMessage:
            continue
        assert rune.authcode(SECRET, cut.restrictions) != cut.authcode


# A rune with both characters in which the URL-safe alphabet differs from the usual one, and with padding.
GOOD = rune.create(SECRET, ["pubkey=00", "a=~~~", "b=???0"]).to_base64()
USUAL_ALPHABET = GOOD.replace("_", "/").replace("-", "+")


def test_the_example_has_what_the_refusals_need():
    assert {"_", "-", "="} <= set(GOOD)
    assert GOOD == Rune.from_base64(GOOD).to_base64()


@pytest.mark.parametrize(
    "text",
    [
        *("", "A", "é", GOOD[:-1] + "!", GOOD + "=", GOOD + "\n", " " + GOOD, GOOD + GOOD),
        *(USUAL_ALPHABET, GOOD.rstrip("="), base64.urlsafe_b64encode(bytes(31)).decode()),
        *(base64.urlsafe_b64encode(bytes(32) + tail).decode() for tail in (b"\xff=1", b"bad", b"a=1&&b=2")),
    ],
)
def test_refuses_every_other_spelling_of_a_rune(text):
    with pytest.raises(MalformedMessage):
        Rune.from_base64(text)


def test_refuses_base64_with_bits_left_over():
    text = base64.urlsafe_b64encode(bytes(32)).decode()
    assert text.endswith("A=")
    with pytest.raises(MalformedMessage):
        Rune.from_base64(text[:-2] + "B=")


def test_an_addition_is_never_a_unique_id():
    with pytest.raises(MalformedMessage):
        Rune.from_bytes(rune.authcode(SECRET, ())).restrict(["=0-gl0"])


def test_refuses_to_make_a_rune_that_names_no_key():
    with pytest.raises(Refused) as caught:
        rune.create(SECRET, ["method=pay"])
    assert "rune-without-pubkey" == caught.value.rule


@pytest.mark.parametrize(
    ("restrictions", "refused"),
    [
        (["pubkey=00"], False),
        (["pubkey=00", "x#" + "c" * 53], False),
        (["pubkey=00", "x#" + "c" * 54], True),
        (["pubkey=00", "x#" + "c" * 62], True),
        (["pubkey=00", "x#" + "c" * 63], False),
        (["pubkey=00", "x=" + "c" * 56 + "|x=" + "c" * 56], False),
        (["pubkey=00", "name=é"], True),
        (["pubkey=00", "a=1|é=1"], True),
    ],
)
def test_knows_which_valid_runes_the_reference_refuses(restrictions, refused):
    assert refused is rune.reference_refuses(rune.create(SECRET, restrictions))


def test_the_reference_reads_non_ascii_text_in_the_very_first_alternative():
    """It goes wrong only where more of the rune is left to read than it counts."""
    assert not rune.reference_refuses(Rune(bytes(32), rune.parse_restrictions("é=é&pubkey=00|a=1")))
    assert rune.reference_refuses(Rune(bytes(32), rune.parse_restrictions("a=1&é=é")))


def test_reveals_neither_secret_nor_authcode():
    made = rune.create(SECRET, ["pubkey=00"])
    assert made.authcode.hex() not in repr(made)
    assert repr(made.authcode) not in repr(made)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_refuses_secrets_and_authcodes_of_another_size(size):
    with pytest.raises(ValueError, match="32 bytes"):
        rune.authcode(Secret(bytes(size)), ())
    with pytest.raises(ValueError, match="32 bytes"):
        Rune(bytes(size), ())

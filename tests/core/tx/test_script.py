"""Scripts: as the specifications print them, and read back for what they are."""

from __future__ import annotations

import pytest
from embit import ec
from embit import script as embit_script
from helpers import bolt3
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.keys import secp256k1
from signerd.core.tx import script, script_reading
from signerd.core.tx.script_reading import ToLocal, ToRemoteDelayed

KEYS = [secp256k1.public_key(bytes([n]) * 32) for n in range(1, 8)]
HASH = bytes(range(32))
COMMON = bolt3.load("commitments")["common"]

expiries = st.one_of(st.none(), st.integers(0, 2**32 - 1))


def htlc(cltv_expiry, *, anchors):
    return script.htlc(
        revocation_key=KEYS[0],
        own_htlc_key=KEYS[1],
        other_htlc_key=KEYS[2],
        payment_hash=HASH,
        cltv_expiry=cltv_expiry,
        anchors=anchors,
    )


def test_composes_the_scripts_that_bolt_3_prints():
    local, remote = (
        secp256k1.public_key(bytes.fromhex(COMMON["secrets"][name]))
        for name in ("local_funding", "remote_funding")
    )
    assert script.funding(local, remote).hex() == (
        "5221023da092f6980e58d2c037173180e9a465476026ee50f96695963e8efe436f54eb"
        "21030e9f7b623d2ccc7c9bd44d66d5ce21ce504c0acf6385a132cec6d3c39fa711c152ae"
    )
    assert script.to_local(
        revocation_key=bytes.fromhex("0212a140cd0c6539d07cd08dfe09984dec3251ea808b892efeac3ede9402bf2b19"),
        delayed_key=bytes.fromhex("03fd5960528dc152014952efdb702a88f71e3c1653b2314431701ec77e57fde83c"),
        to_self_delay=144,
    ).hex() == (
        "63210212a140cd0c6539d07cd08dfe09984dec3251ea808b892efeac3ede9402bf2b1967029000b27521"
        "03fd5960528dc152014952efdb702a88f71e3c1653b2314431701ec77e57fde83c68ac"
    )


def test_composes_the_htlc_scripts_of_a_real_channel():
    """The witness scripts of outputs 2 and 3 of a commitment that the reference signer validated."""
    received = bytes.fromhex(
        "76a914cd8937e0c0b4913e35df91eaeff8458f56f1c1bf8763ac67210325443786ed292ff5c9c11afa95a4d647a1f3ce5ad5b7b57a"
        "bad6d53f63286c877c8201208763a914ae71fa693a2e4014bf70727caafb8d68814b71ca88527c2102cb8d57c47166452b3db8bb5c"
        "9c057e4da2c8fd78ed883dc94c707ce3a4bf611f52ae6775025802b175ac6851b27568"
    )
    own_key = bytes.fromhex("02cb8d57c47166452b3db8bb5c9c057e4da2c8fd78ed883dc94c707ce3a4bf611f")
    other_key = bytes.fromhex("0325443786ed292ff5c9c11afa95a4d647a1f3ce5ad5b7b57abad6d53f63286c87")
    composed = script.HtlcScript(
        revocation_hash=bytes.fromhex("cd8937e0c0b4913e35df91eaeff8458f56f1c1bf"),
        own_htlc_key=own_key,
        other_htlc_key=other_key,
        payment_ripemd=script.ripemd160_of(b"\x33" * 32),
        cltv_expiry=600,
        anchors=True,
    )
    assert composed.serialize() == received
    assert script_reading.read_htlc(received) == composed
    assert not composed.offered


def test_the_order_of_funding_keys_does_not_matter():
    assert script.funding(KEYS[0], KEYS[1]) == script.funding(KEYS[1], KEYS[0])


@pytest.mark.parametrize(
    ("value", "pushed"),
    [
        (0, "00"),
        (1, "51"),
        (16, "60"),
        (17, "0111"),
        (127, "017f"),
        (128, "028000"),
        (255, "02ff00"),
        (256, "020001"),
        (0x7FFF, "02ff7f"),
        (0x8000, "03008000"),
        (500, "02f401"),
        (2**31 - 1, "04ffffff7f"),
        (2**32 - 1, "05ffffffff00"),
    ],
)
def test_pushes_numbers_in_their_shortest_form(value, pushed):
    assert script.number(value).hex() == pushed


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, "00"),
        (1, "01"),
        (75, "4b"),
        (76, "4c4c"),
        (255, "4cff"),
        (256, "4d0001"),
        (65535, "4dffff"),
        (65536, "4e00000100"),
    ],
)
def test_pushes_bytes_in_the_shortest_form_that_says_their_number(size, head):
    assert script.push(bytes(size)) == bytes.fromhex(head) + bytes(size)


def test_has_no_negative_numbers():
    with pytest.raises(ValueError, match="negative"):
        script.number(-1)


@pytest.mark.parametrize("key", KEYS[:3])
def test_pays_to_keys_as_embit_does(key):
    theirs = ec.PublicKey.parse(key)
    assert script.p2wpkh(key) == embit_script.p2wpkh(theirs).data
    assert script.p2pkh(key) == embit_script.p2pkh(theirs).data
    assert script.p2tr(key) == embit_script.p2tr(theirs).data
    assert script.p2sh_p2wpkh(key) == embit_script.p2sh(embit_script.p2wpkh(theirs)).data
    assert script.p2wsh(b"\x51") == embit_script.p2wsh(embit_script.Script(b"\x51")).data


@given(delay=st.integers(0, 2**16 - 1))
def test_reads_a_delayed_output(delay):
    composed = script.to_local(revocation_key=KEYS[0], delayed_key=KEYS[1], to_self_delay=delay)
    assert script_reading.read_to_local(composed) == ToLocal(KEYS[0], KEYS[1], delay)


@given(csv=st.integers(1, 2**16 - 1))
def test_reads_the_other_sides_output(csv):
    composed = script.to_remote_delayed(KEYS[0], csv)
    assert script_reading.read_to_remote_delayed(composed) == ToRemoteDelayed(KEYS[0], csv)


@given(expiry=expiries, anchors=st.booleans())
def test_reads_an_htlc(expiry, anchors):
    found = script_reading.read_htlc(htlc(expiry, anchors=anchors))
    assert found.serialize() == htlc(expiry, anchors=anchors)
    assert (found.cltv_expiry, found.offered, found.anchors) == (expiry, expiry is None, anchors)
    assert (found.own_htlc_key, found.other_htlc_key) == (KEYS[1], KEYS[2])
    assert found.revocation_hash == script.hash160_of(KEYS[0])
    assert found.payment_ripemd == script.ripemd160_of(HASH)


def test_reads_funding_and_anchor():
    assert script_reading.read_funding(script.funding(KEYS[0], KEYS[1])) == tuple(sorted(KEYS[:2]))
    assert script_reading.read_anchor(script.anchor(KEYS[0])) == KEYS[0]


READERS = {
    "funding": (script_reading.read_funding, script.funding(KEYS[0], KEYS[1])),
    "anchor": (script_reading.read_anchor, script.anchor(KEYS[0])),
    "to_local": (
        script_reading.read_to_local,
        script.to_local(revocation_key=KEYS[0], delayed_key=KEYS[1], to_self_delay=144),
    ),
    "to_remote": (script_reading.read_to_remote_delayed, script.to_remote_delayed(KEYS[0])),
    "offered": (script_reading.read_htlc, htlc(None, anchors=False)),
    "offered, anchors": (script_reading.read_htlc, htlc(None, anchors=True)),
    "received": (script_reading.read_htlc, htlc(500, anchors=False)),
    "received, anchors": (script_reading.read_htlc, htlc(500, anchors=True)),
}


@pytest.mark.parametrize("name", READERS)
def test_reads_no_script_that_is_cut_or_extended(name):
    read, whole = READERS[name]
    assert read(whole) is not None
    for end in range(len(whole)):
        assert read(whole[:end]) is None
    assert read(whole + b"\x00") is None
    assert read(b"\x00" + whole) is None


@pytest.mark.parametrize("name", READERS)
def test_a_script_that_is_read_is_what_was_read(name):
    """Every byte is part of what is compared, or of what is read: none can change unseen."""
    read, whole = READERS[name]
    told = read(whole)
    for at in range(len(whole)):
        other = whole[:at] + bytes([whole[at] ^ 0x01]) + whole[at + 1 :]
        assert read(other) != told


@pytest.mark.parametrize("name", READERS)
def test_scripts_are_not_taken_for_each_other(name):
    _, whole = READERS[name]
    kinds = {read for read, _ in READERS.values() if read(whole) is not None}
    assert kinds == {READERS[name][0]}


@pytest.mark.parametrize("pushed", ["019000", "0190", "0100", "0110", "4f", "028000ff", "0600000000000001"])
def test_reads_no_delay_that_is_not_in_its_shortest_form(pushed):
    whole = script.to_local(revocation_key=KEYS[0], delayed_key=KEYS[1], to_self_delay=1)
    other = whole.replace(b"\x67\x51\xb2", b"\x67" + bytes.fromhex(pushed) + b"\xb2")
    assert other != whole
    assert script_reading.read_to_local(other) is None


@pytest.mark.parametrize(
    ("output_script", "program"),
    [
        (script.p2wpkh(KEYS[0]), (0, script.hash160_of(KEYS[0]))),
        (script.p2tr(KEYS[0]), (1, secp256k1.taproot_point(KEYS[0]))),
        (b"\x60\x02ab", (16, b"ab")),
        (b"\x60\x28" + bytes(40), (16, bytes(40))),
        (b"\x60\x29" + bytes(41), None),
        (b"\x60\x01a", None),
        (b"\x50\x02ab", None),
        (b"\x61\x02ab", None),
        (b"\x51\x03ab", None),
        (b"", None),
        (script.p2pkh(KEYS[0]), None),
        (script.p2sh(b"\x51"), None),
    ],
)
def test_recognises_witness_programs(output_script, program):
    assert script_reading.witness_program(output_script) == program

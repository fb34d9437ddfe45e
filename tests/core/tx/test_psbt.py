"""PSBTs: every recorded one comes back as it was; those that lie or are not in form are refused."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import replace
from functools import cache

import pytest
from coincurve import PublicKey
from embit.hashes import hash160, ripemd160
from embit.psbt import PSBT
from helpers import bolt3, vectors
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.keys import secp256k1
from signerd.core.tx import psbt_fields as names
from signerd.core.tx.psbt import MAGIC, MAX_SIZE, Psbt, _output_map
from signerd.core.tx.psbt_map import Map, Origin
from signerd.core.tx.reader import Reader, octets
from signerd.core.tx.transaction import Input, Outpoint, Output, Transaction, write_stack
from signerd.core.wire import codec
from signerd.errors import MalformedMessage

KEY = secp256k1.public_key(b"\x01" * 32)
SIGNATURE = secp256k1.to_der(secp256k1.sign_compact(b"\x01" * 32, bytes(32))) + b"\x01"
PREVIOUS = Transaction(2, (Input(Outpoint(bytes(32), 0)),), (Output(5000, b"\x51"), Output(7000, b"\x52")))
SPENT = Outpoint(PREVIOUS.txid, 1)
TX = Transaction(2, (Input(SPENT, 0xFFFFFFFD),), (Output(6000, b"\x00\x14" + bytes(20)),), 700)
BARE = TX.without_witnesses()


def pair(kind, value, key_data=b""):
    return octets(bytes([kind]) + key_data) + octets(value)


def build(*, tx=BARE, glob=b"", inputs=(b"",), outputs=(b"",)):
    maps = b"".join(item + b"\x00" for item in (*inputs, *outputs))
    return MAGIC + pair(names.GLOBAL_TX, tx) + glob + b"\x00" + maps


def first_input(*fields):
    return Psbt.parse(build(inputs=(b"".join(fields),))).inputs[0]


@cache
def recorded() -> dict[bytes, bytes | None]:
    """PSBTs of all recorded requests and answers → the transaction beside each, where there is one."""
    found: dict[bytes, bytes | None] = {}
    steps = [step for case in vectors.load("hsm")["cases"] for step in case["steps"]]
    messages = vectors.load("cln_messages")["messages"]
    steps += [step for session in messages["sessions"] for step in session["steps"]]
    steps += [
        step for run in messages["lightningd"]["runs"] for node in run["nodes"] for step in node["steps"]
    ]
    for text in (step.get(part) for step in steps for part in ("raw", "reply")):
        try:
            message = codec.decode(bytes.fromhex(text or ""))
        except MalformedMessage:
            continue
        if hasattr(message, "tx"):
            found[message.tx.psbt] = message.tx.raw
        elif hasattr(message, "psbt"):
            found[message.psbt] = None
    return found


def test_writes_every_recorded_psbt_as_it_came():
    refused = 0
    for raw, beside in recorded().items():
        try:
            psbt = Psbt.parse(raw)
        except MalformedMessage:
            refused += 1
            continue
        assert psbt.serialize() == raw
        if beside is not None:
            tx = Transaction.parse(beside)
            assert tx.serialize() == beside
            assert tx.unsigned() == psbt.tx
            # What was read already makes no difference, whatever it is.
            assert Psbt.parse(raw, (beside, tx)) == psbt
            signed = replace(tx, inputs=tuple(replace(item, script_sig=b"\x00") for item in tx.inputs))
            assert Psbt.parse(raw, (beside, signed)) == psbt
    assert len(recorded()) - refused > 1500
    assert refused == 2  # one is empty, one is random bytes


def test_reads_what_embit_reads():
    compared = 0
    for raw in recorded():
        try:
            ours = Psbt.parse(raw)
        except MalformedMessage:
            continue
        if not ours.inputs:
            continue  # embit takes a transaction without inputs for one with witnesses
        theirs = PSBT.parse(raw)
        for mine, other in zip(ours.inputs, theirs.inputs, strict=True):
            stated = other.witness_utxo
            if stated is not None:
                assert (mine.spent.value, mine.spent.script) == (stated.value, stated.script_pubkey.data)
            if other.witness_script is not None:
                assert mine.witness_script == other.witness_script.data
            paths = {
                key.sec(): (at.fingerprint, tuple(at.derivation))
                for key, at in other.bip32_derivations.items()
            }
            assert {
                key: (at.fingerprint, at.path) for key, at in mine.origins.items() if len(key) == 33
            } == paths
        for mine, other in zip(ours.outputs, theirs.outputs, strict=True):
            paths = {key.sec(): tuple(at.derivation) for key, at in other.bip32_derivations.items()}
            assert {key: at.path for key, at in mine.origins.items() if len(key) == 33} == paths
        if all(item.sequence for item in ours.tx.inputs):
            # embit makes a sequence of 0, which HTLC transactions have, into the final one.
            assert theirs.tx.serialize() == ours.tx.serialize()
            compared += 1
    assert compared > 1500


def test_refuses_a_psbt_that_is_cut_or_extended():
    raw = build(inputs=(pair(names.IN_WITNESS_UTXO, PREVIOUS.outputs[1].serialize()),))
    assert Psbt.parse(raw).serialize() == raw
    for end in range(len(raw)):
        with pytest.raises(MalformedMessage):
            Psbt.parse(raw[:end])
    with pytest.raises(MalformedMessage, match="too many"):
        Psbt.parse(raw + b"\x00")


def test_no_changed_byte_of_a_real_psbt_does_more_than_be_refused():
    raw = max((raw for raw in recorded() if len(raw) < 1500), key=len)
    assert Psbt.parse(raw)
    for at in range(len(raw)):
        for value in (0x00, 0xFF, raw[at] ^ 0x01):
            other = raw[:at] + bytes([value]) + raw[at + 1 :]
            try:
                psbt = Psbt.parse(other)
            except MalformedMessage:
                continue
            assert psbt.serialize() == other


@given(st.binary(max_size=200))
def test_no_bytes_after_the_magic_do_more_than_be_refused(rest):
    try:
        psbt = Psbt.parse(MAGIC + rest)
    except MalformedMessage:
        return
    assert psbt.serialize() == MAGIC + rest


WHOLE = pair(names.IN_NON_WITNESS_UTXO, PREVIOUS.serialize())
STATED = pair(names.IN_WITNESS_UTXO, PREVIOUS.outputs[1].serialize())
OTHER = pair(names.IN_WITNESS_UTXO, Output(7001, b"\x52").serialize())


def test_knows_what_is_spent_and_whether_it_is_proven():
    assert (first_input().spent, first_input().proven) == (None, False)
    assert (first_input(STATED).spent, first_input(STATED).proven) == (PREVIOUS.outputs[1], False)
    assert (first_input(WHOLE).spent, first_input(WHOLE).proven) == (PREVIOUS.outputs[1], True)
    assert first_input(WHOLE, STATED).proven


def test_refuses_a_previous_transaction_with_another_id():
    lie = dataclasses.replace(PREVIOUS, outputs=(PREVIOUS.outputs[0], Output(9000, b"\x52")))
    with pytest.raises(MalformedMessage, match="another id"):
        first_input(pair(names.IN_NON_WITNESS_UTXO, lie.serialize()))


def test_refuses_an_output_that_the_previous_transaction_contradicts():
    assert first_input(OTHER).spent.value == 7001
    with pytest.raises(MalformedMessage, match="another output"):
        first_input(WHOLE, OTHER)


def test_refuses_an_output_that_the_previous_transaction_lacks():
    tx = dataclasses.replace(TX, inputs=(Input(Outpoint(PREVIOUS.txid, 2)),))
    with pytest.raises(MalformedMessage, match="lacks"):
        Psbt.parse(build(tx=tx.serialize(), inputs=(WHOLE,)))


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "too early"),
        (b"psbt\xfe" + build()[5:], "begin"),
        (bytes(MAX_SIZE + 1), "too large"),
        (MAGIC + b"\x00", "holds no transaction"),
        (build(glob=pair(names.GLOBAL_TX, TX.serialize())), "twice"),
        (build(inputs=(STATED + STATED,)), "twice"),
        (build(outputs=(pair(names.OUT_WITNESS_SCRIPT, b"") * 2,)), "twice"),
        (build(tx=TX.serialize() + b"\x00"), "too many"),
        (build(glob=pair(names.GLOBAL_VERSION, (1).to_bytes(4, "little"))), "version 1"),
        (build(glob=pair(names.GLOBAL_VERSION, (3).to_bytes(4, "little"))), "version 3"),
        (build(glob=pair(names.GLOBAL_VERSION, b"\x00")), "wrong length"),
        (build(glob=pair(names.GLOBAL_XPUB, bytes(4), bytes(77))), "wrong length"),
        (build(glob=pair(names.GLOBAL_INPUT_COUNT, b"\x01")), "other version"),
        (build(inputs=(pair(names.IN_SEQUENCE, bytes(4)),)), "other version"),
        (build(outputs=(pair(names.OUT_AMOUNT, bytes(8)),)), "other version"),
        (build(inputs=(pair(names.IN_WITNESS_UTXO, b"", b"x"),)), "wrong length"),
        (build(inputs=(pair(names.IN_WITNESS_UTXO, bytes(8)),)), "too early"),
        (build(inputs=(pair(names.IN_WITNESS_UTXO, bytes(10)),)), "too many"),
        (build(inputs=(pair(names.IN_WITNESS_UTXO, b"\xff" * 8 + b"\x00"),)), "all the money"),
        (build(inputs=(pair(names.IN_SIGHASH, bytes(3)),)), "wrong length"),
        (build(inputs=(pair(names.IN_PARTIAL_SIGNATURE, b"", bytes(32)),)), "wrong length"),
        (build(inputs=(pair(names.IN_ORIGIN, bytes(3), KEY),)), "wrong length"),
        (build(inputs=(pair(names.IN_ORIGIN, b"", KEY),)), "wrong length"),
        (build(inputs=(pair(names.IN_ORIGIN, bytes(9), KEY),)), "wrong length"),
        (build(inputs=(pair(names.IN_ORIGIN, bytes(8), KEY[1:]),)), "wrong length"),
        (build(inputs=(pair(names.IN_TAP_KEY_SIGNATURE, bytes(63)),)), "wrong length"),
        (build(inputs=(pair(names.IN_TAP_ORIGIN, b"", KEY[1:]),)), "too early"),
        (build(inputs=(pair(names.IN_TAP_ORIGIN, b"\x01" + bytes(8), KEY[1:]),)), "announces"),
        (build(inputs=(pair(names.IN_TAP_ORIGIN, b"\x00" + bytes(7), KEY[1:]),)), "broken path"),
        (build(outputs=(pair(names.OUT_TAP_ORIGIN, b"\x00" + bytes(3), KEY[1:]),)), "broken path"),
        (build(inputs=(pair(names.IN_FINAL_WITNESS, b"\x01"),)), "announces"),
        (build(inputs=(pair(names.IN_FINAL_WITNESS, b"\x00\x00"),)), "too many"),
    ],
)  # fmt: skip
def test_refuses_a_psbt_that_is_not_in_form(raw, words):
    with pytest.raises(MalformedMessage, match=words):
        Psbt.parse(raw)


def test_keeps_what_it_does_not_know():
    strange = pair(0xFC, b"value", b"\x09lightning\x01") + pair(0x55, b"", b"any")
    raw = build(glob=strange, inputs=(strange,), outputs=(strange,))
    assert Psbt.parse(raw).serialize() == raw
    assert Psbt.parse(raw).without_previous_transactions().serialize() == raw


def test_keeps_keys_in_the_order_in_which_they_came():
    backwards = pair(names.IN_SIGHASH, b"\x01\x00\x00\x00") + STATED + WHOLE
    raw = build(inputs=(backwards,))
    assert Psbt.parse(raw).serialize() == raw
    assert Psbt.parse(raw).inputs[0].sighash == 1


def test_tells_scripts_signatures_and_origins():
    path = (0x80000054).to_bytes(4, "little") + (7).to_bytes(4, "little")
    item = first_input(
        pair(names.IN_PARTIAL_SIGNATURE, SIGNATURE, KEY),
        pair(names.IN_REDEEM_SCRIPT, b"redeem"),
        pair(names.IN_WITNESS_SCRIPT, b"witness"),
        pair(names.IN_ORIGIN, b"abcd" + path, KEY),
        pair(names.IN_TAP_KEY_SIGNATURE, bytes(64)),
        pair(names.IN_TAP_ORIGIN, b"\x01" + bytes(32) + b"efgh" + path, KEY[1:]),
    )
    assert item.partial_signatures == {KEY: SIGNATURE}
    assert (item.redeem_script, item.witness_script) == (b"redeem", b"witness")
    assert item.taproot_signature == bytes(64)
    assert item.origins == {KEY: Origin(b"abcd", (0x80000054, 7)), KEY[1:]: Origin(b"efgh", (0x80000054, 7))}
    assert (item.sighash, item.final_witness) == (None, None)


BAD_KEY = b"\x02" + b"\xff" * 32
UNCOMPRESSED = PublicKey(KEY).format(compressed=False)
HYBRID = bytes([0x06 | UNCOMPRESSED[-1] & 1]) + UNCOMPRESSED[1:]
DER = SIGNATURE[:-1]


@pytest.mark.parametrize(
    "field",
    [
        pair(names.IN_PARTIAL_SIGNATURE, DER + b"\x00", KEY),
        pair(names.IN_PARTIAL_SIGNATURE, DER + b"\x05", KEY),
        pair(names.IN_PARTIAL_SIGNATURE, DER + b"\x00\x01", KEY),
        pair(names.IN_PARTIAL_SIGNATURE, DER, KEY),
        pair(names.IN_PARTIAL_SIGNATURE, b"", KEY),
        pair(names.IN_PARTIAL_SIGNATURE, SIGNATURE, BAD_KEY),
        pair(names.IN_ORIGIN, bytes(8), BAD_KEY),
        pair(names.IN_ORIGIN, bytes(8), b"\x04" + b"\x01" * 64),
        pair(names.IN_ORIGIN, bytes(8), HYBRID),
        pair(names.IN_TAP_ORIGIN, bytes(9), BAD_KEY[1:]),
        pair(names.IN_TAP_INTERNAL_KEY, BAD_KEY[1:]),
        pair(names.IN_TAP_KEY_SIGNATURE, bytes(64) + b"\x00"),
        pair(names.IN_TAP_KEY_SIGNATURE, bytes(64) + b"\x09"),
        pair(names.IN_SHA256, b"x", bytes(32)),
        pair(names.IN_HASH256, b"x", bytes(32)),
        pair(names.IN_HASH160, b"x", bytes(20)),
        pair(names.IN_RIPEMD160, b"x", bytes(20)),
        pair(names.IN_SHA256, bytes(521), hashlib.sha256(bytes(521)).digest()),
    ],
)
def test_refuses_what_cannot_be_what_it_says(field):
    with pytest.raises(MalformedMessage, match=r"input 0 .* not what it should be"):
        first_input(field)


def test_looks_at_a_bounded_number_of_preimages_in_all_inputs_together():
    def with_preimages(count):
        preimages = [number.to_bytes(2, "big") for number in range(count)]
        fields = [pair(names.IN_SHA256, item, hashlib.sha256(item).digest()) for item in preimages]
        spent = [Input(Outpoint(bytes(32), number)) for number in range(2)]
        tx = Transaction(2, tuple(spent), (Output(1, b""),), 0).serialize()
        return build(tx=tx, inputs=[b"".join(fields[::2]), b"".join(fields[1::2])])

    raw = with_preimages(names.MOST_PREIMAGES)
    assert Psbt.parse(raw).serialize() == raw
    with pytest.raises(MalformedMessage, match="1001 preimages"):
        Psbt.parse(with_preimages(names.MOST_PREIMAGES + 1))


@pytest.mark.parametrize(
    ("glob", "output"),
    [
        (pair(names.GLOBAL_XPUB, bytes(4), bytes.fromhex("0488b21e") + bytes(41) + BAD_KEY), b""),
        (pair(names.GLOBAL_XPUB, bytes(4), bytes.fromhex("0488ade4") + bytes(41) + KEY), b""),
        (b"", pair(names.OUT_ORIGIN, bytes(8), BAD_KEY)),
        (b"", pair(names.OUT_TAP_ORIGIN, bytes(9), BAD_KEY[1:])),
        (b"", pair(names.OUT_TAP_INTERNAL_KEY, BAD_KEY[1:])),
    ],
)
def test_refuses_keys_that_are_none_anywhere(glob, output):
    with pytest.raises(MalformedMessage, match="not what it should be"):
        Psbt.parse(build(glob=glob, outputs=(output,)))


def test_reads_what_is_what_it_says():
    hashes = {
        names.IN_SHA256: hashlib.sha256(b"x").digest(),
        names.IN_HASH256: hashlib.sha256(hashlib.sha256(b"x").digest()).digest(),
        names.IN_HASH160: hash160(b"x"),
        names.IN_RIPEMD160: ripemd160(b"x"),
    }
    fields = b"".join(pair(kind, b"x", digest) for kind, digest in hashes.items())
    fields += pair(names.IN_ORIGIN, bytes(8), UNCOMPRESSED) + pair(names.IN_TAP_INTERNAL_KEY, KEY[1:])
    fields += pair(names.IN_TAP_KEY_SIGNATURE, bytes(64) + b"\x83")
    for sighash in (0x01, 0x02, 0x03, 0x81, 0x82, 0x83):
        signature = pair(names.IN_PARTIAL_SIGNATURE, DER + bytes([sighash]), UNCOMPRESSED)
        raw = build(inputs=(fields + signature,))
        assert Psbt.parse(raw).serialize() == raw
    xpub = pair(names.GLOBAL_XPUB, bytes(8), bytes.fromhex("043587cf") + bytes(41) + KEY)
    assert Psbt.parse(build(glob=xpub)).serialize() == build(glob=xpub)


def test_tells_which_outputs_are_said_to_be_ours():
    fields = pair(names.OUT_WITNESS_SCRIPT, b"w") + pair(names.OUT_ORIGIN, b"abcd\x05\x00\x00\x00", KEY)
    output = Psbt.parse(build(outputs=(fields,))).outputs[0]
    assert output.witness_script == b"w"
    assert output.origins == {KEY: Origin(b"abcd", (5,))}


def test_signs_as_core_lightning_does():
    psbt = Psbt.parse(build(inputs=(WHOLE + STATED,)))
    signed = psbt.with_input(0, psbt.inputs[0].sign(KEY, b"sig\x01"))
    origin = names.fingerprint(KEY) + bytes(4)
    added = pair(names.IN_PARTIAL_SIGNATURE, b"sig\x01", KEY) + pair(names.IN_ORIGIN, origin, KEY)
    assert signed.serialize() == build(inputs=(WHOLE + STATED + added,))
    tapped = psbt.with_input(0, psbt.inputs[0].sign_taproot(KEY, bytes(64)))
    added = pair(names.IN_TAP_KEY_SIGNATURE, bytes(64)) + pair(names.IN_TAP_ORIGIN, b"\x00" + origin, KEY[1:])
    assert tapped.serialize() == build(inputs=(WHOLE + STATED + added,))
    assert Psbt.parse(tapped.serialize()) == tapped


def test_signing_again_changes_the_signature_in_its_place():
    psbt = Psbt.parse(build(inputs=(STATED,)))
    once = psbt.inputs[0].sign(KEY, b"one\x01")
    assert once.sign(KEY, b"two\x01") == psbt.inputs[0].sign(KEY, b"two\x01")


def test_finalizes_as_the_reference_signer_does():
    redeem = pair(names.IN_REDEEM_SCRIPT, b"\x51\x52")
    psbt = Psbt.parse(build(inputs=(WHOLE + STATED + redeem,)))
    signed = psbt.with_input(0, psbt.inputs[0].finalize(b"sig\x01", KEY).with_script_sig())
    added = redeem + pair(names.IN_FINAL_SCRIPT_SIG, b"\x02\x51\x52")
    added += pair(names.IN_FINAL_WITNESS, write_stack((b"sig\x01", KEY)))
    assert signed.without_previous_transactions().serialize() == build(inputs=(STATED + added,))
    assert signed.inputs[0].final_witness == (b"sig\x01", KEY)


def test_knows_all_that_is_spent_only_if_every_input_tells():
    tx = dataclasses.replace(TX, inputs=(TX.inputs[0], Input(Outpoint(bytes(32), 9))))
    half = Psbt.parse(build(tx=tx.serialize(), inputs=(STATED, b"")))
    assert half.spent is None
    whole = Psbt.parse(build(tx=tx.serialize(), inputs=(STATED, OTHER)))
    assert whole.spent == (PREVIOUS.outputs[1], Output(7001, b"\x52"))


def test_reads_an_unsigned_commitment_with_all_its_outputs():
    signed = Transaction.parse(bytes.fromhex(bolt3.load("commitments")["cases"][1]["commitment_tx"]))
    unsigned = signed.unsigned()
    raw = build(tx=unsigned.serialize(), outputs=(b"",) * len(unsigned.outputs))
    assert Psbt.parse(raw).tx == unsigned


@st.composite
def output_maps(draw):
    """Of one witness script, or nearly so, with more behind it."""
    script = draw(st.binary(max_size=3) | st.integers(0, 300).map(bytes))
    raw = pair(names.OUT_WITNESS_SCRIPT, script) + draw(
        st.sampled_from([b"\x00", b"", b"\x01\x02", b"\x02\x01"])
    )
    return raw[draw(st.sampled_from([0, 0, 0, 1, 2])) :] + draw(st.binary(max_size=5))


@given(output_maps(), st.integers(0, 3), st.binary(max_size=3))
def test_an_output_with_a_witness_script_alone_reads_as_any_other(raw, cut, before):
    raw = before + raw[: len(raw) - cut]

    def read(parse):
        reader = Reader(raw, "the PSBT")
        reader.take(len(before))
        try:
            return parse(reader), reader.left
        except MalformedMessage as problem:
            return problem.message

    expected = read(lambda reader: Map.parse(reader, names.OUTPUT_FORMS, "output ", 7))
    assert read(lambda reader: _output_map(reader, 7)) == expected

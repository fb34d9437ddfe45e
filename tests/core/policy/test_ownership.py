"""What is ours follows from our keys: every form of it is found, and nothing else is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signerd.core.keys.node import NodeKeys
from signerd.core.keys.secp256k1 import Nonce
from signerd.core.policy import ownership
from signerd.core.state.channel import ChannelState
from signerd.core.tx import script
from signerd.core.tx.psbt import PsbtOutput
from signerd.core.tx.psbt_map import Map, Origin
from signerd.core.tx.transaction import Output
from signerd.core.wire.composites import CloseInfo
from signerd.errors import Refused
from signerd.units import Secret

KEYS = NodeKeys.derive(Secret(b"\x01" * 32))
OTHER = NodeKeys.derive(Secret(b"\x02" * 32))
CHANNEL = KEYS.channel(OTHER.node_id, 1)
THEIRS = OTHER.channel(KEYS.node_id, 1).basepoints
FORMS = (script.p2wpkh, script.p2sh_p2wpkh, script.p2tr)
DIGEST = bytes(32)


@pytest.mark.parametrize("form", FORMS)
def test_a_wallet_script_belongs_to_one_index_of_one_node(form):
    ours = form(KEYS.wallet_pubkey(5))
    assert ownership.is_wallet_script(KEYS, ours, 5)
    assert not ownership.is_wallet_script(KEYS, ours, 6)
    assert not ownership.is_wallet_script(OTHER, ours, 5)


def test_no_money_goes_to_where_nobody_would_find_it():
    near, far = ownership.FARTHEST - 1, ownership.FARTHEST
    assert ownership.is_wallet_script(KEYS, script.p2tr(KEYS.wallet_pubkey(near)), near)
    lost = script.p2tr(KEYS.wallet_pubkey(far))
    assert not ownership.is_wallet_script(KEYS, lost, far)
    assert ownership.wallet_output(KEYS, far, lost) is not None, "what is there may come home"


@pytest.mark.parametrize("index", [-1, 2**31, 2**31 + 5, 2**32])
def test_no_hardened_index_is_a_wallets(index):
    ours = script.p2wpkh(KEYS.wallet_pubkey(5))
    assert not ownership.is_wallet_script(KEYS, ours, index)
    assert ownership.wallet_output(KEYS, index, ours) is None


@pytest.mark.parametrize(
    "form",
    [script.p2pkh, lambda key: script.p2wsh(script.push(key) + b"\xac"), lambda key: key, lambda _: b""],
)
def test_other_forms_are_no_wallets(form):
    other = form(KEYS.wallet_pubkey(5))
    assert not ownership.is_wallet_script(KEYS, other, 5)
    assert {} == ownership.find_wallet_scripts(KEYS, [other], [5])


def test_what_carries_a_channel_is_nobodys_alone():
    """Neither as it is, nor inside P2SH, and its key alone is no wallet's."""
    both = script.funding(CHANNEL.basepoints.funding, THEIRS.funding)
    close = CloseInfo(1, OTHER.node_id, None, option_anchors=True, csv=1)
    carriers = [script.p2wsh(both), script.p2sh(both), script.p2sh(script.p2wsh(both)), both]
    for output_script in (*carriers, *(form(CHANNEL.basepoints.funding) for form in FORMS)):
        assert {} == ownership.find_wallet_scripts(KEYS, [output_script], [0])
        assert all(ownership.wallet_output(KEYS, index, output_script) is None for index in range(20))
        assert ownership.payment_output(CHANNEL, close, output_script) is None
        assert ownership.anchor_output(CHANNEL, Output(330, output_script)) is None
        assert ownership.delayed_output(CHANNEL, ChannelState(), output_script) is None


def named(*paths: tuple[int, ...]) -> PsbtOutput:
    pairs = [
        (b"\x02" + KEYS.wallet_pubkey(number), Origin(bytes(4), path).serialize())
        for number, path in enumerate(paths)
    ]
    return PsbtOutput.of(Map(tuple(pairs)), 0)


@pytest.mark.parametrize(
    ("paths", "index"),
    [([], None), ([()], None), ([(7,)], 7), ([(0, 7)], None), ([(7,), (7,)], None), ([(2**31,)], 2**31)],
)
def test_a_name_is_one_origin_of_one_step(paths, index):
    assert index == ownership.named_index(named(*paths))


def test_a_name_in_taproot_fields_counts_too():
    fields = Map(((b"\x07" + KEYS.wallet_pubkey(3)[1:], b"\x00" + Origin(bytes(4), (3,)).serialize()),))
    assert 3 == ownership.named_index(PsbtOutput.of(fields, 0))


# Looking for what has no name


@pytest.mark.parametrize("form", FORMS)
def test_finds_a_script_near_a_known_index_and_not_far_away(form):
    wanted = {index: form(KEYS.wallet_pubkey(index)) for index in (400, 500, 600, 399, 601)}
    found = ownership.find_wallet_scripts(KEYS, wanted.values(), [500])
    assert {wanted[index]: index for index in (400, 500, 600)} == found


def test_finds_several_forms_at_once():
    wanted = {form(KEYS.wallet_pubkey(index)): index for index, form in enumerate(FORMS)}
    assert wanted == ownership.find_wallet_scripts(KEYS, [*wanted, b"\x51", THEIRS.funding], [])


@given(st.sets(st.integers(-5, 2**32), max_size=40) | st.sets(st.integers(0, 300)))
def test_looks_near_what_is_known_once_each_and_not_for_ever(known):
    tried = list(ownership.near(known))
    assert len(set(tried)) == len(tried) <= ownership.MOST_TRIED
    starts = {index for index in known if 0 <= index < 2**31} or {0}
    distances = [min(abs(index - start) for start in starts) for index in tried]
    assert sorted(distances) == distances
    assert distances[-1] <= ownership.GAP
    assert all(0 <= index < 2**31 for index in tried)


def test_derives_no_more_keys_than_it_says():
    derived = []
    counting = SimpleNamespace(wallet_pubkey=lambda index: derived.append(index) or KEYS.wallet_pubkey(index))
    strangers = [form(OTHER.wallet_pubkey(index)) for index in range(200) for form in FORMS]
    assert {} == ownership.find_wallet_scripts(counting, strangers, range(0, 10**6, 999))
    assert len(derived) == ownership.MOST_TRIED
    derived.clear()
    assert {} == ownership.find_wallet_scripts(counting, [b"\x51"], [1])
    found = ownership.find_wallet_scripts(counting, [script.p2tr(KEYS.wallet_pubkey(9))], [8])
    assert [9] == list(found.values())
    assert [8, 9] == derived


# How it is spent


def test_shows_no_secret():
    ours = ownership.wallet_output(KEYS, 1, script.p2wpkh(KEYS.wallet_pubkey(1)))
    assert "sign" not in repr(ours)


def test_the_script_of_a_close_is_that_of_the_payment_key():
    close = CloseInfo(1, OTHER.node_id, None, option_anchors=False, csv=1)
    payment = CHANNEL.basepoints.payment
    assert ownership.payment_output(CHANNEL, close, script.p2wpkh(payment)).key == payment
    assert ownership.payment_output(CHANNEL, close, script.p2wpkh(THEIRS.payment)) is None
    late = script.p2wsh(script.to_remote_delayed(payment, 2))
    assert ownership.payment_output(CHANNEL, close, late) is None


def test_an_anchor_is_worth_what_all_are():
    output_script = script.p2wsh(script.anchor(CHANNEL.basepoints.funding))
    ours = ownership.anchor_output(CHANNEL, Output(330, output_script))
    assert ours.key == CHANNEL.basepoints.funding
    # One nonce, whatever is asked for: both dialects have the same signature here.
    assert ours.sign(DIGEST, Nonce.PLAIN) == ours.sign(DIGEST, Nonce.LOW_R_FROM_ZERO)
    assert ownership.anchor_output(CHANNEL, Output(331, output_script)) is None
    theirs = Output(330, script.p2wsh(script.anchor(THEIRS.funding)))
    assert ownership.anchor_output(CHANNEL, theirs) is None


def test_a_channel_without_commitments_has_no_outputs_of_ours():
    assert ownership.delayed_output(CHANNEL, ChannelState(), b"") is None
    assert ownership.htlc_transaction_script(CHANNEL, ChannelState()) is None
    with pytest.raises(Refused, match="no parameters"):
        ownership.htlc_transaction_script(CHANNEL, ChannelState(next_holder=1))

"""Numbers never fall, nothing is signed twice with other contents, no secret of an unrevoked state leaves."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from signerd.core.keys import secp256k1
from signerd.core.keys.channel import ChannelKeys
from signerd.core.state import channel as state
from signerd.core.state import codec
from signerd.core.state.channel import ChannelState, Content, Funding, Setup
from signerd.core.state.codec import decode_channel, encode
from signerd.core.state.loss import Loss
from signerd.core.tx.channel_type import CommitmentFormat
from signerd.core.tx.htlc import Htlc
from signerd.core.tx.transaction import Outpoint
from signerd.errors import MalformedMessage, Refused
from signerd.units import Secret

PEER = ChannelKeys(Secret(b"\x31" * 32))
KEY = PEER.basepoints.funding
SETUP = Setup(
    is_outbound=True,
    push_msat=0,
    holder_delay=144,
    counterparty_delay=145,
    holder_shutdown_script=b"",
    holder_shutdown_index=None,
    counterparty=PEER.basepoints,
    counterparty_shutdown_script=b"",
    channel_type=bytes.fromhex("401000"),
)
FIRST = Outpoint(b"\x07" * 32, 0)
SPLICED = Outpoint(b"\x08" * 32, 1)
OTHER = Outpoint(b"\x09" * 32, 2)
FUNDING = Funding(FIRST, 1_000_000, KEY)
SPLICE = Funding(SPLICED, 2_000_000, KEY)
STUB = ChannelState()
READY = STUB.set_up(SETUP, FUNDING)
EMPTY = Content(900_000, 90_000, (), 253, b"\x01" * 32)
NONE = Loss()
FULL = Content(800_000, 90_000, (Htlc(True, 90_000_000, b"\x01" * 32, 500),), 253, b"\x02" * 32)


@cache
def point(number: int) -> bytes:
    return PEER.per_commitment_point(number)


@cache
def secret(number: int) -> bytes:
    return PEER.release_secret(number)


def rule_of(step, *arguments) -> str:
    with pytest.raises(Refused) as caught:
        step(*arguments)
    return caught.value.rule


def signed(channel: ChannelState, number: int, content: Content = EMPTY) -> ChannelState:
    return channel.sign_counterparty(number, point(number), FIRST, content, NONE)


def advanced(channel: ChannelState, number: int) -> ChannelState:
    """Both sides at commitment `number`, from the one before."""
    channel = signed(channel, number).revoke_counterparty(number - 1, secret(number - 1))
    return channel.validate_holder(number, FIRST, EMPTY, NONE).revoke_holder(number - 1)


OPEN = signed(READY, 0).validate_holder(0, FIRST, EMPTY, NONE)
FOURTH = advanced(advanced(advanced(OPEN, 1), 2), 3)


def counters(channel: ChannelState) -> tuple[int, int, int]:
    return channel.next_holder, channel.next_counterparty, channel.next_counterparty_revocation


# A life, as the reference signer counts it


def test_counts_a_life_as_the_reference_signer_does():
    seen = [READY]
    for step in (
        lambda channel: signed(channel, 0),
        lambda channel: channel.validate_holder(0, FIRST, EMPTY, NONE),
        lambda channel: signed(channel, 1),
        lambda channel: channel.revoke_counterparty(0, secret(0)),
        lambda channel: channel.validate_holder(1, FIRST, EMPTY, NONE),
        lambda channel: channel.revoke_holder(0),
    ):
        seen.append(step(seen[-1]))
    expected = [(0, 0, 0), (0, 1, 0), (1, 1, 0), (1, 2, 0), (1, 2, 1), (1, 2, 1), (2, 2, 1)]
    assert expected == [counters(channel) for channel in seen]


def test_keeps_the_secrets_that_the_peer_reveals():
    assert [secret(n) for n in range(3)] == [
        FOURTH.revoked.secret_for(state.commitment.index_of(n)) for n in range(3)
    ]
    assert FOURTH.revoked.secret_for(state.commitment.index_of(3)) is None


def test_knows_the_shape_of_its_commitments():
    assert SETUP.format is CommitmentFormat.ANCHORS_ZERO_FEE_HTLC


# Parameters


def test_a_stub_has_no_parameters_and_no_funding():
    assert rule_of(lambda: STUB.ready) == "channel-not-set-up"
    assert rule_of(STUB.funding, FIRST) == "commitment-funding"
    assert rule_of(STUB.splice, SETUP, FUNDING) == "channel-not-set-up"
    assert STUB.lock(FIRST) is STUB


@pytest.mark.parametrize(
    "sign", [lambda: signed(STUB, 0), lambda: STUB.validate_holder(0, FIRST, EMPTY, NONE)]
)
def test_a_stub_signs_nothing(sign):
    assert rule_of(sign) == "commitment-funding"


def test_the_same_parameters_again_change_nothing():
    assert READY.set_up(SETUP, FUNDING) is READY


CHANGED = {
    "is_outbound": False,
    "push_msat": 1,
    "holder_delay": 1,
    "counterparty_delay": 1,
    "holder_shutdown_script": b"\x00",
    "counterparty": replace(PEER.basepoints, htlc=PEER.basepoints.delayed),
    "counterparty_shutdown_script": b"\x00",
    "channel_type": bytes.fromhex("1000"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_parameters_are_never_changed(name):
    changed = replace(SETUP, **{name: CHANGED[name]})
    assert rule_of(READY.set_up, changed, FUNDING) == "channel-setup-changed"


@pytest.mark.parametrize(
    "funding",
    [
        replace(FUNDING, value_sat=999_999),
        replace(FUNDING, counterparty_key=PEER.basepoints.htlc),
        replace(FUNDING, outpoint=OTHER),
    ],
)
def test_the_funding_is_never_changed(funding):
    assert rule_of(READY.set_up, SETUP, funding) == "channel-setup-changed"


# Our own commitments


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "commitment-revoked"), (2, "commitment-revoked"), (5, "commitment-skipped")]
)
def test_validates_only_the_next_commitment(number, expected):
    assert rule_of(FOURTH.validate_holder, number, FIRST, EMPTY, NONE) == expected


def test_the_current_commitment_validated_again_changes_nothing():
    assert FOURTH.validate_holder(3, FIRST, EMPTY, NONE) is FOURTH
    assert rule_of(FOURTH.validate_holder, 3, FIRST, FULL, NONE) == "commitment-retry-same"


def test_a_reconnection_may_bring_other_contents_for_what_revokes_nothing_yet():
    pending = FOURTH.validate_holder(4, FIRST, FULL, NONE).validate_holder(4, FIRST, EMPTY, NONE)
    assert ((FIRST, EMPTY),) == pending.pending


def test_revokes_only_what_has_a_successor():
    assert rule_of(FOURTH.revoke_holder, 3) == "revoke-not-validated"
    assert rule_of(FOURTH.revoke_holder, 4) == "revoke-not-validated"
    assert rule_of(FOURTH.revoke_holder, 2**64 - 1) == "revoke-not-validated"
    assert rule_of(STUB.revoke_holder, 0) == "revoke-not-validated"
    assert 5 == FOURTH.validate_holder(4, FIRST, FULL, NONE).revoke_holder(3).next_holder


def test_an_old_revocation_may_be_asked_for_again():
    assert all(FOURTH.revoke_holder(number) is FOURTH for number in range(3))


def test_publishes_only_the_current_commitment():
    assert FOURTH.publish_holder(3).published
    assert rule_of(FOURTH.publish_holder, 2) == "commitment-revoked"
    assert rule_of(FOURTH.publish_holder, 4) == "commitment-skipped"


def test_what_was_published_is_never_revoked():
    published = FOURTH.validate_holder(4, FIRST, FULL, NONE).publish_holder(3)
    assert rule_of(published.revoke_holder, 3) == "revoke-published"
    assert published.publish_holder(3) == published
    assert rule_of(published.publish_holder, 4) == "commitment-skipped"


@pytest.mark.parametrize(
    "close", [lambda c: c.publish_holder(3), ChannelState.close_mutually, ChannelState.forget]
)
def test_nothing_new_comes_after_the_end(close):
    ended = close(FOURTH)
    assert rule_of(signed, ended, 4) == "channel-closing"
    assert rule_of(ended.validate_holder, 4, FIRST, EMPTY, NONE) == "channel-closing"
    assert rule_of(ended.splice, SETUP, SPLICE) == "channel-closing"
    assert rule_of(ended.sign_splice, b"\x08" * 32) == "channel-closing"
    assert ended.validate_holder(3, FIRST, EMPTY, NONE) is ended
    assert ended.splice(SETUP, FUNDING) is ended


def test_a_commitment_may_be_published_after_a_mutual_close():
    assert FOURTH.close_mutually().publish_holder(3).published


# The peer's commitments


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "commitment-revoked"), (2, "commitment-revoked"), (5, "commitment-skipped")]
)
def test_signs_only_the_next_commitment(number, expected):
    assert rule_of(signed, FOURTH, number) == expected


def test_signs_the_last_commitment_again_but_never_another_one():
    fifth = signed(FOURTH, 4, FULL)
    for channel in (fifth, fifth.revoke_counterparty(3, secret(3)), fifth.close_mutually()):
        assert signed(channel, 4, FULL) is channel
        assert rule_of(signed, channel, 4, EMPTY) == "commitment-retry-same"


def test_does_not_sign_the_last_commitment_for_another_point():
    fifth = signed(FOURTH, 4)
    assert rule_of(fifth.sign_counterparty, 4, point(5), FIRST, EMPTY, NONE) == "commitment-retry-same"


def test_the_peer_never_holds_three_unrevoked_commitments():
    assert rule_of(signed, signed(FOURTH, 4), 5) == "commitment-previous-revoked"


def test_takes_the_peers_revocations_one_after_another():
    fifth = signed(FOURTH, 4)
    assert rule_of(FOURTH.revoke_counterparty, 3, secret(3)) == "revocation-early"
    assert rule_of(fifth.revoke_counterparty, 4, secret(4)) == "revocation-sequence"
    assert rule_of(fifth.revoke_counterparty, 1, secret(1)) == "revocation-sequence"
    assert rule_of(fifth.revoke_counterparty, 3, secret(2)) == "revocation-secret"
    revoked = fifth.revoke_counterparty(3, secret(3))
    assert revoked.revoke_counterparty(3, secret(3)) == revoked
    assert rule_of(revoked.revoke_counterparty, 3, secret(4)) == "policy-commitment-previous-revoked"
    with pytest.raises(MalformedMessage, match="below 2"):
        fifth.revoke_counterparty(2**64 - 1, secret(3))


def test_refuses_a_secret_that_fits_the_point_but_not_those_before_it():
    """A penalty derives old secrets from newer ones: one that does not chain would lose them."""
    stranger = b"\x05" * 32
    first = READY.sign_counterparty(0, point(0), FIRST, EMPTY, NONE)
    second = first.sign_counterparty(1, secp256k1.public_key(stranger), FIRST, EMPTY, NONE)
    second = second.revoke_counterparty(0, secret(0)).sign_counterparty(2, point(2), FIRST, EMPTY, NONE)
    assert rule_of(second.revoke_counterparty, 1, stranger) == "policy-commitment-previous-revoked"


# Splices


def spliced(channel: ChannelState) -> ChannelState:
    """Commitment 3 exists for both fundings on both sides, and the splice is signed."""
    channel = channel.splice(SETUP, SPLICE).sign_splice(SPLICED.txid).validate_holder(3, SPLICED, FULL, NONE)
    return channel.sign_counterparty(3, point(3), SPLICED, FULL, NONE)


def test_a_splice_changes_the_funding_and_nothing_else():
    assert (FUNDING, SPLICE) == FOURTH.splice(SETUP, SPLICE).fundings
    for name in set(CHANGED) - {"push_msat", "holder_shutdown_script", "counterparty_shutdown_script"}:
        changed = replace(SETUP, **{name: CHANGED[name]})
        assert rule_of(FOURTH.splice, changed, SPLICE) == "channel-setup-changed"
    for funding in (replace(FUNDING, value_sat=1), replace(FUNDING, counterparty_key=PEER.basepoints.htlc)):
        assert rule_of(FOURTH.splice, SETUP, funding) == "channel-setup-changed"


def test_a_splice_need_not_repeat_what_only_the_opening_had():
    setup = replace(
        SETUP,
        push_msat=5,
        holder_shutdown_script=b"\x01",
        holder_shutdown_index=3,
        counterparty_shutdown_script=b"\x02",
    )
    assert 2 == len(STUB.set_up(setup, FUNDING).splice(SETUP, SPLICE).fundings)
    for name in ("holder_shutdown_script", "counterparty_shutdown_script"):
        changed = replace(setup, **{name: b"\x09"})
        assert rule_of(STUB.set_up(setup, FUNDING).splice, changed, SPLICE) == "channel-setup-changed"


def test_a_splice_may_bring_a_new_funding_key_of_the_peers():
    key = PEER.basepoints.htlc
    setup = replace(SETUP, counterparty=replace(PEER.basepoints, funding=key))
    assert key == FOURTH.splice(setup, replace(SPLICE, counterparty_key=key)).fundings[1].counterparty_key


def test_the_commitment_in_force_is_signed_once_for_each_funding():
    channel = spliced(FOURTH)
    assert (FIRST, EMPTY) in channel.signed.contents
    assert (SPLICED, FULL) in channel.signed.contents
    assert counters(FOURTH) == counters(channel)
    assert rule_of(channel.sign_counterparty, 3, point(3), SPLICED, EMPTY, NONE) == "commitment-retry-same"
    assert rule_of(channel.validate_holder, 3, SPLICED, EMPTY, NONE) == "commitment-retry-same"


def test_no_commitment_is_revoked_before_its_successor_covers_the_funding_in_force():
    channel = spliced(FOURTH)
    only_splice = channel.validate_holder(4, SPLICED, FULL, NONE)
    assert rule_of(only_splice.revoke_holder, 3) == "revoke-not-validated"
    assert 5 == only_splice.validate_holder(4, FIRST, EMPTY, NONE).revoke_holder(3).next_holder
    assert 5 == only_splice.lock(SPLICED).revoke_holder(3).next_holder
    assert (
        rule_of(channel.lock(SPLICED).validate_holder(4, FIRST, EMPTY, NONE).revoke_holder, 3)
        == "revoke-not-validated"
    )


def test_a_funding_is_locked_in_only_if_it_can_come_to_the_chain_with_our_commitment():
    unsigned = FOURTH.splice(SETUP, SPLICE).validate_holder(3, SPLICED, FULL, NONE)
    assert FIRST == unsigned.lock(SPLICED).in_force
    uncovered = FOURTH.splice(SETUP, SPLICE).sign_splice(SPLICED.txid)
    assert FIRST == uncovered.lock(SPLICED).in_force
    assert SPLICED == spliced(FOURTH).lock(SPLICED).in_force
    assert FOURTH.lock(OTHER) is FOURTH


def test_a_lock_never_goes_back():
    locked = spliced(FOURTH).lock(SPLICED)
    assert locked.lock(FIRST) is locked
    assert locked.lock(SPLICED) is locked


def test_a_funding_that_is_replaced_before_the_first_payment_needs_no_splice():
    """Dual funding: each attempt has its own commitment 0, and one of them is buried."""
    channel = OPEN.splice(SETUP, SPLICE).validate_holder(0, SPLICED, FULL, NONE)
    assert SPLICED == channel.lock(SPLICED).in_force


def test_remembers_a_bounded_number_of_splices():
    channel = FOURTH
    for number in range(state.MOST_SPLICES + 5):
        channel = channel.sign_splice(number.to_bytes(32, "big"))
    assert state.MOST_SPLICES == len(channel.splices)
    assert channel.sign_splice(channel.splices[-1]) is channel


def test_has_a_bounded_number_of_fundings():
    channel = FOURTH
    for number in range(state.MOST_SPLICES):
        channel = channel.splice(SETUP, replace(SPLICE, outpoint=Outpoint(b"\x0c" * 32, number)))
    assert rule_of(channel.splice, SETUP, SPLICE) == "splices-too-many"
    assert channel.splice(SETUP, channel.fundings[-1]) is channel
    whole = tuple(replace(SPLICE, outpoint=Outpoint(b"\x0c" * 32, n)) for n in range(state.MOST_FUNDINGS))
    locked = replace(FOURTH, fundings=whole, locked=whole[-1].outpoint)
    assert rule_of(locked.splice, SETUP, SPLICE) == "splices-too-many"


def test_what_sets_a_funding_apart_is_remembered_once():
    channel = FOURTH.splice(SETUP, SPLICE).remember_gap(SPLICED, -5, holder=True)
    assert channel.remember_gap(SPLICED, 7, holder=True) is channel
    assert decode_channel(encode(channel)) == channel


def test_a_channel_that_was_stored_before_there_were_gaps_is_read():
    stored = msgspec.msgpack.decode(encode(FOURTH)[1:])
    del stored["gaps"]
    assert decode_channel(bytes([codec.VERSION]) + msgspec.msgpack.encode(stored)) == FOURTH


# Any order at all

NEAR = st.sampled_from([0, 0, 0, -1, -1, -1, -2, -3, 1, 2])
CONTENTS = st.sampled_from([EMPTY, FULL])
OUTPOINTS = st.sampled_from([FIRST, FIRST, SPLICED])


class AnyOrder(RuleBasedStateMachine):
    """A node and a peer that ask for anything, in any order; the model remembers what left the signer."""

    def __init__(self) -> None:
        super().__init__()
        self.channel = READY
        self.last = lambda channel: channel
        self.signed: dict[tuple[int, Outpoint], tuple[bytes, Content]] = {}
        self.validated: dict[tuple[int, Outpoint], Content] = {}
        self.released: set[int] = set()
        self.published: set[int] = set()
        self.revealed: dict[int, bytes] = {}

    def take(self, step) -> bool:
        """Whether the step was legal. No step lets a number fall."""
        before = self.channel
        try:
            after = step(before)
        except Refused:
            assert before is self.channel
            return False
        assert all(new >= old for new, old in zip(counters(after), counters(before), strict=True))
        assert after.closing >= before.closing
        assert after.published >= before.published
        assert len(after.fundings) >= len(before.fundings)
        self.channel, self.last = after, step
        return True

    @rule(near=NEAR, content=CONTENTS, outpoint=OUTPOINTS, odd_point=st.sampled_from([0, 0, 0, 1]))
    def sign(self, near, content, outpoint, odd_point):
        number = max(0, self.channel.next_counterparty + near)
        at = point(number + odd_point)
        if self.take(lambda channel: channel.sign_counterparty(number, at, outpoint, content, NONE)):
            assert (at, content) == self.signed.setdefault((number, outpoint), (at, content))
            assert number <= self.channel.next_counterparty_revocation + 1

    @rule(near=NEAR, content=CONTENTS, outpoint=OUTPOINTS)
    def validate(self, near, content, outpoint):
        number = max(0, self.channel.next_holder + near)
        if self.take(lambda channel: channel.validate_holder(number, outpoint, content, NONE)):
            assert number not in self.released
            self.validated[number, outpoint] = content

    @rule(near=NEAR)
    def revoke(self, near):
        number = max(0, self.channel.next_holder + near)
        in_force = self.channel.in_force
        if self.take(lambda channel: channel.revoke_holder(number)):
            assert number not in self.published
            assert number + 2 <= self.channel.next_holder
            if number not in self.released:
                assert (number + 1, in_force) in self.validated
            self.released.add(number)

    @rule(near=NEAR, wrong=st.sampled_from([0, 0, 1]))
    def peer_revokes(self, near, wrong):
        number = max(0, self.channel.next_counterparty_revocation + near)
        told = secret(number + wrong)
        if self.take(lambda channel: channel.revoke_counterparty(number, told)):
            assert {secp256k1.public_key(told)} == {
                at for (n, _), (at, _) in self.signed.items() if n == number
            }
            assert any(n == number + 1 for n, _ in self.signed)
            self.revealed[number] = told

    @rule(near=NEAR, chance=st.integers(0, 3))
    def publish(self, near, chance):
        number = max(0, self.channel.next_holder + near)
        if (not chance or number in self.released) and self.take(
            lambda channel: channel.publish_holder(number)
        ):
            assert number not in self.released
            self.published.add(number)

    @rule(chance=st.integers(0, 9))
    def close(self, chance):
        if not chance:
            self.take(ChannelState.close_mutually)

    @rule()
    def splice(self):
        self.take(lambda channel: channel.splice(SETUP, SPLICE))

    @rule()
    def sign_splice(self):
        self.take(lambda channel: channel.sign_splice(SPLICED.txid))

    @rule(outpoint=st.sampled_from([FIRST, SPLICED, OTHER]))
    def lock(self, outpoint):
        self.take(lambda channel: channel.lock(outpoint))

    @rule(chance=st.integers(0, 9))
    def forget(self, chance):
        if not chance:
            self.take(ChannelState.forget)

    @rule()
    def retry(self):
        """The last step again gives the same state, and with it the same answer."""
        assert self.channel == self.last(self.channel)

    @invariant()
    def the_peer_holds_at_most_two_unrevoked_commitments(self):
        assert self.channel.next_counterparty <= self.channel.next_counterparty_revocation + 2

    @invariant()
    def every_secret_that_left_is_of_a_revoked_commitment(self):
        assert all(number + 2 <= self.channel.next_holder for number in self.released)
        assert not self.released & self.published

    @invariant()
    def our_current_commitment_can_be_published(self):
        # Of commitment 0 the validation decides: no funding transaction is signed without it.
        if self.channel.next_holder > 1:
            assert self.channel.in_force in dict(self.channel.holder)

    @invariant()
    def what_was_revealed_to_us_is_complete(self):
        assert list(range(self.channel.next_counterparty_revocation)) == sorted(self.revealed)
        for number, told in self.revealed.items():
            assert told == self.channel.revoked.secret_for(state.commitment.index_of(number))


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
test_any_order = AnyOrder.TestCase

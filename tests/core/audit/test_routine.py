"""Which decisions may be written later, and that no digest is kept of what is secret."""

from __future__ import annotations

import hashlib

from helpers.good_requests import by_type

from signerd.core import handlers
from signerd.core.audit import decision, routine
from signerd.core.requests import Refusal, Signed, SigningRequest
from signerd.core.state.book import Changes, ChannelId
from signerd.core.wire import codec, names
from signerd.units import UnixTime

NOW = UnixTime(1_800_000_000)

DURABLE = {
    "sign_commitment_tx", "sign_withdrawal", "sign_invoice", "sign_delayed_payment_to_us",
    "sign_remote_htlc_to_us", "sign_local_htlc_tx", "sign_remote_commitment_tx", "sign_mutual_close_tx",
    "sign_message", "sign_bolt12", "sign_option_will_fund_offer", "derive_secret", "sign_splice_tx",
    "validate_commitment_tx", "validate_revocation", "preapprove_invoice", "preapprove_keysend",
    "revoke_commitment_tx", "sign_bolt12_2", "bip137_sign_message", "sign_any_delayed_payment_to_us",
    "sign_any_remote_htlc_to_us", "sign_any_penalty_to_us", "sign_any_local_htlc_tx", "sign_anchorspend",
    "sign_htlc_tx_mingle",
}  # fmt: skip


def test_these_are_on_disk_before_they_are_answered_and_no_message_is_overlooked():
    assert {name for number, name in names.NAMES.items() if number not in routine.ROUTINE} == DURABLE
    assert set(routine.ROUTINE) <= handlers.ANSWERED


def _has_secret(kind: type) -> bool:
    return any("secret" in field.name for _, field in codec.layout(kind))


def test_digests_are_left_out_where_the_wire_has_a_field_for_a_secret():
    requests, replies = set(), set()
    for number in names.NAMES:
        requests |= {number} if _has_secret(codec.classes()[number]) else set()
        for reply in codec.REPLY_TYPES.get(number, ()):
            replies |= {number} if _has_secret(codec.classes()[reply]) else set()

    assert requests == routine.SECRET_REQUESTS
    assert replies == routine.SECRET_REPLIES


def test_a_routine_message_that_changes_something_is_durable():
    changes = Changes(channels={ChannelId(b"\x02" * 33, 1): None})

    assert routine.is_routine(30, Signed(b"reply"))
    assert not routine.is_routine(30, Signed(b"reply", changes))


def test_a_point_with_a_revoked_secret_is_durable():
    assert routine.is_routine(18, Signed(bytes(36)))
    assert not routine.is_routine(18, Signed(bytes(68)))


def test_records_hold_nothing_of_a_reply_that_is_secret():
    for number, good in by_type().items():
        outcome = good.witness.copy().ask(good.request)
        recorded = decision.of_request(good.request, outcome, NOW)
        assert (recorded.request_digest is None) == (number in routine.SECRET_REQUESTS)
        if isinstance(outcome, Signed):
            secret = number in routine.SECRET_REPLIES or not outcome.reply
            assert recorded.reply_digest == (None if secret else hashlib.sha256(outcome.reply).digest())


def test_what_has_no_type_or_no_name_is_recorded_too():
    refusal = Refusal("malformed", "a message of 1 bytes has no type", malformed=True)

    assert decision.of_request(SigningRequest(1, b"\x01"), refusal, NOW).message == "unreadable"
    assert decision.of_request(SigningRequest(1, b"\xff\xff"), refusal, NOW).message == "type_65535"

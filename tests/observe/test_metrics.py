"""From events to numbers: what is counted, and that no label can be made to grow."""

from __future__ import annotations

import dataclasses
from typing import get_type_hints

import pytest
from helpers.made_events import made

from signerd.core.wire import names
from signerd.observe import catalogue, events, metrics
from signerd.observe.event import Event
from signerd.observe.exposition import Family, Histogram
from signerd.observe.metrics import Gauges, Metrics
from signerd.observe.probes import Verdict

NOW = 1_700_000_000.0
READY = Verdict(started=True, live=True, ready=True, state="ready", reason="attached")


def after(*heard: Event) -> Metrics:
    reduced = Metrics()
    for event in heard:
        reduced.hear(event, NOW)
    return reduced


def value(reduced: Metrics, family: Family, *labels: str) -> object:
    return dict(reduced.families())[family].get(labels)


def answered(message: str, ms: float = 4.0) -> Event:
    return made(events.RequestAnswered, message=message, ms=ms)


def refused(message: str, rule: str) -> Event:
    return made(events.RequestRefused, message=message, rule=rule)


def ended() -> Event:
    return events.SchedulerStreamEnded(reason="x", retry_seconds=1.0)


def test_counts_requests_by_message_outcome_and_rule():
    reduced = after(
        answered("ecdh_req (type 1)"),
        answered("ecdh_req (type 1)"),
        refused("sign_message (type 23)", "sign-message"),
        refused("type 9999", "unsupported-message"),
    )

    assert value(reduced, metrics.REQUESTS, "ecdh_req", "answered", "") == 2
    assert value(reduced, metrics.REQUESTS, "sign_message", "refused", "sign-message") == 1
    assert value(reduced, metrics.REQUESTS, "unknown", "refused", "unsupported-message") == 1
    assert value(reduced, metrics.LAST_REQUEST) == NOW


def test_an_answer_that_came_too_late_is_no_refusal():
    reduced = after(refused("ecdh_req (type 1)", "answer-not-taken"))

    assert dict(reduced.families())[metrics.REQUESTS] == {("ecdh_req", "not-taken", ""): 1}


def test_an_answer_that_the_node_refused_is_no_fresh_signature():
    signature, other = "sign_invoice (type 8)", refused("sign_invoice (type 8)", "answer-refused")
    reduced = after(answered(signature), other)
    reduced.hear(answered(signature), NOW + 60)
    assert value(reduced, metrics.LAST_SIGNATURE) == NOW
    assert value(reduced, metrics.REQUESTS, "sign_invoice", "refused", "answer-refused") == 1
    reduced.hear(events.AnswersTaken(request_id=1, message=signature), NOW + 61)
    assert value(reduced, metrics.LAST_SIGNATURE) == NOW + 61
    reduced.hear(answered(signature), NOW + 62)
    assert value(reduced, metrics.LAST_SIGNATURE) == NOW + 62


def test_durations_are_in_seconds():
    histogram = value(after(answered("ecdh_req (type 1)", ms=4.0)), metrics.SECONDS, "ecdh_req")

    assert isinstance(histogram, Histogram)
    assert histogram.sum == 0.004
    assert histogram.counts[histogram.bounds.index(0.005)] == 1


@pytest.mark.parametrize(
    ("message", "is_one"),
    [("sign_remote_commitment_tx", True), ("cannouncement_sig_req", True), ("bip137_sign_message", True),
     ("ecdh_req", False), ("validate_commitment_tx", False), ("preapprove_invoice", False)],
)  # fmt: skip
def test_the_last_signature_is_that_of_a_request_for_one(message, is_one):
    reduced = after(answered(f"{message} (type 1)"))

    assert value(reduced, metrics.LAST_SIGNATURE) == (NOW if is_one else None)
    assert value(after(refused(f"{message} (type 1)", "r")), metrics.LAST_SIGNATURE) is None


def test_every_message_is_a_signature_or_is_not():
    """A new name has to be looked at: add it here."""
    assert {name for name in names.NAMES.values() if metrics.is_signature(name)} == {
        "cannouncement_sig_req", "cupdate_sig_req", "sign_any_cannouncement_req", "sign_commitment_tx",
        "node_announcement_sig_req", "sign_withdrawal", "sign_invoice", "sign_delayed_payment_to_us",
        "sign_remote_htlc_to_us", "sign_penalty_to_us", "sign_local_htlc_tx", "sign_remote_commitment_tx",
        "sign_remote_htlc_tx", "sign_mutual_close_tx", "sign_message", "sign_bolt12",
        "sign_option_will_fund_offer", "sign_splice_tx", "sign_bolt12_2", "bip137_sign_message",
        "sign_any_delayed_payment_to_us", "sign_any_remote_htlc_to_us", "sign_any_penalty_to_us",
        "sign_any_local_htlc_tx", "sign_anchorspend", "sign_htlc_tx_mingle", "sign_gossip_message",
    }  # fmt: skip


def test_streams_are_up_between_their_beginning_and_their_end():
    begun, attached = events.SchedulerStreamOpen(), events.NodeAttached(uri="https://n")

    assert value(after(), metrics.STREAM_UP, "scheduler") == 0
    assert value(after(begun), metrics.STREAM_UP, "scheduler") == 1
    assert value(after(begun, ended()), metrics.STREAM_UP, "scheduler") == 0
    assert value(after(begun), metrics.STREAM_UP, "node") == 0
    assert value(after(attached), metrics.STREAM_UP, "node") == 1


def test_the_first_connection_is_no_reconnect():
    begun = events.SchedulerStreamOpen()

    assert value(after(begun), metrics.RECONNECTS, "scheduler") == 0
    assert value(after(begun, ended(), begun, ended(), begun), metrics.RECONNECTS, "scheduler") == 2


def test_pairing_is_counted_by_outcome_and_rule():
    reduced = after(
        made(events.PairingApproved),
        made(events.PairingRefused, rule="pairing-stale"),
    )

    assert value(reduced, metrics.PAIRING, "approved", "") == 1
    assert value(reduced, metrics.PAIRING, "refused", "pairing-stale") == 1


def test_what_alerts_are_made_of_is_zero_from_the_start():
    for stream in ("scheduler", "node"):
        assert value(after(), metrics.RECONNECTS, stream) == 0
    assert value(after(), metrics.PAIRING, "approved", "") == 0


def test_labels_are_bounded_whatever_is_heard():
    reduced = after(*(refused("ecdh_req (type 1)", f"rule-{n}") for n in range(5000)))
    counted = dict(reduced.families())[metrics.REQUESTS]

    assert len(counted) <= metrics.MOST_SERIES + 1
    assert sum(counted.values()) == 5000
    assert counted["other", "other", "other"] > 0


OURS = {"rule", "call", "source", "version", "signer_version", "node_id", "network"}
"""Fields whose values signerd makes itself, from lists that end."""


@pytest.mark.parametrize("kind", catalogue.kinds(), ids=lambda kind: kind.NAME)
def test_text_from_outside_is_no_label(kind):
    hints = get_type_hints(kind)
    texts = [name for name in catalogue.field_names(kind) if hints[name] not in (int, float)]
    event = made(kind, **{name: "ours" if name in OURS else "OUTSIDE" for name in texts})

    for _, samples in after(event).families():
        assert not any("OUTSIDE" in labels for labels in samples)


def test_every_kind_of_event_is_counted():
    reduced = after(events.SchedulerStreamOpen(), events.SchedulerStreamOpen())

    assert value(reduced, metrics.EVENTS, "scheduler-stream-open", "info") == 2


def test_gauges_say_what_the_judge_says():
    failing = dataclasses.replace(READY, ready=False, state="store-failing")
    shown = dict(Gauges(verdict=failing, certificate_expiry=123, pairing_waiting=2).families())

    assert shown[metrics.READY] == {(): 0.0}
    assert shown[metrics.LIVE] == {(): 1.0}
    assert shown[metrics.STORE_FAILING] == {(): 1.0}
    assert shown[metrics.STATE] == {("store-failing",): 1}
    assert shown[metrics.CERTIFICATE_EXPIRY] == {(): 123}
    assert shown[metrics.PAIRING_WAITING] == {(): 2}


def test_names_and_units_are_as_prometheus_asks():
    families = [
        family for family, _ in (*after().families(), *Gauges(verdict=READY, certificate_expiry=1).families())
    ]

    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert family.name.startswith("signerd_")
        assert family.name.endswith("_total") == (family.kind == "counter"), family.name
        assert not family.name.endswith(("_ms", "_milliseconds", "_minutes", "_days", "_kb"))
        assert family.help.endswith(".")

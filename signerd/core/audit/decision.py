"""From a request and its outcome to the decision that is recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from signerd.core.audit import facts as facts_of
from signerd.core.audit import routine
from signerd.core.audit.record import Decision, Fact, clean
from signerd.core.requests import Context, Refusal, Signed, SigningRequest
from signerd.core.state.book import ChannelId
from signerd.core.wire import names
from signerd.units import UnixTime

UNREADABLE = "unreadable"
"""What a message is called that has no type."""
APPROVE_PAIRING = "approve_pairing"
REVOKE_DEVICE = "revoke_device"
LONGEST_RESTRICTIONS = 300


def of_request(request: SigningRequest, outcome: Signed | Refusal, now: UnixTime) -> Decision:
    """The decision on a node's request. Cheap: it is on the way of every answer."""
    raw = request.raw
    number = int.from_bytes(raw[:2], "big") if len(raw) >= 2 else -1
    message = outcome.message
    channel = _channel(message, request.context)
    digest = None if number in routine.SECRET_REQUESTS else hashlib.sha256(raw).digest()
    facts = facts_of.of(message, outcome)
    if isinstance(outcome, Refusal):
        return Decision(
            time=now,
            kind="request",
            request_id=request.id,
            message=_name(number),
            outcome="refused",
            channel=channel,
            rule=outcome.rule,
            reason=clean(outcome.reason),
            facts=facts,
            request_digest=digest,
        )
    told = outcome.reply and number not in routine.SECRET_REPLIES
    return Decision(
        time=now,
        kind="request",
        request_id=request.id,
        message=_name(number),
        outcome="answered",
        channel=channel,
        facts=facts,
        request_digest=digest,
        reply_digest=hashlib.sha256(outcome.reply).digest() if told else None,
    )


def of_pairing(
    request_id: int,
    now: UnixTime,
    *,
    device_id: str = "",
    device_name: str = "",
    restrictions: str = "",
    approval_digest: bytes | None = None,
    rule: str | None = None,
    reason: str | None = None,
    by: str = "",
) -> Decision:
    """The decision on a pairing approval; with a rule, it was refused. `approval_digest` is 32 bytes.

    `by` says who has let it through.
    """
    said = {
        "by": by,
        "device": clean(device_name, facts_of.LONGEST_NAME),
        "device_id": clean(device_id, 130),
        "restrictions": clean(restrictions, LONGEST_RESTRICTIONS),
    }
    facts: Mapping[str, Fact] = {key: value for key, value in said.items() if value}
    return Decision(
        time=now,
        kind="pairing",
        request_id=request_id,
        message=APPROVE_PAIRING,
        outcome="answered" if rule is None else "refused",
        rule=rule,
        reason=None if reason is None else clean(reason),
        facts=facts,
        request_digest=approval_digest,
    )


def of_revocation(now: UnixTime, device: str, others: int) -> Decision:
    """The owner's word that a device, by its handle, is believed no more, and so many that it let in."""
    return Decision(
        time=now,
        kind="pairing",
        request_id=0,
        message=REVOKE_DEVICE,
        outcome="answered",
        facts={"device_id": clean(device, 130), "others": others},
    )


def _name(number: int) -> str:
    if number < 0:
        return UNREADABLE
    return names.NAMES.get(number) or f"type_{number}"


def _channel(message: Any, context: Context | None) -> ChannelId | None:
    """The channel that a message names; else that of its context."""
    peer_id = getattr(message, "peer_id", None)
    if peer_id is not None:
        # `get_output_scriptpubkey` has its own word for it.
        dbid = message.dbid if hasattr(message, "dbid") else message.channel_id
        return ChannelId(peer_id, dbid)
    if context is not None and context.dbid:
        return ChannelId(context.node_id[:33], context.dbid)
    return None

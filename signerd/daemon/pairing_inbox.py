"""Pairing as the daemon's other parts see it: the stream that asks, the owner who decides, the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from signerd.core.devices import Device, handle_of
from signerd.core.pairing import Approved, Denied, PairingApproval, PairingPolicy, PairingRule
from signerd.core.pairing_auto import AutoRule
from signerd.core.pairing_inbox import Item, Revoked, Settled
from signerd.daemon.late_answers import LateAnswers
from signerd.daemon.pairing_desk import OWNER, UNREADABLE_RULE, Answered, Held, PairingDesk
from signerd.errors import MalformedMessage
from signerd.greenlight import translate
from signerd.greenlight.pb import scheduler_pb2
from signerd.observe import events
from signerd.observe.bus import Bus
from signerd.observe.event import Event

TICK_SECONDS = 1.0
"""How often the clock is looked at while something waits: it may have jumped, or the machine have slept."""


class PairingInbox:
    """Tells everything that happens; what the desk decides is on disk before anybody hears of it."""

    def __init__(self, desk: PairingDesk, bus: Bus, *, answer_refusals: bool) -> None:
        self.answers = LateAnswers(desk.revoked)
        self._desk = desk
        self._bus = bus
        self._answer_refusals = answer_refusals
        self._something_waits = asyncio.Event()

    def set_policy(self, policy: PairingPolicy, rules: Sequence[AutoRule], *, answer_refusals: bool) -> None:
        """Decide by these from now on, also what waits already."""
        self._desk.set_policy(policy, rules)
        self._answer_refusals = answer_refusals

    def count(self) -> int | None:
        """How many wait; None where nothing does, by configuration."""
        number = len(self._desk.waiting())
        return number if number or self.confirms else None

    @property
    def confirms(self) -> bool:
        """Whether approvals wait for a person."""
        return self._desk.holds_for_a_person

    # The scheduler's side

    def answer(
        self, request: scheduler_pb2.SignerRequest
    ) -> tuple[scheduler_pb2.SignerResponse | None, Event | None]:
        """What to send now, if anything, and what to tell once it is sent: nobody should wait for a log."""
        begun, number = self._desk.clock.monotonic(), request.request_id
        self.answers.heard(number)
        try:
            approval = translate.pairing_approval(request)
        except MalformedMessage as problem:
            self._desk.refuse_unreadable(number, problem.message)
            refused = events.PairingRefused(
                request_id=number,
                device="",
                rule=UNREADABLE_RULE,
                reason=problem.message,
                **self._told(begun),
            )
            return translate.empty_response(number) if self._answer_refusals else None, refused
        self.expire()
        outcome = self._desk.decide(approval, number)
        match outcome:
            case Held():
                self.answers.asked(outcome.item.digest, number)
                self._something_waits.set()
                return None, None if outcome.again else self._waiting(outcome.item)
            case Answered():
                approved = outcome.outcome
                # A copy of what a person has approved meanwhile: this is its answer.
                self.answers.answered(approved.digest)
                told = self._approved(approval, number, outcome.by, **self._told(begun))
                return translate.signer_response(number, approved), None if outcome.again else told
            case Denied():
                # The reference signer is silent here; what a scheduler makes of `empty` is its own affair.
                # It is final at least, and what a disk stands in the way of may be approved yet.
                final = outcome.rule is not PairingRule.STORE_FAILING
                tells = final and self._answer_refusals
                response = translate.signer_response(number, outcome) if tells else None
                return response, events.PairingRefused(
                    request_id=number,
                    device=approval.device_name,
                    rule=outcome.rule,
                    reason=outcome.reason,
                    hint=outcome.hint,
                    **self._told(begun),
                )

    def _told(self, begun: float) -> dict[str, Any]:
        """What the line of a decision that began then says of it, beside the decision itself."""
        milliseconds = round((self._desk.clock.monotonic() - begun) * 1000, 2)
        return {"ms": milliseconds, "audit": self._desk.latest_record}

    def expire(self) -> None:
        """Close what waited too long, and say so."""
        for item in self._desk.expire():
            self._refuse_late(item, Denied(PairingRule.EXPIRED, "nobody decided it in time"))
            self._bus.emit(events.PairingExpired(number=item.number, device=item.approval.device_name))

    async def run(self) -> None:
        """Look at the clock while something waits, until cancelled. Raises StateError."""
        while True:
            self.expire()
            # Also what has run out: while the store fails, it is not closed.
            if not self._desk.holds_anything:
                self._something_waits.clear()
                await self._something_waits.wait()
            await asyncio.sleep(TICK_SECONDS)

    # The owner's side

    def waiting(self) -> tuple[Item, ...]:
        """What waits for a decision."""
        self.expire()
        return self._desk.waiting()

    def seconds_left(self, item: Item) -> int:
        """How long it may still be approved."""
        return self._desk.seconds_left(item)

    def approve(self, number: int) -> Settled:
        """Let the answer go. Raises Refused, with the rule of the check that fails by now."""
        self.expire()
        settled = self._desk.approve(number, self._request_id(number))
        if isinstance(settled.outcome, Approved):
            self.answers.put(settled.item, settled.outcome)
            number = self.answers.request_id(settled.item.digest)
            record = self._desk.latest_record
            self._bus.emit(self._approved(settled.item.approval, number, OWNER, audit=record))
        return settled

    async def sent(self, item: Item, seconds: float) -> bool:
        """Wait until its answer is sent, but no longer than this; whether it is."""
        return await self.answers.sent(item.digest, seconds)

    def deny(self, number: int) -> Settled:
        """Say no. Raises Refused."""
        self.expire()
        settled = self._desk.deny(number, self._request_id(number))
        if isinstance(settled.outcome, Denied):
            self._tell_refusal(settled.item, settled.outcome)
        return settled

    def devices(self) -> tuple[Device, ...]:
        """The register."""
        return self._desk.devices()

    def known_devices(self) -> tuple[Device, ...]:
        """As much of it as can be read. Raises Refused, StateLost."""
        return self._desk.known_devices()

    def revoke(self, name: str, *, with_paired: bool) -> Revoked:
        """Believe a device no more. Raises Refused."""
        self.expire()
        revoked = self._desk.revoke(name, with_paired=with_paired)
        new = frozenset(revoked.new)
        for device in revoked.devices:
            if device.key in new:
                self._bus.emit(events.DeviceRevoked(device=device.handle, name=device.name))
        # What was approved and is not sent yet is not sent any more.
        withdrawn = self.answers.withdraw({device.key for device in revoked.devices})
        for item in (*revoked.denied, *withdrawn):
            self._tell_refusal(item, Denied(PairingRule.RUNE_REVOKED, "a device of it was revoked"))
        return revoked

    def _request_id(self, number: int) -> int:
        """By which the scheduler knows what waits under this number; 0 if by none."""
        digests = (item.digest for item in self._desk.waiting() if item.number == number)
        return self.answers.request_id(next(digests, b""))

    @staticmethod
    def _approved(approval: PairingApproval, request_id: int, by: str, **told: Any) -> events.PairingApproved:
        return events.PairingApproved(
            request_id=request_id,
            device=approval.device_name,
            restrictions=approval.restrictions,
            by=by,
            **told,
        )

    def _waiting(self, item: Item) -> events.PairingWaiting:
        return events.PairingWaiting(
            number=item.number,
            device=item.approval.device_name,
            restrictions=item.approval.restrictions,
            approver=handle_of(item.approval.pubkey),
            seconds=self.seconds_left(item),
        )

    def _tell_refusal(self, item: Item, denied: Denied) -> None:
        self._bus.emit(
            events.PairingRefused(
                request_id=self.answers.request_id(item.digest),
                device=item.approval.device_name,
                rule=denied.rule,
                reason=denied.reason,
            )
        )
        self._refuse_late(item, denied)

    def _refuse_late(self, item: Item, denied: Denied) -> None:
        if self._answer_refusals:
            self.answers.put(item, denied)
        else:
            self.answers.forget(item.digest)

"""The Pairing service of the control socket: the inbox, and the register of devices."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Protocol

import grpc.aio

from signerd.control.client import HINT_KEY
from signerd.control.pb import control_pb2 as pb
from signerd.control.pb import control_pb2_grpc
from signerd.core.devices import SHOWN_RESTRICTIONS, Device, MintedRune, handle_of
from signerd.core.pairing_auto import may_approve
from signerd.core.pairing_code import pairing_code
from signerd.core.pairing_inbox import Item, Revoked, Settled
from signerd.core.runes.explain import explain
from signerd.core.runes.restriction import Alternative, parse_restrictions
from signerd.errors import Refused, StateError

RULE_KEY = "rule-bin"
"""Trailing metadata: the rule of a refusal."""

VERSION = 1
SENT_SECONDS = 2.0
"""How long a decision waits to hear that its answer is on the way. It counts, whether it is or not."""

_MOST_RUNES = 100
_PAGE_BYTES = 1024 * 1024


class Inbox(Protocol):
    """What the daemon has to offer. While the store fails, everything may raise Refused."""

    @property
    def confirms(self) -> bool:
        """Whether approvals wait for a person."""

    def waiting(self) -> tuple[Item, ...]:
        """What waits."""

    def seconds_left(self, item: Item) -> int:
        """How long it does."""

    def approve(self, number: int) -> Settled:
        """Raises Refused."""

    def deny(self, number: int) -> Settled:
        """Raises Refused."""

    async def sent(self, item: Item, seconds: float) -> bool:
        """Whether the answer went out within that time."""

    def devices(self) -> tuple[Device, ...]:
        """The register. Raises Refused."""

    def known_devices(self) -> tuple[Device, ...]:
        """As much of it as can be read. Raises Refused."""

    def revoke(self, name: str, *, with_paired: bool) -> Revoked:
        """Raises Refused."""


class PairingControl(control_pb2_grpc.PairingServicer):
    """What `signerd pairing` and `signerd devices` ask."""

    def __init__(self, inbox: Inbox, own: bytes) -> None:
        """`own` is the key of the device as which this signer is with the scheduler, 65 bytes."""
        self._inbox = inbox
        self._own = own
        self._codes: dict[bytes, str] = {}

    def add_to(self, server: grpc.aio.Server) -> None:
        """As a `server.Service`."""
        control_pb2_grpc.add_PairingServicer_to_server(self, server)

    async def List(  # noqa: N802
        self, _request: pb.ListPairingsRequest, context: Any
    ) -> pb.ListPairingsReply:
        try:
            waiting = self._inbox.waiting()
            names = _names(self._inbox.known_devices()) if waiting else {}
        except (Refused, StateError) as problem:
            await self._fail(context, problem)
        # One after the other: the signer's own work goes on beside it.
        codes = [await self._code(item) for item in waiting]
        self._codes = {item.digest: code for item, code in zip(waiting, codes, strict=True)}
        return pb.ListPairingsReply(
            v=VERSION,
            confirms=self._inbox.confirms,
            waiting=[
                waiting_message(item, code, names, self._inbox.seconds_left(item))
                for item, code in zip(waiting, codes, strict=True)
            ],
        )

    async def Approve(  # noqa: N802
        self, request: pb.DecidePairingRequest, context: Any
    ) -> pb.DecidePairingReply:
        try:
            settled = self._inbox.approve(request.number)
        except (Refused, StateError) as problem:
            await self._fail(context, problem)
        return await self._decided(settled)

    async def Deny(  # noqa: N802
        self, request: pb.DecidePairingRequest, context: Any
    ) -> pb.DecidePairingReply:
        try:
            settled = self._inbox.deny(request.number)
        except (Refused, StateError) as problem:
            await self._fail(context, problem)
        return await self._decided(settled)

    async def Devices(self, request: pb.DevicesRequest, context: Any) -> pb.DevicesReply:  # noqa: N802
        try:
            known = self._inbox.devices()
        except (Refused, StateError) as problem:
            await self._fail(context, problem)
        return page(known, request.offset, own=self._own)

    async def Revoke(self, request: pb.RevokeDeviceRequest, context: Any) -> pb.RevokeDeviceReply:  # noqa: N802
        try:
            revoked = self._inbox.revoke(request.device, with_paired=request.with_paired)
        except (Refused, StateError) as problem:
            await self._fail(context, problem)
        return revoked_message(revoked, own=self._own)

    async def _decided(self, settled: Settled) -> pb.DecidePairingReply:
        return pb.DecidePairingReply(
            v=VERSION,
            number=settled.item.number,
            state=settled.item.state,
            name=settled.item.approval.device_name,
            again=settled.outcome is None,
            sent=await self._inbox.sent(settled.item, SENT_SECONDS),
        )

    async def _code(self, item: Item) -> str:
        known = self._codes.get(item.digest)
        if known is not None:
            return known
        approval = item.approval
        # It takes its time, and nothing else should wait for it.
        return await asyncio.to_thread(
            pairing_code, approval.device_id, approval.device_name, approval.restrictions
        )

    async def _fail(self, context: Any, problem: Refused | StateError) -> NoReturn:
        metadata = [(HINT_KEY, problem.hint.encode())] if problem.hint else []
        if isinstance(problem, StateError):
            await context.abort(grpc.StatusCode.INTERNAL, problem.message, tuple(metadata))
        else:
            metadata.append((RULE_KEY, problem.rule.encode()))
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, problem.message, tuple(metadata))
        raise AssertionError("abort returned")


def waiting_message(item: Item, code: str, names: Mapping[bytes, str], seconds: int) -> pb.WaitingPairing:
    """One request of the inbox."""
    approval = item.approval
    return pb.WaitingPairing(
        number=item.number,
        device_id=approval.device_id,
        name=approval.device_name,
        restrictions=approval.restrictions,
        words=in_words(approval.restrictions, approval.device_id),
        could_pair=may_approve(parse_restrictions(approval.restrictions)),
        code=code,
        approver=handle_of(approval.pubkey),
        approver_name=names.get(approval.pubkey, ""),
        received=item.received,
        seconds_left=seconds,
    )


def page(known: Sequence[Device], offset: int, *, own: bytes = b"") -> pb.DevicesReply:
    """As many devices from there on as one answer bears."""
    reply = pb.DevicesReply(v=VERSION)
    size = 0
    for number, device in enumerate(known[offset:], start=offset):
        message = device_message(device, own=own)
        if reply.devices and size + message.ByteSize() > _PAGE_BYTES:
            reply.next = number
            break
        size += message.ByteSize()
        reply.devices.append(message)
    return reply


def device_message(device: Device, *, own: bytes = b"") -> pb.Device:
    """One device of the register."""
    return pb.Device(
        id=device.handle,
        key=device.key.hex(),
        name=device.name,
        last_used=device.last_used,
        revoked=device.revoked,
        runes=map(_rune_message, device.runes[-_MOST_RUNES:]),
        older_runes=max(0, len(device.runes) - _MOST_RUNES),
        own=device.key == own,
    )


def revoked_message(revoked: Revoked, *, own: bytes = b"") -> pb.RevokeDeviceReply:
    """What became of a revocation; of many devices, as many as one answer bears."""
    return pb.RevokeDeviceReply(
        v=VERSION,
        revoked=page(revoked.devices, 0, own=own).devices,
        newly=len(revoked.new),
        denied=len(revoked.denied),
        let_in=page(revoked.let_in, 0, own=own).devices,
    )


def in_words(restrictions: str, device_id: str) -> list[str]:
    """Each restriction of a device's rune, in words; of a text that was cut, what is whole of it.

    Nothing is left out: what hides behind an ellipsis may be the alternative that allows everything.
    """
    whole = restrictions
    if len(restrictions) > SHOWN_RESTRICTIONS:
        whole, _, _ = restrictions.rpartition("&")
    own = Alternative("pubkey", "=", device_id)
    words = [
        "it makes the call itself" if restriction.only == own else explain(restriction)
        for restriction in parse_restrictions(whole)
    ]
    return words if whole == restrictions else [*words, "(and more, which was too long to keep)"]


def _rune_message(rune: MintedRune) -> pb.MintedRune:
    return pb.MintedRune(
        name=rune.name,
        restrictions=rune.restrictions,
        words=in_words(rune.restrictions, rune.device.hex()),
        fingerprint=rune.fingerprint.hex(),
        time=rune.time,
        approver=handle_of(rune.approver) if rune.approver else "",
        by=rune.by,
    )


def _names(known: Sequence[Device]) -> dict[bytes, str]:
    return {device.key: device.name for device in known}

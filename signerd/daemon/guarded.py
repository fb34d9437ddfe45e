"""Deciding that outlives its disk: while the store fails, everything is refused by one rule.

Refused is also what would change nothing: only while the disk works is memory known to be as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

from signerd.core.audit.record import Record
from signerd.core.devices import Device
from signerd.core.keys.node import NodeKeys
from signerd.core.pairing import Denied, PairingApproval, PairingPolicy, PairingRule
from signerd.core.pairing_auto import AutoRule
from signerd.core.pairing_inbox import Item, Revoked, Settled
from signerd.core.requests import Refusal, Signed, SigningRequest
from signerd.core.signer import Signer
from signerd.daemon.pairing_desk import Answered, Held, PairingDesk
from signerd.daemon.recorder import Recorder
from signerd.daemon.signing_service import SigningService
from signerd.daemon.store_health import StoreHealth
from signerd.errors import Refused
from signerd.store.state_db import StateDb

STORE_RULE = "store-failing"
_HINT = "see to the disk of this signer; the same approval can be sent again for some minutes"

T = TypeVar("T")


class GuardedService(SigningService):
    """Answers the node's requests while the store works."""

    def __init__(self, signer: Signer, store: StateDb, recorder: Recorder, health: StoreHealth) -> None:
        super().__init__(signer, store, recorder)
        self._health = health
        self._recorded = False

    @property
    def latest(self) -> Record | None:
        """As there; None for a refusal that could not be recorded."""
        return super().latest if self._recorded else None

    def answer(self, request: SigningRequest) -> Signed | Refusal:
        """As there; a store that fails is a refusal. Raises StateLost."""
        self._recorded = False
        if self._health.reason is None:
            with self._health.noting():
                outcome = super().answer(request)
                self._recorded = True
                return outcome
        return Refusal(STORE_RULE, f"nothing can be remembered now: {self._health.reason}")


class GuardedDesk(PairingDesk):
    """Decides on pairings while the store works."""

    def __init__(
        self,
        keys: NodeKeys,
        policy: PairingPolicy,
        rules: Sequence[AutoRule],
        store: StateDb,
        recorder: Recorder,
        *,
        health: StoreHealth,
    ) -> None:
        super().__init__(keys, policy, rules, store, recorder)
        self._health = health
        self._recorded = False

    @property
    def latest_record(self) -> int | None:
        """As there; None for a refusal that could not be recorded."""
        return super().latest_record if self._recorded else None

    def refuse_unreadable(self, request_id: int, reason: str) -> None:
        """As there, if the store works."""
        self._guarded(lambda: super(GuardedDesk, self).refuse_unreadable(request_id, reason), lambda: None)

    def decide(self, approval: PairingApproval, request_id: int = 0) -> Answered | Denied | Held:
        """As there; the same approval can be answered once the store works. Raises StateLost."""
        return self._guarded(
            lambda: super(GuardedDesk, self).decide(approval, request_id),
            lambda: Denied(PairingRule.STORE_FAILING, self._reason, hint=_HINT),
        )

    def approve(self, number: int, request_id: int = 0) -> Settled:
        """As there. Raises Refused, StateLost."""
        return self._guarded(lambda: super(GuardedDesk, self).approve(number, request_id), self._refuse)

    def deny(self, number: int, request_id: int = 0) -> Settled:
        """As there. Raises Refused, StateLost."""
        return self._guarded(lambda: super(GuardedDesk, self).deny(number, request_id), self._refuse)

    def devices(self) -> tuple[Device, ...]:
        """As there, also from a disk that can only be read. Raises Refused, StateLost."""
        with self._health.noting():
            return super().devices()
        return self._refuse()

    def known_devices(self) -> tuple[Device, ...]:
        """As there, also from a disk that can only be read. Raises Refused, StateLost."""
        with self._health.noting():
            return super().known_devices()
        return self._refuse()

    def expire(self) -> tuple[Item, ...]:
        """As there; nothing expires while that could not be remembered. Raises StateLost."""
        return self._guarded(super().expire, tuple)

    def revoke(self, name: str, *, with_paired: bool) -> Revoked:
        """As there. Raises Refused, StateLost."""
        return self._guarded(
            lambda: super(GuardedDesk, self).revoke(name, with_paired=with_paired), self._refuse
        )

    @property
    def _reason(self) -> str:
        return f"nothing can be remembered now: {self._health.reason}"

    def _refuse(self) -> NoReturn:
        raise Refused(PairingRule.STORE_FAILING, self._reason, hint=_HINT)

    def _guarded(self, decide: Callable[[], T], otherwise: Callable[[], T]) -> T:
        self._recorded = False
        if self._health.reason is None:
            with self._health.noting():
                outcome = decide()
                self._recorded = True
                return outcome
        return otherwise()

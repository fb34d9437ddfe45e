"""A signing service that outlives its disk: while the store fails, everything is refused by one rule."""

from __future__ import annotations

from signerd.core.pairing import Approved, Denied, PairingApproval, PairingPolicy, PairingRule
from signerd.core.requests import Refusal, Signed, SigningRequest
from signerd.core.signer import Signer
from signerd.daemon.clock import Clock
from signerd.daemon.signing_service import SigningService
from signerd.daemon.store_health import StoreHealth
from signerd.store.state_db import StateDb

STORE_RULE = "store-failing"


class GuardedService(SigningService):
    """Refuses also what would change nothing: only while the disk works is memory known to be as it is."""

    def __init__(
        self, signer: Signer, policy: PairingPolicy, store: StateDb, clock: Clock, health: StoreHealth
    ) -> None:
        super().__init__(signer, policy, store, clock)
        self._health = health

    def answer(self, request: SigningRequest) -> Signed | Refusal:
        """As there; a store that fails is a refusal. Raises StateLost."""
        if self._health.reason is None:
            with self._health.noting():
                return super().answer(request)
        return Refusal(STORE_RULE, f"nothing can be remembered now: {self._health.reason}")

    def decide_pairing(self, approval: PairingApproval) -> Approved | Denied:
        """As there; the same approval can be answered once the store works. Raises StateLost."""
        if self._health.reason is None:
            with self._health.noting():
                return super().decide_pairing(approval)
        return Denied(
            PairingRule.STORE_FAILING,
            f"nothing can be remembered now: {self._health.reason}",
            hint="see to the disk of this signer; the same approval can be sent again for some minutes",
        )

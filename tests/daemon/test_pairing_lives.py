"""Any life of an inbox, with restarts and clocks that jump: nothing is given that nobody agreed to."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers.clock import FakeClock
from helpers.phones import KEYS, approval_at, public_key
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from signerd.core.pairing import PairingApproval, PairingPolicy, digest_of
from signerd.core.pairing_inbox import MAX_OF_ONE_DEVICE
from signerd.daemon.pairing_desk import Answered, Held, PairingDesk
from signerd.daemon.recorder import Recorder
from signerd.errors import Refused
from signerd.store.state_db import StateDb

DEVICES = range(2, 6)


class Inbox(RuleBasedStateMachine):
    """The owner's own book of what may be given, beside the desk's."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.clock = FakeClock()
        self.sent: list[PairingApproval] = []
        self.agreed: set[bytes] = set()
        self.refused: set[bytes] = set()
        self.revoked: set[int] = set()
        self.numbers: dict[int, bytes] = {}
        self.runes: dict[bytes, str] = {}

    @initialize(device=st.sampled_from(DEVICES))
    def start(self, device: int) -> None:
        self.open()
        self.approval(device, 1)

    def teardown(self) -> None:
        self.store.close()
        self.directory.cleanup()

    def open(self) -> None:
        self.store = StateDb(Path(self.directory.name) / "db")
        self.desk = PairingDesk(
            KEYS, PairingPolicy(mode="confirm"), (), self.store, Recorder(self.store, self.clock)
        )

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.open()

    @rule(seconds=st.sampled_from([1, 30, 30, 30, 290, 400, 100_000, -30, -100_000]))
    def passes(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule(device=st.sampled_from(DEVICES), by=st.sampled_from([1, *DEVICES]))
    def another(self, device: int, by: int) -> None:
        self.approval(device, by)

    def approval(self, device: int, by: int) -> None:
        self.sent.append(approval_at(self.clock.now(), device=device, by=by))
        self.decide(self.sent[-1])

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def comes_again(self, data: Any) -> None:
        self.decide(data.draw(st.sampled_from(self.sent)))

    @precondition(lambda self: self.numbers)
    @rule(data=st.data(), yes=st.booleans())
    def owner(self, data: Any, *, yes: bool) -> None:
        number = data.draw(st.sampled_from(sorted(self.numbers)))
        decision: Callable[[int], Any] = self.desk.approve if yes else self.desk.deny
        digest = self.numbers[number]
        try:
            decision(number)
        except Refused:
            return
        (self.agreed if yes else self.refused).add(digest)

    @precondition(lambda self: len(self.revoked) < 2)
    @rule(device=st.sampled_from([1, *DEVICES]))
    def revoke(self, device: int) -> None:
        self.desk.revoke(public_key(device).hex(), with_paired=False)
        self.revoked.add(device)

    @rule()
    def looks_at_the_clock(self) -> None:
        self.refused |= {item.digest for item in self.desk.expire()}

    @invariant()
    def nothing_is_both(self) -> None:
        assert not self.agreed & self.refused

    @invariant()
    def every_rune_was_agreed_to_once(self) -> None:
        if hasattr(self, "desk"):
            rows = self.store.rows("SELECT by FROM minted")
            assert rows == [("owner",)] * len(self.agreed)
            assert {d.key for d in self.desk.devices() if d.revoked} == {public_key(n) for n in self.revoked}

    def decide(self, approval: PairingApproval) -> None:
        digest = digest_of(approval)
        outcome = self.desk.decide(approval)
        keys = {approval.pubkey, bytes.fromhex(approval.device_id)}
        if isinstance(outcome, Answered | Held):
            assert not keys & {public_key(n) for n in self.revoked}
            assert -60 <= self.clock.now() - approval.timestamp <= 300
            assert digest not in self.refused
        if isinstance(outcome, Answered):
            assert digest in self.agreed
            assert outcome.again
            assert self.runes.setdefault(digest, outcome.outcome.rune) == outcome.outcome.rune
        if isinstance(outcome, Held):
            assert digest not in self.agreed
            assert self.numbers.setdefault(outcome.item.number, digest) == digest
            assert (
                len([i for i in self.desk.waiting() if i.approval.pubkey == approval.pubkey])
                <= MAX_OF_ONE_DEVICE
            )


def test_any_life_of_an_inbox():
    run_state_machine_as_test(
        Inbox,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )

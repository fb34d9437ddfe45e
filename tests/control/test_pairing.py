"""The Pairing service over its socket: what is shown, page by page, and what a failing store does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from helpers.clock import FakeClock
from helpers.control import control_socket
from helpers.greenlight import asynchronous
from helpers.phones import KEYS, approval_at, public_key

from signerd.control import pairing
from signerd.control.pairing import PairingControl, in_words
from signerd.control.pairing_client import PairingClient
from signerd.core.devices import SHOWN_RESTRICTIONS, cut
from signerd.core.pairing import PairingPolicy
from signerd.core.pairing_code import pairing_code
from signerd.daemon.guarded import GuardedDesk
from signerd.daemon.pairing_desk import Answered, Held
from signerd.daemon.pairing_inbox import PairingInbox
from signerd.daemon.recorder import Recorder
from signerd.daemon.store_health import StoreHealth
from signerd.errors import Refused
from signerd.observe.bus import Bus
from signerd.store import lineage
from signerd.store.state_db import StateDb


@pytest.fixture(autouse=True)
def _nobody_waits_for_a_scheduler_that_there_is_not(monkeypatch):
    monkeypatch.setattr(pairing, "SENT_SECONDS", 0.01)


class Parts:
    """Store, desk and inbox as the daemon has them, and a client of their socket."""

    def __init__(self, store: StateDb, path: Path) -> None:
        self.clock = FakeClock()
        self.store = store
        self.health = StoreHealth(store, path, Bus())
        policy, recorder = PairingPolicy(mode="confirm"), Recorder(store, self.clock)
        self.desk = GuardedDesk(KEYS, policy, (), store, recorder, health=self.health)
        self.inbox = PairingInbox(self.desk, Bus(), answer_refusals=False)
        self.client: PairingClient

    def attest(self) -> None:
        self.desk.set_policy(PairingPolicy(), ())


@asynccontextmanager
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    with lineage.in_use(tmp_path / "db", KEYS.node_id) as store:
        all_of_it = Parts(store, tmp_path / "db")
        async with (
            control_socket([PairingControl(all_of_it.inbox, public_key(1)).add_to]) as (path, _),
            PairingClient(path) as client,
        ):
            all_of_it.client = client
            yield all_of_it


@asynchronous
async def test_shows_what_a_person_has_to_know_and_leaves_nothing_out(tmp_path):
    hidden = "method=" + "x" * 500 + "|method^"
    async with parts(tmp_path) as p:
        first = approval_at(p.clock.now(), restrictions=hidden)
        assert isinstance(p.desk.decide(first), Held)
        p.clock.advance(10)
        narrow = approval_at(p.clock.now(), device=3, name="till", restrictions="method^list")
        assert isinstance(p.desk.decide(narrow), Held)
        reply = await p.client.waiting()
        phone, till = reply.waiting
        assert phone.words[1].endswith('or the method starts with ""')
        assert (phone.could_pair, till.could_pair) == (True, False)
        assert (phone.seconds_left, till.seconds_left) == (290, 300)
        assert phone.code == pairing_code(first.device_id, "phone", first.restrictions)
        assert till.code != phone.code
        assert reply == await p.client.waiting()


@asynchronous
async def test_names_the_rule_of_a_refusal(tmp_path):
    async with parts(tmp_path) as p:
        for call in (p.client.approve(7), p.client.deny(7), p.client.revoke("ffff", with_paired=False)):
            with pytest.raises(Refused) as refused:
                await call
            assert refused.value.rule in {"pairing-unknown", "device-unknown"}
            assert "`signerd " in (refused.value.hint or "")


@asynchronous
async def test_many_devices_come_page_by_page(tmp_path, monkeypatch):
    monkeypatch.setattr(pairing, "_PAGE_BYTES", 2000)
    monkeypatch.setattr(pairing, "_MOST_RUNES", 2)
    async with parts(tmp_path) as p:
        p.attest()
        for device in range(2, 12):
            assert isinstance(p.desk.decide(approval_at(p.clock.now(), device=device)), Answered)
        for number in range(4):
            again = approval_at(p.clock.now(), device=2, restrictions=f"method=m{number}")
            assert isinstance(p.desk.decide(again), Answered)
        found = await p.client.devices()
        assert [device.key for device in found] == [d.key.hex() for d in p.desk.devices()]
        assert len(found) == 11
        assert [device.own for device in found] == [False] * 10 + [True]
        assert (len(found[0].runes), found[0].older_runes) == (2, 3)
        assert found[0].runes[-1].restrictions.endswith("method=m3")


@asynchronous
async def test_a_store_that_fails_while_its_owner_asks_refuses_and_is_used_again(tmp_path):
    async with parts(tmp_path) as p:
        outcome = p.desk.decide(approval_at(p.clock.now()))
        assert isinstance(outcome, Held)
        loop = asyncio.create_task(p.inbox.run())
        p.store._connection.execute("PRAGMA query_only = ON")
        with pytest.raises(Refused, match="nothing can be remembered"):
            await p.client.approve(outcome.item.number)
        # What can be read is shown.
        assert len((await p.client.waiting()).waiting) == 1
        assert await p.client.devices() == []
        p.store._connection.execute("PRAGMA query_only = OFF")
        p.health.look()
        assert not p.desk.devices()
        # Nothing of it was kept: once the disk is well, it can be approved.
        assert (await p.client.approve(outcome.item.number)).state == "approved"
        assert not loop.done()
        loop.cancel()


@asynchronous
async def test_a_register_that_cannot_be_read_is_a_refusal_and_ends_nothing(tmp_path):
    async with parts(tmp_path) as p:
        assert isinstance(p.desk.decide(approval_at(p.clock.now())), Held)
        loop = asyncio.create_task(p.inbox.run())
        p.store._connection.execute("ALTER TABLE minted RENAME TO away")
        for ask in (p.client.devices, p.client.waiting, p.client.devices):
            with pytest.raises(Refused) as refused:
                await ask()
            assert refused.value.rule == "pairing-store-failing"
            assert "disk" in (refused.value.hint or "")
        p.store._connection.execute("ALTER TABLE away RENAME TO minted")
        p.health.look()
        assert p.health.reason is None
        assert await p.client.devices() == []
        assert len((await p.client.waiting()).waiting) == 1
        assert not loop.done()
        loop.cancel()


@asynchronous
async def test_two_who_decide_at_once_get_one_decision(tmp_path):
    async with parts(tmp_path) as p:
        outcome = p.desk.decide(approval_at(p.clock.now()))
        assert isinstance(outcome, Held)
        number = outcome.item.number
        said = await asyncio.gather(
            p.client.approve(number), p.client.deny(number), p.client.approve(number), return_exceptions=True
        )
        states = {reply.state for reply in said if not isinstance(reply, BaseException)}
        assert len(states) == 1
        assert any(isinstance(reply, Refused) for reply in said)
        assert len(p.desk.devices()) == (2 if states == {"approved"} else 0)


@asynchronous
async def test_a_revocation_shows_what_it_left(tmp_path):
    async with parts(tmp_path) as p:
        p.attest()
        for approver, device in ((1, 2), (2, 3), (3, 4)):
            assert isinstance(p.desk.decide(approval_at(p.clock.now(), by=approver, device=device)), Answered)
        reply = await p.client.revoke(public_key(2).hex(), with_paired=False)
        assert [device.key for device in reply.revoked] == [public_key(2).hex()]
        assert reply.revoked[0].revoked == p.clock.now()
        assert [device.key for device in reply.let_in] == [public_key(3).hex(), public_key(4).hex()]
        reply = await p.client.revoke(public_key(2).hex(), with_paired=True)
        assert (reply.newly, len(reply.revoked), len(reply.let_in)) == (2, 3, 0)


def test_restrictions_that_were_cut_are_said_to_be():
    assert in_words("pubkey=04&method^list", "04") == [
        "it makes the call itself",
        "the method starts with list",
    ]
    assert in_words("pubkey=04|x#", "04")[0].startswith("the caller's key is")
    assert in_words("method^…", "04") == ['the method starts with "…"']
    more = "(and more, which was too long to keep)"
    assert in_words(cut("x!&method=" + "x" * 5000, SHOWN_RESTRICTIONS), "04")[1:] == [more]
    assert in_words(cut("method=" + "x" * 5000, SHOWN_RESTRICTIONS), "04") == [more]

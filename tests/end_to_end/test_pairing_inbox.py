"""Approvals that wait for a person, in the real daemon: what is asked and answered; what no kill loses."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from helpers.approvals import approval_by
from helpers.greenlight import asynchronous
from helpers.world import NODE_ID, Daemon, World, world

from signerd.control.pairing_client import PairingClient
from signerd.core.devices import handle_of
from signerd.core.keys import p256
from signerd.core.runes.rune import Rune
from signerd.errors import Refused
from signerd.greenlight.pb import scheduler_pb2 as pb

CONFIRM = '[pairing]\npolicy = "confirm"\nanswer_refusals = true\n'
TILLS = '[[pairing.auto]]\nname = "till-*"\nrestrictions = "method^list|method^get"\ndaily_limit = 2\n'

Answer = asyncio.Task[pb.ApprovePairingResponse | None]


@asynccontextmanager
async def asked(w: World, request: pb.ApprovePairingRequest) -> AsyncIterator[Answer]:
    """The scheduler asks this node's signers, for as long as the block lasts."""
    task = asyncio.create_task(w.greenlight.node(NODE_ID).approvals.approve(request))
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def owned(w: World, text: str = CONFIRM) -> AsyncIterator[tuple[Daemon, PairingClient]]:
    """A daemon that is with the scheduler, and its owner."""
    async with w.daemon(**w.configure(text)) as daemon:
        await daemon.said("scheduler-stream-open")
        async with PairingClient(w.data_dir / "signerd.sock") as client:
            yield daemon, client


@asynchronous
async def test_a_new_device_waits_until_its_owner_has_compared_the_code(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        async with w.daemon(**w.configure(CONFIRM)) as daemon:
            phone = asyncio.create_task(
                w.signerd("pair", "new", "phone", "--json", "--restrictions", "method^list",
                          SIGNERD_DATA_DIR=str(tmp_path / "phone"))
            )  # fmt: skip
            await w.greenlight.calls.reach("PairDevice", 1)
            (device_id,) = w.greenlight.pairings
            sent = await w.signerd("pair", "approve", f"gl-pairing:{device_id}", "--yes", "--json")
            assert sent.code == 0, sent.err
            code = sent.json["code"]
            waiting = await daemon.said("pairing-waiting", device="phone")
            assert 290 < waiting["seconds"] <= 300
            number = str(waiting["number"])
            listed = await w.signerd("pairing", "list", "--json")
            (item,) = listed.json["waiting"]
            assert (listed.json["v"], listed.json["confirms"]) == (1, True)
            assert (item["name"], item["device_id"], item["code"]) == ("phone", device_id, code)
            assert any("starts with list" in words for words in item["words"])
            assert item["approver"] == waiting["approver"]
            status = await w.signerd("status", "--json")
            assert status.json["pairing"]["waiting"] == 1
            # Without a word from the owner, nothing goes.
            unasked = await w.signerd("pairing", "approve", number)
            assert unasked.code == 130
            assert code in unasked.err
            assert "starts with list" in unasked.err
            assert not phone.done()
            approved = await w.signerd("pairing", "approve", number, "--yes", "--json")
            assert approved.code == 0, approved.err
            assert (approved.json["state"], approved.json["sent"], approved.json["again"]) == (
                "approved",
                True,
                False,
            )
            paired = await phone
            assert paired.code == 0, paired.err
            assert paired.json["code"] == code
            assert code in paired.err
            await daemon.said("pairing-approved", device="phone", by="owner")
            async with PairingClient(w.data_dir / "signerd.sock") as client:
                again = await client.approve(int(number))
                assert (again.state, again.again, again.sent) == ("approved", True, True)
                assert not (await client.waiting()).waiting
            late = await w.signerd("pairing", "deny", number, "--json")
            assert (late.code, late.json["rule"]) == (77, "pairing-not-waiting")
            assert "signerd devices revoke" in late.json["hint"]


@asynchronous
async def test_while_one_waits_the_others_are_answered_and_no_is_an_answer(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        async with owned(w, CONFIRM + TILLS) as (daemon, client):
            held = approval_by(w.data_dir)
            async with asked(w, held) as phone:
                number = (await daemon.said("pairing-waiting"))["number"]
                forged = approval_by(w.data_dir)
                forged.sig = bytes(64)
                approvals = w.greenlight.node(NODE_ID).approvals
                assert await approvals.approve(forged) is None
                for _ in range(2):
                    till = approval_by(w.data_dir, name="till-1", restrictions="method^list")
                    assert await approvals.approve(till) is not None
                await daemon.said("pairing-approved", by="auto:till-*", times=2)
                node = await w.greenlight.schedule(NODE_ID)
                assert len(await node.examine()) == 9
                # The same question once more is no second request.
                async with asked(w, held) as copy:
                    over = approval_by(w.data_dir, name="till-1", restrictions="method^list")
                    async with asked(w, over):
                        await daemon.said("pairing-waiting", device="till-1")
                        waiting = (await client.waiting()).waiting
                        assert [item.name for item in waiting] == ["phone", "till-1"]
                        assert not phone.done()
                        assert (await client.deny(number)).state == "denied"
                        await daemon.said("pairing-refused", rule="pairing-denied-by-owner", device="phone")
                        # The answer goes to the question that was asked last.
                        assert await copy is None
                assert await approvals.approve(held) is None
                await daemon.said("pairing-refused", rule="pairing-denied-by-owner", times=2)


@asynchronous
async def test_neither_a_kill_nor_a_cut_stream_loses_what_waits_nor_what_was_decided(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        env = w.configure(CONFIRM)
        async with asked(w, approval_by(w.data_dir)) as first, asked(w, approval_by(w.data_dir)) as second:
            async with w.daemon(**env) as daemon:
                await daemon.said("pairing-waiting", times=2)
                await daemon.stop(signal.SIGKILL)
            async with owned(w) as (daemon, client):
                one, two = [item.number for item in (await client.waiting()).waiting]
                assert not [e for e in daemon.entries if e["event"] == "pairing-waiting"]
                # The stream is another one by the time that the answer comes.
                await w.greenlight.restart()
                await daemon.said("scheduler-stream-open", times=2)
                assert (await client.approve(one)).state == "approved"
                answer = await first
                assert answer is not None
                # The answer cannot go out, and then there is no daemon that could send it.
                await w.greenlight.scheduler.refuse()
                await daemon.said("scheduler-stream-ended", times=2)
                decided = await client.approve(two)
                assert (decided.state, decided.sent) == ("approved", False)
                await daemon.stop(signal.SIGKILL)
            await w.greenlight.scheduler.serve()
            async with owned(w) as (daemon, client):
                late = await second
                assert late is not None
                assert answer.rune != late.rune
                assert not (await client.waiting()).waiting
                known = await client.devices()
                assert [len(device.runes) for device in known] == [1, 1, 0]
                fingerprints = {device.runes[0].fingerprint for device in known[:2]}
                assert len(fingerprints) == 2
                assert late.rune not in str(known)
            assert not [e for e in daemon.entries if e["event"] == "pairing-approved"]


@asynchronous
async def test_what_waited_too_long_expires_and_is_said_to_whoever_asks(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        async with owned(w) as (daemon, client):
            old = approval_by(w.data_dir, now=int(time.time()) - 298)
            async with asked(w, old) as answer:
                number = (await daemon.said("pairing-waiting"))["number"]
                assert await answer is None
            assert (await daemon.said("pairing-expired"))["number"] == number
            with pytest.raises(Refused) as refused:
                await client.approve(number)
            assert refused.value.rule == "pairing-not-waiting"
            assert "decide sooner" in (refused.value.hint or "")


@asynchronous
async def test_a_flood_of_approvals_by_one_device_is_bounded_and_told(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        async with w.daemon(**w.configure(CONFIRM)) as daemon, contextlib.AsyncExitStack() as waiting:
            for _ in range(8):
                await waiting.enter_async_context(asked(w, approval_by(w.data_dir)))
            await daemon.said("pairing-waiting", times=8)
            assert await w.greenlight.node(NODE_ID).approvals.approve(approval_by(w.data_dir)) is None
            refused = await daemon.said("pairing-refused", rule="pairing-inbox-full")
            assert "8 of them by this device" in refused["reason"]


@asynchronous
async def test_a_revoked_device_approves_nothing_whether_a_signer_ran_meanwhile_or_not(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        env = w.configure(CONFIRM)
        mine = handle_of(approval_by(w.data_dir).pubkey)
        approvals = w.greenlight.node(NODE_ID).approvals
        async with owned(w) as (daemon, client):
            async with asked(w, approval_by(w.data_dir)) as phone:
                number = (await daemon.said("pairing-waiting"))["number"]
                await client.approve(number)
                assert (paired := await phone) is not None
            listed = await w.signerd("devices", "--json")
            new, old = listed.json["devices"]
            assert (old["id"], old["name"], old["runes"], old["own"]) == (mine, "", [], True)
            assert old["last_used"] >= int(time.time()) - 60
            (rune,) = new["runes"]
            assert (new["key"], rune["approver"], rune["by"]) == (paired.device_id, mine, "owner")
            assert paired.rune not in listed.out
            assert Rune.from_base64(paired.rune).authcode.hex() not in listed.out
            async with asked(w, approval_by(w.data_dir)) as held:
                await daemon.said("pairing-waiting", times=2)
                revoked = await w.signerd("devices", "revoke", mine, "--yes", "--json")
                assert revoked.code == 0, revoked.err
                assert (revoked.json["newly"], revoked.json["denied"]) == (1, 1)
                assert [device["id"] for device in revoked.json["let_in"]] == [new["id"]]
                assert "--with-paired" in revoked.err
                assert "signerd recover" in revoked.err
                assert await held is None
            await daemon.said("device-revoked", device=mine)
            assert await approvals.approve(approval_by(w.data_dir)) is None
            await daemon.said("pairing-refused", rule="pairing-rune-revoked", times=2)
            busy = await w.signerd("devices", "revoke", new["id"], "--yes", "--socket", str(tmp_path / "no"))
            assert busy.code == 75
            await daemon.stop()
        ended = await w.signerd("devices", "revoke", new["id"][:6], "--yes", "--json")
        assert (ended.code, ended.json["revoked"][0]["id"]) == (0, new["id"])
        listed = await w.signerd("devices")
        assert listed.out.count("REVOKED") == 2
        # The store is the one that the daemon left, and goes on as such.
        async with w.daemon(**env) as daemon:
            assert await approvals.approve(approval_by(w.data_dir)) is None
            await daemon.said("pairing-refused", rule="pairing-rune-revoked")


@asynchronous
async def test_runes_that_nobody_approved_are_listed_and_revoked_as_any(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        recovered = await w.signerd("recover", "--json")
        assert recovered.code == 0, recovered.err
        env = w.configure(CONFIRM)
        till = p256.public_bytes(ec.generate_private_key(ec.SECP256R1()))
        async with w.daemon(**env) as daemon:
            await daemon.said("scheduler-stream-open")
            made = await w.signerd(
                "rune",
                "create",
                "-r",
                f"pubkey={till.hex()}",
                "-r",
                "method^list",
                "--name",
                "till",
                "--json",
            )
            assert made.code == 0, made.err
            listed = await w.signerd("devices", "--json")
            own, other = listed.json["devices"]
            assert (own["own"], own["name"], own["runes"][0]["by"]) == (True, "", "recovered")
            assert (other["key"], other["name"]) == (till.hex(), "till")
            (rune,) = other["runes"]
            assert (rune["by"], rune["approver"]) == ("created", "")
            assert len(rune["words"]) == 2
            text = (await w.signerd("devices")).out
            assert "(this signer's own)" in text
            assert "from `signerd rune create`; only if" in text
            assert "from `signerd recover`; only if" in text
            for shown in (listed.out, text, (w.data_dir / "made-runes.json").read_text()):
                assert made.json["rune"] not in shown
                assert Rune.from_base64(made.json["rune"]).authcode.hex() not in shown
            revoked = await w.signerd("devices", "revoke", other["id"][:8], "--yes", "--json")
            assert (revoked.code, revoked.json["newly"]) == (0, 1), revoked.err
            await daemon.stop()
        again = await w.signerd("rune", "create", "-r", f"pubkey={till.hex()}", "-r", "method^list", "--json")
        assert again.json["rune"] == made.json["rune"]
        listed = await w.signerd("devices", "--json")
        assert [len(device["runes"]) for device in listed.json["devices"]] == [1, 1]
        assert "revoked" in listed.json["devices"][1]


@asynchronous
async def test_a_list_of_made_runes_that_is_damaged_is_told_and_costs_no_credentials(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        (w.data_dir / "made-runes.json").write_text("{")
        recovered = await w.signerd("recover", "--json")
        assert recovered.code == 0
        assert "will not list this device" in recovered.err
        key = p256.public_bytes(ec.generate_private_key(ec.SECP256R1())).hex()
        made = await w.signerd("rune", "create", "-r", f"pubkey={key}")
        assert (made.code, made.out) == (77, "")
        assert "move made-runes.json away" in made.err
        for unlisted in (["-r", f"pubkey={key}|pubkey=02"], ["-r", f"pubkey={key}", "--unlisted"]):
            assert (await w.signerd("rune", "create", *unlisted)).code == 0
        assert (await w.signerd("rune", "create", "-r", f"pubkey={key}", "--name", "caf\udce9")).code == 64
        env = w.configure(CONFIRM)
        async with w.daemon(**env) as daemon:
            await daemon.said("scheduler-stream-open")
            node = await w.greenlight.schedule(NODE_ID)
            assert len(await node.examine()) == 9
            listed = await w.signerd("devices", "--json")
            assert (listed.code, listed.json["code"]) == (77, 77), listed.err
            # What depends on no list goes on: who asks is shown, and a key that is known is revoked.
            async with asked(w, approval_by(w.data_dir)):
                await daemon.said("pairing-waiting")
                inbox = await w.signerd("pairing", "list", "--json")
                assert (inbox.code, len(inbox.json["waiting"])) == (0, 1), inbox.err
                revoked = await w.signerd("devices", "revoke", key, "--yes", "--json")
                assert (revoked.code, revoked.json["newly"]) == (0, 1), revoked.err


@asynchronous
async def test_says_that_no_signer_runs_and_that_there_is_no_store(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        for command in (("pairing", "deny", "1"), ("devices",)):
            done = await w.signerd(*command, "--json")
            assert (done.code, done.json["code"]) == (69, 69), done.err
            assert "no signer runs" in done.json["error"]
        misplaced = await w.signerd("devices", "--data-dir", "elsewhere", "revoke", "ffff", "--yes")
        assert misplaced.code == 64

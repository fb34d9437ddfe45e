"""The real daemon, in its own process, over real TLS: what it does, and in which order."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import signal
import sqlite3

import pytest
from helpers.approvals import approval_by
from helpers.greenlight import asynchronous
from helpers.world import NODE_ID, world

from signerd.core import csr
from signerd.core.keys import p256
from signerd.core.keys.node import NodeKeys
from signerd.dev import verify
from signerd.dev.certificates import Authority
from signerd.dev.faults import Fault
from signerd.dev.ledger import Entry
from signerd.dev.node import RequestRefused
from signerd.dev.player import context_of
from signerd.dev.steps import CHANNELD, Context
from signerd.greenlight.credentials import Credentials
from signerd.greenlight.pb import scheduler_pb2
from signerd.units import Secret

BIP137_SIGN_MESSAGE = bytes.fromhex("002d")
SIGN_MESSAGE = bytes.fromhex("0017000568656c6c6f")


def placed_at(uri: str) -> Fault:
    """A scheduler that hands out this address, whatever is there."""
    reply = scheduler_pb2.NodeInfoResponse(node_id=NODE_ID, grpc_uri=uri)
    return Fault(reply=reply.SerializeToString())


@asynchronous
async def test_announces_itself_before_it_asks_for_the_node_and_answers_its_requests(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        async with w.daemon() as daemon:
            await daemon.said("upgraded")
            await daemon.said("scheduler-stream-open")
            node = await w.greenlight.schedule(NODE_ID)
            answered = await node.examine()
            assert len(answered) == 9
            order = w.greenlight.calls.order()
            assert order.index("MaybeUpgrade") < order.index("GetNodeInfo")
            assert order.count("MaybeUpgrade") == 1
            code, seconds = await daemon.stop()
    assert code == 0
    assert seconds < 5


@asynchronous
async def test_says_at_start_what_it_does_not_check_and_in_each_refusal_why(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        async with w.daemon() as daemon:
            unchecked = await daemon.said("commands-not-checked")
            anew = await daemon.said("state-started-anew")
            assert "if it has channels, stop" in anew["hint"]
            assert "without asking whether you ordered it" in unchecked["meaning"]
            node = await w.greenlight.schedule(NODE_ID)
            with pytest.raises(
                RequestRefused, match=r"unsupported-message: .*bip137_sign_message \(type 45\)"
            ):
                await node.ask(BIP137_SIGN_MESSAGE)
            with pytest.raises(RequestRefused, match="sign-message"):
                await node.ask(SIGN_MESSAGE)
            refused = await daemon.said("request-refused", rule="unsupported-message")
            assert refused["message"] == "bip137_sign_message (type 45)"


@asynchronous
async def test_does_not_start_without_the_store_that_it_had_until_a_new_one_is_made(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        async with w.daemon() as daemon:
            opened = await daemon.said("store-opened")
            assert (opened["channels"], opened["highest_channel"]) == (0, 0)
            await daemon.said("scheduler-stream-open")
            await daemon.stop()
        for part in w.data_dir.glob("signerd.db*"):
            if not part.name.endswith(".last"):
                part.unlink()
        async with w.daemon() as daemon:
            failed = await daemon.said("failed")
            assert "is gone" in failed["reason"]
            assert "signerd new-store" in failed["hint"]
            assert await daemon.ended() == 65
        made = await w.signerd("new-store", "--highest-channel", "4")
        assert made.code == 0
        async with w.daemon() as daemon:
            assert (await daemon.said("store-opened"))["highest_channel"] == 4
            assert not any(entry["event"] == "state-started-anew" for entry in daemon.entries)


@asynchronous
async def test_malformed_requests_are_answered_with_an_error_and_the_stream_goes_on(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        async with w.daemon() as daemon:
            node = await w.greenlight.schedule(NODE_ID)
            for raw in (
                b"",
                b"\x00",
                bytes.fromhex("000102"),
                b"\xff" * 40,
                b"\x00\x01" + b"\x02" + b"\xff" * 32,
            ):
                with pytest.raises(RequestRefused, match=r"malformed|unsupported"):
                    await node.ask(raw)
            assert len(await node.examine()) == 9
            assert w.greenlight.calls.counts()["StreamHsmRequests"] == 1
            assert await daemon.stop() is not None


@asynchronous
async def test_state_entries_count_as_examined_only_once_a_request_with_them_is_answered(tmp_path):
    unfit, fit = b"{}", b'{"invoices":[],"issued_invoices":[],"preimages":[],"dbid_high_water_mark":0}'
    ecdh = verify.ECDH.to_bytes(2, "big") + NODE_ID
    channel = NODE_ID + NODE_ID + (5).to_bytes(8, "little")
    point, context = bytes.fromhex("00120000000000000000"), Context(NODE_ID, 5, CHANNELD)
    async with world(tmp_path) as w:
        await w.make_node()
        async with w.daemon():
            node = await w.greenlight.schedule(NODE_ID)
            node.sends_whole_state = True
            node.state.merge([Entry("nodestates/x", 1, unfit, b""), Entry("nodes/y", 1, b"{}", b"")])
            for _ in range(3):
                with pytest.raises(RequestRefused, match="malformed: the state entry 'nodestates/x'"):
                    await node.ask(ecdh)
            node.state.merge([Entry("nodestates/x", 2, fit, b"")])
            for _ in range(3):
                await node.ask(ecdh)
            node.state.merge([Entry(f"channels/{channel.hex()}", 1, b'{"channel_setup":{}}', b"")])
            for _ in range(3):
                with pytest.raises(RequestRefused, match="channel-foreign"):
                    await node.ask(point, context=context_of(context))
            await node.ask(ecdh)
            with pytest.raises(RequestRefused, match="channel-foreign"):
                await node.ask(point, context=context_of(context))


@asynchronous
async def test_garbage_protobufs_end_neither_stream(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        w.greenlight.faults.set("SignerRequestsStream", Fault(reply=b"\xff\xff\xff", times=1))
        w.greenlight.faults.set("StreamHsmRequests", Fault(reply=b"\xff\xff\xff", times=1))
        async with w.daemon() as daemon:
            await w.greenlight.schedule(NODE_ID)
            await daemon.said("garbage", source="node")
            assert not [e for e in daemon.entries if e["event"] == "node-detached"]


@asynchronous
async def test_messages_over_the_limit_end_a_call_and_not_the_daemon(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        env = w.configure("[node]\nmax_message_bytes = 100000\n[scheduler]\nmax_message_bytes = 100000\n")
        w.greenlight.faults.set("GetNodeInfo", Fault(pad_to=200_000, times=1))
        w.greenlight.faults.set("StreamHsmRequests", Fault(pad_to=200_000, times=1))
        async with w.daemon(**env) as daemon:
            node = await w.greenlight.schedule(NODE_ID)
            failed = await daemon.said("scheduler-call-failed", call="GetNodeInfo")
            assert "over the size limit" in failed["reason"]
            detached = await daemon.said("node-detached")
            assert "over the size limit" in detached["reason"]
            assert len(await node.examine()) == 9


@asynchronous
async def test_a_large_state_is_taken(tmp_path):
    """The reference stops at 4 MiB, and then attaches again and again for ever."""
    async with world(tmp_path) as w:
        await w.make_node()
        w.greenlight.faults.set("StreamHsmRequests", Fault(pad_to=33 * 1024 * 1024, times=1))
        async with w.daemon() as daemon:
            node = await w.greenlight.schedule(NODE_ID)
            await daemon.said("request-answered", message="get_heartbeat (type 2008)")
            await node.ask(b"\x00\x01" + node.fresh_point())
            assert w.greenlight.calls.counts()["StreamHsmRequests"] == 1


@asynchronous
async def test_an_expired_certificate_ends_the_start(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        path = w.data_dir / "credentials.gfs"
        credentials = Credentials.decode(path.read_bytes())
        key = p256.load_private_key(credentials.key)
        authority = Authority(w.greenlight.directory / "certificates")
        expired = authority.device(
            NODE_ID, csr.build(key, csr.common_name(NODE_ID, "default")), lifetime=datetime.timedelta(days=-1)
        )
        path.write_bytes(dataclasses.replace(credentials, cert=expired).encode())
        async with w.daemon() as daemon:
            assert await daemon.ended() == 77
            failed = await daemon.said("failed")
            assert "expired on" in failed["reason"]
            assert "signerd recover" in failed["hint"]


@asynchronous
async def test_a_damaged_store_stops_the_start_and_stays_as_it_is(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        (w.data_dir / "signerd.db").write_bytes(b"this is not a database" * 100)
        async with w.daemon() as daemon:
            assert await daemon.ended() == 74
        assert (w.data_dir / "signerd.db").read_bytes() == b"this is not a database" * 100


@asynchronous
async def test_a_channel_that_cannot_be_read_stops_the_start(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        async with w.daemon() as daemon:
            await daemon.said("scheduler-stream-open")
            await daemon.stop()
        with contextlib.closing(sqlite3.connect(w.data_dir / "signerd.db")) as store, store:
            store.execute("INSERT INTO channel VALUES (zeroblob(41), x'01ff')")
        async with w.daemon() as daemon:
            assert await daemon.ended() == 74
        assert "a stored value is damaged" in daemon.text
        assert "A damaged store" in daemon.text


@asynchronous
async def test_reattaches_when_the_node_comes_back_elsewhere(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        async with w.daemon() as daemon:
            first = await w.greenlight.schedule(NODE_ID)
            await first.examine()
            await w.greenlight.stop_node(NODE_ID)
            await daemon.said("node-detached")
            second = await w.greenlight.schedule(NODE_ID)
            assert len(await second.examine()) == 9


@asynchronous
async def test_a_restarted_scheduler_hears_of_the_upgrade_again(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        async with w.daemon() as daemon:
            await daemon.said("upgraded")
            await w.greenlight.restart()
            await daemon.said("upgraded", times=2)
            await daemon.said("scheduler-stream-open", times=2)
            node = await w.greenlight.schedule(NODE_ID)
            assert len(await node.examine()) == 9


@asynchronous
async def test_an_attached_node_is_served_while_the_scheduler_is_away(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        async with w.daemon() as daemon:
            node = await w.greenlight.schedule(NODE_ID)
            await node.examine()
            await w.greenlight.scheduler.refuse()
            await daemon.said("scheduler-stream-ended")
            assert len(await node.examine()) == 9
            await w.greenlight.scheduler.serve()
            await daemon.said("upgraded", times=2)


@asynchronous
async def test_waits_for_a_scheduler_that_is_not_there_yet(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        await w.greenlight.scheduler.refuse()
        async with w.daemon() as daemon:
            await daemon.said("scheduler-call-failed", call="MaybeUpgrade")
            await w.greenlight.scheduler.serve()
            await daemon.said("upgraded")
            await daemon.said("scheduler-stream-open")


@asynchronous
async def test_never_asks_for_the_node_before_the_upgrade_is_accepted(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        w.greenlight.faults.set("MaybeUpgrade", Fault(status="INTERNAL", times=2))
        async with w.daemon() as daemon:
            await daemon.said("scheduler-call-failed", call="MaybeUpgrade", times=2)
            assert not w.greenlight.calls.times("GetNodeInfo")
            await daemon.said("upgraded")


@pytest.mark.parametrize("method", ["MaybeUpgrade", "GetNodeInfo", "SignerRequestsStream"])
@pytest.mark.parametrize("status", ["PERMISSION_DENIED", "UNAUTHENTICATED"])
@asynchronous
async def test_refused_credentials_end_the_daemon_with_their_own_exit_code(tmp_path, method, status):
    async with world(tmp_path) as w:
        await w.make_node()
        w.greenlight.faults.set(method, Fault(status=status))
        async with w.daemon() as daemon:
            assert await daemon.ended() == 77
            failed = await daemon.said("failed")
            assert failed["exit_code"] == 77
            assert "signerd recover" in failed["hint"]


@asynchronous
async def test_a_node_that_refuses_our_credentials_cannot_end_the_daemon(tmp_path):
    """The scheduler hands out the address; it must not be able to stop us with it."""
    async with world(tmp_path) as w:
        await w.make_node()
        w.greenlight.faults.set("StreamHsmRequests", Fault(status="PERMISSION_DENIED", times=1))
        async with w.daemon() as daemon:
            node = await w.greenlight.schedule(NODE_ID)
            await daemon.said("node-detached")
            assert len(await node.examine()) == 9


@pytest.mark.parametrize(
    "uri", ["http://localhost:1", "https://localhost:1", "no uri at all", "https://", "https://[::1"]
)
@asynchronous
async def test_an_address_that_leads_nowhere_is_retried_and_ends_nothing(tmp_path, uri):
    async with world(tmp_path) as w:
        await w.make_node()
        w.greenlight.faults.set("GetNodeInfo", placed_at(uri))
        async with w.daemon() as daemon:
            await daemon.said("node-detached", times=2)
            w.greenlight.faults.clear("GetNodeInfo")
            node = await w.greenlight.schedule(NODE_ID)
            assert len(await node.examine()) == 9


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@asynchronous
async def test_ends_cleanly_within_seconds_whatever_hangs(tmp_path, number):
    async with world(tmp_path) as w:
        await w.make_node()
        w.greenlight.faults.set("*", Fault(hang=True))
        async with w.daemon() as daemon:
            await daemon.said("started")
            await w.greenlight.calls.reach("MaybeUpgrade", 1)
            code, seconds = await daemon.stop(number)
    assert code == 0
    assert seconds < 5


@asynchronous
async def test_a_node_that_does_not_take_its_answers_is_not_read_any_further_and_loses_nothing(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        w.greenlight.faults.set("RespondHsmRequest", Fault(hang=True))
        env = w.configure("[node]\ndeadline_seconds = 0.5\n[backoff]\nfirst_seconds = 0.01\n")
        async with w.daemon(**env) as daemon:
            node = await w.greenlight.schedule(NODE_ID)
            ecdh = verify.ECDH.to_bytes(2, "big")
            questions = [node.put(ecdh + node.fresh_point()) for _ in range(100)]
            await daemon.said("node-detached")
            detached = [entry["event"] for entry in daemon.entries].index("node-detached")
            answered = [e for e in daemon.entries[:detached] if e["event"] == "request-answered"]
            assert 0 < len(answered) <= 16
            w.greenlight.faults.clear()
            async with asyncio.timeout(10):
                await asyncio.gather(*(question.outcome for question in questions))
            assert not node.wrong_answers


@asynchronous
async def test_a_half_open_connection_is_noticed_and_replaced(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        env = w.configure("[scheduler]\npoll_seconds = 0.5\ndeadline_seconds = 0.5\n")
        async with w.daemon(**env) as daemon:
            await daemon.said("upgraded")
            await w.greenlight.scheduler.half_open()
            await daemon.said("scheduler-call-failed", call="GetNodeInfo")
            await w.greenlight.scheduler.restart()
            await daemon.said("upgraded", times=2)


@asynchronous
async def test_a_second_daemon_on_the_same_directory_is_refused(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        async with w.daemon() as first:
            await first.said("started")
            async with w.daemon() as second:
                assert await second.ended() == 75
                assert str(first.process.pid) in second.text
            assert first.process.returncode is None


@asynchronous
async def test_approves_a_pairing_once_and_remembers_it_over_a_restart(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        approvals = w.greenlight.node(NODE_ID).approvals
        request = approval_by(w.data_dir)
        async with w.daemon() as daemon:
            answer = await approvals.approve(request)
            assert answer is not None
            assert (answer.device_id, answer.node_id) == (request.device_id, NODE_ID)
            await daemon.said("pairing-approved", device="phone")
            assert (await daemon.stop())[0] == 0
        async with w.daemon(**w.configure("[pairing]\nanswer_refusals = true\n")) as daemon:
            assert await approvals.approve(request) is None
            await daemon.said("pairing-refused", rule="pairing-replayed")


@asynchronous
async def test_a_refused_approval_is_silent_unless_told_otherwise(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        approvals = w.greenlight.node(NODE_ID).approvals
        refused, good = approval_by(w.data_dir), approval_by(w.data_dir)
        refused.sig = bytes(64)
        async with w.daemon() as daemon:
            waiting = asyncio.create_task(approvals.approve(refused))
            await daemon.said("pairing-refused", rule="pairing-signature")
            assert await approvals.approve(good) is not None
            assert not waiting.done()
            waiting.cancel()


@asynchronous
async def test_policy_deny_approves_nothing(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        env = w.configure('[pairing]\npolicy = "deny"\nanswer_refusals = true\n')
        async with w.daemon(**env) as daemon:
            assert await w.greenlight.node(NODE_ID).approvals.approve(approval_by(w.data_dir)) is None
            await daemon.said("pairing-refused", rule="pairing-denied-by-policy")


@asynchronous
async def test_nothing_secret_is_ever_logged(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        env = w.configure('[log]\nlevel = "debug"\n')
        async with w.daemon(**env) as daemon:
            node = await w.greenlight.schedule(NODE_ID)
            await node.examine()
            with pytest.raises(RequestRefused):
                await node.ask(SIGN_MESSAGE)
            assert (await daemon.stop())[0] == 0
        secret = (w.data_dir / "hsm_secret").read_bytes()
        keys = NodeKeys.derive(Secret(secret))
        credentials = Credentials.decode((w.data_dir / "credentials.gfs").read_bytes())
        hidden = [secret, keys.rune_secret.expose(), keys.state_secret.expose(), keys._node_secret.expose()]
        hidden += [answer[2:] for _, answer in node.registration.startup[1:]]
        for value in hidden:
            assert value.hex() not in daemon.text
        assert credentials.rune not in daemon.text
        assert "PRIVATE KEY" not in daemon.text

"""After trouble, everything works again: not only the loop that noticed it."""

from __future__ import annotations

import asyncio
import time

import pytest
from helpers.approvals import approval_by
from helpers.greenlight import asynchronous
from helpers.world import NODE_ID, world

from signerd.core.wire import codec
from signerd.core.wire.session import Ping
from signerd.dev.faults import Fault

PING = codec.encode(Ping(7, "hello"))
QUICK = "[scheduler]\npoll_seconds = 0.4\ndeadline_seconds = 0.4\n[backoff]\nmax_seconds = 0.5\n"


@asynchronous
async def test_pairings_are_answered_after_a_dead_connection_was_replaced(tmp_path):
    """gRPC tells a task whose channel is closed the same as one that is cancelled."""
    async with world(tmp_path) as w:
        await w.make_node()
        approvals = w.greenlight.node(NODE_ID).approvals
        async with w.daemon(**w.configure(QUICK)) as daemon:
            await daemon.said("scheduler-stream-open")
            w.greenlight.faults.set("GetNodeInfo", Fault(hang=True))
            await daemon.said("scheduler-stream-ended")
            w.greenlight.faults.clear("GetNodeInfo")
            await daemon.said("scheduler-stream-open", times=2)
            assert await approvals.approve(approval_by(w.data_dir)) is not None
            node = await w.greenlight.schedule(NODE_ID)
            assert len(await node.examine()) == 9


@asynchronous
async def test_the_upgrade_is_sent_after_a_replaced_connection_too(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        async with w.daemon(**w.configure(QUICK)) as daemon:
            await daemon.said("upgraded")
            w.greenlight.faults.set("GetNodeInfo", Fault(hang=True))
            w.greenlight.faults.set("MaybeUpgrade", Fault(hang=True))
            await daemon.said("scheduler-call-failed", call="MaybeUpgrade")
            w.greenlight.faults.clear("GetNodeInfo")
            w.greenlight.faults.clear("MaybeUpgrade")
            await daemon.said("upgraded", times=2)
            node = await w.greenlight.schedule(NODE_ID)
            assert len(await node.examine()) == 9


@asynchronous
async def test_a_connection_lost_without_a_call_on_it_is_noticed(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        w.greenlight.faults.set("SignerRequestsStream", Fault(status="UNIMPLEMENTED"))
        async with w.daemon() as daemon:
            node = await w.greenlight.schedule(NODE_ID)
            await node.examine()
            await w.greenlight.restart()
            await daemon.said("upgraded", times=2)


@pytest.mark.parametrize("status", ["UNIMPLEMENTED", "INVALID_ARGUMENT"])
@asynchronous
async def test_a_node_that_takes_no_answer_is_not_served_until_it_takes_one(tmp_path, status):
    async with world(tmp_path) as w:
        await w.make_node()
        async with w.daemon() as daemon:
            node = await w.greenlight.schedule(NODE_ID)
            await daemon.said("node-attached")
            w.greenlight.faults.set("RespondHsmRequest", Fault(status=status))
            unheard = [asyncio.create_task(node.ask(PING)) for _ in range(12)]
            while (health := await w.signerd("health", "--json")).json["state"] != "refusing":
                assert not any(task.done() for task in unheard)
            assert "answers" in health.json["reason"]
            await daemon.said("request-refused", rule="answer-refused")
            w.greenlight.faults.clear("RespondHsmRequest")
            assert len(await node.examine()) == 9
            await daemon.said("answers-taken")
            assert (await w.signerd("health")).code == 0
            for task in unheard:
                task.cancel()
            await asyncio.gather(*unheard, return_exceptions=True)


@asynchronous
async def test_a_signer_that_is_slower_than_another_one_serves_its_node_all_the_same(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        async with w.daemon() as daemon:
            node = await w.greenlight.schedule(NODE_ID)
            await daemon.said("node-attached")
            w.greenlight.faults.set("RespondHsmRequest", Fault(status="NOT_FOUND", times=12))
            late = [asyncio.create_task(node.ask(PING)) for _ in range(12)]
            await daemon.said("request-refused", rule="answer-not-taken")
            assert len(await node.examine()) == 9
            status = (await w.signerd("status", "--json")).json
            assert status["requests"]["refused_by_rule"] == {"answer-not-taken": 12}
            assert status["health"]["state"] == "ready"
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


@pytest.mark.parametrize("method", ["GetNodeInfo", "MaybeUpgrade", "SignerRequestsStream"])
@asynchronous
async def test_a_scheduler_that_says_that_time_ran_out_is_not_asked_without_end(tmp_path, method):
    async with world(tmp_path) as w:
        await w.make_node()
        w.greenlight.faults.set(method, Fault(status="DEADLINE_EXCEEDED", times=1000))
        async with w.daemon() as daemon:
            await daemon.said("started")
            await asyncio.sleep(2)  # time is what is measured
            assert len(w.greenlight.calls.times(method)) < 12


@pytest.mark.parametrize(("off", "rule"), [(-3600, "pairing-stale"), (3600, "pairing-from-the-future")])
@asynchronous
async def test_a_pairing_that_fails_for_a_clock_says_so(tmp_path, off, rule):
    async with world(tmp_path) as w:
        await w.make_node()
        async with w.daemon(**w.configure("[pairing]\nanswer_refusals = true\n")) as daemon:
            approval = approval_by(w.data_dir, now=int(time.time()) + off)
            assert await w.greenlight.node(NODE_ID).approvals.approve(approval) is None
            refused = await daemon.said("pairing-refused", rule=rule)
            assert "clock" in refused["hint"]


@asynchronous
async def test_a_message_of_a_million_entries_costs_little_and_ends_nothing(tmp_path):
    """Two bytes each on the wire, a kilobyte each in memory."""
    async with world(tmp_path) as w:
        await w.make_node()
        w.greenlight.faults.set("StreamHsmRequests", Fault(reply=b"\x22\x00" * 1_000_000, times=1))
        async with w.daemon() as daemon:
            node = await w.greenlight.schedule(NODE_ID)
            started = time.monotonic()
            await daemon.said("garbage", source="node")
            assert time.monotonic() - started < 5
            assert (await daemon.stop())[0] == 0
            del node


@asynchronous
async def test_a_log_whose_reader_died_does_not_stop_the_signing(tmp_path):
    import os

    async with world(tmp_path) as w:
        await w.make_node()
        read, write = os.pipe()
        import sys

        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "signerd", "run", env=w.env, stderr=write, stdin=asyncio.subprocess.DEVNULL
        )
        os.close(write)
        os.close(read)
        try:
            node = await w.greenlight.schedule(NODE_ID)
            assert len(await node.examine()) == 9
            process.terminate()
            assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

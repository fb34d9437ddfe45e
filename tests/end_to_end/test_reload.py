"""SIGHUP to the real daemon: what changes, what waits, and what is left alone."""

from __future__ import annotations

import signal

from helpers.approvals import approval_by
from helpers.greenlight import asynchronous
from helpers.world import NODE_ID, world


@asynchronous
async def test_a_reload_changes_what_it_can_and_says_what_waits(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        approvals = w.greenlight.node(NODE_ID).approvals
        env = w.configure('[log]\nlevel = "warning"\n')
        async with w.daemon(**env) as daemon:
            # Said before the loops run: a signal at this moment is kept until they do.
            await daemon.said("commands-not-checked")
            w.configure(
                '[log]\nlevel = "debug"\n[node]\nversion = "v99"\n'
                '[pairing]\npolicy = "deny"\nallow_widening = true\nanswer_refusals = true\n'
            )
            daemon.process.send_signal(signal.SIGHUP)
            told = await daemon.said("config-reloaded")
            assert told["applied"] == (
                "pairing.policy, pairing.allow_widening, pairing.answer_refusals, log.level"
            )
            assert told["needs_restart"] == "node.version"
            # A rule that is lowered is said at once, the new level holds, and so does the new policy.
            await daemon.said("safety-lowered", key="pairing.allow_widening")
            await w.greenlight.schedule(NODE_ID)
            await daemon.said("node-attached", level="info")
            assert await approvals.approve(approval_by(w.data_dir)) is None
            await daemon.said("pairing-refused", rule="pairing-denied-by-policy")
            code, _ = await daemon.stop()
    assert code == 0


@asynchronous
async def test_a_broken_file_is_said_loudly_and_the_daemon_signs_on(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        env = w.configure('[log]\nlevel = "warning"\n')
        async with w.daemon(**env) as daemon:
            await daemon.said("commands-not-checked")
            w.configure('[log]\nlevel = "debug"\n[pairing]\npolcy = "deny"\n')
            daemon.process.send_signal(signal.SIGHUP)
            failed = await daemon.said("config-reload-failed", level="error")
            assert "unknown key 'pairing.polcy'" in failed["reason"]
            assert failed["hint"] == "did you mean 'pairing.policy'?"
            node = await w.greenlight.schedule(NODE_ID)
            assert len(await node.examine()) == 9
            # The level that the broken file asked for does not hold, nor does anything else of it.
            assert {entry["level"] for entry in daemon.entries} == {"warning", "error"}
            assert await node.approvals.approve(approval_by(w.data_dir)) is not None
            code, _ = await daemon.stop()
    assert code == 0

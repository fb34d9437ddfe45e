"""A running daemon's decisions, as its owner sees them: in the log, in the records, in plain words."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess

import pytest
from helpers.greenlight import asynchronous
from helpers.world import NODE_ID, world

from signerd.core.wire import codec
from signerd.core.wire.identity import DeriveSecret, Ecdh, SignMessage
from signerd.dev.node import RequestRefused

ECDH = codec.encode(Ecdh(NODE_ID))
DERIVE = codec.encode(DeriveSecret(b"a label"))
SIGN_MESSAGE = codec.encode(SignMessage(b"hello"))


@asynchronous
async def test_a_decision_is_logged_recorded_verified_and_explained_while_the_daemon_runs(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        async with w.daemon() as daemon:
            node = await w.greenlight.schedule(NODE_ID)
            await node.ask(ECDH)
            await node.ask(DERIVE)
            with pytest.raises(RequestRefused, match="sign-message"):
                await node.ask(SIGN_MESSAGE)
            refused = await daemon.said("request-refused", rule="sign-message")
            answered = await daemon.said("request-answered", facts="label=a label")
            assert refused["audit"] == answered["audit"] + 1
            assert refused["ms"] >= 0

            listed = (await w.signerd("audit", "list", "--refused", "--json")).json
            assert [item["number"] for item in listed["records"]] == [refused["audit"]]
            told = (await w.signerd("explain", str(refused["audit"]))).out
            assert "became  it was refused, by the rule sign-message" in told
            assert re.search(r"^do +nothing: it stays refused", told, re.MULTILINE)
            verified = await w.signerd("audit", "verify", "--json")
            assert verified.json["intact"]

            await node.ask(ECDH)
            await daemon.said("request-answered", message="ecdh_req (type 1)", times=2)
            assert (await daemon.stop())[0] == 0
        # What was routine was written before it ended; and the next start tells the head that it ended with.
        after = (await w.signerd("audit", "verify", "--head", verified.json["head"], "--json")).json
        listed = (await w.signerd("audit", "list", "--json")).json
        assert listed["records"][-1]["message"] == "ecdh_req"
        async with w.daemon() as daemon:
            assert (await daemon.said("store-opened"))["audit_head"] == after["head"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
@asynchronous
async def test_a_full_disk_leaves_the_node_without_an_answer_that_is_not_recorded(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(tmp_path / "home")],
            capture_output=True, check=False,
        )  # fmt: skip
        if mounted.returncode != 0:
            pytest.skip("this machine does not let us mount a small disk")
        small = tmp_path / "home"
        small.chmod(0o700)
        try:
            for name in ("hsm_secret", "credentials.gfs"):
                (small / name).write_bytes((w.data_dir / name).read_bytes())
                (small / name).chmod(0o600)
            answered = 0

            async def ask_on() -> None:
                nonlocal answered
                while True:
                    await node.ask(DERIVE)
                    answered += 1

            async with w.daemon(SIGNERD_DATA_DIR=str(small)) as daemon:
                node = await w.greenlight.schedule(NODE_ID)
                await node.ask(DERIVE)
                with contextlib.suppress(OSError), (small / "filler").open("wb", buffering=0) as file:
                    while True:
                        file.write(bytes(1024))
                with pytest.raises(RequestRefused, match="store-failing"):
                    await ask_on()
                assert "full" in (await daemon.said("store-failing"))["reason"]
                assert daemon.process.returncode is None
            verified = (await w.signerd("audit", "verify", "--json", SIGNERD_DATA_DIR=str(small))).json
            assert verified["last"] >= answered + 1
        finally:
            subprocess.run(["umount", str(small)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a read-only disk needs root")
@asynchronous
async def test_records_on_a_disk_that_is_read_only_can_be_verified(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        async with w.daemon() as daemon:
            node = await w.greenlight.schedule(NODE_ID)
            await node.ask(DERIVE)
            await daemon.stop()
        place = tmp_path / "read-only"
        place.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "tmpfs", str(place)], capture_output=True, check=False
        )
        if mounted.returncode != 0:
            pytest.skip("this machine does not let us mount a disk")
        try:
            (place / "signerd.db").write_bytes((w.data_dir / "signerd.db").read_bytes())
            subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
            done = await w.signerd("audit", "verify", "--data-dir", place)
            assert done.out.startswith("the chain is whole"), done.err
        finally:
            subprocess.run(["umount", str(place)], check=True)

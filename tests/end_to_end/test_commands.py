"""The commands that talk to the scheduler, against a local Greenlight over real TLS."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import os
import signal
import stat
import sys
from pathlib import Path

import pytest
from helpers.greenlight import asynchronous
from helpers.world import NODE_ID, WORDS, signerd, world

from signerd.core.runes.rune import Rune
from signerd.dev.backend import Settings
from signerd.dev.faults import Fault
from signerd.dev.local import LocalGreenlight
from signerd.greenlight.credentials import Credentials


def credentials_of(directory: Path) -> Credentials:
    return Credentials.decode((directory / "credentials.gfs").read_bytes())


@asynchronous
async def test_registers_and_says_what_it_wrote(tmp_path):
    async with world(tmp_path) as w:
        assert (await w.signerd("init", "--import", stdin=WORDS)).code == 0
        done = await w.signerd("register", "--json")
        assert done.code == 0, done.err
        assert {
            "v": 1,
            "outcome": "registered",
            "node_id": NODE_ID.hex(),
            "credentials_file": str(w.data_dir / "credentials.gfs"),
        } == done.json
        path = w.data_dir / "credentials.gfs"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        rune = Rune.from_base64(credentials_of(w.data_dir).rune)
        assert len(rune.restrictions) == 2
        assert w.greenlight.devices(NODE_ID) == ["default"]


@asynchronous
async def test_registering_again_changes_nothing(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        before = (w.data_dir / "credentials.gfs").read_bytes()
        done = await w.signerd("register", "--json")
        assert (done.code, done.json["outcome"]) == (0, "unchanged")
        assert before == (w.data_dir / "credentials.gfs").read_bytes()


@asynchronous
async def test_a_registration_that_was_cut_off_ends_well_when_run_again(tmp_path):
    """The scheduler registered the node, and we died before the credentials were on disk."""
    async with world(tmp_path) as w:
        await w.make_node()
        (w.data_dir / "credentials.gfs").unlink()
        done = await w.signerd("register", "--json")
        assert (done.code, done.json["outcome"]) == (0, "recovered")
        assert (await w.signerd("schedule")).code == 0


@pytest.mark.slow
@asynchronous
async def test_killed_at_any_point_registering_again_ends_well(tmp_path):
    async with world(tmp_path) as w:
        assert (await w.signerd("init", "--import", stdin=WORDS)).code == 0
        for step in range(12):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "signerd", "register",
                env=w.env, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            try:
                async with asyncio.timeout(0.3 + step * 0.04):
                    await process.wait()
            except TimeoutError:
                process.send_signal(signal.SIGKILL)
                await process.wait()
        done = await w.signerd("register", "--json")
        assert done.code == 0, done.err
        listed = {"made-runes.json", "made-runes.lock"}
        assert {"hsm_secret", "credentials.gfs"} == {p.name for p in w.data_dir.iterdir()} - listed
        assert (await w.signerd("schedule")).code == 0


@asynchronous
async def test_recovers_and_keeps_the_credentials_that_were_there(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        before = (w.data_dir / "credentials.gfs").read_bytes()
        done = await w.signerd("recover", "--json")
        assert (done.code, done.json["outcome"]) == (0, "recovered")
        assert before == (w.data_dir / "credentials.gfs.previous").read_bytes()
        assert before != (w.data_dir / "credentials.gfs").read_bytes()
        assert (await w.signerd("node-info")).code == 0
        assert len(w.greenlight.devices(NODE_ID)) == 2


@asynchronous
async def test_says_that_an_unknown_node_cannot_be_recovered(tmp_path):
    async with world(tmp_path) as w:
        assert (await w.signerd("init", "--import", stdin=WORDS)).code == 0
        done = await w.signerd("recover")
        assert done.code == 76
        assert "signerd register" in done.err
        assert not (w.data_dir / "credentials.gfs").exists()


@asynchronous
async def test_needs_an_invite_code_where_the_service_does(tmp_path):
    async with world(tmp_path, settings=Settings(require_invite_codes=True)) as w:
        assert (await w.signerd("init", "--import", stdin=WORDS)).code == 0
        refused = await w.signerd("register")
        assert refused.code in (76, 77)
        assert "invite" in refused.err
        code = w.greenlight.new_invite_code()
        assert (await w.signerd("register", "--invite-code", code)).code == 0


@asynchronous
async def test_schedules_and_tells_where_the_node_is(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        before = await w.signerd("node-info", "--json")
        assert (before.json["scheduled"], before.json["grpc_uri"]) == (False, "")
        waiting = asyncio.create_task(w.signerd("node-info", "--wait", "--json"))
        await w.greenlight.calls.reach("GetNodeInfo", 2)
        scheduled = await w.signerd("schedule", "--json")
        assert scheduled.json["grpc_uri"].startswith("https://localhost:")
        assert scheduled.json["grpc_uri"] == (await waiting).json["grpc_uri"]


@asynchronous
async def test_announces_its_version_as_configured(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        env = w.configure('[node]\nversion = "v26.06"\n')
        done = await w.signerd("upgrade", "--json", **env)
        assert done.json["signer_version"] == "v26.06"
        again = await w.signerd("upgrade", "--json", **env)
        assert again.json["old_version"] == "v26.06"


@asynchronous
async def test_manages_invites_and_webhooks(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        invites = (await w.signerd("invites", "--json")).json["invites"]
        assert {frozenset(invite) for invite in invites} == {frozenset({"code", "is_redeemed"})}
        added = (await w.signerd("webhooks", "add", "https://example.com/hook", "--json")).json
        listed = (await w.signerd("webhooks", "list", "--json")).json["webhooks"]
        assert [{"id": added["id"], "uri": "https://example.com/hook"}] == listed
        rotated = (await w.signerd("webhooks", "rotate-secret", str(added["id"]), "--json")).json
        assert rotated["secret"] not in ("", added["secret"])
        assert (await w.signerd("webhooks", "delete", str(added["id"]))).code == 0
        assert (await w.signerd("webhooks", "list", "--json")).json["webhooks"] == []
        assert (await w.signerd("webhooks", "add", "http://example.com/hook")).code == 64


@asynchronous
async def test_exports_only_with_consent(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        asked = await w.signerd("export")
        assert asked.code == 130
        assert "--yes" in asked.err
        assert w.greenlight.calls.times("ExportNode") == []
        first = await w.signerd("export", "--link", "--yes", "--json")
        again = await w.signerd("export", "--link", "--json")
        assert first.json["url"] == again.json["url"]
        gone = await w.signerd("schedule")
        assert gone.code == 76
        assert "exported" in gone.err


@asynchronous
async def test_pairs_a_device_that_shows_a_code(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        phone_dir = tmp_path / "phone"
        async with w.daemon() as daemon:
            await daemon.said("scheduler-stream-open")
            phone = asyncio.create_task(
                w.signerd(
                    "pair", "new", "phone", "--description", "mine", "--json",
                    "--restrictions", "method^list", SIGNERD_DATA_DIR=str(phone_dir),
                )
            )  # fmt: skip
            await w.greenlight.calls.reach("PairDevice", 1)
            (device_id,) = w.greenlight.pairings
            approved = await w.signerd("pair", "approve", f"gl-pairing:{device_id}", "--yes", "--json")
            assert approved.code == 0, approved.err
            assert "phone" in approved.err
            assert "mine" in approved.err
            paired = await phone
            assert paired.code == 0, paired.err
        assert paired.json["node_id"] == NODE_ID.hex()
        assert {"credentials.gfs"} == {p.name for p in phone_dir.iterdir()}
        rune = Rune.from_base64(credentials_of(phone_dir).rune)
        assert f"=0-gl0&pubkey={device_id}&method^list" == "&".join(r.text for r in rune.restrictions)
        info = await w.signerd("node-info", "--json", SIGNERD_DATA_DIR=str(phone_dir))
        assert info.json["node_id"] == NODE_ID.hex()


@asynchronous
async def test_asks_before_it_approves_and_takes_no_for_an_answer(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        phone = asyncio.create_task(
            w.signerd("pair", "new", "phone", SIGNERD_DATA_DIR=str(tmp_path / "phone"))
        )
        await w.greenlight.calls.reach("PairDevice", 1)
        (device_id,) = w.greenlight.pairings
        asked = await w.signerd("pair", "approve", f"gl-pairing:{device_id}")
        assert asked.code == 130
        assert w.greenlight.calls.times("ApprovePairing") == []
        phone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await phone


@pytest.mark.parametrize(
    "code", ["", "gl-pairing:", "x", "gl-pairing:04" + "00" * 64, "GL-PAIRING:" + "04" * 65]
)
@asynchronous
async def test_refuses_a_pairing_code_that_is_none(tmp_path, code):
    async with world(tmp_path) as w:
        await w.make_node()
        done = await w.signerd("pair", "approve", code, "--yes")
        assert done.code == 65
        assert w.greenlight.calls.times("GetPairingData") == []


@asynchronous
async def test_a_paired_device_is_not_paired_over(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        done = await w.signerd("pair", "new", "phone")
        assert done.code == 77
        assert "exists already" in done.err


# What can go wrong


def fill(path: Path) -> None:
    """Write until the disk is full."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        with contextlib.suppress(OSError):
            while os.write(descriptor, bytes(512)):
                pass
    finally:
        os.close(descriptor)


async def failing(w, *arguments: str, code: int, says: str, **env: str) -> None:
    done = await w.signerd(*arguments, **env)
    assert code == done.code, done.err
    assert says in done.err
    assert "error: " in done.err
    assert "Traceback" not in done.err
    as_json = await w.signerd(*arguments, "--json", **env)
    assert code == as_json.json["code"] == as_json.code


@asynchronous
async def test_says_when_there_are_no_credentials(tmp_path):
    async with world(tmp_path) as w:
        assert (await w.signerd("init", "--import", stdin=WORDS)).code == 0
        await failing(w, "schedule", code=77, says="signerd register")
        async with w.daemon() as daemon:
            assert await daemon.ended() == 77


@asynchronous
async def test_credentials_of_another_node_are_an_error(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        (w.data_dir / "hsm_secret").write_bytes(bytes(range(32)))
        await failing(w, "schedule", code=77, says="belong to node")
        await failing(w, "register", code=77, says="belong to node")
        async with w.daemon() as daemon:
            assert await daemon.ended() == 77


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x08\x02", b"\x08\x01\x12\x01a"])
@asynchronous
async def test_damaged_credentials_are_an_error_and_stay_as_they_are(tmp_path, content):
    async with world(tmp_path) as w:
        await w.make_node()
        path = w.data_dir / "credentials.gfs"
        path.write_bytes(content)
        await failing(w, "schedule", code=77, says="credentials.gfs")
        await failing(w, "register", code=77, says="credentials.gfs")
        assert content == path.read_bytes()


@asynchronous
async def test_an_expired_certificate_is_told_before_anything_is_tried(tmp_path):
    expired = Settings(device_lifetime=datetime.timedelta(days=-1))
    async with world(tmp_path) as w:
        await w.make_node()
        w.greenlight.settings.device_lifetime = expired.device_lifetime
        done = await w.signerd("recover")
        assert done.code == 76
        assert "expired" in done.err
        assert not (w.data_dir / "credentials.gfs.previous").exists()


@asynchronous
async def test_plain_http_is_refused(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        env = w.configure('[scheduler]\nuri = "http://localhost:1"\n')
        await failing(w, "schedule", code=78, says="https", **env)
        async with w.daemon(**env) as daemon:
            assert await daemon.ended() == 78


@asynchronous
async def test_a_ca_that_does_not_match_is_told(tmp_path):
    async with world(tmp_path) as w, LocalGreenlight(tmp_path / "other") as other:
        await w.make_node()
        foreign = {"GL_CA_CRT": str(other.ca_path)}
        await failing(w, "schedule", code=77, says="CA in use", **foreign)
        (w.data_dir / "credentials.gfs").unlink()
        done = await w.signerd("register", **foreign)
        assert done.code == 69
        assert "not signed by our CA" in done.err


@asynchronous
async def test_a_named_ca_that_cannot_be_read_is_never_replaced_by_the_built_in_one(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        nowhere = {"GL_CA_CRT": str(tmp_path / "nowhere.pem")}
        await failing(w, "schedule", code=77, says="nowhere.pem", **nowhere)
        garbage = tmp_path / "garbage.pem"
        garbage.write_text("garbage")
        await failing(w, "schedule", code=77, says="garbage.pem", GL_CA_CRT=str(garbage))


@asynchronous
async def test_a_dead_scheduler_is_unavailable(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        await w.greenlight.scheduler.refuse()
        await failing(w, "schedule", code=69, says="not available")


@pytest.mark.parametrize(
    ("status", "code"),
    [("INTERNAL", 69), ("PERMISSION_DENIED", 77), ("UNIMPLEMENTED", 76), ("RESOURCE_EXHAUSTED", 69)],
)
@asynchronous
async def test_a_scheduler_that_answers_with_errors_is_told_apart(tmp_path, status, code):
    async with world(tmp_path) as w:
        await w.make_node()
        w.greenlight.faults.set("*", Fault(status=status, details="because \x1b[31m it can\nerror: fake"))
        done = await w.signerd("schedule")
        assert code == done.code
        assert "because" in done.err
        assert "\x1b" not in done.err
        assert len([line for line in done.err.splitlines() if line.startswith("error:")]) == 1


@asynchronous
async def test_garbage_from_the_scheduler_is_a_protocol_violation(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        w.greenlight.faults.set("Schedule", Fault(reply=b"\xff\xff\xff"))
        await failing(w, "schedule", code=76, says="no NodeInfoResponse")


@asynchronous
async def test_nothing_is_lost_when_the_credentials_cannot_be_written(tmp_path):
    """A directory in the file's place stands for every disk that does not take it; root ignores modes."""
    async with world(tmp_path) as w:
        assert (await w.signerd("init", "--import", stdin=WORDS)).code == 0
        (w.data_dir / "credentials.gfs").mkdir()
        done = await w.signerd("recover")
        assert done.code != 0
        assert "Traceback" not in done.err
        assert {"hsm_secret", "credentials.gfs"} == {p.name for p in w.data_dir.iterdir()}


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
@asynchronous
async def test_a_full_disk_leaves_the_credentials_that_were_there(tmp_path):
    import subprocess

    async with world(tmp_path) as w:
        await w.make_node()
        small = tmp_path / "small"
        small.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(small)], capture_output=True, check=False
        )
        if mounted.returncode != 0:
            pytest.skip("this machine does not let us mount a small disk")
        try:
            for name in ("hsm_secret", "credentials.gfs"):
                (small / name).write_bytes((w.data_dir / name).read_bytes())
                (small / name).chmod(0o600)
            fill(small / "filler")
            before = (small / "credentials.gfs").read_bytes()
            done = await w.signerd("recover", SIGNERD_DATA_DIR=str(small))
            assert done.code == 74, done.err
            assert "no space left" in done.err.lower()
            assert before == (small / "credentials.gfs").read_bytes()
        finally:
            subprocess.run(["umount", str(small)], check=True)


def test_a_port_in_use_is_told(tmp_path):
    import socket

    async def check() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            env = os.environ | {"HOME": str(tmp_path)}
            done = await signerd("dev", "serve", "--dir", tmp_path / "gl", "--port", port, env=env)
            assert done.code == 64
            assert "in use" in done.err

    asyncio.run(check())


def test_commands_say_the_same_in_json_and_text(tmp_path):
    """Errors are documents too, on stdout, with the exit code inside."""

    async def check() -> None:
        env = os.environ | {"HOME": str(tmp_path)}
        done = await signerd("schedule", "--json", env=env)
        assert json.loads(done.out)["code"] == done.code == 77

    asyncio.run(check())

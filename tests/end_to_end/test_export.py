"""`signerd export`, against a local Greenlight: a node goes home, whatever gets in the way."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from helpers.greenlight import asynchronous
from helpers.terminal import Terminal
from helpers.world import NODE_ID, World, world

from signerd.dev.backend import Settings
from signerd.dev.faults import Fault

PAYLOAD = b"PGDMP" + bytes(range(256)) * 4000
QUICK = "[backoff]\nfirst_seconds = 0.001\nmax_seconds = 0.001\n"


class Journey(World):
    """A registered node, and a directory for its backup."""

    @property
    def out(self):
        return self.directory / "out"

    @property
    def plain(self):
        return self.out / f"node-{NODE_ID.hex()[:16]}.backup"

    @property
    def encrypted(self):
        return Path(f"{self.plain}.enc")

    @property
    def guide(self):
        return Path(f"{self.plain}.RESTORE.md")

    @property
    def record(self):
        return json.loads((self.data_dir / "node-export.json").read_text())

    def calls(self, method):
        return len(self.greenlight.calls.times(method))

    def names(self):
        return sorted(path.name.removeprefix(self.plain.name) for path in self.out.iterdir())

    async def export(self, *arguments):
        return await self.signerd("export", *arguments, **self.configure(QUICK))


@asynccontextmanager
async def journey(directory, payload=PAYLOAD):
    async with world(directory, settings=Settings(export_payload=payload)) as w:
        await w.make_node()
        found = Journey(w.directory, w.greenlight)
        found.out.mkdir()
        yield found


@asynchronous
async def test_takes_the_node_home_with_one_command(tmp_path):
    async with journey(tmp_path) as j:
        done = await j.export("-o", j.out, "--yes", "--json")
        assert done.code == 0, done.err
        assert {
            "v": 1,
            "node_id": NODE_ID.hex(),
            "file": str(j.plain),
            "size": len(PAYLOAD),
            "payload": "postgresql-archive",
            "encrypted": str(j.encrypted),
            "restore": str(j.guide),
            "taken_home_at": j.record["home"]["at"],
        } == done.json
        assert j.plain.read_bytes() == PAYLOAD
        assert ["", ".RESTORE.md", ".enc"] == j.names()
        assert {stat.S_IMODE(path.stat().st_mode) for path in j.out.iterdir()} == {0o600}
        for words in ("never runs it again", "Its channels stay open", "Only one place may ever run it"):
            assert words in done.err
        guide = j.guide.read_text()
        for words in (NODE_ID.hex(), "pg_restore --no-owner", str(j.plain), str(j.data_dir / "hsm_secret")):
            assert words in guide
        secret = (j.data_dir / "hsm_secret").read_bytes()
        assert secret.hex() not in guide + done.out + done.err
        assert (await j.signerd("schedule")).code == 76


@asynchronous
async def test_the_second_time_it_only_says_that_it_is_done(tmp_path):
    async with journey(tmp_path) as j:
        first = await j.export("-o", j.out / "node.dump", "--yes", "--json")
        assert first.code == 0, first.err
        counted = j.calls("ExportNode"), j.calls("Download")
        again = await j.export("--json")
        assert (0, first.json) == (again.code, again.json)
        assert "Import it once, and never again" in again.err
        assert counted == (j.calls("ExportNode"), j.calls("Download"))

        (j.out / "node.dump").rename(j.out / "moved")
        gone = await j.export("--yes", "--json")
        assert (77, "export-taken-home") == (gone.code, gone.json["rule"])
        assert "never import it again" in gone.json["hint"]
        assert (await j.export("--again")).code == 130
        fetched = await j.export("--again", "--yes")
        assert fetched.code == 0, fetched.err
        assert (j.out / "node.dump").read_bytes() == PAYLOAD


@asynchronous
async def test_asks_on_a_terminal_and_goes_on_without_asking_twice(tmp_path):
    async with journey(tmp_path) as j:
        env = j.env | {"TERM": "xterm", "COLUMNS": "100"}

        def refuse():
            terminal = Terminal("export", "-o", j.out, env=env)
            terminal.until("Only one place may ever run it")
            terminal.answer(r"Export the node\? \[y/N\]", lambda _match: "n")
            return terminal.end()

        assert await asyncio.to_thread(refuse) == 130
        assert (j.calls("ExportNode"), j.names()) == (0, [])
        assert not (j.data_dir / "node-export.json").exists()

        def agree():
            terminal = Terminal("export", "-o", j.out, env=env)
            terminal.answer(r"Export the node\? \[y/N\]", lambda _match: "y")
            return terminal.end(), terminal.shown

        code, shown = await asyncio.to_thread(agree)
        assert code == 0, shown
        assert "downloading" in shown


@asynchronous
async def test_goes_on_after_being_killed_at_every_step(tmp_path):
    """Each run dies by SIGKILL at its own n-th write to the disk; together they take the node home."""
    program = """if True:
        import os, sys
        from signerd.cli.main import main
        left = int(sys.argv.pop(1))
        fsync = os.fsync
        def deadly(descriptor):
            global left
            left -= 1
            if left <= 0:
                os.kill(os.getpid(), 9)
            fsync(descriptor)
        os.fsync = deadly
        main()
    """
    async with journey(tmp_path) as j:
        codes = []
        for run in range(1, 40):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", program, str(run), "export", "-o", str(j.out), "--yes",
                env=j.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            codes.append(await process.wait())
            assert not j.plain.exists() or j.plain.read_bytes() == PAYLOAD
            assert not j.encrypted.exists() or j.encrypted.stat().st_size == len(PAYLOAD) + 62
            if codes[-1] == 0:
                break
        assert codes == [-9] * (len(codes) - 1) + [0]
        assert len(codes) > 4
        left = [name for name in j.names() if name in ("", ".RESTORE.md", ".enc")]
        assert ["", ".RESTORE.md", ".enc"] == left
        assert j.record["home"]["size"] == len(PAYLOAD)


INTERRUPTIBLE = """if True:
    import os, signal, sys
    # What a shell starts in the background ignores interruptions, and so would its children.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Not by `preexec_fn`: a child that is forked in a process where gRPC has threads may never get to exec."""


@asynchronous
async def test_goes_on_after_control_c_in_the_middle_of_the_download(tmp_path):
    async with journey(tmp_path) as j:
        j.greenlight.faults.set("Download", Fault(drop_after=100_000, delay=0.05))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", INTERRUPTIBLE, "-m", "signerd", "export", "-o", str(j.out), "--yes",
            env=j.env | j.configure(QUICK), stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stderr is not None
        shown = ""
        while "going on at byte" not in shown:
            line = await process.stderr.readline()
            assert line, shown
            shown += line.decode()
        process.send_signal(signal.SIGINT)
        _, rest = await process.communicate()
        assert process.returncode == 130, rest
        assert "run `signerd export` again" in rest.decode()
        assert [".enc.json", ".enc.part"] == j.names()
        got = Path(f"{j.encrypted}.part").stat().st_size
        assert got >= 100_000
        j.greenlight.faults.clear()

        done = await j.export()
        assert done.code == 0, done.err
        assert f"going on with {j.encrypted}.part, at byte {got}" in done.err
        assert j.plain.read_bytes() == PAYLOAD


@asynchronous
async def test_a_download_that_is_damaged_is_set_aside_and_fetched_again(tmp_path):
    async with journey(tmp_path) as j:
        assert (await j.export("--link", "--yes")).code == 0
        (served,) = (j.greenlight.directory / "exports").iterdir()
        good = served.read_bytes()
        served.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        broken = await j.export("-o", j.out)
        assert broken.code == 65
        assert "its tag does not match" in broken.err
        assert [".enc.damaged"] == j.names()
        served.write_bytes(good)
        done = await j.export()
        assert done.code == 0, done.err
        assert j.plain.read_bytes() == PAYLOAD


@asynchronous
async def test_goes_on_from_every_state_that_a_crash_can_leave_behind_the_download(tmp_path):
    async with journey(tmp_path) as j:
        assert (await j.export("-o", j.out, "--yes")).code == 0
        finished = (j.data_dir / "node-export.json").read_text()
        record = json.loads(finished) | {"home": None}
        downloads, inode = j.calls("Download"), j.plain.stat().st_ino

        # The plaintext is there, and nothing remembers it.
        (j.data_dir / "node-export.json").write_text(json.dumps(record))
        j.guide.unlink()
        assert (await j.export()).code == 0
        assert (inode, PAYLOAD) == (j.plain.stat().st_ino, j.plain.read_bytes())
        assert ["", ".RESTORE.md", ".enc"] == j.names()

        # Only the download is there; and the RESTORE file, with somebody's notes.
        (j.data_dir / "node-export.json").write_text(json.dumps(record))
        j.plain.unlink()
        j.guide.write_text(j.guide.read_text() + "my notes")
        assert (await j.export()).code == 0
        assert j.plain.read_bytes() == PAYLOAD
        assert j.guide.read_text().endswith("my notes")
        assert j.calls("Download") == downloads


@asynchronous
async def test_nothing_of_somebody_elses_is_touched_and_nothing_is_exported_then(tmp_path):
    async with journey(tmp_path) as j:
        for name in ("", ".RESTORE.md", ".enc.part", ".enc"):
            theirs = Path(f"{j.plain}{name}")
            theirs.write_bytes(b"mine")
            done = await j.export("-o", j.out, "--yes")
            assert done.code == (65 if name == ".enc" else 73), done.err
            assert "move it away" in done.err
            assert ([name], b"mine") == (j.names(), theirs.read_bytes())
            assert j.calls("ExportNode") == 0
            if name != ".enc":
                assert not (j.data_dir / "node-export.json").exists()
            theirs.unlink()


@asynchronous
async def test_a_plaintext_that_is_not_of_this_backup_stays(tmp_path):
    async with journey(tmp_path) as j:
        assert (await j.export("-o", j.out, "--yes")).code == 0
        (j.data_dir / "node-export.json").write_text(json.dumps(j.record | {"home": None}))
        j.plain.write_bytes(PAYLOAD[:-1] + b"?")
        done = await j.export("--yes")
        assert done.code == 73
        assert "already exists" in done.err
        assert j.plain.read_bytes() == PAYLOAD[:-1] + b"?"


@asynchronous
async def test_checks_everything_at_home_before_it_asks_the_host(tmp_path):
    async with journey(tmp_path) as j:
        secret = j.data_dir / "hsm_secret"
        secret.rename(tmp_path / "elsewhere")
        assert (await j.export("-o", j.out, "--yes")).code == 66
        secret.write_bytes(bytes(range(32)))
        secret.chmod(0o600)
        assert (await j.export("-o", j.out, "--yes")).code == 77
        secret.unlink()
        (tmp_path / "elsewhere").rename(secret)
        assert (await j.export("-o", j.out / "missing" / "node.dump", "--yes")).code == 73
        assert j.calls("ExportNode") == 0
        assert not (j.data_dir / "node-export.json").exists()


@asynchronous
async def test_what_the_host_refuses_is_forgotten_and_what_is_not_known_is_remembered(tmp_path):
    async with journey(tmp_path) as j:
        j.greenlight.faults.set("ExportNode", Fault(status="NOT_FOUND"))
        assert (await j.export("-o", j.out, "--yes")).code == 76
        assert not (j.data_dir / "node-export.json").exists()
        j.greenlight.faults.set("ExportNode", Fault(status="INTERNAL"))
        assert (await j.export("-o", j.out, "--yes")).code == 69
        assert j.record["exported_at"] is None
        async with j.daemon() as daemon:
            told = await daemon.said("export-unfinished")
            assert "signerd export" in told["hint"]
            await daemon.said("scheduler-stream-open")
            # It hears of the export while it runs, and ends.
            j.greenlight.faults.clear()
            assert (await j.export("--yes")).code == 0
            assert await daemon.ended() == 77
            failed = await daemon.said("failed")
            assert "this node was exported" in failed["reason"]
        async with j.daemon() as daemon:
            assert await daemon.ended() == 77
            assert str(j.plain) in (await daemon.said("failed"))["reason"]


@asynchronous
@pytest.mark.parametrize("status", ["FAILED_PRECONDITION", "NOT_FOUND", "PERMISSION_DENIED"])
async def test_a_node_that_may_have_left_is_not_forgotten_when_the_host_rejects_it_later(tmp_path, status):
    """The answer to the first run got lost behind the export; the second finds the node gone."""
    async with journey(tmp_path) as j:
        assert (await j.export("--link", "--yes")).code == 0
        assert list((j.greenlight.directory / "exports").iterdir())
        (j.data_dir / "node-export.json").write_text(json.dumps(j.record | {"exported_at": None}))
        j.greenlight.faults.set("ExportNode", Fault(status=status))
        for run in ("second", "third"):
            done = await j.export("-o", j.out, "--yes", "--json")
            assert done.code == (77 if status == "PERMISSION_DENIED" else 76), run
            assert "the host may have exported the node all the same" in done.json["hint"]
            assert "`signerd run` warns, and signs" in done.json["hint"]
            assert j.record["exported_at"] is None
        async with j.daemon() as daemon:
            await daemon.said("export-unfinished")
        j.greenlight.faults.clear()
        assert (await j.export("--yes")).code == 0


@asynchronous
async def test_a_rejection_behind_a_lost_answer_of_the_same_run_is_no_proof(tmp_path):
    async with journey(tmp_path) as j:
        j.greenlight.faults.set("ExportNode", Fault(status="UNAVAILABLE", times=1))
        j.greenlight.faults.set("*", Fault(status="FAILED_PRECONDITION"))
        done = await j.export("-o", j.out, "--yes")
        assert done.code == 76
        assert "ask it" in done.err
        assert (2, None) == (j.calls("ExportNode"), j.record["exported_at"])


@asynchronous
@pytest.mark.parametrize(
    ("status", "details"),
    [
        ("ALREADY_EXISTS", ""), ("UNAVAILABLE", ""), ("INVALID_ARGUMENT", "the export already exists"),
        ("FAILED_PRECONDITION", "node already exported"),
    ],
)  # fmt: skip
async def test_what_is_no_clear_no_is_remembered(tmp_path, status, details):
    async with journey(tmp_path) as j:
        j.greenlight.faults.set("ExportNode", Fault(status=status, details=details))
        assert (await j.export("-o", j.out, "--yes")).code == (69 if status == "UNAVAILABLE" else 76)
        assert j.record["exported_at"] is None


@asynchronous
async def test_a_backup_that_came_by_other_means_shows_that_the_node_may_have_left(tmp_path):
    """Exported from another data directory: this one asks for the first time, and the node is gone."""
    async with journey(tmp_path) as j:
        assert (await j.export("-o", j.out, "--yes")).code == 0
        j.plain.unlink()
        (j.data_dir / "node-export.json").unlink()
        for left in j.out.glob("*.RESTORE.md"):
            left.unlink()
        j.greenlight.faults.set("ExportNode", Fault(status="NOT_FOUND"))
        done = await j.export("-o", j.out, "--yes")
        assert done.code == 76
        assert "the host may have exported the node all the same" in done.err
        assert j.record["exported_at"] is None


@asynchronous
async def test_a_first_request_that_did_not_arrive_is_made_again(tmp_path):
    async with journey(tmp_path) as j:
        j.greenlight.faults.set("ExportNode", Fault(status="UNAVAILABLE", times=2))
        done = await j.export("-o", j.out, "--yes")
        assert done.code == 0, done.err
        assert j.plain.read_bytes() == PAYLOAD


@asynchronous
async def test_two_at_once_are_refused(tmp_path):
    async with journey(tmp_path) as j:
        j.greenlight.faults.set("Download", Fault(hang=True))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "signerd", "export", "-o", str(j.out), "--yes", env=j.env,
            stderr=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await j.greenlight.calls.reach("Download", 1)
            second = await j.export("-o", j.out, "--yes")
            assert second.code == 75
            assert f"process {process.pid} is exporting the node" in second.err
        finally:
            process.kill()
            await process.wait()


@asynchronous
async def test_a_full_disk_while_decrypting_costs_no_second_download(tmp_path):
    """A tmpfs in which the encrypted backup has room, and its plaintext has not."""
    async with journey(tmp_path) as j:
        mount = ["mount", "-t", "tmpfs", "-o", "size=1536k", "tmpfs", str(j.out)]
        if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            pytest.skip("cannot mount a tmpfs here")
        try:
            full = await j.export("-o", j.out, "--yes")
            assert full.code == 74, full.err
            assert "no space left on device" in full.err
            assert [".enc", ".enc.json"] == j.names()
            subprocess.run(["mount", "-o", "remount,size=8m", str(j.out)], check=True)
            downloads = j.calls("Download")
            done = await j.export()
            assert done.code == 0, done.err
            assert j.plain.read_bytes() == PAYLOAD
            assert j.calls("Download") == downloads
        finally:
            subprocess.run(["umount", "-l", str(j.out)], check=True)


@asynchronous
async def test_an_empty_export_is_not_taken_for_a_backup(tmp_path):
    async with journey(tmp_path, payload=b"") as j:
        done = await j.export("-o", j.out, "--yes")
        assert done.code == 65
        assert "the backup is empty" in done.err
        assert not j.plain.exists()
        assert j.record["home"] is None


@asynchronous
async def test_takes_a_backup_that_was_downloaded_by_other_means(tmp_path):
    async with journey(tmp_path) as j:
        assert (await j.export("--link", "--yes")).code == 0
        (served,) = (j.greenlight.directory / "exports").iterdir()
        j.encrypted.write_bytes(served.read_bytes())
        done = await j.export("-o", j.out, "--json")
        assert done.code == 0, done.err
        assert (PAYLOAD, 0) == (j.plain.read_bytes(), j.calls("Download"))


def test_memory_does_not_grow_with_the_backup(tmp_path):
    """48 MiB come through a process that has a quarter of that more at its peak than it has for one byte."""

    def peak(size):
        found = []

        @asynchronous
        async def check():
            (tmp_path / str(size)).mkdir()
            async with journey(tmp_path / str(size), payload=bytes(size)) as j:
                program = """if True:
                    import sys
                    from pathlib import Path
                    from signerd.cli.main import main
                    try:
                        main()
                    finally:
                        status = Path("/proc/self/status").read_text()
                        print(status.split("VmHWM:")[1].split()[0], file=sys.stderr)
                """
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-c", program, "export", "-o", str(j.out), "--yes",
                    env=j.env, stderr=subprocess.PIPE, stdout=subprocess.PIPE,
                )  # fmt: skip
                _, said = await process.communicate()
                assert process.returncode == 0, said
                assert j.plain.stat().st_size == size
                found.append(int(said.split()[-1]) * 1024)

        check()
        return found[0]

    assert peak(48 * 2**20) - peak(1) < 12 * 2**20

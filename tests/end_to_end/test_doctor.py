"""`signerd doctor`, beside a running daemon and on installations of which one thing is broken."""

from __future__ import annotations

import dataclasses
import datetime
import io
import json
import os
import sqlite3
import tarfile
from contextlib import closing

import pytest
from helpers.ca import Authority as Stranger
from helpers.greenlight import asynchronous
from helpers.grpc_server import listening, server_context
from helpers.world import NODE_ID, WORDS, world

from signerd.core import csr
from signerd.core.keys import p256
from signerd.core.keys.node import NodeKeys
from signerd.core.runes import rune
from signerd.dev.certificates import Authority
from signerd.greenlight.credentials import Credentials
from signerd.store import lineage
from signerd.units import NodeId, Secret

ALL = {
    "configuration", "versions", "libsecp256k1", "memory-lock", "open-files", "process-hardening",
    "clock-synchronised", "data-directory", "disk", "credentials-file", "store-file", "secret", "credentials",
    "certificate", "certificate-expiry", "rune", "store", "daemon", "dns", "tcp", "tls", "scheduler", "node",
}  # fmt: skip


def verdicts(done) -> dict[str, str]:
    assert done.json["v"] == 1
    return {item["check"]: item["verdict"] for item in done.json["findings"]}


def finding(done, check: str) -> dict[str, str]:
    return next(item for item in done.json["findings"] if item["check"] == check)


@asynchronous
async def test_finds_nothing_to_mend_beside_a_daemon_that_works(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        env = w.configure("")
        os.chmod(w.directory / "signerd.toml", 0o600)  # noqa: PTH101
        async with w.daemon(**env) as daemon:
            await w.greenlight.schedule(NODE_ID)
            await daemon.said("node-attached")
            done = await w.signerd("doctor", "--json", **env)
            found = verdicts(done)
            assert set(found) == ALL | {"configuration-file"}
            assert [check for check, verdict in found.items() if verdict == "fail"] == []
            assert {"daemon", "store", "rune", "certificate", "tls", "scheduler", "node"} <= {
                check for check, verdict in found.items() if verdict == "pass"
            }
            # Tests run as root and without a unit, and that is told.
            assert "NoNewPrivileges=" in finding(done, "process-hardening")["says"]
            assert done.code == 0
            assert await daemon.stop() is not None


@asynchronous
async def test_says_in_words_what_to_do_on_an_empty_machine(tmp_path):
    async with world(tmp_path) as w:
        done = await w.signerd("doctor")
        assert done.code == 73
        assert "fail secret" in done.out
        assert "run `signerd init`" in done.out
        assert "\x1b" not in done.out


def another_nodes_secret(w) -> None:
    (w.data_dir / "hsm_secret").write_bytes(bytes(range(32)))


def no_credentials(w) -> None:
    (w.data_dir / "credentials.gfs").unlink()


def changed_credentials(w, **changes) -> None:
    path = w.data_dir / "credentials.gfs"
    path.write_bytes(dataclasses.replace(Credentials.decode(path.read_bytes()), **changes).encode())


def another_nodes_rune(w) -> None:
    other = NodeKeys.derive(Secret(bytes(range(32))))
    changed_credentials(w, rune=rune.create(other.rune_secret, ["pubkey=" + "04" * 65]).to_base64())


def lasting(days: int):
    def change(w) -> None:
        key = p256.load_private_key(Credentials.decode((w.data_dir / "credentials.gfs").read_bytes()).key)
        request = csr.build(key, csr.common_name(NODE_ID, "default"))
        authority = Authority(w.greenlight.directory / "certificates")
        changed_credentials(
            w, cert=authority.device(NODE_ID, request, lifetime=datetime.timedelta(days=days))
        )

    return change


def damaged_store(w) -> None:
    (w.data_dir / "signerd.db").write_bytes(b"this is not a database" * 100)


def newer_store(w) -> None:
    with lineage.in_use(w.data_dir / "signerd.db", NodeId(NODE_ID)):
        pass
    with closing(sqlite3.connect(w.data_dir / "signerd.db")) as connection:
        connection.execute("PRAGMA user_version = 999")


@pytest.mark.parametrize(
    ("damage", "check", "code", "words"),
    [
        (another_nodes_secret, "certificate", 77, "belong to node"),
        (no_credentials, "credentials", 77, "signerd register"),
        (another_nodes_rune, "rune", 77, "not made with this secret"),
        (lasting(-3), "certificate", 77, "expired"),
        (damaged_store, "store", 74, "not a database"),
        (newer_store, "store", 74, "newer signerd"),
    ],
)
@asynchronous
async def test_names_the_one_thing_that_is_broken(tmp_path, damage, check, code, words):
    async with world(tmp_path) as w:
        await w.make_node()
        damage(w)
        done = await w.signerd("doctor", "--json", "--offline")
        assert verdicts(done)[check] == "fail"
        assert words in str(finding(done, check))
        assert done.code == code


@asynchronous
async def test_warns_of_what_will_not_last_and_of_what_others_can_read(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        lasting(5)(w)
        w.data_dir.chmod(0o755)
        (w.data_dir / "credentials.gfs").chmod(0o640)
        done = await w.signerd("doctor", "--json", "--offline")
        warned = {check for check, verdict in verdicts(done).items() if verdict == "warn"}
        assert {"certificate-expiry", "data-directory", "credentials-file"} <= warned
        assert "chmod 700" in finding(done, "data-directory")["hint"]
        assert done.code == 0


@asynchronous
async def test_says_at_which_step_the_way_to_the_scheduler_ends(tmp_path):
    async def closing_at_once(_reader, _writer) -> None:
        return

    stranger = Stranger().issue("GL /services/scheduler")
    async with world(tmp_path) as w, listening(closing_at_once) as deaf:
        await w.make_node()
        async with listening(closing_at_once, server_context(stranger)) as foreign:
            for uri, check, code, words in (
                ("https://nobody.invalid", "dns", 69, "nobody.invalid"),
                ("https://localhost:1", "tcp", 69, "no connection"),
                (f"https://localhost:{deaf}", "tls", 69, "breaks off"),
                (f"https://localhost:{foreign}", "tls", 76, "issued by"),
            ):
                done = await w.signerd("doctor", "--json", GL_SCHEDULER_GRPC_URI=uri)
                found = verdicts(done)
                assert found[check] == "fail", uri
                assert words in finding(done, check)["says"]
                assert found["node"] == "skip"
                assert done.code == code


@asynchronous
async def test_a_broken_configuration_is_the_only_finding(tmp_path):
    async with world(tmp_path) as w:
        done = await w.signerd("doctor", "--json", **w.configure("nettwork = 1"))
        assert verdicts(done) == {"configuration": "fail"}
        assert done.code == 78


@asynchronous
async def test_a_report_holds_nothing_secret_and_is_never_written_over_another_file(tmp_path):
    async with world(tmp_path) as w:
        await w.make_node()
        path = tmp_path / "report.tar.gz"
        done = await w.signerd("doctor", "--offline", "--bundle", path)
        assert done.code == 0
        assert path.stat().st_mode & 0o777 == 0o600
        with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as archive:
            parts = {entry.name: archive.extractfile(entry).read() for entry in archive}
        assert {name.rpartition("/")[2] for name in parts} == {
            "doctor.json", "system.json", "settings.json", "files.json"
        }  # fmt: skip
        assert json.loads(parts["signerd-report/settings.json"])["network"] == "regtest"
        secret = (w.data_dir / "hsm_secret").read_bytes()
        credentials = Credentials.decode((w.data_dir / "credentials.gfs").read_bytes())
        keys = NodeKeys.derive(Secret(secret))
        whole = b"\n".join(parts.values())
        for hidden in (secret, keys.rune_secret.expose(), bytes(NODE_ID)):
            assert hidden not in whole
            assert hidden.hex().encode() not in whole
        assert credentials.rune.encode() not in whole
        assert b"PRIVATE KEY" not in whole
        assert WORDS.encode() not in whole
        again = await w.signerd("doctor", "--offline", "--bundle", path)
        assert again.code == 73

"""The RESTORE file's steps for PostgreSQL, run as they stand against a real server."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers import exports

from signerd.core import export_payload, restore_guide

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def _owner() -> str | None:
    """Who may run a server: it refuses to be root."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres").pw_name
    return None


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BINARIES or _owner() is None, reason="needs a PostgreSQL server"),
]


@dataclass(frozen=True)
class Server:
    """A PostgreSQL of our own, and a shell in which `sudo` and Core Lightning are only played."""

    directory: Path
    port: int

    @property
    def env(self) -> dict[str, str]:
        return {
            "PATH": f"{self.directory}/bin:{BINARIES[-1]}:/usr/bin:/bin",
            "HOME": str(self.directory / "home"),
            "PGPORT": str(self.port),
        }

    def run(self, *command: str, text: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, input=text, env=self.env | env, capture_output=True, text=True, check=False, timeout=60
        )

    def admin(self, *command: str, text: str = "") -> str:
        done = self.run("sudo", "-u", "postgres", *command, text=text)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def bash(self, script: str) -> subprocess.CompletedProcess[str]:
        return self.run("bash", text=script)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    # Not below the tester's own directory, which the server's user cannot enter.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, socket.socket() as free:
        directory = Path(name)
        directory.chmod(0o755)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        for part in ("data", "socket", "bin", "home"):
            (directory / part).mkdir()
            if os.geteuid() == 0:
                shutil.chown(directory / part, _owner())
        sudo = directory / "bin" / "sudo"
        sudo.write_text(f'#!/bin/sh\nshift 2\nPGHOST={directory}/socket PGUSER=postgres exec "$@"\n')
        lightningd = directory / "bin" / "lightningd"
        lightningd.write_text("#!/bin/sh\necho v25.05\n")
        for program in (sudo, lightningd):
            program.chmod(0o755)
        as_owner = {"user": _owner()} if os.geteuid() == 0 else {}
        subprocess.run(
            [BINARIES[-1] / "initdb", "--no-sync", "--username=postgres", "--auth-local=trust",
             "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C", directory / "data"],
            check=True, capture_output=True, **as_owner,
        )  # fmt: skip
        options = f"-p {port} -k {directory}/socket -c listen_addresses=localhost -c fsync=off"
        control = [BINARIES[-1] / "pg_ctl", "-w", "-D", directory / "data", "-l", directory / "data" / "log"]
        subprocess.run([*control, "-o", options, "start"], check=True, stdout=subprocess.DEVNULL, **as_owner)
        try:
            yield Server(directory, port)
        finally:
            subprocess.run(
                [*control, "-m", "immediate", "stop"], check=True, stdout=subprocess.DEVNULL, **as_owner
            )


def dump(server: Server, form: str) -> bytes:
    """What a host would hand out: a database of its own user, dumped, and gone."""
    server.admin(
        "psql", "--set=ON_ERROR_STOP=1", "--dbname=postgres",
        text="CREATE ROLE host; CREATE DATABASE hosted OWNER host;",
    )  # fmt: skip
    server.admin(
        "psql", "--set=ON_ERROR_STOP=1", "--dbname=hosted",
        text="SET ROLE host; CREATE TABLE channels (id BIGSERIAL PRIMARY KEY, funding BYTEA);"
        "INSERT INTO channels (funding) SELECT decode(md5(n::text), 'hex') FROM generate_series(1, 1000) n;",
    )  # fmt: skip
    target = server.directory / "home" / "dump"
    server.admin("pg_dump", f"--format={form}", f"--file={target}", "hosted")
    server.admin("psql", "--dbname=postgres", text="DROP DATABASE hosted; DROP ROLE host;")
    content = target.read_bytes()
    target.unlink()
    return content


def guide(server: Server, content: bytes, tmp_path: Path) -> tuple[str, str, str]:
    """The text, its step that prepares, and its steps that load."""
    file = tmp_path / "it's node.backup"
    file.write_bytes(content)
    payload = export_payload.recognise(content[: export_payload.HEAD_SIZE])
    text = restore_guide.render(
        restore_guide.Facts(
            node_id=exports.KEYS.node_id, network="bitcoin", payload=payload, file=str(file),
            size=len(content), encrypted=f"{file}.enc", secret="/nowhere", layout="raw",
            version="v25.05", date="today",
        )
    )  # fmt: skip
    shutil.rmtree(server.directory / "home" / ".lightning", ignore_errors=True)
    prepare, *rest = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return text, prepare, "\n".join(rest[:3])


def rows(server: Server) -> str:
    """By the address that Core Lightning is given."""
    config = (server.directory / "home" / ".lightning" / "bitcoin" / "config").read_text()
    wallet = config.splitlines()[-1].removeprefix("wallet=").replace(":5432/", f":{server.port}/")
    done = server.run("psql", "--tuples-only", "--no-align", wallet, text="SELECT count(*) FROM channels;")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def drop(server: Server, text: str) -> None:
    """As the guide says it is undone."""
    (statements,) = re.findall(r"`(DROP DATABASE .*?)`", text)
    server.admin("psql", "--dbname=postgres", "--set=ON_ERROR_STOP=1", text=statements)


def test_an_archive_is_loaded_once(server, tmp_path):
    text, prepare, load = guide(server, dump(server, "custom"), tmp_path)
    done = server.bash(f"set -e\n{prepare}\n{load}")
    assert (0, "") == (done.returncode, done.stderr)
    assert rows(server) == "1000"

    again = server.bash(f"set -e\n{prepare}\n{load}")
    assert again.returncode != 0
    assert "already exists" in again.stderr
    drop(server, text)
    assert server.bash(f"set -e\n{prepare}\n{load}").returncode == 0
    assert rows(server) == "1000"
    drop(server, text)


def test_sql_text_of_another_owner_is_loaded_all_or_nothing(server, tmp_path):
    text, prepare, load = guide(server, dump(server, "plain"), tmp_path)
    refused = server.bash(f"set -e\n{prepare}\n{load}")
    assert 'role "host" does not exist' in refused.stderr
    drop(server, text)  # as nothing was loaded, this is the same as to repeat the command

    (psql,) = re.findall(r"`(sudo -u postgres psql --dbname=.*?)`", text)
    (create,) = re.findall(r"`(CREATE ROLE.*?)`", text)
    make, loading = load.split("\nEND\n", 1)
    rescue = f"{psql} << 'END'\n{create.replace('NAME', 'host')}\nEND\n"
    done = server.bash(f"set -e\n{prepare}\n{make}\nEND\n{rescue}{loading}")
    assert (0, "") == (done.returncode, done.stderr)
    assert rows(server) == "1000"
    drop(server, text)
    server.admin("psql", text="DROP ROLE host;")

"""Run `signerd` in a process of its own, in an empty home, without a network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from helpers.world import Done, environment


class Command:
    """A home directory and the commands that are run in it."""

    def __init__(self, home: Path) -> None:
        self.home = home

    @property
    def data_dir(self) -> Path:
        return self.home / ".local/share/signerd"

    def run(self, *arguments: str | Path, stdin: str | bytes = "", **env: str) -> Done:
        """One command, to its end."""
        content = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            [sys.executable, "-m", "signerd", *map(str, arguments)],
            env=environment(self.home, **env), input=content, capture_output=True, timeout=30,
            check=False, cwd=self.home,
        )  # fmt: skip
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def put_secret(self, content: bytes = bytes(range(32)), mode: int = 0o600) -> Path:
        """A secret where it is looked for."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        path = self.data_dir / "hsm_secret"
        path.write_bytes(content)
        path.chmod(mode)
        return path

"""Run a script in the interpreter that has the gl-client wheel; it never shares a process with signerd.

The interpreter is $SIGNERD_PEER_PYTHON, or .venv-peer in the repository (requirements/interop.txt). Without
one the interoperability tests fail; SIGNERD_WITHOUT_PEER=1 turns that into a skip that says so.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent


def peer_python() -> Path:
    """The peer's interpreter. Fails the calling test when there is none (or skips it, see above)."""
    chosen = os.environ.get("SIGNERD_PEER_PYTHON")
    python = Path(chosen) if chosen else REPOSITORY / ".venv-peer" / "bin" / "python"
    if python.is_file():
        return python
    if os.environ.get("SIGNERD_WITHOUT_PEER") == "1":
        pytest.skip(f"no gl-client: {python} does not exist and SIGNERD_WITHOUT_PEER=1")
    pytest.fail(
        f"no gl-client: {python} does not exist (make .venv-peer from requirements/interop.txt, "
        "or set SIGNERD_WITHOUT_PEER=1 to go without)",
        pytrace=False,
    )


def run_peer(
    script: str, *args: str, env: Mapping[str, str] | None = None, timeout: float = 60, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run Python source in the peer's interpreter to its end; `args` arrive as sys.argv[1:].

    The exit status is the caller's to judge. Raises subprocess.TimeoutExpired.
    """
    return subprocess.run(
        _command(script, args), input=stdin, capture_output=True, text=True, env=_environment(env),
        timeout=timeout, check=False,
    )  # fmt: skip


@contextlib.contextmanager
def peer_process(
    script: str, *args: str, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run Python source in the peer's interpreter beside the test, with pipes; it is killed on leaving."""
    process = subprocess.Popen(
        _command(script, args), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, env=_environment(env),
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            process.kill()


def _command(script: str, args: tuple[str, ...]) -> list[str]:
    return [str(peer_python()), "-I", "-u", "-c", script, *args]


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    """Ours without the GL_* variables, which the peer obeys and the developer may have set."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GL_")}
    return {**inherited, **(extra or {})}

"""Run one target in the fuzzer: `python -m fuzz codec …`, where … are libFuzzer's own arguments.

The only file here that needs the fuzzer, and Linux with it. `--seeds DIRECTORY` writes the target's seeds
instead, from which `-merge=1` picks those worth keeping.
"""

from __future__ import annotations

import hashlib
import importlib
import shlex
import sys
from pathlib import Path

import atheris

# Not what is tested: loaded before anything is instrumented.
import signerd.greenlight.pb.greenlight_pb2  # noqa: F401
from fuzz import landmarks

TARGETS = ("codec", "entry_point")


def main(arguments: list[str]) -> None:
    """Never returns from a run: libFuzzer ends the process. 77 says that there is a finding."""
    name, rest = arguments[1], arguments[2:]
    if name not in TARGETS:
        raise SystemExit(f"{' or '.join(TARGETS)}?")
    if rest[:1] == ["--seeds"]:
        return write_seeds(name, Path(rest[1]))
    with atheris.instrument_imports(include=["signerd"]):
        target = importlib.import_module(f"fuzz.{name}")
    counters = [atheris._reserve_counter() for _ in range(landmarks.COUNT)]
    landmarks.report_to(lambda number: atheris._trace_branch(counters[number]))
    getattr(target, "prepare", lambda: None)()
    # A merge starts itself again through a shell, by the first argument.
    itself = f"{shlex.quote(sys.executable)} -m fuzz {name}"
    atheris.Setup([itself, *rest], target.check)
    atheris.Fuzz()
    return None


def write_seeds(name: str, directory: Path) -> None:
    """Each under the name of its hash, so that what is equal is there once."""
    directory.mkdir(parents=True, exist_ok=True)
    for seed in importlib.import_module(f"fuzz.{name}").seeds():
        (directory / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)


if __name__ == "__main__":
    main(sys.argv)

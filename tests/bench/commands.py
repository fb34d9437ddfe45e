"""What the command line loads, and how long it takes, before there is anything to talk to."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import decrypt
from bench.plan import Plan
from bench.rig import python_environment
from bench.table import Row, at_most, row

_IMPORTED = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", re.MULTILINE)
_HEAVY = ("grpc", "google.protobuf", "google._upb")


def measure(directory: Path, plan: Plan) -> list[Row]:
    """Wall time of `signerd --help` and of a small decryption, and the heavy modules that they load."""
    environment = python_environment(directory)
    secret = directory / "decrypt_secret"
    secret.touch(mode=0o600)
    secret.write_bytes(decrypt.SECRET)
    backup, target = directory / "small.enc", directory / "small"
    decrypt.make_export(backup, 10_000)
    decrypting = ["decrypt-export", str(backup), "-o", str(target), "--force", "--secret-file", str(secret)]
    verbs = {"signerd --help": ["--help"], "signerd decrypt-export (10 kB)": decrypting}
    rows = []
    for title, arguments in verbs.items():
        seconds = _median(plan.starts, [sys.executable, "-m", "signerd", *arguments], environment)
        heavy = _heavy(arguments, environment)
        rows += [
            row(f"{title}: wall time, median of {plan.starts}", "ms", seconds * 1000),
            row(f"{title}: modules of grpc and protobuf", "", heavy, target="0", judge=at_most(0)),
        ]
    return rows


def _heavy(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """How many modules of gRPC and protobuf a command loads."""
    command = [sys.executable, "-X", "importtime", "-m", "signerd", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    loaded = _IMPORTED.findall(done.stderr)
    if "signerd.cli.main" not in loaded:
        raise AssertionError("the list of imports was not understood")
    return sum(name == heavy or name.startswith(f"{heavy}.") for name in loaded for heavy in _HEAVY)


def _median(turns: int, command: Sequence[str], environment: Mapping[str, str]) -> float:
    """Seconds. A first run, which compiles, does not count."""
    taken = []
    for _ in range(1 + turns):
        begun = time.perf_counter()
        subprocess.run(command, capture_output=True, env=environment, check=True)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken[1:])

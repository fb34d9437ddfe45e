"""What needs no Greenlight: decrypting an export, and what the command line loads before it does anything."""

from __future__ import annotations

import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import decrypt
from bench.plan import Plan
from bench.rig import python_environment
from bench.table import Row, at_least, at_most, row

_PEER_SCRIPT = Path(__file__).with_name("peer_decrypt.py")
_IMPORTED = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", re.MULTILINE)
_HEAVY = ("grpc", "google.protobuf", "google._upb")


def decryption(directory: Path, plan: Plan, peer: Path | None) -> list[Row]:
    """Throughput beside the bare loop, on the same files, in turn; the best turn counts. Peak memory."""
    size = plan.decrypt_bytes
    if shutil.disk_usage(directory).free < 2.5 * size:
        size = plan.decrypt_peer_bytes
        print(f"not enough room for {plan.decrypt_bytes / 1e9:g} GB: decrypting {size / 1e9:g} GB")
    amounts = sorted({plan.decrypt_small_bytes, plan.decrypt_peer_bytes, size})
    rates: dict[int, dict[str, float]] = {}
    peaks: dict[int, dict[str, float]] = {}
    for amount in amounts:
        kinds = ["bare", "signerd"]
        if peer and amount <= plan.decrypt_peer_bytes:
            kinds.append("gl-client")
        rates[amount], peaks[amount] = _decrypted(directory, amount, kinds, peer)
    rows = [
        row(
            f"decrypt-export, {_named(amount)}",
            "MB/s",
            rates[amount]["signerd"],
            rates[amount].get("gl-client"),
        )
        for amount in amounts
    ]
    for amount in amounts:
        share = rates[amount]["signerd"] / rates[amount]["bare"]
        judged = amount == size
        rows.append(
            row(
                f"decrypt-export, share of the bare loop's throughput, {_named(amount)}",
                "",
                round(share, 2),
                target=">= 0.8" if judged else "",
                judge=at_least(0.8) if judged else None,
            )
        )
    rows += [
        row(
            f"decrypt-export, peak memory, {_named(amount)}",
            "MB",
            peaks[amount]["signerd"],
            peaks[amount].get("gl-client"),
        )
        for amount in amounts
    ]
    growth = peaks[size]["signerd"] - peaks[plan.decrypt_small_bytes]["signerd"]
    rows.append(
        row(
            f"decrypt-export, peak memory at {_named(size)} less at {_named(plan.decrypt_small_bytes)}",
            "MB",
            growth,
            target="within 10 MB",
            judge=at_most(10),
        )
    )
    return rows


def _decrypted(
    directory: Path, amount: int, kinds: Sequence[str], peer: Path | None
) -> tuple[dict[str, float], dict[str, float]]:
    """MB/s and peak MB of each kind."""
    source, target = directory / "export.enc", directory / "export"
    decrypt.make_export(source, amount)
    seconds: dict[str, float] = {}
    peak: dict[str, float] = {}
    try:
        for _ in range(decrypt.TURNS):
            for kind in kinds:
                if kind == "gl-client":
                    assert peer is not None
                    result = _peer_decrypts(peer, source, target)
                else:
                    result = decrypt.run(kind, source, target)
                if target.stat().st_size != amount:
                    raise AssertionError(f"{kind} left {target.stat().st_size} bytes, not {amount}")
                seconds[kind] = min(seconds.get(kind, result["seconds"]), result["seconds"])
                peak[kind] = max(peak.get(kind, 0), result["peak_rss"] / 1e6)
                target.unlink()
    finally:
        source.unlink()
    return {kind: amount / 1e6 / value for kind, value in seconds.items()}, peak


def _peer_decrypts(peer: Path, source: Path, target: Path) -> Mapping[str, float]:
    command = [str(peer), "-I", str(_PEER_SCRIPT), str(source), str(target), decrypt.SECRET.hex()]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def imports(directory: Path, plan: Plan, peer: Path | None) -> list[Row]:
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
        loaded = _loaded(arguments, environment)
        heavy = [n for n in loaded if any(n == h or n.startswith(h + ".") for h in _HEAVY)]
        seconds = _median(plan.starts, [sys.executable, "-m", "signerd", *arguments], environment)
        rows += [
            row(f"{title}: wall time, median of {plan.starts}", "ms", seconds * 1000),
            row(f"{title}: modules of grpc and protobuf", "", len(heavy), target="0", judge=at_most(0)),
        ]
    if peer:
        bare = _median(plan.starts, [sys.executable, "-c", ""], environment)
        seconds = _median(plan.starts, [str(peer), "-I", "-c", "import glclient"], environment)
        rows.append(
            row("interpreter alone; with `import glclient`: wall time", "ms", bare * 1000, seconds * 1000)
        )
    return rows


def _loaded(arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    command = [sys.executable, "-X", "importtime", "-m", "signerd", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    loaded = _IMPORTED.findall(done.stderr)
    if "signerd.cli.main" not in loaded:
        raise AssertionError("the list of imports was not understood")
    return loaded


def _median(turns: int, command: Sequence[str], environment: Mapping[str, str]) -> float:
    taken = []
    for _ in range(1 + turns):
        begun = time.perf_counter()
        subprocess.run(command, capture_output=True, env=environment, check=True)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken[1:])


def disk(directory: Path) -> dict[str, Any]:
    """How long the disk takes to promise: every pairing approval waits for it."""
    import os

    taken = []
    with (directory / "fsync").open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(bytes(4096))
            begun = time.perf_counter()
            os.fsync(file.fileno())
            taken.append((time.perf_counter() - begun) * 1000)
    return {"fsync of 4 kB, median ms": round(statistics.median(taken), 3)}


def _named(amount: int) -> str:
    return f"{amount / 1e9:g} GB" if amount >= 10**9 else f"{amount / 1e6:g} MB"

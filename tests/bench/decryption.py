"""decrypt-export beside the bare loop and gl-client: throughput and peak memory, off the disk if possible."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from bench import decrypt
from bench.plan import QUICK, Plan
from bench.rig import python_environment
from bench.table import Row, at_least, at_most, row

_MEMORY = Path("/dev/shm")
_ROOM = 2.5
_PEER_SCRIPT = Path(__file__).with_name("peer_decrypt.py")
_DECRYPT = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import decrypt
print(json.dumps(decrypt.run(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))))
"""
Results = Sequence[Mapping[str, float]]


def measure(directory: Path, plan: Plan, peer: Path | None) -> list[Row]:
    """All on the same files, in turn; the best turn counts, and the largest peak."""
    small, large = plan.decrypt_small_bytes, plan.decrypt_bytes
    with _place(directory, large) as place:
        if shutil.disk_usage(place).free < _ROOM * large:
            large = QUICK.decrypt_bytes
            print(f"no room for {_named(plan.decrypt_bytes)} twice, so {_named(large)}", file=sys.stderr)
        turns = plan.decrypt_turns
        at_small = _decrypted(place, small, turns, peer)
        at_large = _decrypted(place, large, turns, None)
        alone = {
            kind: min(_run(place, kind, place, place)["seconds"] for _ in range(turns))
            for kind in ("cipher-bare", "cipher-signerd")
        }
    rows = []
    for size, seen in ((small, at_small), (large, at_large)):
        rates = {kind: size / 1e6 / _best(results) for kind, results in seen.items()}
        theirs = rates.get("gl-client")
        title = f"decrypt-export, {_named(size)} on {'disk' if place == directory else 'tmpfs'}"
        rows.append(row(title, "MB/s", rates["signerd"], theirs))
    share = _best(at_large["bare"]) / _best(at_large["signerd"])
    rows.append(_share(f"file to file, {_named(large)}", share))
    rows.append(_share("in memory", alone["cipher-bare"] / alone["cipher-signerd"]))
    for size, seen in ((small, at_small), (large, at_large)):
        peaks = {kind: _peak(results) for kind, results in seen.items()}
        theirs = peaks.get("gl-client")
        rows.append(row(f"decrypt-export, peak memory, {_named(size)}", "MB", peaks["signerd"], theirs))
    growth = _peak(at_large["signerd"]) - _peak(at_small["signerd"])
    title = f"decrypt-export, peak memory at {_named(large)} less at {_named(small)}"
    rows.append(row(title, "MB", growth, target="within 10 MB", judge=at_most(10)))
    return rows


@contextlib.contextmanager
def _place(directory: Path, size: int) -> Iterator[Path]:
    """A directory in memory if there is room for the export and its plain text, else `directory`."""
    fits = (
        _MEMORY.is_dir()
        and min(shutil.disk_usage(_MEMORY).free, psutil.virtual_memory().available) > _ROOM * size
    )
    if not fits:
        yield directory
        return
    with tempfile.TemporaryDirectory(dir=_MEMORY, prefix="signerd-bench-") as name:
        yield Path(name)


def _decrypted(place: Path, size: int, turns: int, peer: Path | None) -> dict[str, list[Mapping[str, float]]]:
    """Results of the bare loop, of signerd, and of gl-client if there is a peer, by kind."""
    source, target = place / "export.enc", place / "export"
    decrypt.make_export(source, size)
    kinds = ["bare", "signerd", *(["gl-client"] if peer else [])]
    seen: dict[str, list[Mapping[str, float]]] = {kind: [] for kind in kinds}
    try:
        for _ in range(turns):
            for kind, results in seen.items():
                if peer and kind == "gl-client":
                    results.append(_run_peer(peer, source, target))
                else:
                    results.append(_run(place, kind, source, target))
                if target.stat().st_size != size:
                    raise AssertionError(f"{kind} left {target.stat().st_size} bytes, not {size}")
                target.unlink()
    finally:
        source.unlink()
    return seen


def _run(place: Path, kind: str, source: Path, target: Path) -> Mapping[str, float]:
    """decrypt.run, by a small process: a child's peak counts from its parent's size upwards (getrusage)."""
    module = str(Path(decrypt.__file__).parent)
    command = [sys.executable, "-c", _DECRYPT, module, kind, str(source), str(target)]
    done = subprocess.run(command, stdout=subprocess.PIPE, env=python_environment(place), check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def _run_peer(peer: Path, source: Path, target: Path) -> Mapping[str, float]:
    command = [str(peer), "-I", str(_PEER_SCRIPT), str(source), str(target), decrypt.SECRET.hex()]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def _best(results: Results) -> float:
    return min(result["seconds"] for result in results)


def _peak(results: Results) -> float:
    return max(result["peak_rss"] for result in results) / 1e6


def _share(where: str, share: float) -> Row:
    title = f"decrypt-export, share of the bare loop's throughput, {where}"
    return row(title, "", round(share, 2), target=">= 0.8", judge=at_least(0.8))


def _named(size: int) -> str:
    return f"{size / 1e9:g} GB" if size >= 10**9 else f"{size / 1e6:g} MB"

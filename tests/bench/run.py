"""signerd beside gl-client's Signer, in turn, against one local Greenlight: python tests/bench/run.py

Everything happens on loopback, in a temporary directory; gl-client runs in its own interpreter
($SIGNERD_PEER_PYTHON, or .venv-peer). The local Greenlight runs in this process, so latencies and rates hold
its share too, the same for both. A ratio is signerd's figure by gl-client's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

_TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_TESTS), str(_TESTS.parent)]
os.environ["PYTHONPATH"] = str(_TESTS.parent)  # for the children, where signerd is not installed
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

# The path has to be set first.
# ruff: noqa: E402
import pytest
from bench import asking, commands, decryption, growth, load, signing, soak, timing, trouble
from bench.plan import FULL, MEASURES, QUICK, Plan
from bench.rig import Rig, facts
from bench.table import Row, printed
from helpers.peer import peer_python

NAMES = f"some of {', '.join(MEASURES)}"
_ONLINE = {"start", "schedule", "signing", "growth", "trouble", "soak", *load.MEASURES}


def main() -> None:
    """Exit status 1 if a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a tenth of it, in about three minutes")
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=MEASURES, metavar="NAME", help=NAMES)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--directory", type=Path, help="where to work: on the disk that is to be measured")
    options = parser.parse_args()
    plan, wanted = (QUICK if options.quick else FULL), set(options.only)
    peer = _peer()
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="signerd-bench-") as name:
        directory = Path(name).resolve()
        surroundings = facts(directory)
        print(", ".join(f"{key} {value}" for key, value in surroundings.items()), flush=True)
        rows = asyncio.run(_online(directory, plan, wanted, peer)) if wanted & _ONLINE else []
        if "decrypt" in wanted:
            rows += _told(decryption.measure(directory, plan, peer))
        if "imports" in wanted:
            rows += _told(commands.measure(directory, plan))
        if "asking" in wanted:
            rows += _told(asking.measure(directory, plan))
    print(f"\n{printed(rows)}")
    if options.json:
        report = {"surroundings": surroundings, "rows": [row.as_json() for row in rows]}
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    sys.exit(any(row.met is False for row in rows))


async def _online(directory: Path, plan: Plan, wanted: set[str], peer: Path | None) -> list[Row]:
    rows: list[Row] = []
    async with Rig.set_up(directory, peer) as rig:
        if "start" in wanted:
            rows += _told(await timing.starts(rig, plan))
        if "schedule" in wanted:
            rows += _told(await timing.schedules(rig, plan))
        if parts := set(load.MEASURES).intersection(wanted):
            rows += _told(await load.measure(rig, plan, parts))
        if "signing" in wanted:
            rows += _told(await signing.measure(rig, plan))
        if "growth" in wanted:
            rows += _told(await growth.measure(rig, plan))
        if "trouble" in wanted:
            rows += _told(await trouble.measure(rig, plan))
        if "soak" in wanted:
            rows += _told(await soak.measure(rig, plan))
    return rows


def _peer() -> Path | None:
    try:
        return peer_python()
    except pytest.skip.Exception as skipped:
        print(f"{skipped}: signerd alone is measured", file=sys.stderr)
        return None
    except pytest.fail.Exception as failed:
        sys.exit(str(failed))


def _told(rows: list[Row]) -> list[Row]:
    for row in rows:
        print("  ".join(row.cells), file=sys.stderr, flush=True)
    return rows


if __name__ == "__main__":
    main()

"""The machine and the process: limits, library, versions, and how a running daemon is locked in."""

from __future__ import annotations

import platform
import resource
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

import signerd
from signerd.daemon import hardening, preflight
from signerd.daemon.doctor.finding import Finding, attempt, passed, skipped, warned

FEWEST_FILES = 256
_UNIT = "run it by the unit that comes with it (systemd/signerd.service, see docs/operations.md)"


def look(process: int | None) -> Iterator[Finding]:
    """`process` is the daemon's, None if none runs; without one, this command's own limits are told."""
    yield passed(
        "versions", f"signerd {signerd.__version__}, Python {platform.python_version()}, {_libraries()}"
    )
    yield attempt("libsecp256k1", _curve)
    status = _status(process) if process else None
    if status is None:
        yield _memlock(*resource.getrlimit(resource.RLIMIT_MEMLOCK))
        yield _files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        yield skipped("process-hardening", "no daemon of this data directory runs, or it cannot be looked at")
        return
    limits = _limits(process or 0)
    yield _memlock(limits.get("Max locked memory", -1), -1, locked=_kilobytes(status.get("VmLck", "")))
    yield _files(limits.get("Max open files", -1))
    yield _hardened(status, limits)


def _libraries() -> str:
    return ", ".join(f"{name} {metadata.version(name)}" for name in ("grpcio", "cryptography", "coincurve"))


def _curve() -> str:
    preflight.require_compiled_curve()
    return "the curve is computed by the C library"


def _memlock(soft: int, _hard: int, *, locked: int | None = None) -> Finding:
    check = "memory-lock"
    if locked:
        return passed(check, f"the daemon keeps {locked // 1024} MB out of swap")
    if locked is None and (soft == resource.RLIM_INFINITY or hardening.may_exceed_limits()):
        return passed(check, "memory may be kept out of swap")
    return warned(
        check,
        "memory with keys in it may be written to swap",
        "LimitMEMLOCK=infinity in the unit, `ulimit -l unlimited` in a shell; or have no swap",
    )


def _files(soft: int) -> Finding:
    check = "open-files"
    if 0 <= soft < FEWEST_FILES:
        return warned(
            check, f"only {soft} files may be open at once", "LimitNOFILE=1024 in the unit, `ulimit -n`"
        )
    return passed(check, "unlimited" if soft < 0 else f"{soft} files may be open at once")


def _hardened(status: Mapping[str, str], limits: Mapping[str, int]) -> Finding:
    """What proc(5) says of the daemon."""
    check, lacking = "process-hardening", []
    if status.get("NoNewPrivs") == "0":
        lacking.append("it could gain privileges (NoNewPrivileges=)")
    if status.get("Seccomp") == "0":
        lacking.append("it may make any system call (SystemCallFilter=)")
    if int(status.get("CapEff", "0"), 16):
        lacking.append("it has capabilities (CapabilityBoundingSet=)")
    if status.get("Uid", "").startswith("0\t"):
        lacking.append("it runs as root (User=)")
    if limits.get("Max core file size", 0):
        lacking.append("it could leave a core dump (LimitCORE=)")
    if lacking:
        return warned(check, "; ".join(lacking), _UNIT)
    return passed(check, "no privileges, few system calls, no core dumps")


def _status(process: int) -> dict[str, str] | None:
    try:
        text = Path(f"/proc/{process}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in pairs}


def _limits(process: int) -> dict[str, int]:
    """Soft limits by their names, -1 for unlimited."""
    try:
        text = Path(f"/proc/{process}/limits").read_text(encoding="utf-8")
    except OSError:
        return {}
    found = {}
    for line in text.splitlines()[1:]:
        # The name is padded to 26 characters.
        soft = line[26:].split()[:1]
        if soft:
            found[line[:26].strip()] = int(soft[0]) if soft[0].isdecimal() else -1
    return found


def _kilobytes(text: str) -> int:
    number = text.partition(" ")[0]
    return int(number) if number.isdecimal() else 0

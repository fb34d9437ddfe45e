"""Is there room for one large piece of memory, before the kernel ends somebody for want of it?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from signerd.errors import MemoryShort

_CGROUPS = Path("/sys/fs/cgroup")
_OURSELVES = 64 * 1024 * 1024
"""What we have already, roughly; a limit counts it too."""
_AVAILABLE = re.compile(r"^(MemAvailable|SwapFree): +(\d+) kB$", re.MULTILINE)


def require(size: int) -> None:
    """Raise MemoryShort where `size` bytes cannot be had. What is not known is not held against anybody."""
    if reason := shortage(size, meminfo=_text(Path("/proc/meminfo")), limits=_limits()):
        raise MemoryShort(
            f"the passphrase needs {_mib(size)} for a moment, and {reason}",
            hint="raise the limit (MemoryMax= in systemd, --memory of a container) or free some memory",
        )


def shortage(size: int, *, meminfo: str, limits: Iterable[str]) -> str | None:
    """Why `size` bytes cannot be had, in words; None where nothing speaks against it.

    `meminfo` is /proc/meminfo, and `limits` are those of our control groups (cgroups(7)).
    """
    for limit in map(str.strip, limits):
        if limit.isdecimal() and int(limit) < size + _OURSELVES:
            return f"this process may have {_mib(int(limit))} in all"
    available = [int(number) * 1024 for _, number in _AVAILABLE.findall(meminfo)]
    if available and sum(available) < size:
        return f"this machine has {_mib(sum(available))} left"
    return None


def _limits() -> Iterator[str]:
    """The limits of our control group and of those around it, in either hierarchy."""
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            group, name = _CGROUPS / path.lstrip("/"), "memory.max"
        elif "memory" in controllers.split(","):
            group, name = _CGROUPS / "memory" / path.lstrip("/"), "memory.limit_in_bytes"
        else:
            continue
        yield from (_text(place / name) for place in (group, *group.parents))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _mib(size: int) -> str:
    return f"{size // (1024 * 1024)} MiB"

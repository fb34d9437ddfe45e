"""What the system says of this process, under the names that Prometheus has for it."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

from signerd.observe.exposition import Family, Samples

CPU = Family("process_cpu_seconds_total", "counter", "Processor time, of user and system.")
RESIDENT = Family("process_resident_memory_bytes", "gauge", "Resident memory.")
VIRTUAL = Family("process_virtual_memory_bytes", "gauge", "Virtual memory.")
OPEN_FDS = Family("process_open_fds", "gauge", "Open file descriptors.")
MAX_FDS = Family("process_max_fds", "gauge", "How many file descriptors may be open.")
START = Family("process_start_time_seconds", "gauge", "When the process started.")

_STARTED = time.time()  # the module is loaded as the daemon starts; systemd's sandbox hides the kernel's word
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PROC = Path("/proc/self")


def families() -> Iterator[tuple[Family, Samples]]:
    """As they are now. What a system without /proc does not tell is left out."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    yield CPU, {(): used.ru_utime + used.ru_stime}
    virtual, resident = _memory()
    yield VIRTUAL, _known(virtual)
    yield RESIDENT, _known(resident)
    yield OPEN_FDS, _known(_open_fds())
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield MAX_FDS, _known(None if limit == resource.RLIM_INFINITY else limit)
    yield START, {(): _STARTED}


def _known(value: int | None) -> Samples:
    return {} if value is None else {(): value}


def _memory() -> tuple[int | None, int | None]:
    try:
        pages = (_PROC / "statm").read_text(encoding="ascii").split()
        return int(pages[0]) * _PAGE, int(pages[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return None, None


def _open_fds() -> int | None:
    try:
        return sum(1 for _ in (_PROC / "fd").iterdir()) - 1  # without the one that looks
    except OSError:
        return None

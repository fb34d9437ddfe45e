"""What a process that holds a secret asks of the system: no core dumps, no ptrace, no swap, little memory."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

_PR_SET_DUMPABLE = 4
_CAP_IPC_LOCK = 14
_MADV_DONTNEED_LOCKED = 24  # Linux 5.18
_CODE_OF_A_FILE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) r-xp \S+ \S+ \S+ +/")
_M_ARENA_MAX, _M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -8, -3, -1
_OF_ITS_OWN = 8 * 1024 * 1024
"""Bytes that are taken beside the heap, and given back at once: few messages are as long."""
_KEPT = 32 * 1024 * 1024
"""Bytes that may be free at the heap's end; with more, it gives them back."""
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4


def refuse_core_dumps() -> None:
    """No core file, and no reading of our memory by other processes of the same user (prctl(2))."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE) failed")


def lock_memory() -> str | None:
    """Keep pages out of swap, as they are touched. None on success, else why not, for one log line."""
    if sys.platform != "linux":
        return f"this signer cannot lock memory on {sys.platform}"
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft != resource.RLIM_INFINITY and not may_exceed_limits():
        # With a finite limit, every later allocation and thread beyond it would fail.
        return f"the limit is {soft} bytes (LimitMEMLOCK=infinity in systemd, `ulimit -l` in a shell)"
    libc = ctypes.CDLL(None, use_errno=True)
    # ONFAULT: without it, every thread's whole stack would be made resident and locked.
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0:
        return None
    return os.strerror(ctypes.get_errno())


def may_exceed_limits() -> bool:
    """Whether this process has CAP_IPC_LOCK (capabilities(7))."""
    with Path("/proc/self/status").open("rb") as status:
        for line in status:
            if line.startswith(b"CapEff:"):
                return bool(int(line.split()[1], 16) >> _CAP_IPC_LOCK & 1)
    return False


def share_one_heap() -> None:
    """One heap for all threads, to be called before there are any.

    Each thread of gRPC would keep one of its own, in which the pieces of long messages stay for good: with a
    thousand channels in a node's state, that is a quarter of our memory. And a few free megabytes at its end
    stay ours: to have the kernel give them anew costs as much as reading such a message.

    Without glibc, nothing changes.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 1)
        if libc.mallopt(_M_MMAP_THRESHOLD, _OF_ITS_OWN):
            libc.mallopt(_M_TRIM_THRESHOLD, _KEPT)


def settle_objects() -> None:
    """What is there now stays: the collector of cycles need not look through it again and again.

    It would do so in the middle of a request, every few thousand, and take longer than most of them.
    """
    gc.collect()
    gc.freeze()


def give_back_code() -> None:
    """Let go of the pages of library code that came in while we started: two thirds are not used again.

    The kernel does this by itself when memory is short, but not with memory that is locked. What is needed
    again comes back from the page cache. An older kernel refuses, and nothing changes.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for start, end in _clean_code(Path("/proc/self/smaps").read_text(encoding="utf-8", errors="replace")):
        libc.madvise(start, end - start, _MADV_DONTNEED_LOCKED)


def _clean_code(smaps: str) -> Iterator[tuple[int, int]]:
    """Where the code of files is mapped and nothing was written into it: dropping a written page loses it."""
    mapping: tuple[int, int] | None = None
    for line in smaps.splitlines():
        if not line[:1].isupper():
            found = _CODE_OF_A_FILE.match(line)
            mapping = (int(found[1], 16), int(found[2], 16)) if found else None
        elif mapping and line.startswith("Anonymous:") and line.split()[1] == "0":
            yield mapping

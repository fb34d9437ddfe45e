"""What a process that holds a secret asks of the kernel: no core dumps, no ptrace, no swap."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from pathlib import Path

_PR_SET_DUMPABLE = 4
_CAP_IPC_LOCK = 14
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
    if soft != resource.RLIM_INFINITY and not _may_exceed_limits():
        # With a finite limit, every later allocation and thread beyond it would fail.
        return f"the limit is {soft} bytes (LimitMEMLOCK=infinity in systemd, `ulimit -l` in a shell)"
    libc = ctypes.CDLL(None, use_errno=True)
    # ONFAULT: without it, every thread's whole stack would be made resident and locked.
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0:
        return None
    return os.strerror(ctypes.get_errno())


def _may_exceed_limits() -> bool:
    """Whether this process has CAP_IPC_LOCK (capabilities(7))."""
    with Path("/proc/self/status").open("rb") as status:
        for line in status:
            if line.startswith(b"CapEff:"):
                return bool(int(line.split()[1], 16) >> _CAP_IPC_LOCK & 1)
    return False

"""What a process that holds a secret asks of the kernel: no core dumps, no ptrace, no swap."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import sys

_PR_SET_DUMPABLE = 4
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
    libc = ctypes.CDLL(None, use_errno=True)
    # ONFAULT: without it, every thread's whole stack would be made resident and locked.
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0:
        return None
    number = ctypes.get_errno()
    if number in (errno.ENOMEM, errno.EPERM, errno.EAGAIN):
        soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        return f"the memory lock limit is {soft} bytes (LimitMEMLOCK= in systemd, `ulimit -l` in a shell)"
    return os.strerror(number)

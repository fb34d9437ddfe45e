"""What the process asks of the kernel, asked in a process of its own."""

from __future__ import annotations

import subprocess
import sys

IMPORTS = """
import ctypes, os, resource
from signerd.daemon import hardening
"""
SCRIPT = """
hardening.refuse_core_dumps()
reason = hardening.lock_memory()
print(resource.getrlimit(resource.RLIMIT_CORE))
print([line for line in open("/proc/self/status") if line.startswith("VmLck")][0].split()[1])
print(reason)
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


def run(prelude: str = "") -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS + prelude + SCRIPT],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stdout.splitlines()


def test_core_dumps_are_off_and_memory_is_locked_or_it_says_why_not():
    limits, locked, reason, dumpable = run()
    assert limits == "(0, 0)"
    assert dumpable == "0"
    assert (int(locked) > 0) == (reason == "None")


def test_a_limit_that_is_too_low_is_named():
    drop = (
        "resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
    )
    _, locked, reason, _ = run(drop)
    assert locked == "0"
    assert "65536 bytes" in reason
    assert "LimitMEMLOCK" in reason

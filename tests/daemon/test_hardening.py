"""What the process asks of the kernel, asked in a process of its own."""

from __future__ import annotations

import ctypes
import resource
import subprocess
import sys

import pytest

from signerd.daemon import hardening

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


SMAPS = """\
7f10-7f20 r-xp 00000000 fe:00 1    /usr/lib/libclean.so
Rss:                  64 kB
Anonymous:             0 kB
7f20-7f30 r-xp 00000000 fe:00 1    /usr/lib/librelocated.so
Anonymous:             4 kB
7f30-7f40 r--p 00000000 fe:00 1    /usr/lib/libclean.so
Anonymous:             0 kB
7f40-7f50 rw-p 00000000 00:00 0    [heap]
Anonymous:             0 kB
7f50-7f60 r-xp 00000000 00:00 0    [vdso]
Anonymous:             0 kB
"""


def test_only_code_that_can_be_read_again_is_given_back():
    assert list(hardening._clean_code(SMAPS)) == [(0x7F10, 0x7F20)]


def test_a_process_that_gave_its_code_back_goes_on():
    script = (
        "from signerd.daemon import hardening; import coincurve\n"
        "hardening.lock_memory(); hardening.give_back_code()\n"
        "print(coincurve.PrivateKey(bytes(31) + bytes([1])).public_key.format().hex()[:8])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "0279be66\n"


@pytest.mark.parametrize(("call", "heaps"), [("", 5), ("hardening.share_one_heap()", 1)])
def test_threads_share_one_heap(call, heaps):
    script = (
        "import ctypes, threading\n"
        "from signerd.daemon import hardening\n"
        f"{call}\n"
        "libc, together = ctypes.CDLL(None), threading.Barrier(5)\n"
        "libc.malloc.restype = ctypes.c_void_p\n"
        "def work():\n"
        "    libc.malloc(1000); together.wait(); together.wait()\n"
        "for _ in range(4): threading.Thread(target=work).start()\n"
        "together.wait()\n"
        "libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, 'stdout'))\n"
        "together.wait()\n"
    )
    if not hasattr(ctypes.CDLL(None), "malloc_info"):
        pytest.skip("another C library")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.count("<heap nr=") == heaps


@pytest.mark.parametrize(("call", "anew"), [("", True), ("hardening.share_one_heap()", False)])
def test_a_few_free_megabytes_are_kept_for_the_next_message(call, anew):
    """Counted by page faults: the kernel gives a page only when it is touched."""
    script = (
        "import ctypes, resource\n"
        "from signerd.daemon import hardening\n"
        f"{call}\n"
        "libc, size = ctypes.CDLL(None), 5 << 20\n"
        "libc.malloc.restype = ctypes.c_void_p\n"
        "libc.free.argtypes, libc.memset.argtypes = [ctypes.c_void_p], [ctypes.c_void_p, ctypes.c_int, "
        "ctypes.c_size_t]\n"
        "def message():\n"
        "    pieces = [libc.malloc(size) for _ in range(4)]\n"
        "    for piece in pieces: libc.memset(piece, 1, size)\n"
        "    for piece in reversed(pieces): libc.free(piece)\n"
        "message()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(10): message()\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )
    if not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("another C library")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    pages = 10 * 4 * (5 << 20) // resource.getpagesize()
    assert (int(done.stdout) > pages // 2) is anew

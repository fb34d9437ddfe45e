"""What is said of this process is what the system says."""

from __future__ import annotations

import os
import time

import psutil

from signerd.observe import process


def test_says_what_the_system_says():
    read, write = os.pipe()
    try:
        shown = {family.name: samples for family, samples in process.families()}
    finally:
        os.close(read)
        os.close(write)
    seen = psutil.Process()

    assert shown["process_open_fds"][()] - seen.num_fds() in range(1, 4)
    assert abs(shown["process_resident_memory_bytes"][()] - seen.memory_info().rss) < 8 * 2**20
    assert 0 < shown["process_cpu_seconds_total"][()] <= sum(seen.cpu_times()[:2]) + 0.1
    assert seen.create_time() - 1 < shown["process_start_time_seconds"][()] <= time.time()
    assert shown["process_max_fds"][()] == seen.rlimit(psutil.RLIMIT_NOFILE)[0]

"""A disk that is full or read-only is told before a decision is lost to it; on a real small one."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.greenlight import asynchronous

from signerd.daemon.disk_watch import DiskWatch
from signerd.observe.bus import Bus
from signerd.observe.events import StoreFailing, StoreWell
from signerd.store import disk


@contextmanager
def small_disk(directory: Path):
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(directory)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("cannot mount a tmpfs here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def remount(directory: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(directory)], check=True)


@asynchronous
async def test_tells_of_a_full_disk_and_of_a_read_only_one_once_and_when_it_is_well(tmp_path):
    with small_disk(tmp_path / "disk"):
        store, filler = tmp_path / "disk" / "signerd.db", tmp_path / "disk" / "filler"
        store.write_bytes(b"x")
        told = []
        watch = asyncio.create_task(DiskWatch(store, Bus(told.append)).run(0.001))

        async def until(count: int) -> None:
            async with asyncio.timeout(10):
                while len(told) < count:
                    await asyncio.sleep(0)
            await asyncio.sleep(0.02)
            assert len(told) == count

        await until(0)
        filler.write_bytes(bytes(3_500_000))
        await until(1)
        filler.unlink()
        await until(2)
        remount(tmp_path / "disk", "ro")
        await until(3)
        remount(tmp_path / "disk", "rw")
        await until(4)
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
    assert [type(event) for event in told] == [StoreFailing, StoreWell] * 2
    assert [told[0].reason, told[2].reason] == ["its file system is full", "its file system is read-only"]


def test_a_store_that_is_gone_is_trouble_and_was_never_written(tmp_path):
    assert disk.trouble(tmp_path) is None
    assert disk.trouble(tmp_path / "gone") == "no such file or directory"
    assert disk.last_write(tmp_path / "gone") is None


def test_the_last_write_is_that_of_either_file(tmp_path):
    store = tmp_path / "signerd.db"
    store.write_bytes(b"")
    first = disk.last_write(store)
    (tmp_path / "signerd.db-wal").write_bytes(b"")
    assert first is not None
    assert disk.last_write(store) >= first

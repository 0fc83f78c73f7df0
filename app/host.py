"""The machine: how many cores this process may use, and how it gives memory back."""

import ctypes
import math
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

CGROUP = Path("/sys/fs/cgroup")
CPUINFO = Path("/proc/cpuinfo")
# VNNI of Intel and AMD, and its like of Arm, as the kernel names them.
_BYTE_PRODUCTS = {"avx512_vnni", "avx_vnni", "asimddp"}
_THROTTLED_V1 = ("cpu/cpu.stat", "throttled_time", 1e-9)


def granted_cores(cgroup: Path = CGROUP) -> int:
    """Return the whole cores granted by affinity and by the cgroup's quota, at least 1.

    In a container, `os.cpu_count()` counts the cores of the host. The kernel enforces the quota
    of the cgroup (`cpu.max` in version 2, `cpu.cfs_quota_us` in version 1).
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _quota_v2(cgroup) or _quota_v1(cgroup)
    return max(1, min(cores or 1, math.ceil(quota)) if quota else cores or 1)


def multiplies_bytes(cpuinfo: Path = CPUINFO) -> bool:
    """Return whether the processor can multiply and add integers of 8 bits in one instruction.

    Where the system does not tell, the answer is yes: all of Apple's own processors can.
    """
    try:
        words = set(cpuinfo.read_text().split())
    except OSError:
        return True
    return not words.isdisjoint(_BYTE_PRODUCTS)


def _quota_v2(cgroup: Path) -> float | None:
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)


def _quota_v1(cgroup: Path) -> float | None:
    try:
        quota = int((cgroup / "cpu" / "cpu.cfs_quota_us").read_text())
        period = int((cgroup / "cpu" / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 else None


class Throttling(NamedTuple):
    """What the kernel's CPU limit has done to this container since its start.

    Attributes:
        periods: the periods in which the container ran.
        throttled: those of them in which it used up its limit.
        seconds: how long its processes were stopped, all together.
    """

    periods: int
    throttled: int
    seconds: float


def throttling(cgroup: Path = CGROUP) -> Throttling | None:
    """Return what the cgroup (version 2 or 1) says about throttling; None if it says nothing."""
    for file, key, unit in (("cpu.stat", "throttled_usec", 1e-6), _THROTTLED_V1):
        try:
            lines = (cgroup / file).read_text().splitlines()
            found = {name: int(value) for name, value in map(str.split, lines)}
            return Throttling(found["nr_periods"], found["nr_throttled"], found[key] * unit)
        except (OSError, ValueError, KeyError):
            continue
    return None


# These numbers are defined in glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -3, -4, -8
_MADV_DONTNEED = 4  # Linux's mman.h
# An ordinary photo has no block of this size.
_LARGE_BYTES = 4 * 2**20
_LIBC = ctypes.CDLL(None)


def keep_freed_memory() -> None:
    """Make the allocator keep freed memory, so that the next batch uses the same memory again.

    By default glibc gives large blocks back to the kernel. The page faults that get them again
    take a third of the time of a batch of 8 or more.
    """
    _set(_M_MMAP_MAX, 0)
    _set(_M_TRIM_THRESHOLD, 2**30)


def give_back_large_blocks() -> None:
    """Make the allocator give the memory of large pictures back to the kernel.

    By default glibc raises its threshold with each large block that is freed, and keeps such
    blocks from then on: after two pictures of 50 megapixels at once, the server kept 1.4 GB.
    """
    _set(_M_MMAP_THRESHOLD, _LARGE_BYTES)
    # A lower threshold would give the memory of every ordinary photo back as well.
    _set(_M_TRIM_THRESHOLD, 4 * _LARGE_BYTES)


def share_one_arena() -> None:
    """Let all threads allocate from one arena, because each further one reserves 64 MiB."""
    _set(_M_ARENA_MAX, 1)


def trim() -> None:
    """Give all memory that is free now back to the kernel."""
    if hasattr(_LIBC, "malloc_trim"):
        _LIBC.malloc_trim(0)


def name_process(name: str) -> None:
    """Set the name that `top` and `ps` show, because forks would all have the name of the first."""
    # Only Linux has this file.
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name)


def forget_code() -> None:
    """Let the kernel unmap all machine code; what runs again is read from the page cache again.

    Most of a large library's code runs only while the library is loaded.
    """
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        addresses, rights, _, _, inode, *_ = line.split()
        if rights == "r-xp" and inode != "0":
            start, end = (int(address, 16) for address in addresses.split("-"))
            _LIBC.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)


def _set(parameter: int, value: int) -> None:
    if hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(parameter, value)

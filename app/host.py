"""How many processor cores this process may really use."""

import ctypes
import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def granted_cores(cgroup: Path = CGROUP) -> int:
    """Return the whole cores granted by affinity and by the cgroup's quota, at least 1.

    In a container `os.cpu_count()` is the host's; the quota (version 2 `cpu.max`, version 1
    `cpu.cfs_quota_us`) is what the kernel enforces.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _quota_v2(cgroup) or _quota_v1(cgroup)
    return max(1, min(cores or 1, math.ceil(quota)) if quota else cores or 1)


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


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4  # glibc's malloc.h


_LARGE_BYTES = 4 * 2**20  # above what one block of an ordinary photo takes


_LIBC = ctypes.CDLL(None)


def keep_freed_memory() -> None:
    """Use a batch's memory again for the next one.

    By default large blocks go back to the kernel, and the page faults to get them again cost a
    third of the time of a batch of 8 or more.
    """
    _set(_M_MMAP_MAX, 0)
    _set(_M_TRIM_THRESHOLD, 2**30)


def give_back_large_blocks() -> None:
    """Give a large picture's memory back to the kernel, whatever was asked for before.

    By default the allocator gets used to them: after two of 50 megapixels at once the server kept
    1.4 GB.
    """
    _set(_M_MMAP_THRESHOLD, _LARGE_BYTES)
    _set(_M_TRIM_THRESHOLD, 4 * _LARGE_BYTES)  # else what each photo takes goes back as well


def trim() -> None:
    """Give back what is free now."""
    if hasattr(_LIBC, "malloc_trim"):
        _LIBC.malloc_trim(0)


def _set(parameter: int, value: int) -> None:
    if hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(parameter, value)

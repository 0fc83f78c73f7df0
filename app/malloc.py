"""What glibc's allocator keeps for later, and what it gives back; with another one, nothing."""

import ctypes

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

"""CPU and memory of a server's processes, which are found by the server's port.

The source is /proc of Linux. On other systems, no process is found.
"""

import os
import socket
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
_STATE_LISTEN = "0A"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class _Stat(NamedTuple):
    pid: int
    parent: int
    group: int
    ticks: int
    pages: int


@dataclass(frozen=True)
class Usage:
    """What a process tree uses: CPU seconds since the processes started, resident memory now."""

    cpu_s: float
    rss_bytes: int
    processes: int


def is_local(host: str) -> bool:
    """Tell whether an address belongs to this machine. A socket can be bound only then."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as trial:
            trial.bind(address)
    except OSError:
        return False
    return True


def server_roots(port: int) -> frozenset[int]:
    """Return the ids of the topmost processes of the server on `port`; empty if none is found.

    From the process that holds the listening socket, the search goes up to its parents in the same
    process group, because the listener's parent may have started the workers as well.
    """
    stats = _stats()
    inodes = _listening(port)
    ours = _with_ancestors(os.getpid(), stats)
    holders = {pid for pid in stats if _holds(pid, inodes)} if inodes else set()
    return frozenset(_topmost(pid, stats, ours) for pid in holders - ours)


def usage(roots: Iterable[int]) -> Usage | None:
    """Return what the process trees below `roots` use; None if the roots have ended.

    Linux counts the CPU time of dead children for the parent that waited for them. The difference
    between two readings is therefore complete.
    """
    members = _tree(roots, _stats())
    if not members:
        return None
    ticks, pages = (sum(column) for column in zip(*(m[3:] for m in members), strict=True))
    return Usage(ticks / _TICKS_PER_S, pages * _PAGE_BYTES, len(members))


def descendants(root: int) -> set[int]:
    """Return the ids of a process and of all its living descendants, in any session."""
    return {member.pid for member in _tree({root}, _stats())}


def worker_memory() -> dict[int, int]:
    """Return the bytes that each worker of this process, and each one's zygote, holds of its own.

    What several processes share counts in each one by its share (PSS).
    """
    found = {}
    for pid in descendants(os.getpid()):
        # The process may just have ended.
        with suppress(OSError):
            if (PROC / str(pid) / "comm").read_text().strip() in {"worker", "zygote"}:
                text = (PROC / str(pid) / "smaps_rollup").read_text()
                found[pid] = 1024 * int(text.split("\nPss:")[1].split()[0])
    return found


def machine_cpu_s() -> float | None:
    """Return the CPU seconds that all processes of this machine have used; None if unknown."""
    try:
        fields = (PROC / "stat").read_text().split()[1:9]
    except OSError:
        return None
    # These are the idle time and the time of waiting for a disk, in which no process used a core.
    idle = sum(int(field) for field in fields[3:5])
    return (sum(map(int, fields)) - idle) / _TICKS_PER_S


def _tree(roots: Iterable[int], stats: Mapping[int, _Stat]) -> list[_Stat]:
    tree = {pid for pid in roots if pid in stats}
    grown = bool(tree)
    while grown:
        children = {stat.pid for stat in stats.values() if stat.parent in tree}
        grown = not children <= tree
        tree |= children
    return [stats[pid] for pid in tree]


def _topmost(pid: int, stats: Mapping[int, _Stat], ours: Collection[int]) -> int:
    while True:
        parent = stats.get(stats[pid].parent)
        if parent is None or parent.pid in ours or parent.group != stats[pid].group:
            return pid
        pid = parent.pid


def _with_ancestors(pid: int, stats: Mapping[int, _Stat]) -> set[int]:
    found: set[int] = set()
    while pid in stats and pid not in found:
        found.add(pid)
        pid = stats[pid].parent
    return found


def _stats() -> dict[int, _Stat]:
    found = (_stat(folder) for folder in PROC.glob("[0-9]*"))
    return {stat.pid: stat for stat in found if stat}


def _stat(folder: Path) -> _Stat | None:
    try:
        # The program's name stands in brackets and may have spaces; the fields follow it.
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
    # The process has just ended.
    except OSError:
        return None
    # The fields at 11 to 14 are the user and system time of the process and of its children.
    ticks = sum(int(field) for field in fields[11:15])
    return _Stat(int(folder.name), int(fields[1]), int(fields[2]), ticks, int(fields[21]))


def _listening(port: int) -> set[str]:
    """Return the sockets that listen on a TCP port, by their names in /proc/PID/fd."""
    sockets: set[str] = set()
    for table in (PROC / "net/tcp", PROC / "net/tcp6"):
        lines = table.read_text().splitlines()[1:] if table.exists() else []
        for fields in map(str.split, lines):
            if fields[3] == _STATE_LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                sockets.add(f"socket:[{fields[9]}]")
    return sockets


def _holds(pid: int, sockets: Collection[str]) -> bool:
    try:
        return any(str(fd.readlink()) in sockets for fd in (PROC / str(pid) / "fd").iterdir())
    # The process belongs to another user, or it has just ended.
    except OSError:
        return False

"""What a server's processes use: found by its port, through /proc (Linux; elsewhere nothing)."""

import os
import socket
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
_LISTEN = "0A"
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class _Stat(NamedTuple):
    pid: int
    parent: int
    group: int
    ticks: int
    pages: int


@dataclass(frozen=True)
class Usage:
    """Of a tree of processes: CPU seconds since their start, memory now."""

    cpu_s: float
    rss_bytes: int
    processes: int


def is_local(host: str) -> bool:
    """Tell whether an address is this machine's: one can bind to it."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as trial:
            trial.bind(address)
    except OSError:
        return False
    return True


def server_roots(port: int) -> frozenset[int]:
    """Return the topmost processes of the server that listens on `port`; none where none is seen.

    Those are whoever holds the socket, and up from there its parents of the same process group:
    a listener may be the child of the very process that started the workers beside it.
    """
    stats = _stats()
    inodes = _listening(port)
    ours = _line(os.getpid(), stats)
    holders = {pid for pid in stats if _holds(pid, inodes)} if inodes else set()
    return frozenset(_topmost(pid, stats, ours) for pid in holders - ours)


def usage(roots: Iterable[int]) -> Usage | None:
    """Return what the trees below `roots` use; None when the roots are gone.

    The CPU of children that died and were waited for is in their parents' figures, so that the
    difference between two readings misses nothing.
    """
    members = _tree(roots, _stats())
    if not members:
        return None
    ticks, pages = (sum(column) for column in zip(*(m[3:] for m in members), strict=True))
    return Usage(ticks / _TICKS, pages * _PAGE, len(members))


def descendants(root: int) -> set[int]:
    """Return the process and all that it has started and not yet lost, of whatever session."""
    return {member.pid for member in _tree({root}, _stats())}


def machine_cpu_s() -> float | None:
    """Return the CPU seconds that all processes of this machine have used; None if unknown."""
    try:
        fields = (PROC / "stat").read_text().split()[1:9]
    except OSError:
        return None
    idle = sum(int(field) for field in fields[3:5])  # idle, and waiting for a disk
    return (sum(map(int, fields)) - idle) / _TICKS


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


def _line(pid: int, stats: Mapping[int, _Stat]) -> set[int]:
    """Return a process and all its ancestors."""
    line: set[int] = set()
    while pid in stats and pid not in line:
        line.add(pid)
        pid = stats[pid].parent
    return line


def _stats() -> dict[int, _Stat]:
    found = (_stat(folder) for folder in PROC.glob("[0-9]*"))
    return {stat.pid: stat for stat in found if stat}


def _stat(folder: Path) -> _Stat | None:
    try:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()  # a name may hold spaces
    except OSError:
        return None  # it has just ended
    ticks = sum(int(field) for field in fields[11:15])  # user, system, and the children's
    return _Stat(int(folder.name), int(fields[1]), int(fields[2]), ticks, int(fields[21]))


def _listening(port: int) -> set[str]:
    """Return the sockets that listen on a TCP port, as they are called in /proc/PID/fd."""
    sockets: set[str] = set()
    for table in (PROC / "net/tcp", PROC / "net/tcp6"):
        lines = table.read_text().splitlines()[1:] if table.exists() else []
        for fields in map(str.split, lines):
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                sockets.add(f"socket:[{fields[9]}]")
    return sockets


def _holds(pid: int, sockets: Collection[str]) -> bool:
    try:
        return any(str(fd.readlink()) in sockets for fd in (PROC / str(pid) / "fd").iterdir())
    except OSError:
        return False  # another user's, or it has just ended

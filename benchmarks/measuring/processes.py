"""Processor seconds and memory of a process and all below it, as the kernel counts them in /proc."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

_TICKS = os.sysconf("SC_CLK_TCK")
_SECONDS_BETWEEN_SAMPLES = 0.05
# Fields of /proc/PID/stat behind the command's name: utime, stime, cutime, cstime.
_CPU_FIELDS = slice(11, 15)
_MEMORY = ("Pss_Anon:", "Pss_File:", "SwapPss:")


def tree(pid: int) -> Iterator[int]:
    """The process and all below it."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return
    for child in children:
        yield from tree(int(child))


def cpu_seconds(pid: int) -> float:
    """Of the process, all below it, and those of them that have ended."""
    ticks = 0
    for member in tree(pid):
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += sum(int(field) for field in fields[_CPU_FIELDS])
    return ticks / _TICKS


def memory_bytes(pid: int) -> int:
    """Of the process and all below it: what is theirs, with shared files by share, and without shared memory, which for
    PostgreSQL is its buffers."""
    kilobytes = 0
    for member in tree(pid):
        try:
            lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith(_MEMORY))
    return kilobytes * 1024


class PeakMemory:
    """While it lasts, the most memory that the trees of processes had together, looked at twenty times a second."""

    def __init__(self, *pids: int) -> None:
        self.bytes = 0
        self._pids = pids
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._is_over.wait(_SECONDS_BETWEEN_SAMPLES):
            self.bytes = max(self.bytes, sum(memory_bytes(pid) for pid in self._pids))

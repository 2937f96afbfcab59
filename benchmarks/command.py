"""The whole command, from the start of its process to its end, untouched and unprofiled."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import IO

from benchmarks.databases import execute
from benchmarks.measuring.processes import PeakMemory, cpu_seconds
from benchmarks.plan import Measured, Plan

ROOT = Path(__file__).parents[1]


def run_command(
    arguments: Sequence[str | Path], environment: Mapping[str, str], postmaster: int, is_watched: bool = False
) -> Measured:
    """Run the program to its end; returns what it took, the server's part included. Nobody sees its output.

    is_watched: whether to measure its memory. To look takes processor time, the more the larger a process is, so the seconds of
    such a run mean nothing. Raises RuntimeError with the end of its errors if it fails.
    """
    with tempfile.TemporaryFile("w+") as errors:
        before, started = cpu_seconds(postmaster), time.perf_counter()
        process = subprocess.Popen(
            arguments, env={**os.environ, **environment}, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors
        )
        with PeakMemory(process.pid, postmaster) if is_watched else nullcontext() as peak:
            _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        cpu = usage.ru_utime + usage.ru_stime + cpu_seconds(postmaster) - before
        if status != 0:
            raise RuntimeError(failure(arguments, errors))
        return Measured(wall, cpu, memory=peak.bytes if peak else 0)


def failure(arguments: Sequence[str | Path], errors: IO[str]) -> str:
    """What to say of a program that failed, with the end of its errors."""
    errors.seek(0)
    # The first arguments say what it was; others may hold a URL with its password.
    return f"{' '.join(map(str, arguments[:4]))} failed: {errors.read()[-2000:]}"


def run_backfill(plan: Plan, environment: Mapping[str, str], is_watched: bool = False) -> Measured:
    """`health-pipeline backfill` over the range; stages: start-up is all that lies outside of its Dagster runs."""
    program = Path(sys.executable).with_name("health-pipeline")
    arguments: list[str | Path] = [
        program,
        "backfill",
        "--from",
        plan.first,
        "--to",
        plan.last,
        "--only",
        "tenant_health",
    ]
    measured = run_command(arguments, environment, plan.postmaster, is_watched)
    ((in_runs,),) = execute(plan.dagster, "SELECT end_time - start_time FROM runs ORDER BY id DESC LIMIT 1")
    stages = {"start-up": measured.wall - float(in_runs), "Dagster run": float(in_runs)}
    measured.stages = {name: {"wall": wall} for name, wall in stages.items()}
    return measured

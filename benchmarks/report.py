"""The results as a Markdown document: the machine, the data, the times as ratios to the peers, the stages."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

from benchmarks.databases import execute
from benchmarks.runner import COMMAND, DBT, FLOOR, PIPELINE, SQL, Result

_SETTINGS = (
    *("server_version", "shared_buffers", "work_mem", "fsync", "synchronous_commit", "max_wal_size"),
    *("max_parallel_workers_per_gather", "jit"),
)
# What the goals are about: the pipeline's own work on the data, without Dagster's.
_WORK = ("read", "check rows", "compute", "validate", "write")
_STAGES = (*_WORK, "migrate", "asset checks", "Dagster")


def markdown(server_url: str, results: Sequence[Result]) -> str:
    """The document. All seconds are medians of the repeats; ratios are of medians."""
    parts = [
        _machine(server_url),
        "### Wall seconds, and as ratios",
        _table(_OVERVIEW, (_overview(result) for result in results)),
        "work: read, check rows, compute, validate and write, in a warm process; job: the whole Dagster run there; command: the"
        " whole process.",
        "### Stages of the job in a warm process: wall / processor seconds",
        _table(["size", "days", *_STAGES, "all"], (_stages(result) for result in results)),
        "A stage's processor seconds are those of this process and of the server together.",
        "### The whole command, and the peers' parts: wall seconds",
        _table(_PARTS, (_parts(result) for result in results)),
        "### Processor seconds and peak memory of all processes (without shared memory), rows",
        _table(_COSTS, (row for result in results for row in _costs(result))),
    ]
    return "\n\n".join(parts) + "\n"


_OVERVIEW = [
    *("size", "history", "days", "floor", "SQL", "dbt", "work", "job", "command"),
    *("work / floor", "work / SQL", "command / dbt", "differing rows"),
]
_PARTS = ["size", "days", "start-up", "Dagster run", "floor: read", "floor: write"]
_COSTS = ["size", "days", "what", "runs", "wall, fastest to slowest", "processor", "MB", "rows"]


def _machine(server_url: str) -> str:
    settings = [f"{name} {execute(server_url, f'SHOW {name}')[0][0]}" for name in _SETTINGS]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    return (
        f"{len(os.sched_getaffinity(0))} cores ({cpu}), {memory:.0f} GB, Python {platform.python_version()};"
        f" PostgreSQL: {', '.join(settings)}. Load at the end: {os.getloadavg()[0]:.1f}."
    )


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines()


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _overview(result: Result) -> list[str]:
    floor, sql, dbt, command, job = (_wall(result, kind) for kind in (FLOOR, SQL, DBT, COMMAND, PIPELINE))
    work = sum(_stage(result, name, "wall") or 0.0 for name in _WORK)
    ratios = [_ratio(work, floor), _ratio(work, sql), _ratio(command, dbt)]
    seconds = [_seconds(value) for value in (floor, sql, dbt, work, job, command)]
    differing = str(result.differing_rows)
    return [result.dataset.size.name, f"{result.dataset.days} days", str(result.days), *seconds, *ratios, differing]


def _stages(result: Result) -> list[str]:
    cells = []
    for name in _STAGES:
        wall, cpu = (_stage(result, name, cost) for cost in ("wall", "cpu"))
        cells.append(f"{_seconds(wall)} / {_seconds(cpu)}")
    runs = result.runs[PIPELINE]
    total = f"{_seconds(median(run.wall for run in runs))} / {_seconds(median(run.cpu for run in runs))}"
    return [result.dataset.size.name, str(result.days), *cells, total]


def _parts(result: Result) -> list[str]:
    parts = [(COMMAND, "start-up"), (COMMAND, "Dagster run"), (FLOOR, "read"), (FLOOR, "write")]
    cells = [_seconds(_stage(result, name, "wall", kind)) for kind, name in parts]
    return [result.dataset.size.name, str(result.days), *cells]


def _costs(result: Result) -> Iterable[list[str]]:
    for kind, runs in result.runs.items():
        walls = sorted(run.wall for run in runs)
        yield [
            result.dataset.size.name,
            str(result.days),
            kind,
            str(len(runs)),
            f"{_seconds(walls[0])} to {_seconds(walls[-1])}",
            _seconds(median(run.cpu for run in runs)),
            f"{result.memory[kind] / 1e6:.0f}" if kind in result.memory else "",
            ", ".join(f"{name} {count:,}" for name, count in runs[-1].rows.items()),
        ]


def _wall(result: Result, kind: str) -> float | None:
    runs = result.runs.get(kind)
    return median(run.wall for run in runs) if runs else None


def _stage(result: Result, name: str, cost: str, kind: str = PIPELINE) -> float | None:
    found = [run.stages[name][cost] for run in result.runs.get(kind, []) if name in run.stages]
    return median(found) if found else None


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _ratio(value: float | None, base: float | None) -> str:
    return "" if value is None or base is None else f"{value / base:.2f}"

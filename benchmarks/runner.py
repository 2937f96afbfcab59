"""One benchmark after the other: data, deployment, the pipeline warm and as a command, and its peers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from benchmarks.command import run_backfill
from benchmarks.compare import differing_rows
from benchmarks.data.load import loaded_database
from benchmarks.data.sizes import LAST_DAY, Dataset
from benchmarks.databases import drop, postmaster, recreate, url_of
from benchmarks.measuring.processes import PeakMemory
from benchmarks.peers.dbt import DBT_SCHEMA, run_dbt
from benchmarks.peers.handwritten import PEER_SCHEMA
from benchmarks.pipeline import restore_warehouse
from benchmarks.plan import Measured, Plan
from benchmarks.told_worker import worker

_WAREHOUSE, _PREPARED, _DAGSTER = "bench_warehouse", "bench_prepared", "bench_dagster"
PIPELINE, COMMAND, FLOOR, SQL, DBT = "pipeline", "command", "floor", "SQL", "dbt"


@dataclass(frozen=True)
class Options:
    """cache: where data is kept. has_unique_events: see loaded_database. dbt: the program to compare nights with, if any.
    skipped: which of FLOOR, SQL and COMMAND are left out.
    """

    cache: Path
    repeats: int = 3
    has_unique_events: bool = True
    dbt: Path | None = None
    skipped: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Result:
    """What a range of `days` days took, each way so many times: kind -> runs. differing: peer -> differing_rows.

    memory: kind -> bytes at the peak of one more run.
    """

    dataset: Dataset
    days: int
    runs: dict[str, list[Measured]]
    differing: dict[str, dict[str, int]]
    memory: dict[str, int]

    @property
    def differing_rows(self) -> int:
        return sum(count for tables in self.differing.values() for count in tables.values())


def benchmark(server_url: str, dataset: Dataset, days: int, options: Options, tell: Callable[[str], None]) -> Result:
    """Measure the last `days` days of the data. server_url: of a database of the server, whose owner may make others.

    Data that isn't there yet is made first. Raises RuntimeError where a run fails.
    """
    tell(f"{dataset.name}: data")
    with deployment(server_url, dataset, days, options) as plan:
        return measured(plan, dataset, options, tell)


@contextmanager
def deployment(server_url: str, dataset: Dataset, days: int, options: Options) -> Iterator[Plan]:
    """The data with a warehouse and Dagster's storage of its own, which are dropped at the end."""
    source = loaded_database(server_url, dataset, options.cache, has_unique_events=options.has_unique_events)
    yield Plan(
        server=url_of(server_url, "postgres"),
        postmaster=postmaster(server_url),
        source=source,
        warehouse=recreate(server_url, _WAREHOUSE),
        prepared=_PREPARED,
        dagster=recreate(server_url, _DAGSTER),
        first=(LAST_DAY - timedelta(days=days - 1)).isoformat(),
        last=LAST_DAY.isoformat(),
        repeats=options.repeats,
    )
    for name in (_WAREHOUSE, _PREPARED, _DAGSTER):
        drop(server_url, name)


def measured(plan: Plan, dataset: Dataset, options: Options, tell: Callable[[str], None]) -> Result:
    """What the plan takes, the pipeline's way and its peers'."""
    environment = _environment(plan, dataset, options)
    days = len(plan.days)
    kinds = [kind for kind in (PIPELINE, FLOOR, SQL) if kind not in options.skipped]
    tell(f"{dataset.name}: {days} days, memory")
    memory = {kind: _peak_memory(kind, plan, environment) for kind in kinds}
    tell(f"{dataset.name}: {days} days, {', '.join(kinds)} by turns")
    runs = _by_turns(kinds, plan, environment)
    differing = {SQL: differing_rows(plan, PEER_SCHEMA)} if SQL in runs else {}
    if options.dbt is not None and days == 1:
        tell(f"{dataset.name}: {days} days, {DBT}")
        runs[DBT] = run_dbt(options.dbt, plan, options.cache / "dbt")
        differing[DBT] = differing_rows(plan, DBT_SCHEMA)
    if COMMAND not in options.skipped:
        tell(f"{dataset.name}: {days} days, {COMMAND}")
        memory[COMMAND] = _whole_command(plan, environment, is_watched=True).memory
        runs[COMMAND] = [_whole_command(plan, environment) for _ in range(options.repeats)]
    return Result(dataset, days, runs, differing, memory)


def _environment(plan: Plan, dataset: Dataset, options: Options) -> dict[str, str]:
    return {
        "HEALTH_SOURCE_URL": plan.source,
        "HEALTH_WAREHOUSE_URL": plan.warehouse,
        "HEALTH_DAGSTER_URL": plan.dagster,
        "HEALTH_HOME": str(options.cache / "deployment"),
        "HEALTH_START_DATE": (LAST_DAY - timedelta(days=dataset.days)).isoformat(),
        "DAGSTER_HOME": "",
    }


def _whole_command(plan: Plan, environment: dict[str, str], is_watched: bool = False) -> Measured:
    restore_warehouse(plan)
    return run_backfill(plan, environment, is_watched)


def _peak_memory(kind: str, plan: Plan, environment: dict[str, str]) -> int:
    with worker(kind, plan, environment) as one, PeakMemory(one.process.pid, plan.postmaster) as peak:
        one.run()
    return peak.bytes


def _by_turns(kinds: Sequence[str], plan: Plan, environment: dict[str, str]) -> dict[str, list[Measured]]:
    """Each kind once, and again: a machine that is slower for a while is so for all of them."""
    runs: dict[str, list[Measured]] = {kind: [] for kind in kinds}
    with ExitStack() as closing:
        workers = {kind: closing.enter_context(worker(kind, plan, environment)) for kind in kinds}
        for _ in range(plan.repeats):
            for kind, one in workers.items():
                runs[kind].append(one.run())
    return runs

"""What the assets of all systems share: a system is one step, so that it reads its source once and commits its tables
together; each of its tables is an asset of its own."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import dagster as dg

from health_pipeline.connections import resolved_urls
from health_pipeline.days import DayRange
from health_pipeline.errors import EngineMemoryError, UserError
from health_pipeline.orchestration.metadata import facts_metadata, table_metadata
from health_pipeline.orchestration.partitions import MAX_PARTITIONS_PER_RUN, run_days
from health_pipeline.settings import now, read_settings
from health_pipeline.systems.common import ReadFacts
from health_pipeline.systems.context import RunContext
from health_pipeline.tables.declare import Table
from health_pipeline.warehouse.migrate import migrate
from health_pipeline.warehouse.transient import is_transient

OWNERS = ["team:data-engineering"]
TENANT_TAG = "health/tenant"
# Only transient errors get here (run_errors): a retry has no delay of its own, so the policy waits 5, 10 and 20 seconds.
RETRIES = dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL)


@dataclass(frozen=True)
class TableAsset:
    """A table as an asset: what it is computed from, and why anybody wants it."""

    table: Table
    deps: Sequence[dg.AssetKey | dg.AssetDep]
    why: str


@dataclass(frozen=True)
class Outcome:
    """What a run of a system tells: facts of the whole run, and figures per table and partition. Counts only."""

    facts: ReadFacts
    per_partition: Mapping[str, Mapping[date, Mapping[str, Any]]]


Run = Callable[[RunContext, DayRange, frozenset[str], str | None], Outcome]


def system_assets(
    name: str, assets: Sequence[TableAsset], partitions: dg.PartitionsDefinition[str], run: Run
) -> dg.AssetsDefinition:
    """The assets of a system, materialised by one call of `run` for all partitions of a Dagster run."""

    @dg.multi_asset(
        name=name,
        specs=[_spec(asset, partitions) for asset in assets],
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.multi_run(MAX_PARTITIONS_PER_RUN),
        retry_policy=RETRIES,
    )
    def system(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None] | dg.AssetObservation]:
        started = time.monotonic()
        names = frozenset(key.to_user_string() for key in context.selected_asset_keys)
        tenant = context.run.tags.get(TENANT_TAG)
        with run_errors():
            outcome = outcome_of(run, run_context(context.run_id), run_days(context), names, tenant)
        shared = {**facts_metadata(outcome.facts), "duration_seconds": round(time.monotonic() - started, 3)}
        for asset in assets:
            if asset.table.name not in names:
                continue
            if tenant is not None:
                # It left the rest of the partition as it was, so it doesn't count as having materialised it.
                yield dg.AssetObservation(asset_key=asset.table.name, metadata=shared)
                continue
            for day, figures in outcome.per_partition.get(asset.table.name, {}).items():
                context.add_asset_metadata(figures, asset_key=asset.table.name, partition_key=day.isoformat())
            yield dg.MaterializeResult(asset_key=asset.table.name, metadata=shared)

    return system


def outcome_of(run: Run, context: RunContext, days: DayRange, names: frozenset[str], tenant: str | None) -> Outcome:
    """What the run gives; it is begun again with more memory where its engine had too little."""
    while True:
        try:
            return run(context, days, names, tenant)
        except EngineMemoryError:
            more = context.with_more_memory()
            if more is None:
                raise
            context = more


def _spec(asset: TableAsset, partitions: dg.PartitionsDefinition[str]) -> dg.AssetSpec:
    return dg.AssetSpec(
        asset.table.name,
        deps=asset.deps,
        description=f"{asset.table.grain}\n\n{asset.why}",
        group_name=asset.table.group,
        owners=OWNERS,
        kinds={"postgres", "duckdb"},
        metadata=table_metadata(asset.table),
        partitions_def=partitions,
        skippable=True,
    )


def run_context(run_id: str) -> RunContext:
    """The context of a run; the warehouse is brought to this version first."""
    settings = read_settings()
    urls = resolved_urls(settings)
    migrate(urls.warehouse)
    return RunContext.of(settings, urls.source, urls.warehouse, run_id, now())


@contextmanager
def run_errors() -> Iterator[None]:
    """Transient errors go to the retry policy; anything else would fail again, so it fails the run at once."""
    try:
        yield
    except Exception as error:
        if is_transient(error):
            raise
        # A user's error is told in its own words; a fault of ours keeps its traceback as the cause.
        cause = None if isinstance(error, UserError) else error
        text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        raise dg.Failure(description=text, allow_retries=False) from cause

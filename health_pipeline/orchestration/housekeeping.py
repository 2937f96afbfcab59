"""Housekeeping: what is kept for a time only. Dagster itself drops old ticks (dagster.yaml), but no runs."""

from datetime import datetime, timedelta

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES

from health_pipeline.connections import resolved_urls
from health_pipeline.orchestration.system_assets import RETRIES, run_errors
from health_pipeline.settings import now, read_settings
from health_pipeline.warehouse.months import analyse_tables_by_month
from health_pipeline.warehouse.retention import thin_feature_adoption

HOUSEKEEPING = "housekeeping"
DAYS_RUNS_ARE_KEPT = 90
_OF_PARTITIONS = (dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)


@dg.op(retry_policy=RETRIES)
def tidy_up(context: dg.OpExecutionContext) -> None:
    """Deletes old runs with their logs, and rows that HEALTH_FEATURE_ADOPTION_DAYS doesn't keep; refreshes statistics."""
    settings, clock = read_settings(), now()
    deleted = delete_old_runs(context.instance, clock - timedelta(days=DAYS_RUNS_ARE_KEPT))
    thinned = 0
    with run_errors():
        warehouse = resolved_urls(settings).warehouse
        if settings.feature_adoption_days is not None:
            thinned = thin_feature_adoption(warehouse, settings.feature_adoption_days, settings.last_day(clock))
        analyse_tables_by_month(warehouse)
    context.add_output_metadata({"runs_deleted": deleted, "feature_adoption_rows_deleted": thinned})


@dg.job(
    name=HOUSEKEEPING,
    description="Deletes old runs that say nothing about any day's state, and rows not kept; refreshes the server's statistics.",
)
def housekeeping_job() -> None:
    """One step."""
    tidy_up()


def delete_old_runs(instance: dg.DagsterInstance, ended_before: datetime) -> int:
    """Delete runs that ended before then, with their events and captured output; returns how many.

    A run stays for as long as it is the newest over any partition, or holds the newest result of a check or the newest
    observation of an asset: without it a day would count as missing, or a failed one as never requested.
    """
    newest = _newest_of_partitions(instance)
    finished = dg.RunsFilter(statuses=list(FINISHED_STATUSES), created_before=ended_before)
    deleted = 0
    for record in instance.get_run_records(filters=finished):
        run_id = record.dagster_run.run_id
        if record.end_time is None or record.end_time >= ended_before.timestamp():
            continue
        if not _is_needed(instance, run_id, newest):
            instance.delete_run(run_id)
            instance.compute_log_manager.delete_logs(prefix=[run_id])
            deleted += 1
    return deleted


def _newest_of_partitions(instance: dg.DagsterInstance) -> set[int]:
    """The storage ids of the newest events of every partition, and of the newest observation of every asset."""
    keys = instance.all_asset_keys()
    events = {
        event
        for key in keys
        for kind in _OF_PARTITIONS
        for event in instance.event_log_storage.get_latest_storage_id_by_partition(key, kind).values()
    }
    return events | {record.storage_id for key in keys for record in instance.fetch_observations(key, limit=1).records}


def _is_needed(instance: dg.DagsterInstance, run_id: str, newest: set[int]) -> bool:
    kinds = {*_OF_PARTITIONS, dg.DagsterEventType.ASSET_OBSERVATION, dg.DagsterEventType.ASSET_CHECK_EVALUATION}
    records = instance.get_records_for_run(run_id, of_type=kinds).records
    if any(record.storage_id in newest for record in records):
        return True
    checks = {
        record.event_log_entry.get_dagster_event().asset_check_evaluation_data.asset_check_key
        for record in records
        if record.event_log_entry.dagster_event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
    }
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(checks))
    return any(execution.run_id == run_id for execution in latest.values())

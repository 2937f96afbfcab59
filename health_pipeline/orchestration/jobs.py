"""The nightly jobs and their schedules: a job for the tables by day, one for those by Sunday, as a run has one kind of
partition."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from health_pipeline.settings import Settings
from health_pipeline.tables.catalogue import TABLES

NIGHTLY = "nightly"
NIGHTLY_SUNDAYS = "nightly_sundays"
JOB_OF_CADENCE = {"daily": NIGHTLY, "weekly": NIGHTLY_SUNDAYS}
# Two in the morning: the day is over in the zone, and late facts of the evening have come in.
_EVERY_NIGHT = "0 2 * * *"
_SUNDAY_NIGHT = "0 2 * * 0"


def nightly_jobs() -> list[UnresolvedAssetJobDefinition]:
    """All tables of the partition that ended last, by day and by Sunday."""
    return [
        _job(NIGHTLY, "daily", "The daily tables of the day that has just ended."),
        _job(NIGHTLY_SUNDAYS, "weekly", "The weekly tables of the week that has just ended."),
    ]


def _job(name: str, cadence: str, description: str) -> UnresolvedAssetJobDefinition:
    tables = [table.name for table in TABLES.values() if table.cadence == cadence]
    # A group of assets in one step brings its checks along.
    return dg.define_asset_job(name, selection=dg.AssetSelection.assets(*tables), description=description)


def nightly_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """Each requests the partition that has just ended, once whatever happened before."""

    @dg.schedule(
        name=NIGHTLY,
        job_name=NIGHTLY,
        cron_schedule=_EVERY_NIGHT,
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Every night, the day before.",
    )
    def nightly(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        day = (context.scheduled_execution_time - timedelta(days=1)).date().isoformat()
        yield dg.RunRequest(run_key=day, partition_key=day)

    @dg.schedule(
        name=NIGHTLY_SUNDAYS,
        job_name=NIGHTLY_SUNDAYS,
        cron_schedule=_SUNDAY_NIGHT,
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="In the night to Sunday, the week that has just ended; its partition is that Sunday.",
    )
    def nightly_sundays(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        sunday = context.scheduled_execution_time.date().isoformat()
        yield dg.RunRequest(run_key=sunday, partition_key=sunday)

    return [nightly, nightly_sundays]

"""The nightly job and its schedule."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from health_pipeline.settings import Settings
from health_pipeline.tables.catalogue import GROUPS

NIGHTLY = "nightly"
# Two in the morning: the day is over everywhere in the zone, and late facts of the evening have come in.
NIGHTLY_CRON = "0 2 * * *"


def nightly_job() -> UnresolvedAssetJobDefinition:
    """All daily tables of the day that ended last."""
    return dg.define_asset_job(
        NIGHTLY,
        selection=dg.AssetSelection.groups(*GROUPS),
        description="The daily tables of the day that has just ended.",
    )


def nightly_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """Requests yesterday's partition once, whatever happened before."""

    @dg.schedule(
        name=NIGHTLY,
        job_name=NIGHTLY,
        cron_schedule=NIGHTLY_CRON,
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Every night, the day before.",
    )
    def nightly(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        day = (context.scheduled_execution_time - timedelta(days=1)).date().isoformat()
        yield dg.RunRequest(run_key=day, partition_key=day)

    return nightly

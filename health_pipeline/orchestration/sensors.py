"""The sensor of missed nights: it requests what no schedule will, after the daemon or the machine was down."""

from collections.abc import Sequence
from datetime import date, datetime
from enum import Enum

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    TickStatus,
)

from health_pipeline.orchestration.jobs import NIGHTLY_JOB_DEFINITIONS
from health_pipeline.orchestration.nights import MISSED_NIGHTS, NIGHTLY_JOBS, DueNight, NightlyJob, missed_nights
from health_pipeline.orchestration.partitions import range_tags
from health_pipeline.settings import Settings, now, read_settings


@dg.sensor(
    name=MISSED_NIGHTS,
    jobs=NIGHTLY_JOB_DEFINITIONS,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Requests the nights that were missed, oldest first and each once, of the last 90. Does nothing for a nightly job"
        " whose schedule is turned off, and makes up for those nights once it is turned on."
    ),
)
def missed_nights_sensor(context: dg.SensorEvaluationContext) -> Sequence[dg.RunRequest] | dg.SkipReason:
    """Looks once a minute."""
    settings, clock = read_settings(), now()
    requests = [request for job in NIGHTLY_JOBS for request in _requests(context.instance, settings, job, clock)]
    return requests or dg.SkipReason("no night was missed")


def _requests(
    instance: dg.DagsterInstance, settings: Settings, job: NightlyJob, clock: datetime
) -> list[dg.RunRequest]:
    night = job.due(settings, clock)
    # Looked at before the runs: what the schedule requests in between is then found there.
    newest_is = _who_takes(instance, job, night)
    if newest_is == Taker.NOBODY:
        return []
    missed: set[date] = missed_nights(instance, settings, job, night.newest)
    if newest_is == Taker.SCHEDULE:
        missed -= {night.newest}
    # A missed night restated days, too: what came late for them hasn't been seen.
    days = {day for night_of in missed for day in job.partitions_of(night_of, settings)}
    return [
        dg.RunRequest(run_key=f"{job.name} {run.first} to {run.last}", job_name=job.name, tags=range_tags(run))
        for run in job.ranges(days)
    ]


class Taker(Enum):
    """Who requests the newest night that is due."""

    SCHEDULE = "schedule"
    SENSOR = "sensor"
    NOBODY = "nobody"


def _who_takes(instance: dg.DagsterInstance, job: NightlyJob, night: DueNight) -> Taker:
    """The schedule, exactly when Dagster's scheduler runs the night's tick, or did: it runs the newest one since the
    schedule was turned on or last looked at. Nobody where a person turned the schedule off."""
    states = [
        state
        for state in instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE)
        if state.instigator_name == job.name
    ]
    if any(state.status == InstigatorStatus.STOPPED for state in states):
        return Taker.NOBODY
    is_taken = any(_runs_tick(instance, state, night.since.timestamp()) for state in states)
    return Taker.SCHEDULE if is_taken else Taker.SENSOR


def _runs_tick(instance: dg.DagsterInstance, state: InstigatorState, at: float) -> bool:
    """Whether the scheduler is going to run the tick of that instant, by what it has noted down itself."""
    noted = state.instigator_data
    if not isinstance(noted, ScheduleInstigatorData):
        return False
    if at < max(noted.start_timestamp or 0, noted.last_iteration_timestamp or 0):
        return False
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
    if not ticks or ticks[0].timestamp < at:
        return True
    # A tick that was interrupted is run again, and so is one that found no code server; one that failed otherwise isn't.
    last = ticks[0]
    is_begun = last.status == TickStatus.STARTED or (last.status == TickStatus.FAILURE and last.failure_count == 0)
    return last.timestamp == at and is_begun

"""Nights: which partitions a night computes, when it is due, and which nights nobody has requested.

What belongs here: the rules that the schedules and the sensor of missed nights share. What does not: requesting runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import dagster as dg
from dagster._core.definitions.assets.job.asset_job import IMPLICIT_ASSET_JOB_NAME
from dagster._utils.schedules import get_latest_completed_cron_tick

from health_pipeline.days import DayRange, sunday_of
from health_pipeline.orchestration.partition_states import PartitionStates, partition_states
from health_pipeline.orchestration.partitions import MAX_PARTITIONS_PER_RUN, tagged_range
from health_pipeline.orchestration.system_assets import TENANT_TAG
from health_pipeline.settings import Settings
from health_pipeline.tables.catalogue import TABLES


@dataclass(frozen=True)
class DueNight:
    """A night whose hour has come. newest: its newest partition. since: the instant of the schedule's tick."""

    newest: date
    since: datetime


@dataclass(frozen=True)
class NightlyJob:
    """A job of every night or of every Sunday night; its schedule has the same name.

    days_apart: between two partitions. days_back: from the date of the night to its newest partition.
    """

    name: str
    cadence: str
    cron: str
    days_apart: int
    days_back: int
    description: str

    def due(self, settings: Settings, clock: datetime) -> DueNight:
        """The newest night that is due, by Dagster's own reading of the hour where clocks are moved."""
        tick = get_latest_completed_cron_tick(self.cron, clock, settings.timezone)
        return DueNight(tick.date() - timedelta(days=self.days_back), tick)

    def first_partition(self, settings: Settings) -> date:
        """The partition of HEALTH_START_DATE, or of the first Sunday from then on."""
        start = settings.start_date
        return start if self.days_apart == 1 else sunday_of(start + timedelta(days=6))

    def partitions_of(self, newest: date, settings: Settings) -> list[date]:
        """What the night computes, oldest first: the partitions of the restated days, and the newest. Empty before the
        first partition."""
        restated = -(-settings.restate_days // self.days_apart)
        first = self.first_partition(settings)
        partitions = [newest - timedelta(days=self.days_apart * back) for back in range(restated, -1, -1)]
        return [partition for partition in partitions if partition >= first]

    def ranges(self, partitions: Iterable[date]) -> list[DayRange]:
        """The partitions as ranges without a gap, oldest first, none longer than a run may be."""
        result: list[list[date]] = []
        for partition in sorted(set(partitions)):
            is_next = result and partition - result[-1][-1] == timedelta(days=self.days_apart)
            if is_next and len(result[-1]) < MAX_PARTITIONS_PER_RUN:
                result[-1].append(partition)
            else:
                result.append([partition])
        return [DayRange(run[0], run[-1]) for run in result]


DAILY = NightlyJob(
    "nightly", "daily", "0 2 * * *", 1, 1, "The daily tables of the day that has just ended, and of the days before it."
)
WEEKLY = NightlyJob(
    "nightly_sundays",
    "weekly",
    "0 2 * * 0",
    7,
    0,
    "The weekly tables of the week that has just ended, and of the weeks that restated days lie in.",
)
NIGHTLY_JOBS = (DAILY, WEEKLY)
MISSED_NIGHTS = "missed_nights"


def missed_nights(instance: dg.DagsterInstance, settings: Settings, job: NightlyJob, newest: date) -> set[date]:
    """Partitions up to `newest` that are not there and that no run was ever for, of the last MAX_PARTITIONS_PER_RUN nights.

    A partition is missed where one table of the job lacks it. One whose run failed or was cancelled isn't missed: somebody
    has to look at it.
    """
    oldest = newest - timedelta(days=job.days_apart * (MAX_PARTITIONS_PER_RUN - 1))
    missing = {
        name: {day for day in states.missing if day >= oldest}
        for name, states in _states(instance, settings, job, newest).items()
    }
    if not any(missing.values()):
        return set()
    # Before a partition is offered, no run can be for it.
    oldest = min(day for days in missing.values() for day in days)
    since = settings.calendar.start(oldest + timedelta(days=job.days_back))
    for run in _runs_for_partitions(instance, job, since):
        for name, days in missing.items():
            if run.asset_selection is None or dg.AssetKey(name) in run.asset_selection:
                days.difference_update(_days_of(run))
    return set().union(*missing.values())


def days_of_schedule(
    instance: dg.DagsterInstance, settings: Settings, job: NightlyJob, night: DueNight
) -> DayRange | None:
    """What the schedule requests: the newest partition with those it restates. None: nothing is left to request.

    It begins after those that are the missed nights' sensor's, or have just been. Partitions right before the restated ones
    whose last run failed come along, as many as are restated: otherwise a failed night would leave one behind for good.
    """
    partitions = job.partitions_of(night.newest, settings)
    requested = _requested_by_sensor(instance, job, night.since)
    if not partitions or night.newest in requested:
        return None
    missed = missed_nights(instance, settings, job, night.newest) - {night.newest}
    taken = (missed | requested).intersection(partitions)
    if taken:
        return DayRange(max(taken) + timedelta(days=job.days_apart), night.newest)
    failed = {day for states in _states(instance, settings, job, night.newest).values() for day in states.failed}
    first = partitions[0]
    for _ in partitions[1:]:
        before = first - timedelta(days=job.days_apart)
        first = before if before in failed else first
    return DayRange(first, night.newest)


def _states(
    instance: dg.DagsterInstance, settings: Settings, job: NightlyJob, newest: date
) -> dict[str, PartitionStates]:
    tables = [table.name for table in TABLES.values() if table.cadence == job.cadence]
    return {name: partition_states(instance, settings, name, newest) for name in tables}


def _requested_by_sensor(instance: dg.DagsterInstance, job: NightlyJob, since: datetime) -> set[date]:
    wanted = dg.RunsFilter(job_name=job.name, tags={"dagster/sensor_name": MISSED_NIGHTS}, created_after=since)
    return {day for run in instance.get_runs(filters=wanted) for day in _days_of(run)}


def _runs_for_partitions(instance: dg.DagsterInstance, job: NightlyJob, since: datetime) -> list[dg.DagsterRun]:
    """Runs of the job, and those that people start from an asset's page. A run for one tenant computes no night."""
    runs = [
        run
        for name in (job.name, IMPLICIT_ASSET_JOB_NAME)
        for run in instance.get_runs(filters=dg.RunsFilter(job_name=name, created_after=since))
    ]
    return [run for run in runs if TENANT_TAG not in run.tags]


def _days_of(run: dg.DagsterRun) -> set[date]:
    days = tagged_range(run.tags)
    return set(days) if days else set()

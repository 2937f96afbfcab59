"""Dagster's daemon in this process, at a time of the test's choosing: its own scheduler, sensor and queue code on a real
instance, and the runs it requests executed one after the other."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.execution.api import execute_run
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import freeze_time
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._scheduler.scheduler import launch_scheduled_runs

from health_pipeline.days import DayRange
from health_pipeline.orchestration import checks, housekeeping, sensors, system_assets
from health_pipeline.orchestration.definitions import defs
from health_pipeline.orchestration.nights import NIGHTLY_JOBS
from health_pipeline.orchestration.partitions import tagged_range

_LOGGER = logging.getLogger("daemon in a test")
_LOGGER.setLevel(logging.ERROR)


@dataclass(frozen=True)
class Daemon:
    """The daemon's parts, to be called one by one. A new one remembers nothing, as after a restart."""

    workspace: WorkspaceProcessContext
    monkeypatch: pytest.MonkeyPatch

    @property
    def instance(self) -> dg.DagsterInstance:
        return self.workspace.instance

    def schedules(self, clock: datetime) -> None:
        """One look of the scheduler."""
        with self.at(clock):
            list(launch_scheduled_runs(self.workspace, _LOGGER, clock, iteration_times={}))

    def sensors(self, clock: datetime) -> None:
        """One look of the sensor daemon."""
        with self.at(clock):
            list(execute_sensor_iteration(self.workspace, _LOGGER, None, None))

    def execute(self, clock: datetime) -> None:
        """Execute the nights that are queued."""
        with self.at(clock):
            for run in reversed(self.queued()):
                if run.job_name not in {job.name for job in NIGHTLY_JOBS}:
                    continue
                starting = DagsterEvent(DagsterEventType.RUN_STARTING.value, run.job_name)
                self.instance.report_dagster_event(starting, run.run_id, logging.INFO)
                begun = self.instance.get_run_by_id(run.run_id)
                assert begun is not None
                execute_run(InMemoryJob(defs.resolve_job_def(run.job_name)), begun, self.instance)

    def queued(self) -> list[dg.DagsterRun]:
        """The queued runs, newest first."""
        return list(self.instance.get_runs(filters=dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])))

    @contextmanager
    def at(self, clock: datetime) -> Iterator[None]:
        """Dagster and the pipeline read this time."""
        with self.monkeypatch.context() as patch, freeze_time(clock):
            for module in (sensors, checks, system_assets, housekeeping):
                patch.setattr(module, "now", lambda: clock)
            yield


@contextmanager
def daemon_on(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """A daemon that has just been started."""
    target = LoadableTargetOrigin(module_name="health_pipeline.orchestration.definitions")
    origin = InProcessCodeLocationOrigin(target, location_name="health_pipeline")
    with ExitStack() as stack:
        workspace = stack.enter_context(WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget(origin)))
        yield Daemon(workspace, monkeypatch)


def requested(instance: dg.DagsterInstance, job: str) -> list[DayRange]:
    """What the job's runs were requested for, oldest request first; retries aside."""
    runs = [run for run in instance.get_runs(filters=dg.RunsFilter(job_name=job)) if run.parent_run_id is None]
    days = [tagged_range(run.tags) for run in reversed(runs)]
    return [each for each in days if each is not None]

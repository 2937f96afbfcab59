"""Nights without people, for real: the daemon was down for eight days, a run's process is killed, then everything is."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import TypeVar

import dagster as dg
import psutil
import psycopg2
import pytest

from health_pipeline.days import DayRange
from health_pipeline.orchestration.nights import DAILY, NIGHTLY_JOBS
from health_pipeline.orchestration.partition_states import partition_states
from health_pipeline.settings import now, read_settings
from health_pipeline.tables.catalogue import TABLES
from health_pipeline_tests.conftest import NewDatabase
from health_pipeline_tests.support.commands import end_processes_of, health_pipeline, processes_of, start
from health_pipeline_tests.support.daemon import requested
from health_pipeline_tests.support.databases import execute, value
from health_pipeline_tests.support.deployment import Deployment, deployed
from health_pipeline_tests.support.small_sources import LEAST

T = TypeVar("T")
DAYS_DOWN = 8


@pytest.fixture
def deployment(
    monkeypatch: pytest.MonkeyPatch, new_database: NewDatabase, warehouse: str, tmp_path: Path
) -> Iterator[Deployment]:
    """A small source, which has been computed up to the night before the outage."""
    source = new_database()
    execute(source, *LEAST)
    with deployed(monkeypatch, tmp_path / "home", source, warehouse, new_database()) as deployment:
        yield deployment
        end_processes_of(tmp_path / "home")


def settings_of(deployment: Deployment) -> dict[str, str | Path]:
    return {name: text for name, text in os.environ.items() if name.startswith("HEALTH_")}


def up(deployment: Deployment) -> subprocess.Popen[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return start(settings_of(deployment), "up", "--port", str(port))


def wait_for(look: Callable[[], T | None], what: str) -> T:
    deadline = time.monotonic() + 150
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.2)
    return found


def nights(deployment: Deployment, *statuses: dg.DagsterRunStatus) -> list[dg.DagsterRun]:
    """The runs of the nightly job, newest first."""
    wanted = dg.RunsFilter(job_name=DAILY.name, statuses=list(statuses))
    return [run for run in deployment.instance.get_runs(filters=wanted) if "dagster/sensor_name" in run.tags]


def process_of(deployment: Deployment, run: dg.DagsterRun) -> psutil.Process:
    """The process that executes a run."""
    for entry in deployment.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        if entry.message.startswith("Started process for run"):
            return psutil.Process(int(entry.message.split("pid: ")[1].split(")")[0]))
    raise AssertionError("the run has no process yet")


def in_the_middle(deployment: Deployment, after: int) -> dg.DagsterRun | None:
    """The run of the night that waits for the lock of the tables, once there are more than so many tries."""
    waiting = value(
        deployment.warehouse,
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted",
    )
    started = nights(deployment, dg.DagsterRunStatus.STARTED)
    return started[0] if waiting > after and started else None


def is_started(deployment: Deployment, run: dg.DagsterRun) -> bool:
    return run.run_id in {started.run_id for started in nights(deployment, dg.DagsterRunStatus.STARTED)}


def unfinished(deployment: Deployment) -> dict[str, list[date]]:
    """Per table, what is not materialised of what is due."""
    settings, clock = read_settings(), now()
    found = {}
    for job in NIGHTLY_JOBS:
        for table in TABLES.values():
            if table.cadence == job.cadence:
                states = partition_states(deployment.instance, settings, table.name, job.due(settings, clock).newest)
                found[table.name] = sorted(states.missing | states.failed | states.running)
    return {name: days for name, days in found.items() if days}


def test_eight_nights_are_made_up_for_whatever_is_killed(deployment: Deployment) -> None:
    newest = DAILY.due(read_settings(), now()).newest
    missed = DayRange(newest - timedelta(days=DAYS_DOWN - 1), newest)
    known = DayRange(missed.first - timedelta(days=10), missed.first - timedelta(days=1))
    backfill = ("backfill", "--from", str(known.first), "--to", str(known.last))
    result = health_pipeline(settings_of(deployment), *backfill)
    assert result.returncode == 0, result.stderr
    by_command = len(requested(deployment.instance, DAILY.name))

    holder = psycopg2.connect(deployment.warehouse)
    with holder.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('health'), hashtext('usage_metrics'))")
    server = up(deployment)
    try:
        first = wait_for(lambda: in_the_middle(deployment, 0), "the run of the missed nights")
        process_of(deployment, first).kill()
        second = wait_for(
            lambda: next(iter(r for r in nights(deployment) if r.parent_run_id == first.run_id), None), "its second try"
        )
        wait_for(lambda: in_the_middle(deployment, 1) and is_started(deployment, second), "the second try to write")
        # The machine goes down: nobody is left to tell what became of the run.
        end_processes_of(Path(os.environ["HEALTH_HOME"]))
        server.wait()
        assert is_started(deployment, second)
        holder.rollback()
        server = up(deployment)
        wait_for(lambda: not unfinished(deployment) or None, "all days")
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
    finally:
        holder.close()
        server.kill()
        server.wait()

    # One request, with the days that the missed nights would have restated; two of its tries were killed.
    assert requested(deployment.instance, DAILY.name)[by_command:] == [
        DayRange(missed.first - timedelta(days=3), missed.last)
    ]
    tries = reversed(nights(deployment))
    assert [run.status.value for run in tries] == ["FAILURE", "FAILURE", "SUCCESS"]
    assert value(deployment.warehouse, "SELECT count(DISTINCT metric_date) FROM health.usage_metrics") == 18
    status = health_pipeline(settings_of(deployment), "status")
    assert status.returncode == 0, status.stderr
    (line,) = [line for line in status.stdout.splitlines() if " usage_metrics " in line]
    assert [cell.strip() for cell in line.strip("│").split("│")] == ["usage_metrics", str(newest), "", ""]
    assert processes_of(Path(os.environ["HEALTH_HOME"])) == []

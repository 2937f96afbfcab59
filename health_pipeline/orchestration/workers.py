"""Processes that execute runs: telling those that are gone, so that their runs don't count as running for ever."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.events import EngineEventData
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG, MAX_RETRIES_TAG
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster_shared.serdes import deserialize_value

from health_pipeline.orchestration.instance import PROCESS_TAG

_SECONDS_TO_ANSWER = 5
# Clocks of the kernel and of the run's events are read apart.
_TOLERANCE_SECONDS = 5


class HealthRunLauncher(DefaultRunLauncher):
    """Dagster's own launcher, which besides can tell whether a run's process is still there.

    With the plain one the daemon never learns of a run whose process went together with the code server, as when the
    machine is restarted: the run would be shown as running for ever, and never be tried again.
    """

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """RUNNING, also where nobody can know; NOT_FOUND where the process is gone for certain."""
        is_gone = worker_is_gone(self._instance, run)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND if is_gone else WorkerStatus.RUNNING)


def process_tags() -> dict[str, str]:
    """Tags of a run that a command executes: its process, and that no daemon tries it again; who started it sees it fail."""
    return {PROCESS_TAG: f"{socket.gethostname()}:{os.getpid()}", MAX_RETRIES_TAG: "0"}


def report_dead_runs(instance: dg.DagsterInstance) -> int:
    """Mark runs as failed whose process is gone; returns how many there were. The daemon does the same all the time."""
    begun = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    dead = 0
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=begun)):
        if worker_is_gone(instance, run):
            instance.report_run_failed(run, "The process that executed this run is gone.")
            dead += 1
    return dead


def worker_is_gone(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the process of an unfinished run is gone for certain. One that is still being launched has none yet."""
    record = instance.get_run_record_by_id(run.run_id)
    if record is None:
        return False
    if tag := run.tags.get(PROCESS_TAG):
        host, _, pid = tag.rpartition(":")
        return host == socket.gethostname() and not is_alive(int(pid), record.create_timestamp.timestamp())
    if record.start_time is None or GRPC_INFO_TAG not in run.tags:
        return False
    server = json.loads(run.tags[GRPC_INFO_TAG])
    is_known = _is_known_to_server(server, run.run_id)
    is_here = server.get("socket") is not None or server.get("host") in ("localhost", "127.0.0.1", "::1")
    if is_here and not is_known:
        worker = _pid_of(instance, run)
        return worker is not None and not is_alive(worker, record.start_time)
    # Elsewhere only the code server can say; while it can't be reached, nobody knows.
    return is_known is False


def _is_known_to_server(server: dict[str, Any], run_id: str) -> bool | None:
    """Whether the code server that launched the run still has its process; None where it can't be reached."""
    from dagster._grpc.client import DagsterGrpcClient

    try:
        client = DagsterGrpcClient(
            host=server["host"],
            port=server.get("port"),
            socket=server.get("socket"),
            use_ssl=bool(server.get("use_ssl")),
        )
        answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run_id), timeout=_SECONDS_TO_ANSWER)
    except DagsterUserCodeUnreachableError:
        return None
    return deserialize_value(answer, CanCancelExecutionResult).can_cancel


def _pid_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> int | None:
    """The process that executes the run, by the event with which it began."""
    for record in instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT).records:
        told = record.event_log_entry.get_dagster_event().event_specific_data
        if isinstance(told, EngineEventData) and "pid" in told.metadata:
            return int(str(told.metadata["pid"].value))
    return None


def is_alive(pid: int, since: float) -> bool:
    """Whether the process of that number runs that was there at the instant: numbers are given anew."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    begun = _begun(pid)
    return begun is None or begun <= since + _TOLERANCE_SECONDS


def _begun(pid: int) -> float | None:
    """When the process began; infinitely late for one that has ended and wasn't buried yet. None off Linux."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        (boot,) = [line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime ")]
    except FileNotFoundError:
        return None
    if state == "Z":
        return float("inf")
    return int(boot.split()[1]) + int(fields[18]) / os.sysconf("SC_CLK_TCK")

"""backfill: a range of days through Dagster, in recorded runs of bounded length, with progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import dagster as dg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from health_pipeline.cli.preflight import checked_run
from health_pipeline.days import DayRange
from health_pipeline.errors import SettingError
from health_pipeline.orchestration.definitions import defs
from health_pipeline.orchestration.instance import open_instance
from health_pipeline.orchestration.jobs import JOB_OF_CADENCE
from health_pipeline.orchestration.partitions import MAX_PARTITIONS_PER_RUN, range_tags
from health_pipeline.orchestration.system_assets import TENANT_TAG
from health_pipeline.orchestration.workers import process_tags, report_dead_runs
from health_pipeline.settings import now, read_settings
from health_pipeline.tables.catalogue import GROUPS, TABLES


def run_backfill(first: date, last: date, only: str | None, tenant: str | None) -> int:
    """Materialise the days; returns the exit code. Raises UserError before any run for what a user has to mend."""
    settings = read_settings()
    days = settings.checked_range(first, last, now())
    groups = _groups(only)
    checked_run(settings, tenant)
    with open_instance(settings) as instance:
        return backfill_days(Console(stderr=True), instance, days, groups, tenant)


# Events are recorded; the screen belongs to the progress bar.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Piece:
    """One run: the partitions of one cadence from the first to the last, of one group of assets."""

    cadence: str
    group: str
    partitions: DayRange
    days: int

    def __str__(self) -> str:
        kind = "days" if self.cadence == "daily" else "Sundays"
        return f"{self.group}, {kind} {self.partitions.first} to {self.partitions.last}"


def backfill_days(
    console: Console, instance: dg.DagsterInstance, days: DayRange, groups: tuple[str, ...], tenant: str | None
) -> int:
    """Run the days with a progress bar, then name those that failed; returns the exit code."""
    report_dead_runs(instance)
    failed = _with_progress(console, list(_pieces(days, groups)), lambda piece: _run(instance, piece, tenant))
    for piece, reason in failed:
        console.print(f"[red]failed[/red] {piece}: {reason}", soft_wrap=True, highlight=False)
    if failed:
        return 1
    console.print(f"{len(days)} days materialised: {days.first} to {days.last}", highlight=False)
    return 0


def _pieces(days: DayRange, groups: tuple[str, ...]) -> Iterator[Piece]:
    """The runs of a range: by group, so that one that fails doesn't stop the others, oldest first."""
    for group in groups:
        cadences = {table.cadence for table in TABLES.values() if table.group == group}
        if "daily" in cadences:
            for part in days.chunks(MAX_PARTITIONS_PER_RUN):
                yield Piece("daily", group, part, len(part))
        if "weekly" in cadences:
            for part in days.chunks(7 * MAX_PARTITIONS_PER_RUN):
                if sundays := part.sundays():
                    yield Piece("weekly", group, DayRange(sundays[0], sundays[-1]), len(sundays))


def _run(instance: dg.DagsterInstance, piece: Piece, tenant: str | None) -> str | None:
    """One recorded run in this process; the reason where it failed."""
    tags = {**range_tags(piece.partitions), **process_tags(), **({TENANT_TAG: tenant} if tenant else {})}
    tables = [t.name for t in TABLES.values() if t.group == piece.group and t.cadence == piece.cadence]
    result = defs.resolve_job_def(JOB_OF_CADENCE[piece.cadence]).execute_in_process(
        instance=instance,
        tags=tags,
        asset_selection=[dg.AssetKey(name) for name in tables],
        run_config=_QUIET,
        raise_on_error=False,
    )
    return None if result.success else _reason(result)


def _groups(only: str | None) -> tuple[str, ...]:
    if only is not None and only not in GROUPS:
        raise SettingError(f"--only {only}: this version has {', '.join(GROUPS)}")
    return GROUPS if only is None else (only,)


def _reason(result: dg.ExecuteInProcessResult) -> str:
    """The failure in the words of the error that caused it."""
    for event in result.all_events:
        if event.is_step_failure and event.step_failure_data.user_failure_data is not None:
            return event.step_failure_data.user_failure_data.description or "failed"
    for event in result.all_events:
        if event.is_failure and event.step_failure_data.error is not None:
            return " ".join(event.step_failure_data.error.message.split())
    return "failed; see the run in the UI"


def _with_progress(
    console: Console, pieces: Sequence[Piece], run: Callable[[Piece], str | None]
) -> list[tuple[Piece, str]]:
    failed = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("partitions", total=sum(piece.days for piece in pieces))
        for piece in pieces:
            progress.update(task, description=piece.group)
            reason = run(piece)
            if reason is not None:
                failed.append((piece, reason))
            progress.advance(task, piece.days)
        progress.update(task, description="partitions")
    return failed

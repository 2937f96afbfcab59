"""backfill: a range of days through Dagster, in recorded runs of bounded length, with progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date

import dagster as dg
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from health_pipeline.cli.preflight import checked_run
from health_pipeline.days import DayRange
from health_pipeline.errors import SettingError
from health_pipeline.orchestration.assets import TENANT_TAG
from health_pipeline.orchestration.definitions import defs
from health_pipeline.orchestration.instance import open_instance, process_tag, report_dead_runs
from health_pipeline.orchestration.jobs import NIGHTLY
from health_pipeline.orchestration.partitions import MAX_DAYS_PER_RUN, range_tags
from health_pipeline.settings import now, read_settings
from health_pipeline.tables.catalogue import GROUPS


def run_backfill(first: date, last: date, only: str | None, tenant: str | None) -> int:
    """Materialise the days; returns the exit code. Raises UserError before any run for what a user has to mend."""
    settings = read_settings()
    days = settings.checked_range(first, last, now())
    groups = _groups(only)
    checked_run(settings, tenant)
    with open_instance(settings) as instance:
        return backfill_days(Console(stderr=True), instance, days, groups, tenant)


def backfill_days(
    console: Console, instance: dg.DagsterInstance, days: DayRange, groups: tuple[str, ...], tenant: str | None
) -> int:
    """Run the days with a progress bar, then name those that failed; returns the exit code."""
    report_dead_runs(instance)
    failed = _with_progress(console, days, lambda piece: run_days(instance, piece, groups, tenant))
    for piece, reason in failed:
        console.print(f"[red]failed[/red] {piece.first} to {piece.last}: {reason}", soft_wrap=True, highlight=False)
    if failed:
        return 1
    console.print(f"{len(days)} days materialised: {days.first} to {days.last}", highlight=False)
    return 0


def run_days(instance: dg.DagsterInstance, days: DayRange, groups: tuple[str, ...], tenant: str | None) -> str | None:
    """One recorded run over the days, in this process; the reason where it failed."""
    tags = {**range_tags(days), **process_tag(), **({TENANT_TAG: tenant} if tenant else {})}
    graph = defs.resolve_asset_graph()
    assets = [key for key in graph.materializable_asset_keys if graph.get(key).group_name in groups]
    result = defs.resolve_job_def(NIGHTLY).execute_in_process(
        instance=instance, tags=tags, asset_selection=assets, raise_on_error=False
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
    console: Console, days: DayRange, run: Callable[[DayRange], str | None]
) -> list[tuple[DayRange, str]]:
    failed = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("days"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("backfill", total=len(days))
        for piece in _pieces(days):
            reason = run(piece)
            if reason is not None:
                failed.append((piece, reason))
            progress.advance(task, len(piece))
    return failed


def _pieces(days: DayRange) -> Iterator[DayRange]:
    return days.chunks(MAX_DAYS_PER_RUN)

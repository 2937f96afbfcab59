"""What client success reads: one snapshot of the source, for its days and for its Sundays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from health_pipeline.days import EARLIEST_EXACT_DAY, DayRange, at
from health_pipeline.metrics.client_weeks import client_weeks
from health_pipeline.metrics.clients import (
    CLIENT,
    ClientActivity,
    client_lives,
    event_days,
    feedback_days,
    task_states,
)
from health_pipeline.policy.model import ClientSuccessPolicy
from health_pipeline.sources import contract
from health_pipeline.sources.logical import Predicate
from health_pipeline.sources.reader import SourceReader
from health_pipeline.systems.common import ReadFacts, impossible_events
from health_pipeline.systems.context import RunContext


@dataclass(frozen=True)
class ClientFacts(ReadFacts):
    """What a run found out about its source: counts only."""

    unknown_event_types: dict[str, int]


@dataclass(frozen=True)
class ClientSource:
    """The good rows of a run, of one tenant or of all, and what clients did by day; day 0 is the first of its days.

    lookback: days from the oldest fact to the first day.
    """

    tenants: ir.Table
    users: ir.Table
    events: ir.Table
    activity: ClientActivity
    lookback: int
    policy: ClientSuccessPolicy

    def figures(self, sundays: list[date], clients: ir.Table | None = None) -> pd.DataFrame:
        """client_weeks of the Sundays, of these clients (tenant_id, client_id) or of all."""
        activity = self.activity
        if clients is not None:
            activity = replace(activity, lives=activity.lives.semi_join(clients, CLIENT))
        rows = client_weeks(activity, self.policy, sundays).to_pyarrow()
        index = rows.column_names.index("metric_date")
        rows = rows.set_column(index, "metric_date", rows["metric_date"].cast(pa.timestamp("us")))
        frame: pd.DataFrame = rows.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
        return frame


def read_clients(
    reader: SourceReader, context: RunContext, days: DayRange, tenant_id: str | None, with_history: bool
) -> ClientSource:
    """What the days need: events of the days alone, or with_history all events before their end.

    Raises TooManyBadRows before anything is computed.
    """
    tenants = reader.read(contract.TENANTS)
    users = reader.read(contract.USERS, columns=["deactivated_at", "name", "email", "insights_opt_in"])
    parts = _event_parts(context, days, tenant_id, with_history)
    events = reader.read(contract.EVENTS, columns=["session_id", "duration_seconds"], parts=parts)
    # Required tables; check() has seen them.
    assert tenants is not None
    assert users is not None
    assert events is not None
    tasks, feedback = reader.read(contract.ONBOARDING_TASKS), reader.read(contract.FEEDBACK)
    reader.check_share(context.max_bad_share)
    if tenant_id is not None:
        users = users.filter(users.tenant_id == tenant_id)
    calendar, lookback = context.calendar, _lookback(days, users, events, tasks, feedback)

    def stored(rows: ir.Table) -> ir.Table:
        return reader.connector.engine.create_table(ibis.util.gen_name("clients"), rows, temp=True)

    activity = ClientActivity(
        first_day=days.first,
        lives=stored(client_lives(tenants, users, calendar, days, lookback)),
        event_days=stored(event_days(events, calendar, days, lookback)),
        task_states=None if tasks is None else stored(task_states(tasks, calendar, days, lookback)),
        feedback_days=None if feedback is None else stored(feedback_days(feedback, calendar, days, lookback)),
    )
    return ClientSource(tenants, users, events, activity, lookback, context.policy.client_success)


def _event_parts(context: RunContext, days: DayRange, tenant_id: str | None, with_history: bool) -> list[Predicate]:
    """Which events a run reads: those of the days, or all before their end, and what can only be bad (no instant, an
    infinite one, or one after the run's clock)."""
    start, end = context.calendar.start(days.first), context.calendar.end(days.last)

    def wanted(rows: ir.Table) -> ir.BooleanValue:
        when = rows.occurred_at
        return (when >= at(when, contract.EARLIEST_INSTANT if with_history else start)) & (when < at(when, end))

    def of_tenant(part: Predicate) -> Predicate:
        return part if tenant_id is None else lambda rows: part(rows) & (rows.tenant_id == tenant_id)

    return [of_tenant(part) for part in (wanted, *impossible_events(context.clock, end))]


def _lookback(
    days: DayRange, users: ir.Table, events: ir.Table, tasks: ir.Table | None, feedback: ir.Table | None
) -> int:
    """Days from the oldest fact that was read to the first day, whatever the zone."""
    columns = [users.created_at, events.occurred_at]
    if tasks is not None:
        columns += [tasks.created_at, tasks.started_at, tasks.updated_at]
    if feedback is not None:
        columns.append(feedback.submitted_at)
    found = [column.min().to_pyarrow().as_py() for column in columns]
    oldest = min((instant.date() for instant in found if instant is not None), default=days.first)
    return max(0, (days.first - max(oldest, EARLIEST_EXACT_DAY)).days + 2)


def unknown_event_types(source: ClientSource, days: DayRange) -> dict[str, int]:
    """Events of the days of a type that the contract doesn't know, by type."""
    events = source.activity.event_days
    is_unknown = ~events.event_type.isin(sorted(contract.KNOWN_EVENT_TYPES))
    unknown = events.filter(events.day.between(0, len(days) - 1) & is_unknown)
    counted = unknown.group_by("event_type").agg(rows=unknown.events.sum()).to_pyarrow().to_pylist()
    return {row["event_type"]: row["rows"] for row in sorted(counted, key=lambda row: row["event_type"])}

"""Clients by day: their lives, what they did, and the states of their onboarding tasks, from which all else is counted.

Rule: source-contract.md, "Points in time". Days are indexes into a range of days (Calendar.day_index), exact back to the
oldest fact; a client_id is the user_id.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import ibis
import ibis.expr.types as ir

from health_pipeline.days import Calendar, DayRange
from health_pipeline.metrics.intervals import earlier

CLIENT = ["tenant_id", "client_id"]


@dataclass(frozen=True)
class ClientActivity:
    """What the functions below give, day 0 of all being `first_day`. None where an optional table is not mapped."""

    first_day: date
    lives: ir.Table
    event_days: ir.Table
    task_states: ir.Table | None
    feedback_days: ir.Table | None


def client_lives(tenants: ir.Table, users: ir.Table, calendar: Calendar, days: DayRange, lookback: int) -> ir.Table:
    """A row per client: tenant_id, client_id, created_day and created_at of its own, first_day on which it is active and
    end_day from which it no longer is (null: never), both bounded by its tenant's."""
    own = users.select(
        "tenant_id",
        "created_at",
        client_id=users.user_id,
        created_day=calendar.day_index(users.created_at, days, lookback),
        gone_day=calendar.day_index(users.deactivated_at, days, lookback),
    )
    tenant = tenants.select(
        "tenant_id",
        tenant_created_day=calendar.day_index(tenants.created_at, days, lookback),
        tenant_gone_day=calendar.day_index(tenants.deactivated_at, days, lookback),
    )
    both = own.inner_join(tenant, "tenant_id")
    return both.select(
        *CLIENT,
        "created_at",
        "created_day",
        first_day=ibis.greatest(both.created_day, both.tenant_created_day),
        end_day=earlier(both.gone_day, both.tenant_gone_day),
    )


def event_days(events: ir.Table, calendar: Calendar, days: DayRange, lookback: int) -> ir.Table:
    """A row per tenant_id, client_id, day and event_type: events, and last_at, the instant of the last of them."""
    rows = events.select(
        "tenant_id",
        "event_type",
        "occurred_at",
        client_id=events.user_id,
        day=calendar.day_index(events.occurred_at, days, lookback),
    )
    return rows.group_by([*CLIENT, "day", "event_type"]).agg(events=rows.count(), last_at=rows.occurred_at.max())


def feedback_days(feedback: ir.Table, calendar: Calendar, days: DayRange, lookback: int) -> ir.Table:
    """A row per answer: tenant_id, client_id, day, score."""
    day = calendar.day_index(feedback.submitted_at, days, lookback)
    return feedback.select("tenant_id", "score", client_id=feedback.user_id, day=day)


def task_states(tasks: ir.Table, calendar: Calendar, days: DayRange, lookback: int) -> ir.Table:
    """A row per onboarding task: tenant_id, client_id, task_id, created_, started_ and updated_ with _at and _day, and the
    days from which it is completed_, skipped_ and in_progress_day (null: never). Of those three the first that holds is
    its state; with none it is pending. An unknown status counts as PENDING.
    """
    created = calendar.day_index(tasks.created_at, days, lookback)
    started = calendar.day_index(tasks.started_at, days, lookback)
    updated = calendar.day_index(tasks.updated_at, days, lookback)
    completed = calendar.day_index(tasks.completed_at, days, lookback)
    by_status = _later(created, updated)
    return tasks.select(
        "tenant_id",
        "task_id",
        "created_at",
        "started_at",
        "updated_at",
        client_id=tasks.user_id,
        created_day=created,
        started_day=started,
        updated_day=updated,
        completed_day=ibis.cases(
            (tasks.completed_at.notnull(), _later(created, completed)), (tasks.status == "COMPLETED", by_status)
        ),
        skipped_day=ibis.cases((tasks.status == "SKIPPED", by_status)),
        in_progress_day=ibis.cases(
            (tasks.started_at.notnull(), _later(created, started)), (tasks.status == "IN_PROGRESS", created)
        ),
    )


def _later(day: ir.IntegerValue, other: ir.IntegerValue) -> ir.IntegerValue:
    """The later of two days; a null `other` doesn't count."""
    return ibis.greatest(day, other.fill_null(day))

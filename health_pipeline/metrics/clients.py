"""Clients: on which days they are there and active, and the states of their onboarding tasks.

Rule: source-contract.md, "Points in time". Days are indexes into a range (Calendar.day_index). client_id is the user_id.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from health_pipeline.days import Calendar, DayRange

CLIENT = ["tenant_id", "client_id"]


def client_lives(tenants: ir.Table, users: ir.Table, calendar: Calendar, days: DayRange, lookback: int = 0) -> ir.Table:
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


def earlier(day: ir.IntegerValue, other: ir.IntegerValue) -> ir.IntegerValue:
    """The earlier of two days; null is never."""
    return ibis.least(day.fill_null(other), other.fill_null(day))


def later(day: ir.IntegerValue, other: ir.IntegerValue) -> ir.IntegerValue:
    """The later of two days; a null `other` is none, a null `day` never comes."""
    return ibis.greatest(day, other.fill_null(day))


def task_states(tasks: ir.Table, calendar: Calendar, days: DayRange, lookback: int = 0) -> ir.Table:
    """A row per onboarding task: tenant_id, client_id, task_id, its instants, and the days from which it is there
    (created_day), completed, skipped and in progress (null: never). Of those three the first that holds is its state;
    with none of them it is pending. An unknown status counts as PENDING.
    """
    created = calendar.day_index(tasks.created_at, days, lookback)
    started = calendar.day_index(tasks.started_at, days, lookback)
    updated = calendar.day_index(tasks.updated_at, days, lookback)
    completed = calendar.day_index(tasks.completed_at, days, lookback)
    by_status = later(created, updated)
    return tasks.select(
        "tenant_id",
        "task_id",
        "created_at",
        "started_at",
        "updated_at",
        client_id=tasks.user_id,
        created_day=created,
        completed_day=ibis.cases(
            (tasks.completed_at.notnull(), later(created, completed)), (tasks.status == "COMPLETED", by_status)
        ),
        skipped_day=ibis.cases((tasks.status == "SKIPPED", by_status)),
        in_progress_day=ibis.cases(
            (tasks.started_at.notnull(), later(created, started)), (tasks.status == "IN_PROGRESS", created)
        ),
    )

"""usage_metrics: what a tenant's users, cases, campaigns and tickets did, per day. Rule: tenant-health.md, `usage_metrics`."""

from __future__ import annotations

from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from health_pipeline.days import Calendar, DayRange, index_in
from health_pipeline.metrics.assignments import of_assignments
from health_pipeline.metrics.intervals import Change, counts_by_day, on_day, within
from health_pipeline.metrics.login_days import ACTIVE_USERS, active_users
from health_pipeline.metrics.steps import WINDOW_DAYS, Steps
from health_pipeline.metrics.tenants import tenant_days
from health_pipeline.tables.tenant_health import USAGE_METRICS

EVENT_FIGURES = {
    "report_generated": "reports_generated",
    "search_performed": "searches_performed",
    "api_call": "api_calls",
}
_KEYS = ["tenant_id"]
FIGURES = tuple(name for name in USAGE_METRICS.column_names if name not in USAGE_METRICS.key)


@dataclass(frozen=True)
class UsageInputs:
    """Good rows of the source, events as daily_events counts them by the steps and campaign_assignments as daily_assignments
    does; None where an optional table is not mapped.
    """

    steps: Steps
    tenants: ir.Table
    users: ir.Table
    events: ir.Table
    cases: ir.Table | None
    campaigns: ir.Table | None
    campaign_assignments: ir.Table | None
    support_tickets: ir.Table | None


def usage_metrics(inputs: UsageInputs, calendar: Calendar, days: DayRange) -> ir.Table:
    """Rows of usage_metrics for every day of the range; grain: metric_date and tenant active at end(D).

    events must hold all logins of the range and the 30 days before its end, and the events of the range's days. Of a day that the
    steps have for comparison alone, what its own logins and events say means nothing.
    """
    changes = [
        *_of_users(inputs.users, inputs.events, inputs.steps, calendar, days),
        *_of_events(inputs.events, days),
    ]
    if inputs.cases is not None:
        changes += _of_cases(inputs.cases, calendar, days)
    if inputs.campaigns is not None:
        changes += _of_campaigns(inputs.campaigns, calendar, days)
    if inputs.campaign_assignments is not None:
        changes += of_assignments(inputs.campaign_assignments, days)
    if inputs.support_tickets is not None:
        opened = calendar.day_index(inputs.support_tickets.opened_at, days, WINDOW_DAYS)
        changes += within(inputs.support_tickets, _KEYS, opened, opened + WINDOW_DAYS, support_tickets=1)
    counted = counts_by_day(changes, inputs.tenants.select("tenant_id"), FIGURES, days)
    rows = tenant_days(inputs.tenants, calendar, days).inner_join(counted, ["metric_date", "tenant_id"])
    unmapped = _unmapped_figures(inputs)
    return rows.select(
        "metric_date",
        "tenant_id",
        **{name: ibis.null("int64") if name in unmapped else rows[name] for name in FIGURES},
    )


def _unmapped_figures(inputs: UsageInputs) -> set[str]:
    """Figures that stay null, because the table they count is not mapped."""
    sources = {
        "cases": inputs.cases,
        "campaigns": inputs.campaigns,
        "assignments": inputs.campaign_assignments,
        "support": inputs.support_tickets,
    }
    return {name for name in FIGURES if name.split("_")[0] in sources and sources[name.split("_")[0]] is None}


def _of_users(users: ir.Table, events: ir.Table, steps: Steps, calendar: Calendar, days: DayRange) -> list[Change]:
    seats = users.select(
        "tenant_id",
        "user_id",
        created_day=calendar.day_index(users.created_at, days),
        deactivated_day=calendar.day_index(users.deactivated_at, days),
    )
    active = active_users(events, seats, steps, days)
    return [
        *within(seats, _KEYS, seats.created_day, seats.deactivated_day, total_users=1),
        *on_day(active, _KEYS, active.day, **{name: active[name] for name in ACTIVE_USERS}),
    ]


def _of_events(events: ir.Table, days: DayRange) -> list[Change]:
    counted = events.filter(events.event_type.isin(list(EVENT_FIGURES)))
    uses = {
        name: ibis.cases((counted.event_type == kind, counted.row_count), else_=0)
        for kind, name in EVENT_FIGURES.items()
    }
    return on_day(counted, _KEYS, index_in(counted.day, days), **uses)


def _of_cases(cases: ir.Table, calendar: Calendar, days: DayRange) -> list[Change]:
    cases = cases.mutate(
        created_day=calendar.day_index(cases.created_at, days),
        closed_day=calendar.day_index(cases.closed_at, days, WINDOW_DAYS),
        due_day=calendar.day_index(cases.sla_due_at, days),
    )
    has_due = cases.sla_due_at.notnull()
    is_late = ibis.cases(
        (has_due, cases.closed_at > cases.sla_due_at), else_=cases.sla_status.isin(["BREACHED", "CRITICAL"])
    ).fill_null(False)
    closed = cases.filter(cases.closed_at.notnull()).mutate(is_on_time=(~is_late).cast("int64"))
    can_be_overdue = cases.filter(has_due | is_late)
    overdue_from = ibis.greatest(
        can_be_overdue.created_day, can_be_overdue.due_day.fill_null(can_be_overdue.created_day)
    )
    since = closed.closed_day
    return [
        *on_day(cases, _KEYS, cases.created_day, cases_created=1),
        *on_day(closed, _KEYS, since, cases_closed=1, cases_closed_on_time=closed.is_on_time),
        *within(
            closed,
            _KEYS,
            since,
            since + WINDOW_DAYS,
            cases_closed_30d=1,
            cases_closed_on_time_30d=closed.is_on_time,
        ),
        *within(can_be_overdue, _KEYS, overdue_from, can_be_overdue.closed_day, cases_overdue=1),
    ]


def _of_campaigns(campaigns: ir.Table, calendar: Calendar, days: DayRange) -> list[Change]:
    launched, ended = (calendar.day_index(instant, days) for instant in (campaigns.launched_at, campaigns.ended_at))
    return [
        *within(campaigns, _KEYS, launched, ended, campaigns_active=1),
        *on_day(campaigns, _KEYS, ended, campaigns_completed=1),
    ]

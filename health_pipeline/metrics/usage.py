"""usage_metrics: what a tenant's users, cases, campaigns and tickets did, per day. Rule: tenant-health.md, `usage_metrics`."""

from __future__ import annotations

from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from health_pipeline.days import Calendar, DayRange, index_in
from health_pipeline.metrics.assignments import assignment_intervals
from health_pipeline.metrics.intervals import counts_by_day, intervals
from health_pipeline.metrics.login_days import ACTIVE_USERS, active_users
from health_pipeline.metrics.steps import WINDOW_DAYS, Steps
from health_pipeline.metrics.tenants import tenant_days
from health_pipeline.tables.tenant_health import USAGE_METRICS

EVENT_FIGURES = {
    "report_generated": "reports_generated",
    "search_performed": "searches_performed",
    "api_call": "api_calls",
}
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

    events must hold all logins of the range and the 30 days before its end, and the events of the range's days.
    """
    pieces = [
        *_user_intervals(inputs.users, inputs.events, inputs.steps, calendar, days),
        _event_intervals(inputs.events, days),
    ]
    if inputs.cases is not None:
        pieces += _case_intervals(inputs.cases, calendar, days)
    if inputs.campaigns is not None:
        pieces += _campaign_intervals(inputs.campaigns, calendar, days)
    if inputs.campaign_assignments is not None:
        pieces += assignment_intervals(inputs.campaign_assignments, days)
    if inputs.support_tickets is not None:
        opened = calendar.day_index(inputs.support_tickets.opened_at, days, WINDOW_DAYS)
        pieces.append(intervals(inputs.support_tickets, ["tenant_id"], "support_tickets", opened, opened + WINDOW_DAYS))
    counted = counts_by_day(pieces, inputs.tenants.select("tenant_id"), FIGURES, days)
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


def _user_intervals(
    users: ir.Table, events: ir.Table, steps: Steps, calendar: Calendar, days: DayRange
) -> list[ir.Table]:
    keys = ["tenant_id"]
    seats = users.select(
        "tenant_id",
        "user_id",
        created_day=calendar.day_index(users.created_at, days),
        deactivated_day=calendar.day_index(users.deactivated_at, days),
    )
    active = active_users(events, seats, steps, days)
    return [
        intervals(seats, keys, "total_users", seats.created_day, seats.deactivated_day),
        *(intervals(active, keys, name, active.day, active.day + 1, active[name]) for name in ACTIVE_USERS),
    ]


def _event_intervals(events: ir.Table, days: DayRange) -> ir.Table:
    counted = events.filter(events.event_type.isin(list(EVENT_FIGURES)))
    daily = counted.select("tenant_id", "event_type", "row_count", day=index_in(counted.day, days))
    daily = daily.filter(daily.day.between(0, len(days) - 1))
    sums = daily.group_by(["tenant_id", "event_type", "day"]).agg(uses=daily.row_count.sum())
    figure = ibis.cases(*((sums.event_type == kind, name) for kind, name in EVENT_FIGURES.items()))
    return intervals(sums, ["tenant_id"], figure, sums.day, sums.day + 1, sums.uses)


def _case_intervals(cases: ir.Table, calendar: Calendar, days: DayRange) -> list[ir.Table]:
    keys = ["tenant_id"]
    cases = cases.mutate(
        created_day=calendar.day_index(cases.created_at, days),
        closed_day=calendar.day_index(cases.closed_at, days, WINDOW_DAYS),
        due_day=calendar.day_index(cases.sla_due_at, days),
    )
    has_due = cases.sla_due_at.notnull()
    is_late = ibis.cases(
        (has_due, cases.closed_at > cases.sla_due_at), else_=cases.sla_status.isin(["BREACHED", "CRITICAL"])
    ).fill_null(False)
    closed = cases.filter(cases.closed_at.notnull())
    on_time = cases.filter(cases.closed_at.notnull() & ~is_late)
    can_be_overdue = cases.filter(has_due | is_late)
    overdue_from = ibis.greatest(
        can_be_overdue.created_day, can_be_overdue.due_day.fill_null(can_be_overdue.created_day)
    )
    return [
        intervals(cases, keys, "cases_created", cases.created_day, cases.created_day + 1),
        intervals(closed, keys, "cases_closed", closed.closed_day, closed.closed_day + 1),
        intervals(on_time, keys, "cases_closed_on_time", on_time.closed_day, on_time.closed_day + 1),
        intervals(closed, keys, "cases_closed_30d", closed.closed_day, closed.closed_day + WINDOW_DAYS),
        intervals(on_time, keys, "cases_closed_on_time_30d", on_time.closed_day, on_time.closed_day + WINDOW_DAYS),
        intervals(can_be_overdue, keys, "cases_overdue", overdue_from, can_be_overdue.closed_day),
    ]


def _campaign_intervals(campaigns: ir.Table, calendar: Calendar, days: DayRange) -> list[ir.Table]:
    keys = ["tenant_id"]
    launched = calendar.day_index(campaigns.launched_at, days)
    ended = campaigns.filter(campaigns.ended_at.notnull())
    ended_day = calendar.day_index(ended.ended_at, days)
    return [
        intervals(campaigns, keys, "campaigns_active", launched, calendar.day_index(campaigns.ended_at, days)),
        intervals(ended, keys, "campaigns_completed", ended_day, ended_day + 1),
    ]

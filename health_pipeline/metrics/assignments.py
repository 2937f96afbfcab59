"""Assignments of campaigns by day: how many were made, and how many of these completed. Rule: tenant-health.md, `usage_metrics`.

They count from their day on for good, so every night needs all that there ever were: as counts, which are few.
"""

from __future__ import annotations

from collections.abc import Sequence

import ibis.expr.types as ir

from health_pipeline.days import Calendar, DayRange, index_in
from health_pipeline.metrics.intervals import Change, from_day_on
from health_pipeline.metrics.steps import Steps


def daily_assignments(assignments: ir.Table, calendar: Calendar, steps: Steps, also: Sequence[str] = ()) -> ir.Table:
    """Assignments counted; grain: tenant_id, assigned_day, completed_day (and the columns that `also` names).

    Both days are steps, dates; completed_day is null of those that aren't completed. row_count: the assignments.
    """
    dated = assignments.mutate(
        assigned_day=steps.of_instant(assignments.assigned_at, calendar),
        completed_day=steps.of_instant(assignments.completed_at, calendar),
    )
    return dated.group_by(["tenant_id", "assigned_day", "completed_day", *also]).agg(row_count=dated.count())


def of_assignments(assignments: ir.Table, days: DayRange) -> list[Change]:
    """The figures of assignments as daily_assignments counts them."""
    keys, count = ["tenant_id"], assignments.row_count
    return [
        *from_day_on(assignments, keys, index_in(assignments.assigned_day, days), assignments_total=count),
        *from_day_on(assignments, keys, index_in(assignments.completed_day, days), assignments_completed=count),
    ]

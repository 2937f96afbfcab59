"""A tenant's month as its clients' events per day, from what runs have written."""

from __future__ import annotations

from datetime import date

import sqlalchemy as sa

from health_pipeline.days import DayRange

_BUSIEST = sa.text("""
SELECT tenant_id FROM health.client_engagement WHERE metric_date BETWEEN :first AND :last
GROUP BY tenant_id ORDER BY sum(events) DESC, tenant_id LIMIT 1
""")
_BY_DAY = sa.text("""
SELECT metric_date, sum(events)::bigint FROM health.client_engagement
WHERE metric_date BETWEEN :first AND :last AND tenant_id = :tenant_id GROUP BY metric_date
""")


def busiest_tenant(connection: sa.Connection, days: DayRange) -> str | None:
    """The tenant whose clients had the most events on these days; None where there were none."""
    tenant_id: str | None = connection.scalar(_BUSIEST, {"first": days.first, "last": days.last})
    return tenant_id


def events_by_day(connection: sa.Connection, tenant_id: str, days: DayRange) -> dict[date, int]:
    """The events of the tenant's clients on each of these days that had any."""
    bounds = {"first": days.first, "last": days.last, "tenant_id": tenant_id}
    return dict(connection.execute(_BY_DAY, bounds).tuples().all())

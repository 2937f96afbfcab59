"""Reading activity back from the warehouse: what the picture of a tenant's month is drawn from."""

from __future__ import annotations

from datetime import date

import sqlalchemy as sa

from health_pipeline.days import DayRange

_BUSIEST = sa.text("""
SELECT tenant_id FROM health.client_engagement
WHERE metric_date BETWEEN :first AND :last
GROUP BY tenant_id ORDER BY sum(events) DESC, tenant_id LIMIT 1
""")
_EVENTS = sa.text("""
SELECT metric_date, sum(events) FROM health.client_engagement
WHERE tenant_id = :tenant_id AND metric_date BETWEEN :first AND :last
GROUP BY metric_date
""")


def busiest_tenant(connection: sa.Connection, days: DayRange) -> str | None:
    """The tenant with the most events of its clients on the days; None where there are none."""
    tenant_id: str | None = connection.scalar(_BUSIEST, {"first": days.first, "last": days.last})
    return tenant_id


def events_by_day(connection: sa.Connection, tenant_id: str, days: DayRange) -> dict[date, int]:
    """Events of a tenant's clients by day; a day without any isn't there."""
    rows = connection.execute(_EVENTS, {"tenant_id": tenant_id, "first": days.first, "last": days.last})
    return {day: int(events) for day, events in rows.tuples()}

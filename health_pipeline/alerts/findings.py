"""What the warehouse knows that people should be told: stopped sources and tenants that turned HIGH. Reads by indexes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from health_pipeline.alerts.events import (
    Event,
    HighTenant,
    first_day_told,
    high_risk,
    high_since,
    is_recent,
    same_event_span,
    stopped_source,
)
from health_pipeline.settings import Settings
from health_pipeline.sources.contract import SOURCE_TABLES
from health_pipeline.tables.tenant_health import TENANT_HEALTH_SCORES
from health_pipeline.warehouse.quality import newest_day

# What an older run found is no news.
_LONGEST_AGO = timedelta(days=3)
_STOPPED = sa.text("""
SELECT newest.source_table, newest.newest_fact_at
FROM unnest(CAST(:tables AS text[])) AS source (name)
CROSS JOIN LATERAL (
    SELECT source_table, newest_fact_at, is_stopped FROM health.source_freshness
    WHERE source_table = source.name AND recorded_at >= :earliest
    ORDER BY recorded_at DESC, is_stopped DESC LIMIT 1
) AS newest
WHERE newest.is_stopped AND newest.newest_fact_at IS NOT NULL
ORDER BY newest.newest_fact_at, newest.source_table
""")
# Most tenants at HIGH risk have been so for long: they are left out here, by the days since :first and the last one before.
_MAY_HAVE_TURNED = sa.text("""
WITH high AS (
    SELECT tenant_id, overall_score, score_change FROM health.tenant_health_scores
    WHERE metric_date = :newest AND risk_level = 'HIGH' AND alert_level = 'PROACTIVE'
),
published AS (
    SELECT tenant_id, metric_date, risk_level FROM health.tenant_health_scores
    WHERE metric_date BETWEEN :first AND :newest AND risk_level IS NOT NULL AND tenant_id IN (SELECT tenant_id FROM high)
    UNION ALL
    SELECT high.tenant_id, earlier.metric_date, earlier.risk_level
    FROM high CROSS JOIN LATERAL (
        SELECT metric_date, risk_level FROM health.tenant_health_scores AS score
        WHERE score.tenant_id = high.tenant_id AND score.metric_date < :first AND score.risk_level IS NOT NULL
        ORDER BY metric_date DESC LIMIT 1
    ) AS earlier
),
turned AS (
    SELECT tenant_id, array_agg(metric_date) AS days, array_agg(risk_level) AS risks FROM published
    GROUP BY tenant_id HAVING bool_or(risk_level <> 'HIGH')
)
SELECT turned.tenant_id, profile.name, high.overall_score, high.score_change, turned.days, turned.risks
FROM turned JOIN high USING (tenant_id)
LEFT JOIN health.tenant_profiles AS profile ON profile.metric_date = :newest AND profile.tenant_id = turned.tenant_id
ORDER BY high.overall_score, turned.tenant_id
""")
_KNOWN = sa.text("""
SELECT tenant_id, since, event_key FROM health.notifications
WHERE tenant_id = ANY(CAST(:tenants AS text[])) AND since >= :earliest AND kind = 'high_risk'
ORDER BY since
""")


def stopped_sources(connection: sa.Connection, clock: datetime, ui_url: str) -> list[Event]:
    """Source tables that had stopped when a run last looked, longest first."""
    values = {"tables": list(SOURCE_TABLES), "earliest": clock - _LONGEST_AGO}
    return [
        stopped_source(row.source_table, row.newest_fact_at, ui_url) for row in connection.execute(_STOPPED, values)
    ]


def newest_scored_day(connection: sa.Connection, settings: Settings, clock: datetime) -> date | None:
    """The newest day with scores, where it is news."""
    newest = newest_day(connection, TENANT_HEALTH_SCORES.name)
    return newest if newest is not None and is_recent(newest, settings.last_day(clock)) else None


def tenants_turned_high(
    connection: sa.Connection, settings: Settings, newest: date, looked_at: date | None
) -> list[Event]:
    """Tenants that turned HIGH, and people want to be told of at once (PROACTIVE), lowest score first.

    looked_at: the newest day that all was told of before.
    """
    first = first_day_told(newest, looked_at, settings.restate_days)
    tenants = []
    for row in connection.execute(_MAY_HAVE_TURNED, {"newest": newest, "first": first}):
        since = high_since(list(zip(row.days, row.risks, strict=True)))
        if since is not None and since >= first:
            name = row.name or row.tenant_id
            tenants.append(HighTenant(row.tenant_id, name, newest, since, row.overall_score, row.score_change))
    known = _known_keys(connection, settings, tenants)
    return [
        high_risk(tenant, known.get(tenant.tenant_id), settings.calendar, settings.alerts.ui_url) for tenant in tenants
    ]


def _known_keys(connection: sa.Connection, settings: Settings, tenants: Sequence[HighTenant]) -> dict[str, str]:
    """The key under which a tenant's present streak was told, or begun to be, before: a restatement may have moved its
    beginning since."""
    if not tenants:
        return {}
    earliest = {
        tenant.tenant_id: settings.calendar.start(tenant.since - same_event_span(settings.restate_days))
        for tenant in tenants
    }
    rows = connection.execute(_KNOWN, {"tenants": list(earliest), "earliest": min(earliest.values())})
    return {row.tenant_id: row.event_key for row in rows if row.since >= earliest[row.tenant_id]}

"""What operations look at in the warehouse: sources that have stopped, tenants without a score, people not told."""

from __future__ import annotations

import sqlalchemy as sa


def stopped_sources(connection: sa.Connection) -> set[str]:
    """The source tables that their newest record says have stopped."""
    newest = """
        SELECT source_table FROM (
            SELECT DISTINCT ON (source_table) source_table, is_stopped FROM health.source_freshness
            ORDER BY source_table, recorded_at DESC, is_stopped DESC
        ) AS newest WHERE is_stopped
    """
    return set(connection.execute(sa.text(newest)).scalars())


def unscored_counts(connection: sa.Connection) -> dict[str, int]:
    """Tenants without a score on the newest day that has scores, by reason."""
    query = """
        SELECT reason, count(*) FROM health.unscored_tenants
        WHERE metric_date = (SELECT max(metric_date) FROM health.tenant_health_scores) GROUP BY 1 ORDER BY 1
    """
    return dict(connection.execute(sa.text(query)).tuples().all())


def undelivered_notifications(connection: sa.Connection) -> dict[str, int]:
    """Notifications that people may not have got, by status: reserved or refused."""
    query = "SELECT status, count(*) FROM health.notifications WHERE status <> 'sent' GROUP BY 1 ORDER BY 1"
    return dict(connection.execute(sa.text(query)).tuples().all())

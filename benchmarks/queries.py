"""`python -m benchmarks.queries`: how long analysts wait for their questions in a warehouse of many tenants and years.

The rows are invented inside PostgreSQL, month by month; they are plausible in size and spread, not computed from any source.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import click
import sqlalchemy as sa

from health_pipeline.days import DayRange
from health_pipeline.embedded import EmbeddedServer
from health_pipeline.tables.catalogue import SCHEMA, TABLES
from health_pipeline.warehouse.connection import sql_connection
from health_pipeline.warehouse.migrate import migrate
from health_pipeline.warehouse.months import month_table, months_of

LAST_DAY = date(2025, 6, 30)
DATABASE = "bench_queries"
_TRIES = 5

_ROWS = {
    "tenant_profiles": """
        SELECT d, 't' || n, 'Tenant ' || n, 'tenant-' || n, 'sector ' || n % 12, 1 + (n * 7919) % 8000,
            (ARRAY['1-49', '50-249', '250-999', '1000-4999', '5000+'])[1 + n % 5], DATE '2026-01-01' + n % 365""",
    "usage_metrics": """
        SELECT d, 't' || n, 50, 1 + (n * 31 + k) % 50, 7, 3, 2, 2, 1, 40, 35, 2, 0, 200, 150, (n + k) % 9, 4, 12, 80""",
    "tenant_health_scores": """
        SELECT d, 't' || n, s, s, s, s, s, s, 1.0, least(100, s + n % 7), s - least(100, s + n % 7), 'STABLE',
            CASE WHEN s < 40 THEN 'HIGH' WHEN s < 70 THEN 'MEDIUM' ELSE 'LOW' END,
            CASE WHEN s < 40 THEN 'PROACTIVE' WHEN s < 70 THEN 'DASHBOARD_ONLY' ELSE 'NONE' END, 'policy'""",
}
_PEERS = f"""
INSERT INTO {SCHEMA}.peer_benchmarks
SELECT score.metric_date, metric.name, coalesce(profile.industry_sector, 'ALL'), coalesce(profile.employee_band, 'ALL'),
    NULL, NULL, count(*), percentile_cont(0.25) WITHIN GROUP (ORDER BY overall_score),
    percentile_cont(0.5) WITHIN GROUP (ORDER BY overall_score), percentile_cont(0.75) WITHIN GROUP (ORDER BY overall_score),
    avg(overall_score), min(overall_score), max(overall_score), false
FROM {SCHEMA}.tenant_health_scores AS score
JOIN {SCHEMA}.tenant_profiles AS profile USING (metric_date, tenant_id)
CROSS JOIN unnest(ARRAY['overall_score', 'login_score', 'case_resolution_score', 'campaign_completion_score',
    'feature_adoption_score', 'support_ticket_score', 'active_user_ratio']) AS metric (name)
WHERE score.metric_date > :since
GROUP BY score.metric_date, metric.name, CUBE (profile.industry_sector, profile.employee_band)
"""
_POLICY = f"""
INSERT INTO {SCHEMA}.policies VALUES ('policy', '{{}}', 20, 25, 25, 15, 15, now()) ON CONFLICT DO NOTHING
"""

QUESTIONS = {
    "latest_tenant_health, all tenants": f"SELECT * FROM {SCHEMA}.latest_tenant_health",
    "one tenant's year of scores": (
        f"SELECT metric_date, overall_score FROM {SCHEMA}.tenant_health_scores"
        " WHERE tenant_id = 't77' AND metric_date > DATE '2024-06-30' ORDER BY metric_date"
    ),
    "a month of health_score_drivers for one tenant": (
        f"SELECT * FROM {SCHEMA}.health_score_drivers"
        " WHERE tenant_id = 't77' AND metric_date BETWEEN '2025-03-01' AND '2025-03-31'"
    ),
    "all HIGH tenants of a day, with the median of their peers": (
        f"SELECT score.tenant_id, score.overall_score, peers.median, peers.peer_count"
        f" FROM {SCHEMA}.tenant_health_scores AS score"
        f" JOIN {SCHEMA}.tenant_profiles AS profile USING (metric_date, tenant_id)"
        f" JOIN {SCHEMA}.peer_benchmarks AS peers USING (metric_date, industry_sector, employee_band)"
        " WHERE score.metric_date = '2025-06-20' AND score.risk_level = 'HIGH' AND peers.metric_name = 'overall_score'"
    ),
    "all HIGH tenants of a day in tenant_peer_comparison, overall_score": (
        f"SELECT * FROM {SCHEMA}.tenant_peer_comparison JOIN {SCHEMA}.tenant_health_scores USING (metric_date, tenant_id)"
        " WHERE metric_date = '2025-06-20' AND metric_name = 'overall_score' AND risk_level = 'HIGH'"
    ),
    "all HIGH tenants of a day in tenant_peer_comparison, every metric": (
        f"SELECT * FROM {SCHEMA}.tenant_peer_comparison JOIN {SCHEMA}.tenant_health_scores USING (metric_date, tenant_id)"
        " WHERE metric_date = '2025-06-20' AND risk_level = 'HIGH'"
    ),
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--tenants", default=10_000, show_default=True, type=click.IntRange(1))
@click.option("--days", default=1096, show_default=True, type=click.IntRange(1))
@click.option("--cache", type=click.Path(path_type=Path), default=Path(".bench"), show_default=True)
def main(tenants: int, days: int, cache: Path) -> None:
    """Fill a warehouse once, then ask each question, and print the fastest and the median time of the warm tries."""
    server = EmbeddedServer(cache.absolute() / "server")
    url = _filled(server, tenants, DayRange(LAST_DAY - timedelta(days=days - 1), LAST_DAY))
    click.echo("| question | rows | fastest, ms | median, ms |\n| --- | --- | --- | --- |")
    with sql_connection(url) as connection:
        for name, question in QUESTIONS.items():
            rows, times = _asked(connection, question)
            click.echo(f"| {name} | {rows:,} | {min(times):.0f} | {statistics.median(times):.0f} |")
    server.stop()


def _asked(connection: sa.Connection, question: str) -> tuple[int, list[float]]:
    connection.execute(sa.text(question)).all()
    times = []
    for _ in range(_TRIES):
        begun = time.perf_counter()
        rows = len(connection.execute(sa.text(question)).all())
        times.append(1000 * (time.perf_counter() - begun))
    return rows, times


def _filled(server: EmbeddedServer, tenants: int, days: DayRange) -> str:
    """The URL of a warehouse with these days of these tenants; one that is there already is used again."""
    url, name = server.url(f"{DATABASE}_{tenants}_{len(days)}"), f"{DATABASE}_{tenants}_{len(days)}"
    with sa.create_engine(
        server.url("postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    ).connect() as admin:
        if admin.scalar(sa.text("SELECT count(*) FROM pg_database WHERE datname = :name"), {"name": name}):
            return url
        admin.execute(sa.text(f"CREATE DATABASE {name}"))
    migrate(url)
    for table, month in _months(days):
        with sql_connection(url) as connection:
            _fill(connection, table, month, days, tenants)
    with sql_connection(url) as connection:
        connection.execute(sa.text(_POLICY))
    return url


def _months(days: DayRange) -> Iterator[tuple[str, date]]:
    for month in months_of(days):
        for table in (*_ROWS, "peer_benchmarks"):
            yield table, month


def _fill(connection: sa.Connection, table: str, month: date, days: DayRange, tenants: int) -> None:
    parent, child = f"{SCHEMA}.{table}", f"{SCHEMA}.{month_table(TABLES[table], month)}"
    after = (month + timedelta(days=31)).replace(day=1)
    connection.execute(sa.text(f"CREATE TABLE {child} (LIKE {parent})"))
    first, last = max(month, days.first), min(after - timedelta(days=1), days.last)
    if table in _ROWS:
        connection.execute(
            sa.text(
                f"INSERT INTO {child} {_ROWS[table]} FROM generate_series(0, {len(days)}) AS g(k)"
                f" CROSS JOIN generate_series(1, {tenants}) AS h(n)"
                " CROSS JOIN LATERAL (SELECT CAST(:start AS date) + k AS d) AS of_day"
                " CROSS JOIN LATERAL (SELECT CAST(least(100, 20 + (n * 37 + k / 5) % 90) AS integer) AS s) AS of_score"
                " WHERE d BETWEEN :first AND :last"
            ),
            {"start": days.first, "first": first, "last": last},
        )
    connection.execute(
        sa.text(f"ALTER TABLE {parent} ATTACH PARTITION {child} FOR VALUES FROM ('{month}') TO ('{after}')")
    )
    if table == "peer_benchmarks" and after > days.last - timedelta(days=60):
        connection.execute(sa.text(_PEERS + " HAVING true"), {"since": max(month, days.first) - timedelta(days=1)})
    connection.execute(sa.text(f"ANALYZE {child}"))


if __name__ == "__main__":
    main()

"""`python -m benchmarks.queries`: how long analysts wait for their questions in a warehouse of many tenants and years.

The rows are invented inside PostgreSQL, month by month; they are plausible in size and spread, not computed from any source.
feature_adoption, the largest table, is left empty: no question here asks it.
"""

from __future__ import annotations

import statistics
import time
from datetime import date, timedelta
from pathlib import Path

import click
import sqlalchemy as sa

from health_pipeline.days import DayRange
from health_pipeline.embedded import EmbeddedServer
from health_pipeline.tables.catalogue import SCHEMA, TABLES
from health_pipeline.tables.tenant_health import PEER_METRICS
from health_pipeline.warehouse.connection import sql_connection
from health_pipeline.warehouse.migrate import migrate
from health_pipeline.warehouse.months import analyse_tables_by_month, by_month, make_months, month_table

LAST_DAY = date(2025, 6, 30)
DATABASE = "bench_queries"
_TRIES = 7

# d: the day, k: its number. n: the tenant's number, s: a score that moves slowly.
_TENANT_DAYS = """
    FROM generate_series(CAST(:from AS integer), CAST(:to AS integer)) AS g(k)
    CROSS JOIN generate_series(1, :tenants) AS h(n)
    CROSS JOIN LATERAL (SELECT CAST(:start AS date) + k AS d, CAST(least(100, 20 + (n * 37 + k / 5) % 90) AS integer) AS s) AS of_day
    CROSS JOIN LATERAL (SELECT 'tenant-' || lpad(CAST(n AS text), 6, '0') AS tenant_id) AS tenant"""
_SECTOR, _BAND = "'sector ' || n % 12", "(ARRAY['1-49', '50-249', '250-999', '1000-4999', '5000+'])[1 + n % 5]"
_RANK = "least(100.0, (s - 20) * 100.0 / 90)"
_ROWS = {
    "tenant_profiles": f"""
        SELECT d, tenant_id, 'Tenant ' || n, 'slug-' || n, {_SECTOR}, 1 + (n * 7919) % 8000, {_BAND},
            DATE '2026-01-01' + n % 365 {_TENANT_DAYS}""",
    "usage_metrics": f"""
        SELECT d, tenant_id, 50, 1 + (n * 31 + k) % 50, 7, 3, 2, 2, 1, 40, 35, 2, 0, 200, 150, (n + k) % 9, 4, 12, 80
        {_TENANT_DAYS}""",
    "tenant_health_scores": f"""
        SELECT d, tenant_id, s, s, s, s, s, s, 1.0, least(100, s + n % 7), s - least(100, s + n % 7), 'STABLE',
            CASE WHEN s < 40 THEN 'HIGH' WHEN s < 70 THEN 'MEDIUM' ELSE 'LOW' END,
            CASE WHEN s < 40 THEN 'PROACTIVE' WHEN s < 70 THEN 'DASHBOARD_ONLY' ELSE 'NONE' END, 'policy' {_TENANT_DAYS}""",
    # One tenant in ten has only its sector to compare with, or only its size, or all.
    "tenant_peer_ranks": f"""
        SELECT d, tenant_id, {", ".join([_RANK] * len(PEER_METRICS))},
            {", ".join([f"CASE WHEN n % 10 = {m} THEN n % 3 ELSE 3 END" for m in range(len(PEER_METRICS))])} {_TENANT_DAYS}""",
    "peer_benchmarks": f"""
        SELECT CAST(:start AS date) + k, name, coalesce(sector, 'ALL'), coalesce(band, 'ALL'), NULL, NULL, peers,
            42 + k % 5, 64 + k % 5, 86 + k % 5, 64.5, 20, 100, false
        FROM generate_series(CAST(:from AS integer), CAST(:to AS integer)) AS g(k)
        CROSS JOIN unnest(CAST(:metrics AS text[])) AS metric(name)
        CROSS JOIN (
            SELECT sector, band, count(*) AS peers
            FROM (SELECT {_SECTOR} AS sector, {_BAND} AS band FROM generate_series(1, :tenants) AS h(n)) AS tenant
            GROUP BY CUBE (sector, band)
        ) AS cohort
        ORDER BY 1, 2, 3, 4""",
}
_RECORDS = (
    f"INSERT INTO {SCHEMA}.policies VALUES ('policy', '{{}}', 20, 25, 25, 15, 15, now())",
    f"""INSERT INTO {SCHEMA}.source_freshness (run_id, system, source_table, first_day, last_day, newest_fact_at, is_stopped,
            recorded_at)
        SELECT 'run', 'tenant_health', name, DATE '{LAST_DAY}', DATE '{LAST_DAY}', now(), false, now()
        FROM unnest(ARRAY['tenants', 'users', 'events', 'cases', 'campaigns', 'support_tickets']) AS name""",
)

_COMPARED = (
    f"FROM {SCHEMA}.tenant_peer_comparison JOIN {SCHEMA}.tenant_health_scores USING (metric_date, tenant_id)"
    " WHERE metric_date = '2025-06-20' AND risk_level = 'HIGH'"
)
_PEERS = (
    f"SELECT score.tenant_id, score.overall_score, peers.metric_name, peers.median, peers.peer_count"
    f" FROM {SCHEMA}.tenant_health_scores AS score JOIN {SCHEMA}.tenant_profiles AS profile USING (metric_date, tenant_id)"
    f" JOIN {SCHEMA}.peer_benchmarks AS peers USING (metric_date, industry_sector, employee_band)"
    " WHERE score.metric_date = '2025-06-20' AND score.risk_level = 'HIGH'"
)
QUESTIONS = {
    "`latest_tenant_health`, all tenants": f"SELECT * FROM {SCHEMA}.latest_tenant_health",
    "one tenant's year of scores": (
        f"SELECT metric_date, overall_score FROM {SCHEMA}.tenant_health_scores"
        " WHERE tenant_id = 'tenant-000077' AND metric_date > DATE '2024-06-30' ORDER BY metric_date"
    ),
    "a month of `health_score_drivers`, one tenant": (
        f"SELECT * FROM {SCHEMA}.health_score_drivers"
        " WHERE tenant_id = 'tenant-000077' AND metric_date BETWEEN '2025-06-01' AND '2025-06-30'"
    ),
    "all HIGH tenants of a day joined with `peer_benchmarks`, overall_score": (
        f"{_PEERS} AND peers.metric_name = 'overall_score'"
    ),
    "the same, all seven metrics": _PEERS,
    "all HIGH tenants of a day in `tenant_peer_comparison`, overall_score": (
        f"SELECT * {_COMPARED} AND metric_name = 'overall_score'"
    ),
    "the same, all seven metrics, every column": f"SELECT * {_COMPARED}",
    "one tenant's month in `tenant_peer_comparison`": (
        f"SELECT * FROM {SCHEMA}.tenant_peer_comparison"
        " WHERE tenant_id = 'tenant-000077' AND metric_date BETWEEN '2025-06-01' AND '2025-06-30'"
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
    with sql_connection(url) as connection:
        size = connection.scalar(sa.text("SELECT pg_size_pretty(pg_database_size(current_database()))"))
        click.echo(f"{tenants:,} tenants, {days:,} days: {size}\n")
        click.echo("| question | rows | fastest, ms | median, ms |\n|---|---|---|---|")
        for name, question in QUESTIONS.items():
            rows, times = _asked(connection, question)
            click.echo(f"| {name} | {rows:,} | {min(times):.0f} | {statistics.median(times):.0f} |")
    server.stop()


def _asked(connection: sa.Connection, question: str) -> tuple[int, list[float]]:
    """How many rows there are, and the milliseconds of each try until all of them are Python objects."""
    connection.execute(sa.text(question)).all()
    times = []
    for _ in range(_TRIES):
        begun = time.perf_counter()
        rows = len(connection.execute(sa.text(question)).all())
        times.append(1000 * (time.perf_counter() - begun))
    return rows, times


def _filled(server: EmbeddedServer, tenants: int, days: DayRange) -> str:
    """The URL of a warehouse with these days of these tenants; one that is there already is used again."""
    name = f"{DATABASE}_{tenants}_{len(days)}"
    filling = f"{name}_filling"
    with sa.create_engine(
        server.url("postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    ).connect() as admin:
        if not admin.scalar(sa.text("SELECT count(*) FROM pg_database WHERE datname = :name"), {"name": name}):
            admin.execute(sa.text(f"DROP DATABASE IF EXISTS {filling}"))
            admin.execute(sa.text(f"CREATE DATABASE {filling}"))
            _fill(server.url(filling), tenants, days)
            admin.execute(sa.text(f"ALTER DATABASE {filling} RENAME TO {name}"))
    return server.url(name)


def _fill(url: str, tenants: int, days: DayRange) -> None:
    migrate(url)
    make_months(url, [TABLES[table] for table in _ROWS], days)
    for month in by_month(days):
        numbers = {"from": (month.first - days.first).days, "to": (month.last - days.first).days}
        for table, select in _ROWS.items():
            child = f"{SCHEMA}.{month_table(TABLES[table], month.first)}"
            with sql_connection(url) as connection:
                connection.execute(
                    sa.text(f"INSERT INTO {child} {select}"),
                    {**numbers, "start": days.first, "tenants": tenants, "metrics": list(PEER_METRICS)},
                )
    with sql_connection(url) as connection:
        for record in _RECORDS:
            connection.execute(sa.text(record))
    analyse_tables_by_month(url)


if __name__ == "__main__":
    main()

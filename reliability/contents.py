"""What stands in a warehouse, by table and day, in figures that differ when a single bit of a row does."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from health_pipeline.tables.catalogue import SCHEMA, TABLES
from health_pipeline.tables.declare import Table, Type
from reliability.databases import execute

Digest = tuple[int, str]
"""Number of rows, and a sum of hashes of them."""
Contents = Mapping[tuple[str, str], Digest]
"""By table and day; the day is empty for a table without days."""

COMMITTED_TOGETHER: dict[str, tuple[str, ...]] = {
    "tenant_health": (
        *("tenant_profiles", "usage_metrics", "feature_adoption", "tenant_health_scores", "peer_benchmarks"),
        *("tenant_peer_ranks", "unscored_tenants", "feature_use_base", "score_restatements"),
    ),
    "order_health": ("customer_order_health", "purchase_model_parameters"),
    "client_days": ("client_engagement", "client_momentum_alerts", "alert_snapshots"),
    "client_weeks": ("client_success_scores", "client_insights", "client_success_emails"),
}
"""The tables that one run writes in one transaction, by its step."""

COMPUTED = tuple(name for names in COMMITTED_TOGETHER.values() for name in names)
RECORDED = ("quarantined_rows", "policies")
BROKEN = "broken"

# When a row was recorded and by which run is another every time.
_OF_THE_RUN = {
    "score_restatements": {"run_id", "restated_at"},
    "alert_snapshots": {"computed_at"},
    "quarantined_rows": {"run_id", "first_recorded_at", "last_recorded_at"},
    "policies": {"first_used_at"},
}


def contents(warehouse: str, tables: Iterable[str] = (*COMPUTED, *RECORDED)) -> dict[tuple[str, str], Digest]:
    """All of the tables, as of one moment."""
    rows = execute(warehouse, contents_query(tables))
    return {(table, day): (count, digest) for table, day, count, digest in rows}


def contents_query(tables: Iterable[str]) -> str:
    """A select of table, day, number of rows and digest."""
    return " UNION ALL ".join(_digests(TABLES[name]) for name in tables)


def _digests(table: Table) -> str:
    columns = [name for name in table.column_names if name not in _OF_THE_RUN.get(table.name, ())]
    first = next(column for column in table.columns if column.name == table.key[0])
    day = f"{first.name}::text" if first.type is Type.DATE else "''"
    return (
        f"SELECT '{table.name}', {day}, count(*), sum(hashtextextended(ROW({', '.join(columns)})::text, 0))::text"
        f" FROM {SCHEMA}.{table.name} GROUP BY 2"
    )


def states(found: Contents, versions: Mapping[str, Contents], compared: Collection[str]) -> dict[str, str]:
    """By step, the name of the version that its tables are as in, of those compared; BROKEN where there is none."""
    return {
        step: next((name for name, each in versions.items() if _of(found, tables) == _of(each, tables)), BROKEN)
        for step, tables in (
            (step, [name for name in names if name in compared]) for step, names in COMMITTED_TOGETHER.items()
        )
    }


def differences(found: Contents, expected: Contents, compared: Collection[str] = (*COMPUTED, *RECORDED)) -> list[str]:
    """Tables and days that differ, of the tables compared, with the numbers of rows."""
    return [
        f"{table} {day}: {found.get((table, day), (0, ''))[0]} rows, expected {expected.get((table, day), (0, ''))[0]}"
        for table, day in sorted(found.keys() | expected.keys())
        if table in compared and found.get((table, day)) != expected.get((table, day))
    ]


def _of(found: Contents, tables: Collection[str]) -> dict[tuple[str, str], Digest]:
    return {place: digest for place, digest in found.items() if place[0] in tables}

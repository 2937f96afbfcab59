"""A range in one run, day by day, backwards, twice, in pieces, table by table and tenant by tenant: the same tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from alembic import command

from health_pipeline.systems import tenant_health
from health_pipeline.systems.context import RunContext
from health_pipeline.tables.catalogue import SCHEMA, VIEWS
from health_pipeline.warehouse.connection import sql_connection
from health_pipeline.warehouse.migrate import alembic_config, migrate
from health_pipeline_tests.conftest import NewDatabase
from health_pipeline_tests.reference.hostile import hostile_source
from health_pipeline_tests.support.compare import Rows, differences
from health_pipeline_tests.support.databases import all_rows, execute, value
from health_pipeline_tests.support.runs import TENANT_HEALTH, context_for, run
from health_pipeline_tests.support.sources import load_source

ZONE = "America/Sao_Paulo"
DAYS = [date(2018, 11, 3), date(2018, 11, 4), date(2018, 11, 5)]  # the 4th has no midnight
FIRST, LAST = DAYS[0], DAYS[-1]
CLOCK = datetime(2018, 12, 1, tzinfo=UTC)
LAG_OF_A_WEEK = "tenant_health: {trend: {lag_days: 7, threshold: 2}}"


@dataclass(frozen=True)
class Range:
    """A hostile source, and what one run over the range made of it. warehouse: its database, to be copied."""

    source_url: str
    warehouse: str
    expected: dict[str, Rows]

    def context(self, warehouse: str) -> RunContext:
        return context_for(self.source_url, warehouse, CLOCK, zone=ZONE)


@pytest.fixture(scope="module")
def in_one_run(
    new_module_database: NewDatabase, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Range:
    """The range of days in one run."""
    source = hostile_source(1, tenants=12, days=(FIRST, LAST), zone=ZONE, clock=CLOCK)
    url = load_source("postgresql", source, tmp_path_factory.mktemp("source"), new_module_database)
    warehouse = new_module_database(migrated_template)
    run(context_for(url, warehouse, CLOCK, zone=ZONE), FIRST, LAST)
    return Range(url, urlsplit(warehouse).path[1:], contents(warehouse))


def contents(warehouse: str) -> dict[str, Rows]:
    return all_rows(warehouse, tenant_health.tables.GROUP)


def assert_same(found: dict[str, Rows], expected: dict[str, Rows]) -> None:
    assert found.keys() == expected.keys() == TENANT_HEALTH
    for table, rows in expected.items():
        assert {row["metric_date"] for row in rows.values()} == set(DAYS)
        assert differences(found[table], rows) == []


def test_single_days_in_any_order_and_again_are_the_range(in_one_run: Range, warehouse: str) -> None:
    context = in_one_run.context(warehouse)
    for day in reversed(DAYS):
        run(context, day, day)
    assert_same(contents(warehouse), in_one_run.expected)
    run(context, DAYS[1], DAYS[1])
    assert_same(contents(warehouse), in_one_run.expected)
    run(context, FIRST, LAST)
    assert_same(contents(warehouse), in_one_run.expected)


def test_with_a_trend_over_a_week(
    new_database: NewDatabase, migrated_template: str, warehouse: str, tmp_path: Path
) -> None:
    """The days a week before lie outside the range and were never materialised, and yet they are compared with."""
    (tmp_path / "policy.yaml").write_text(LAG_OF_A_WEEK)
    source = hostile_source(2, tenants=12, days=(FIRST, LAST), zone=ZONE, clock=CLOCK)
    url = load_source("duckdb", source, tmp_path, new_database)
    backwards = new_database(migrated_template)
    run(context_for(url, warehouse, CLOCK, zone=ZONE, policy=tmp_path / "policy.yaml"), FIRST, LAST)
    for day in reversed(DAYS):
        run(context_for(url, backwards, CLOCK, zone=ZONE, policy=tmp_path / "policy.yaml"), day, day)
    expected = contents(warehouse)
    assert any(row["previous_score"] is not None for row in expected["tenant_health_scores"].values())
    assert_same(contents(backwards), expected)


def test_written_in_pieces(in_one_run: Range, warehouse: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenant_health, "ROWS_PER_BATCH", 1)
    result = run(in_one_run.context(warehouse), FIRST, LAST)
    assert_same(contents(warehouse), in_one_run.expected)
    assert set(result.rows_per_day["feature_adoption"]) == set(DAYS)


def test_some_tables_and_then_the_others(in_one_run: Range, warehouse: str) -> None:
    some = frozenset({"peer_benchmarks", "feature_adoption"})
    run(in_one_run.context(warehouse), FIRST, LAST, some)
    found = contents(warehouse)
    assert {name for name, rows in found.items() if rows} == some
    run(in_one_run.context(warehouse), FIRST, LAST, TENANT_HEALTH - some)
    assert_same(contents(warehouse), in_one_run.expected)


def test_ranks_of_days_before_the_upgrade_are_those_of_a_run(in_one_run: Range, new_database: NewDatabase) -> None:
    """A warehouse that has no table for them yet gets them by SQL, for the days that it has."""
    warehouse = new_database(in_one_run.warehouse)
    execute(
        warehouse, f"DROP VIEW {', '.join(f'{SCHEMA}.{name}' for name in VIEWS)}", "DELETE FROM health.view_definitions"
    )
    with sql_connection(warehouse) as connection:
        command.downgrade(alembic_config(connection), "0005")
    assert value(warehouse, "SELECT to_regclass('health.tenant_peer_ranks')") is None
    migrate(warehouse)
    assert_same(contents(warehouse), in_one_run.expected)
    ranks = in_one_run.expected["tenant_peer_ranks"].values()
    assert any(row["login_score_rank"] is not None for row in ranks)
    assert any(row["active_user_ratio_rank"] is None for row in ranks)


def test_one_tenant_is_replaced_and_nobody_else(in_one_run: Range, new_database: NewDatabase) -> None:
    warehouse = new_database(in_one_run.warehouse)
    execute(
        warehouse,
        "UPDATE health.usage_metrics SET total_users = 999999",
        "UPDATE health.tenant_health_scores SET policy_version = 'old'",
        "DELETE FROM health.feature_adoption",
        "DELETE FROM health.tenant_peer_ranks",
    )
    expected = in_one_run.expected
    chosen = min(row["tenant_id"] for row in expected["usage_metrics"].values() if row["metric_date"] == LAST)
    run(in_one_run.context(warehouse), FIRST, LAST, tenant=chosen)
    found = contents(warehouse)

    def parted(rows: Rows) -> tuple[Rows, Rows]:
        """The rows of the chosen tenant, and the others'."""
        chosen_rows = {key: row for key, row in rows.items() if row["tenant_id"] == chosen}
        return chosen_rows, {key: row for key, row in rows.items() if key not in chosen_rows}

    for table in TENANT_HEALTH - {"peer_benchmarks", "tenant_peer_ranks"}:
        assert parted(expected[table])[0]
        assert differences(parted(found[table])[0], parted(expected[table])[0]) == []
    for table in ("peer_benchmarks", "tenant_peer_ranks"):
        assert differences(found[table], expected[table]) == []
    assert {row["total_users"] for row in parted(found["usage_metrics"])[1].values()} == {999999}
    assert {row["policy_version"] for row in parted(found["tenant_health_scores"])[1].values()} == {"old"}
    assert not parted(found["feature_adoption"])[1]
    assert differences(parted(found["tenant_profiles"])[1], parted(expected["tenant_profiles"])[1]) == []

"""A range in one run, day by day, backwards, twice, in pieces and tenant by tenant: the same tables."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from health_pipeline.systems import tenant_health
from health_pipeline.systems.context import RunContext
from health_pipeline_tests.conftest import NewDatabase
from health_pipeline_tests.reference.hostile import hostile_source
from health_pipeline_tests.support.compare import Rows, differences
from health_pipeline_tests.support.databases import all_rows, execute
from health_pipeline_tests.support.runs import TENANT_HEALTH, context_for, run
from health_pipeline_tests.support.sources import load_source

ZONE = "America/Sao_Paulo"
FIRST, LAST = date(2018, 11, 2), date(2018, 11, 5)  # the 4th has no midnight
DAYS = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]
CLOCK = datetime(2018, 12, 1, tzinfo=UTC)
LAG_OF_A_WEEK = "tenant_health: {trend: {lag_days: 7, threshold: 2}}"

InWarehouse = Callable[[str], RunContext]


@pytest.fixture
def context(new_database: NewDatabase, tmp_path: Path) -> InWarehouse:
    """A context for runs over a hostile source into a given warehouse."""
    source = hostile_source(1, tenants=12, days=(FIRST, LAST), zone=ZONE, clock=CLOCK)
    url = load_source("postgresql", source, tmp_path, new_database)
    return lambda warehouse: context_for(url, warehouse, CLOCK, zone=ZONE)


@pytest.fixture
def context_of_a_week(new_database: NewDatabase, tmp_path: Path) -> InWarehouse:
    """The same over a DuckDB file, under a policy whose trend looks back beyond the range."""
    (tmp_path / "policy.yaml").write_text(LAG_OF_A_WEEK)
    source = hostile_source(2, tenants=12, days=(FIRST, LAST), zone=ZONE, clock=CLOCK)
    url = load_source("duckdb", source, tmp_path, new_database)
    return lambda warehouse: context_for(url, warehouse, CLOCK, zone=ZONE, policy=tmp_path / "policy.yaml")


def assert_same(found: dict[str, Rows], expected: dict[str, Rows]) -> None:
    assert found.keys() == expected.keys() == TENANT_HEALTH
    for table, rows in expected.items():
        assert len(rows) >= len(DAYS)
        assert {row["metric_date"] for row in rows.values()} == set(DAYS)
        assert differences(found[table], rows) == []


def contents(warehouse: str) -> dict[str, Rows]:
    return all_rows(warehouse, tenant_health.tables.GROUP)


def test_single_days_in_any_order_and_twice_are_the_range(context: InWarehouse, new_warehouse: Callable[[], str]) -> None:
    in_one, forwards, backwards = new_warehouse(), new_warehouse(), new_warehouse()
    run(context(in_one), FIRST, LAST)
    expected = contents(in_one)
    run(context(in_one), FIRST, LAST)
    assert_same(contents(in_one), expected)
    for day in DAYS:
        run(context(forwards), day, day)
    assert_same(contents(forwards), expected)
    for day in reversed(DAYS):
        run(context(backwards), day, day)
    assert_same(contents(backwards), expected)
    run(context(backwards), DAYS[1], DAYS[2])
    assert_same(contents(backwards), expected)


def test_with_a_trend_over_a_week(context_of_a_week: InWarehouse, new_warehouse: Callable[[], str]) -> None:
    in_one, backwards = new_warehouse(), new_warehouse()
    run(context_of_a_week(in_one), FIRST, LAST)
    expected = contents(in_one)
    # The days a week before were never materialised, and yet they are the ones compared with.
    assert any(row["previous_score"] is not None for row in expected["tenant_health_scores"].values())
    for day in reversed(DAYS):
        run(context_of_a_week(backwards), day, day)
    assert_same(contents(backwards), expected)


def test_written_in_pieces_or_at_once(
    context: InWarehouse, new_warehouse: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once, in_pieces = new_warehouse(), new_warehouse()
    run(context(at_once), FIRST, LAST)
    monkeypatch.setattr(tenant_health, "ROWS_PER_BATCH", 1)
    result = run(context(in_pieces), FIRST, LAST)
    assert_same(contents(in_pieces), contents(at_once))
    assert set(result.rows_per_day["feature_adoption"]) == set(DAYS)


def test_table_by_table_is_all_at_once(context: InWarehouse, new_warehouse: Callable[[], str]) -> None:
    at_once, by_table = new_warehouse(), new_warehouse()
    run(context(at_once), LAST, LAST)
    for name in sorted(TENANT_HEALTH):
        run(context(by_table), LAST, LAST, frozenset([name]))
    for table, rows in contents(at_once).items():
        assert differences(contents(by_table)[table], rows) == []


def test_one_tenant_is_replaced_and_nobody_else(context: InWarehouse, warehouse: str) -> None:
    run(context(warehouse), FIRST, LAST)
    expected = contents(warehouse)
    chosen = min(row["tenant_id"] for row in expected["usage_metrics"].values() if row["metric_date"] == LAST)
    execute(
        warehouse,
        "UPDATE health.usage_metrics SET total_users = 999999",
        "UPDATE health.tenant_health_scores SET policy_version = 'old'",
        "DELETE FROM health.feature_adoption",
    )
    run(context(warehouse), FIRST, LAST, tenant=chosen)
    found = contents(warehouse)

    def of_chosen(rows: Rows) -> Rows:
        return {key: row for key, row in rows.items() if row["tenant_id"] == chosen}

    for table in TENANT_HEALTH - {"peer_benchmarks"}:
        assert differences(of_chosen(found[table]), of_chosen(expected[table])) == []
    assert differences(found["peer_benchmarks"], expected["peer_benchmarks"]) == []
    assert {row["total_users"] for row in found["usage_metrics"].values() if row["tenant_id"] != chosen} == {999999}
    old = {row["policy_version"] for row in found["tenant_health_scores"].values() if row["tenant_id"] != chosen}
    assert old == {"old"}
    assert all(row["tenant_id"] == chosen for row in found["feature_adoption"].values())

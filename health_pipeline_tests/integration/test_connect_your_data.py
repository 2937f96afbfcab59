"""The worked example of docs/connect-your-data.md: a differently named schema, mapped, against figures worked by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa

from health_pipeline.embedded import EmbeddedServer
from health_pipeline.warehouse.connection import sql_connection
from health_pipeline_tests.support.databases import administer, execute
from health_pipeline_tests.support.runs import context_for, run

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
FIRST, LAST = date(2025, 3, 10), date(2025, 3, 12)
CLOCK = datetime(2025, 3, 20, tzinfo=UTC)


def loaded_source(kind: str, server: EmbeddedServer, folder: Path) -> str:
    """The URL of a source that holds the example; the same file of SQL serves both kinds."""
    ddl = (EXAMPLES / "crm.sql").read_text(encoding="utf-8")
    if kind == "postgresql":
        administer(server.url("postgres"), "CREATE DATABASE crm_source")
        execute(server.url("crm_source"), ddl)
        return server.url("crm_source")
    path = folder / "application.duckdb"
    with duckdb.connect(str(path)) as file:
        file.execute("SET TimeZone = 'UTC'")
        file.execute(ddl)
    return f"duckdb://{path}"


@pytest.fixture(scope="module", params=["postgresql", "duckdb"])
def results(
    request: pytest.FixtureRequest,
    server: EmbeddedServer,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[sa.Connection]:
    """The warehouse after a run over the days through the mapping."""
    source = loaded_source(request.param, server, tmp_path_factory.mktemp("crm"))
    name = f"crm_from_{request.param}"
    administer(server.url("postgres"), f"CREATE DATABASE {name} TEMPLATE {migrated_template}")
    run(context_for(source, server.url(name), CLOCK, source_mapping=EXAMPLES / "mapping.yaml"), FIRST, LAST)
    with sql_connection(server.url(name)) as connection:
        yield connection


def rows(results: sa.Connection, columns: str, table: str, where: str = "true") -> list[tuple[Any, ...]]:
    query = f"SELECT {columns} FROM health.{table} WHERE {where} ORDER BY metric_date, tenant_id"
    return [tuple(row) for row in results.execute(sa.text(query))]


def test_renamed_tenants_have_their_profiles(results: sa.Connection) -> None:
    columns = "metric_date, tenant_id, name, slug, industry_sector, employee_count, employee_band, renewal_date"
    northwind = ("101", "Northwind Legal", "northwind", "Legal", 120, "50-249", date(2025, 6, 30))
    harbor = ("102", "Blue Harbor Foods", "blue-harbor", "Food", 40, "1-49", date(2026, 2, 3))
    # The press leaves on the 11th; its empty sector and unknown size read as null.
    press = ("103", "Old Mill Press", "old-mill", None, None, None, None)
    assert rows(results, columns, "tenant_profiles") == [
        (date(2025, 3, 10), *northwind),
        (date(2025, 3, 10), *harbor),
        (date(2025, 3, 10), *press),
        (date(2025, 3, 11), *northwind),
        (date(2025, 3, 11), *harbor),
        (date(2025, 3, 12), *northwind),
        (date(2025, 3, 12), *harbor),
    ]


def test_actions_of_the_select_count_as_logins_reports_and_searches(results: sa.Connection) -> None:
    columns = "total_users, active_users, daily_active_users, reports_generated, searches_performed, api_calls, support_tickets"
    # Member 4 departed at the midnight that ends the 10th: there on that day, gone on the next. Member 2 signed in at the
    # first instant of the 30 days at the 10th, and so before those at the 11th.
    assert rows(results, columns, "usage_metrics", "tenant_id = '101'") == [
        (4, 3, 1, 0, 0, 0, None),
        (3, 2, 1, 1, 0, 0, None),
        (3, 2, 0, 0, 2, 0, None),
    ]
    assert rows(results, "total_users, active_users", "usage_metrics", "tenant_id <> '101'") == [
        (2, 1),
        (1, 0),
        (2, 1),
        (2, 1),
    ]


def test_matters_and_programs_count_as_cases_and_campaigns(results: sa.Connection) -> None:
    columns = (
        "cases_created, cases_closed, cases_closed_on_time, cases_overdue, cases_closed_30d, cases_closed_on_time_30d,"
        " campaigns_active, campaigns_completed, assignments_total, assignments_completed"
    )
    # Matter 2 is overdue at the end of the 10th and closed late on the 11th; then matter 3 is overdue.
    assert rows(results, columns, "usage_metrics", "tenant_id = '101'") == [
        (0, 1, 1, 1, 1, 1, 1, 0, 3, 1),
        (0, 1, 0, 1, 2, 1, 0, 1, 3, 2),
        (0, 0, 0, 1, 2, 1, 0, 0, 3, 2),
    ]


def test_modules_of_the_select_are_features(results: sa.Connection) -> None:
    columns = "metric_date, tenant_id, feature_key, is_enabled, usage_count, usage_count_30d"
    handbook = "tenant_id = '101' AND feature_key = 'POLICY_MANAGEMENT'"
    assert rows(results, columns, "feature_adoption", handbook) == [
        (date(2025, 3, 10), "101", "POLICY_MANAGEMENT", True, 0, 0),
        (date(2025, 3, 11), "101", "POLICY_MANAGEMENT", True, 0, 0),
        (date(2025, 3, 12), "101", "POLICY_MANAGEMENT", True, 1, 1),
    ]
    # Used on January 20th, so outside the 30 days at the 10th.
    matters = "tenant_id = '101' AND feature_key = 'CASE_MANAGEMENT'"
    assert [row[4:] for row in rows(results, columns, "feature_adoption", matters)] == [(1, 0), (2, 1), (2, 1)]
    # The licence of 102 ends at the midnight that ends the 10th: still valid on that day.
    enabled = "tenant_id = '102' AND is_enabled"
    assert [row[:3] for row in rows(results, columns, "feature_adoption", enabled)] == [
        (date(2025, 3, 10), "102", "CASE_MANAGEMENT")
    ]


def test_scores_do_without_the_table_that_is_not_there(results: sa.Connection) -> None:
    columns = (
        "login_score, case_resolution_score, campaign_completion_score, feature_adoption_score, support_ticket_score,"
        " overall_score, coverage, previous_score, trend, risk_level, alert_level"
    )
    # 10th: logins 3/4 / 0.7 > 100; cases 1/1; campaigns 1/3 / 0.85 = 39.2; features 1/14 / 0.6 = 11.9;
    #       (20 x 100 + 25 x 100 + 25 x 39 + 15 x 12) / 85 = 66.5. The 9th: 71, 100, 39, 12 give 59.7.
    # 11th: logins 2/3 / 0.7 = 95.2; cases 1/2 / 0.9 = 55.6; campaigns 2/3 / 0.85 = 78.4; 5430 / 85 = 63.9.
    # 12th: features 2/14 / 0.6 = 23.8; 5610 / 85 = 66.
    assert rows(results, columns, "tenant_health_scores", "tenant_id = '101'") == [
        (100, 100, 39, 12, None, 67, 0.85, 60, "IMPROVING", "MEDIUM", "DASHBOARD_ONLY"),
        (95, 56, 78, 12, None, 64, 0.85, 67, "STABLE", "MEDIUM", "DASHBOARD_ONLY"),
        (95, 56, 78, 24, None, 66, 0.85, 64, "STABLE", "MEDIUM", "DASHBOARD_ONLY"),
    ]
    # 102: logins 1/2 / 0.7 = 71.4; (20 x 71 + 25 x 100 + 25 x 100) / 85 = 75.5. 103: nobody signs in; 5000 / 85 = 58.8.
    others = rows(results, "tenant_id, overall_score, risk_level", "tenant_health_scores", "tenant_id <> '101'")
    assert others == [("102", 76, "LOW"), ("103", 59, "MEDIUM"), ("102", 76, "LOW"), ("102", 76, "LOW")]


def test_the_row_of_an_unknown_account_is_set_apart(results: sa.Connection) -> None:
    found = results.execute(
        sa.text("SELECT source_table, row_key, reason, row ->> 'event_type' FROM health.quarantined_rows")
    ).all()
    assert [tuple(row) for row in found] == [
        ("events", "6", "tenant_id is not among the good rows of tenants", "page_view")
    ]

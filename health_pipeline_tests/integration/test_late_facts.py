"""Facts that come late, sources that stop, and tenants that can't be scored."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from health_pipeline.days import DayRange
from health_pipeline.errors import InvalidResult, SourceError, TooManyBadRows
from health_pipeline.scoring.peer_benchmarks import PeerTables, peer_tables
from health_pipeline.scoring.tenant_health import tenant_health_scores
from health_pipeline.sources import contract
from health_pipeline.sources.reader import SourceReader
from health_pipeline.systems import tenant_health
from health_pipeline_tests.conftest import NewDatabase
from health_pipeline_tests.integration.conftest import Make
from health_pipeline_tests.support.databases import all_rows, execute, query, value
from health_pipeline_tests.support.deployment import deployed
from health_pipeline_tests.support.runs import context_for, run
from health_pipeline_tests.support.small_sources import Readers

CLOCK = datetime(2024, 3, 20, 2, tzinfo=UTC)
DAYS = DayRange(date(2024, 3, 16), date(2024, 3, 19))
SOURCE = (
    "CREATE SCHEMA app",
    "CREATE TABLE app.tenants (tenant_id text, name text, created_at timestamptz, employee_count integer)",
    "CREATE TABLE app.users (user_id text, tenant_id text, created_at timestamptz)",
    "CREATE TABLE app.events (tenant_id text, user_id text, event_type text, occurred_at timestamptz)",
    "INSERT INTO app.tenants SELECT 't' || n, 'T', timestamptz '2024-01-01 00:00:00+00', n + 1 FROM generate_series(0, 29) AS s(n)",
    "INSERT INTO app.users SELECT 'u' || n, 't' || n / 2, timestamptz '2024-01-01 00:00:00+00' FROM generate_series(0, 59) AS s(n)",
    # Every hour somebody of every fourth user's logs in.
    "INSERT INTO app.events SELECT 't' || n / 2, 'u' || n, 'login', timestamptz '2024-03-20 01:30:00+00' - h * interval '1 hour'"
    " FROM generate_series(0, 59, 4) AS s(n), generate_series(0, 24 * 40) AS g(h)",
)


@pytest.fixture
def source(new_database: NewDatabase) -> str:
    url = new_database()
    execute(url, *SOURCE)
    return url


def places(url: str) -> dict[tuple[date, str], str]:
    rows = query(url, "SELECT metric_date, tenant_id, tableoid || ctid::text AS place FROM health.tenant_health_scores")
    return {(row["metric_date"], row["tenant_id"]): row["place"] for row in rows}


def test_a_late_login_restates_the_score_and_nothing_else(source: str, warehouse: str) -> None:
    run(context_for(source, warehouse, CLOCK, run_id="first"), DAYS.first, DAYS.last)
    before = places(warehouse)
    old = value(warehouse, "SELECT overall_score FROM health.tenant_health_scores WHERE tenant_id = 't1' LIMIT 1")
    execute(source, "INSERT INTO app.events VALUES ('t1', 'u2', 'login', '2024-03-17 10:00:00+00')")
    later = CLOCK + timedelta(days=1)
    run(context_for(source, warehouse, later, run_id="second"), DAYS.first, DAYS.last)
    changed = {(day, "t1") for day in DAYS if day >= date(2024, 3, 17)}
    after = places(warehouse)
    assert after.keys() == before.keys()
    assert {key for key in after if after[key] != before[key]} == changed
    restated = query(warehouse, "SELECT * FROM health.score_restatements ORDER BY metric_date")
    assert {(row["metric_date"], row["tenant_id"]) for row in restated} == changed
    new = value(
        warehouse,
        "SELECT overall_score FROM health.tenant_health_scores WHERE tenant_id = 't1' AND metric_date = '2024-03-19'",
    )
    assert new != old
    assert {(r["old_score"], r["new_score"], r["run_id"], r["restated_at"]) for r in restated} == {
        (old, new, "second", later)
    }
    run(context_for(source, warehouse, later, run_id="third"), DAYS.first, DAYS.last)
    assert places(warehouse) == after
    assert value(warehouse, "SELECT count(*) FROM health.score_restatements") == len(changed)


def test_restated_days_are_those_of_a_fresh_run(
    source: str, warehouse: str, new_database: NewDatabase, migrated_template: str
) -> None:
    run(context_for(source, warehouse, CLOCK), DAYS.first, DAYS.last)
    execute(
        source,
        "INSERT INTO app.events VALUES ('t1', 'u2', 'login', '2024-03-17 10:00:00+00')",
        "DELETE FROM app.tenants WHERE tenant_id = 't5'",
        "DELETE FROM app.users WHERE tenant_id = 't5'",
        "DELETE FROM app.events WHERE tenant_id = 't5'",
        "INSERT INTO app.tenants VALUES ('new', 'N', '2024-03-18 00:00:00+00', 3)",
    )
    run(context_for(source, warehouse, CLOCK), DAYS.first, DAYS.last)
    fresh = new_database(migrated_template)
    run(context_for(source, fresh, CLOCK), DAYS.first, DAYS.last)
    assert all_rows(warehouse, "tenant_health") == all_rows(fresh, "tenant_health")
    gone = query(
        warehouse, "SELECT DISTINCT new_score, new_policy_version FROM health.score_restatements WHERE tenant_id = 't5'"
    )
    assert gone == [{"new_score": None, "new_policy_version": None}]
    assert value(warehouse, "SELECT count(*) FROM health.score_restatements WHERE tenant_id = 'new'") == 0


def test_the_newest_fact_and_a_stopped_source_are_recorded(source: str, warehouse: str) -> None:
    run(context_for(source, warehouse, CLOCK, run_id="fresh"), DAYS.first, DAYS.last)
    found = query(warehouse, "SELECT * FROM health.source_freshness ORDER BY source_table")
    assert [
        (r["source_table"], r["newest_fact_at"], r["is_stopped"], r["first_day"], r["last_day"]) for r in found
    ] == [
        ("events", datetime(2024, 3, 20, 1, 30, tzinfo=UTC), False, DAYS.first, DAYS.last),
        ("tenants", datetime(2024, 1, 1, tzinfo=UTC), False, DAYS.first, DAYS.last),
        ("users", datetime(2024, 1, 1, tzinfo=UTC), False, DAYS.first, DAYS.last),
    ]
    latest = "SELECT DISTINCT newest_event_at, stopped_sources, newest_facts ->> 'users' AS users FROM health.latest_tenant_health"
    fresh = {
        "newest_event_at": found[0]["newest_fact_at"],
        "stopped_sources": None,
        "users": "2024-01-01T00:00:00+00:00",
    }
    assert query(warehouse, latest) == [fresh]

    execute(source, "DELETE FROM app.events WHERE occurred_at >= '2024-03-18 12:00:00+00'")
    minute = timedelta(minutes=1)
    run(context_for(source, warehouse, CLOCK + minute, run_id="stopped"), DAYS.first, DAYS.last)
    stopped = {**fresh, "newest_event_at": datetime(2024, 3, 18, 11, 30, tzinfo=UTC), "stopped_sources": "events"}
    assert query(warehouse, latest) == [stopped]
    # Another day, or one tenant, says nothing of how fresh the newest day's rows are.
    run(context_for(source, warehouse, CLOCK + 2 * minute, run_id="older"), DAYS.first, DAYS.first)
    run(context_for(source, warehouse, CLOCK + 3 * minute, run_id="one"), DAYS.last, DAYS.last, tenant="t1")
    assert query(warehouse, latest) == [stopped]


def test_a_source_of_any_kind_can_have_stopped(made: Make, reader: Readers) -> None:
    url = made(
        *(
            text.replace(
                "generate_series(0, 59, 4) AS s(n), generate_series(0, 24 * 40) AS g(h)",
                "generate_series(0, 59, 4) AS s(n), generate_series(48, 24 * 40) AS g(h)",
            )
            for text in SOURCE
        )
    )
    opened: SourceReader = reader(url)
    opened.clock = CLOCK
    opened.read(contract.EVENTS)
    opened.read(contract.USERS)
    found = opened.freshness()
    assert found["events"].newest_fact == datetime(2024, 3, 18, 1, 30, tzinfo=UTC)
    assert {name for name, fresh in found.items() if fresh.is_stopped} == {"events"}
    opened.clock = CLOCK - timedelta(hours=13)
    assert not any(fresh.is_stopped for fresh in opened.freshness().values())


def test_metadata_tells_of_freshness(
    monkeypatch: pytest.MonkeyPatch, source: str, warehouse: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    with deployed(monkeypatch, tmp_path / "home", source, warehouse, new_database()) as deployment:
        assert deployment.run(DAYS).success
        told = deployment.metadata("tenant_health_scores")[DAYS.last]
    assert told["newest_facts"]["events"] == "2024-03-20T01:30:00+00:00"
    assert told["stopped_sources"] == ["events"]  # long ago, by the real clock
    assert told["tenants_not_scored"] == {}


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the scores of these tenants break their table's rules, as a fault in the code would."""

    def install(*tenants: str) -> None:
        def scores(figures: pd.DataFrame, *arguments: Any) -> pd.DataFrame:
            result = tenant_health_scores(figures, *arguments)
            result.loc[result["tenant_id"].isin(tenants), "overall_score"] = 101
            return result

        monkeypatch.setattr(tenant_health, "tenant_health_scores", scores)

    return install


def test_one_tenant_with_a_broken_row_is_left_out_and_told(
    source: str, warehouse: str, new_database: NewDatabase, migrated_template: str, breaking: Any
) -> None:
    without = new_database(migrated_template)
    execute(
        source,
        "INSERT INTO app.tenants VALUES (NULL, 'nobody', '2024-01-01 00:00:00+00', 1)",
        "INSERT INTO app.tenants VALUES ('bad', NULL, '2024-01-01 00:00:00+00', 1)",
    )
    execute(source, "INSERT INTO app.tenants VALUES ('ended', 'E', '2024-03-18 00:00:00+00', 1)")
    breaking("t7", "ended")
    result = run(context_for(source, warehouse, CLOCK), DAYS.first, DAYS.last)
    rule = "a computed row breaks a rule: tenant_health_scores: overall_score: less_than_or_equal_to(100)"
    assert {
        (r["metric_date"], r["tenant_id"], r["reason"])
        for r in query(warehouse, "SELECT * FROM health.unscored_tenants")
    } == {
        *((day, "t7", rule) for day in DAYS),
        *((day, "ended", rule) for day in DAYS if day >= date(2024, 3, 18)),
        *((day, "bad", "its row in tenants is bad: name is null") for day in DAYS),
    }
    assert len(result.unscored) == 10
    for table in ("tenant_profiles", "usage_metrics", "feature_adoption", "tenant_health_scores"):
        assert value(warehouse, f"SELECT count(*) FROM health.{table} WHERE tenant_id IN ('t7', 'ended', 'bad')") == 0
    # The rest is as if the tenant were not there at all.
    execute(
        source,
        "DELETE FROM app.tenants WHERE tenant_id IN ('t7', 'ended')",
        "DELETE FROM app.events WHERE tenant_id = 't7'",
        "DELETE FROM app.users WHERE tenant_id = 't7'",
    )
    run(context_for(source, without, CLOCK), DAYS.first, DAYS.last)
    assert all_rows(warehouse, "tenant_health") == all_rows(without, "tenant_health")


def test_too_many_broken_tenants_fail_the_run(source: str, warehouse: str, breaking: Any) -> None:
    run(context_for(source, warehouse, CLOCK), DAYS.first, DAYS.last)
    before = all_rows(warehouse, "tenant_health")
    breaking(*(f"t{n}" for n in range(10)))
    with pytest.raises(TooManyBadRows, match=r"10 of 30 tenants .* nothing was written"):
        run(context_for(source, warehouse, CLOCK), DAYS.first, DAYS.last)
    assert all_rows(warehouse, "tenant_health") == before


def test_a_row_of_no_tenant_that_breaks_fails_the_run(
    source: str, warehouse: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: Any) -> PeerTables:
        computed = peer_tables(*given)
        return replace(computed, benchmarks=computed.benchmarks.assign(p25=-1.0))

    monkeypatch.setattr(tenant_health, "peer_tables", broken)
    with pytest.raises(InvalidResult, match="peer_benchmarks"):
        run(context_for(source, warehouse, CLOCK), DAYS.first, DAYS.last)


def test_nothing_measured_is_never_healthy(source: str, warehouse: str, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "tenant_health:\n  components:\n    login_score: {nothing_to_measure: exclude}\n    feature_adoption_score: {weight: 0}\n"
    )
    execute(source, "INSERT INTO app.tenants VALUES ('empty', 'E', '2024-01-01 00:00:00+00', 1)")
    result = run(context_for(source, warehouse, CLOCK, policy=policy), DAYS.last, DAYS.last)
    assert result.unscored[["tenant_id", "reason"]].to_dict("records") == [
        {"tenant_id": "empty", "reason": "nothing was measured"}
    ]


def test_a_source_that_takes_too_long_is_given_up(source: str, warehouse: str, tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("tables:\n  users:\n    sql: SELECT users.*, pg_sleep(0.1) FROM app.users\n")
    with pytest.raises(SourceError, match=r"statement timeout.*HEALTH_SOURCE_TIMEOUT") as error:
        run(context_for(source, warehouse, CLOCK, source_mapping=mapping, source_timeout="1"), DAYS.last, DAYS.last)
    assert "\n" not in str(error.value)


def test_the_source_cannot_be_written(source: str, warehouse: str, tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.yaml"
    execute(
        source,
        "CREATE FUNCTION app.meddle() RETURNS text LANGUAGE sql AS $$ DELETE FROM app.events RETURNING 'gone' $$",
    )
    mapping.write_text("tables:\n  users:\n    sql: SELECT users.*, app.meddle() AS name FROM app.users\n")
    with pytest.raises(SourceError, match="read-only transaction"):
        run(context_for(source, warehouse, CLOCK, source_mapping=mapping), DAYS.last, DAYS.last)
    assert value(source, "SELECT count(*) FROM app.events") > 0

"""Feature use continued from a stored base: the rows that reading the whole history gives, or the whole history is read."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from health_pipeline.days import DayRange
from health_pipeline.systems import tenant_source
from health_pipeline_tests.conftest import NewDatabase
from health_pipeline_tests.reference.hostile import hostile_source
from health_pipeline_tests.support.databases import all_rows, execute, query, value
from health_pipeline_tests.support.runs import context_for, run
from health_pipeline_tests.support.sources import SOURCE_KINDS, load_source

CLOCK = datetime(2024, 3, 20, 2, tzinfo=UTC)
NIGHT = DayRange(date(2024, 3, 16), date(2024, 3, 19))
# Before the windows of the night of the 19th that restates three days: 3 + 1 + 30 days.
AS_OF = date(2024, 2, 14)
OLD = "2024-01-10 12:00:00+00"


@pytest.fixture
def fresh(new_database: NewDatabase, migrated_template: str) -> Any:
    """Makes empty warehouses."""
    return lambda: new_database(migrated_template)


@pytest.mark.parametrize(
    ("kind", "seed", "zone"), zip(SOURCE_KINDS, (3, 4, 5), ("UTC", "Europe/Berlin", "Pacific/Apia"), strict=True)
)
def test_going_on_gives_what_the_whole_history_gives(
    kind: str, seed: int, zone: str, fresh: Any, new_database: NewDatabase, tmp_path: Path
) -> None:
    source = hostile_source(seed, days=(NIGHT.first, NIGHT.last), zone=zone, clock=CLOCK, tenants=15)
    url = load_source(kind, source, tmp_path, new_database)
    going_on, from_scratch = fresh(), fresh()
    run(context_for(url, going_on, CLOCK, zone=zone), NIGHT.first, NIGHT.last)
    assert query(going_on, "SELECT as_of FROM health.feature_use_bases") == [{"as_of": AS_OF}]
    second = run(context_for(url, going_on, CLOCK, zone=zone), NIGHT.first, NIGHT.last)
    first = run(context_for(url, from_scratch, CLOCK, zone=zone), NIGHT.first, NIGHT.last)
    assert second.use_base is None
    assert first.use_base is not None
    assert second.facts.rows_read["events"] < first.facts.rows_read["events"]
    assert all_rows(going_on, "tenant_health") == all_rows(from_scratch, "tenant_health")


@pytest.fixture
def source(new_database: NewDatabase) -> str:
    """Two tenants of which one has used a feature long ago and lately; a third one isn't known yet."""
    url = new_database()
    execute(
        url,
        "CREATE SCHEMA app",
        "CREATE TABLE app.tenants (tenant_id text, name text, created_at timestamptz)",
        "CREATE TABLE app.users (user_id text, tenant_id text, created_at timestamptz)",
        "CREATE TABLE app.events (tenant_id text, user_id text, event_type text, occurred_at timestamptz, feature_key text)",
        f"INSERT INTO app.tenants VALUES ('a', 'A', '{OLD}'), ('b', 'B', '{OLD}')",
        f"INSERT INTO app.users VALUES ('u', 'a', '{OLD}')",
        f"INSERT INTO app.events VALUES ('a', 'u', 'login', '{OLD}', 'SSO'), ('late', 'u', 'login', '{OLD}', 'SSO')",
        "INSERT INTO app.events VALUES ('a', 'u', 'login', '2024-03-01 12:00:00+00', 'SSO')",
    )
    return url


def uses(warehouse: str, day: date = NIGHT.last, feature: str = "SSO") -> dict[str, int]:
    rows = query(
        warehouse,
        "SELECT tenant_id, usage_count FROM health.feature_adoption WHERE metric_date = %s AND feature_key = %s",
        day,
        feature,
    )
    return {row["tenant_id"]: row["usage_count"] for row in rows}


def test_a_tenant_that_is_known_later_brings_its_uses(source: str, warehouse: str) -> None:
    run(context_for(source, warehouse, CLOCK), NIGHT.first, NIGHT.last)
    assert uses(warehouse) == {"a": 2, "b": 0}
    execute(source, "INSERT INTO app.tenants VALUES ('late', 'L', '2024-03-18 00:00:00+00')")
    assert run(context_for(source, warehouse, CLOCK), NIGHT.last, NIGHT.last).use_base is None
    assert uses(warehouse) == {"a": 2, "b": 0, "late": 1}


def test_what_makes_the_base_useless(
    source: str, warehouse: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_from_scratch(clock: datetime = CLOCK, first: date = NIGHT.first, **settings: Any) -> bool:
        return run(context_for(source, warehouse, clock, **settings), first, NIGHT.last).use_base is not None

    assert is_from_scratch()
    assert not is_from_scratch()
    assert not is_from_scratch(CLOCK + timedelta(days=7))
    assert is_from_scratch(CLOCK + timedelta(days=7, seconds=1)), "a week is over"
    assert not is_from_scratch()
    assert is_from_scratch(first=NIGHT.first - timedelta(days=1)), "the windows reach back before the base"
    policy = tmp_path / "policy.yaml"
    policy.write_text("tenant_health:\n  features: {core: [SSO]}\n")
    assert is_from_scratch(policy=policy), "other features are tracked"
    assert is_from_scratch(), "the base is of the other policy"
    assert is_from_scratch(zone="Asia/Tokyo"), "days end at other instants"
    assert is_from_scratch()
    monkeypatch.setattr(tenant_source, "_CODE", ("metrics/usage",))
    assert is_from_scratch(), "the code is another"


def test_a_very_late_use_is_found_within_a_week_or_by_a_backfill(source: str, warehouse: str) -> None:
    run(context_for(source, warehouse, CLOCK), NIGHT.first, NIGHT.last)
    execute(source, f"INSERT INTO app.events VALUES ('b', 'u', 'login', '{OLD}', 'SSO')")
    run(context_for(source, warehouse, CLOCK + timedelta(days=1)), NIGHT.first, NIGHT.last)
    assert uses(warehouse) == {"a": 2, "b": 0}
    run(context_for(source, warehouse, CLOCK + timedelta(days=1)), NIGHT.first - timedelta(days=1), NIGHT.last)
    assert uses(warehouse) == {"a": 2, "b": 1}
    execute(source, f"INSERT INTO app.events VALUES ('b', 'u', 'login', '{OLD}', 'SSO')")
    run(context_for(source, warehouse, CLOCK + timedelta(days=9)), NIGHT.first, NIGHT.last)
    assert uses(warehouse) == {"a": 2, "b": 2}
    assert value(warehouse, "SELECT count(*) FROM health.feature_use_bases") == 1


def test_an_older_range_leaves_the_newer_base(source: str, warehouse: str) -> None:
    run(context_for(source, warehouse, CLOCK), NIGHT.first, NIGHT.last)
    run(context_for(source, warehouse, CLOCK), date(2024, 2, 1), date(2024, 2, 3))
    assert query(warehouse, "SELECT as_of FROM health.feature_use_bases") == [{"as_of": AS_OF}]


def test_a_source_without_uses_has_an_empty_base(source: str, warehouse: str) -> None:
    execute(source, "UPDATE app.events SET feature_key = NULL")
    assert run(context_for(source, warehouse, CLOCK), NIGHT.first, NIGHT.last).use_base is not None
    assert run(context_for(source, warehouse, CLOCK), NIGHT.first, NIGHT.last).use_base is None
    assert value(warehouse, "SELECT count(*) FROM health.feature_use_base") == 0

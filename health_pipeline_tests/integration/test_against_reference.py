"""The pipeline against the reference on hostile sources: every cell of every table, and every bad row."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from health_pipeline_tests.conftest import NewDatabase
from health_pipeline_tests.reference import quality
from health_pipeline_tests.reference.calendar import end_of
from health_pipeline_tests.reference.contract import OPTIONAL_TABLES, TABLES, Row, Source, timestamp_columns
from health_pipeline_tests.reference.hostile import hostile_source
from health_pipeline_tests.reference.tenant_health import tenant_health
from health_pipeline_tests.support.compare import differences, keyed
from health_pipeline_tests.support.databases import query, table_rows
from health_pipeline_tests.support.runs import context_for, run
from health_pipeline_tests.support.sources import SOURCE_KINDS, load_source

HEALTH_OPTIONAL = ("cases", "campaigns", "campaign_assignments", "support_tickets", "feature_entitlements")
# Types that the contract knows and no figure counts.
UNCOUNTED = {
    *("page_view", "task_completed", "content_generated", "visual_created", "voice_interaction", "insight_reviewed"),
    *("export_downloaded", "settings_updated", "feedback_given", "launch_kit_viewed", "feature_used"),
}
READ_TABLES = ("tenants", "users", "events", *HEALTH_OPTIONAL)
# Days on which the zone's clocks change, in the range or 30 days before its days.
WEEKS = [
    ("UTC", date(2024, 2, 26)),
    ("America/Sao_Paulo", date(2018, 11, 1)),  # midnight skipped on the 4th
    ("Europe/Berlin", date(2023, 10, 26)),
    ("Asia/Kolkata", date(2024, 5, 1)),
    ("America/St_Johns", date(1999, 10, 28)),  # back at 00:01 on the 31st
    ("America/Havana", date(2023, 12, 1)),  # midnight twice 30 days before
    ("Australia/Lord_Howe", date(2024, 4, 4)),
    ("Pacific/Apia", date(2011, 12, 28)),  # no 30 December
    ("Africa/Cairo", date(2014, 5, 12)),
]


@dataclass(frozen=True)
class Case:
    """A hostile source, where it lies, and the days to compute."""

    seed: int
    kind: str
    zone: str
    first: date
    optional: tuple[str, ...]
    length: int = 6
    clock_days: int = 21

    def __str__(self) -> str:
        return f"{self.seed}-{self.kind}-{self.zone}-{len(self.optional)} tables"

    @property
    def last(self) -> date:
        return self.first + timedelta(days=self.length - 1)

    @property
    def clock(self) -> datetime:
        """Noon some days after the last day: facts up to it are in the source, those after it are bad."""
        noon = datetime(self.last.year, self.last.month, self.last.day, 12, tzinfo=UTC)
        return noon + timedelta(days=self.clock_days)

    def source(self) -> Source:
        days = (self.first, self.last)
        return hostile_source(self.seed, days=days, zone=self.zone, clock=self.clock, optional=self.optional)


def optional_tables(seed: int) -> tuple[str, ...]:
    """All, none, or all but some of the tables that tenant health may read; the others' tables every other time."""
    match seed % 4:
        case 0:
            return OPTIONAL_TABLES
        case 1:
            return ()
        case _:
            lacking = HEALTH_OPTIONAL[seed % 5]
            return tuple(name for name in OPTIONAL_TABLES if name != lacking)


CASES = [
    Case(seed, SOURCE_KINDS[seed % 3], *WEEKS[(seed + seed // 9) % len(WEEKS)], optional_tables(seed))
    for seed in range(16)
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_cell_and_every_bad_row(case: Case, warehouse: str, new_database: NewDatabase, tmp_path: Path) -> None:
    source = case.source()
    url = load_source(case.kind, source, tmp_path, new_database)
    result = run(context_for(url, warehouse, case.clock, zone=case.zone), case.first, case.last)

    expected = tenant_health(source, case.first, case.last, zone=case.zone, clock=case.clock)
    for table, rows in expected.items():
        found = table_rows(warehouse, table)
        assert differences(found, keyed(table, rows)) == []
        assert len(found) == sum(result.rows_per_day[table].values())

    bad = expected_bad_rows(source, case)
    assert recorded_bad_rows(warehouse) == bad
    assert sum(result.facts.bad_rows.values()) == sum(bad.values())
    assert result.facts.unmapped_tables == [name for name in TABLES if name not in source]


POLICIES: list[tuple[str, dict[str, Any]]] = [
    (
        "tenant_health: {components: {login_score: {nothing_to_measure: exclude, target: 62.5},"
        " case_resolution_score: {weight: 2.5, nothing_to_measure: exclude},"
        " campaign_completion_score: {nothing_to_measure: exclude}}, trend: {lag_days: 3, threshold: 1}}",
        {
            "targets": {
                "login_score": 62.5,
                "case_resolution_score": 90,
                "campaign_completion_score": 85,
                "feature_adoption_score": 60,
            },
            "weights": {
                "login_score": 20,
                "case_resolution_score": 2.5,
                "campaign_completion_score": 25,
                "feature_adoption_score": 15,
                "support_ticket_score": 15,
            },
            "nothing_to_measure": {},
            "trend_lag_days": 3,
            "trend_threshold": 1,
        },
    ),
    (
        "tenant_health: {features: {one: [SSO, UNTRACKED], two: [sso]}, trend: {lag_days: 9},"
        ' peers: {size_bands: ["1-249", "250-999"], min_peers: 3, min_peers_for_extremes: 6}}',
        {
            "features": {"SSO": "one", "UNTRACKED": "one", "sso": "two"},
            "trend_lag_days": 9,
            "size_bands": [("1-249", 1, 249), ("250-999", 250, 999)],
            "min_peers": 3,
            "min_peers_for_extremes": 6,
        },
    ),
]


@pytest.mark.parametrize(("policy", "rules"), POLICIES, ids=["exclude and weights", "features and bands"])
def test_every_cell_under_another_policy(
    policy: str, rules: dict[str, Any], warehouse: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    case = Case(40, "postgresql", *WEEKS[2], OPTIONAL_TABLES)
    (tmp_path / "policy.yaml").write_text(policy)
    url = load_source(case.kind, case.source(), tmp_path, new_database)
    run(context_for(url, warehouse, case.clock, zone=case.zone, policy=tmp_path / "policy.yaml"), case.first, case.last)
    expected = tenant_health(case.source(), case.first, case.last, zone=case.zone, clock=case.clock, policy=rules)
    for table, rows in expected.items():
        assert differences(table_rows(warehouse, table), keyed(table, rows)) == []


UNREPEATED = [
    *(Case(12, kind, *WEEKS[3], OPTIONAL_TABLES) for kind in SOURCE_KINDS),
    Case(14, "postgresql", *WEEKS[2], OPTIONAL_TABLES, length=1),
    Case(14, "postgresql", *WEEKS[1], OPTIONAL_TABLES, length=20),
    Case(13, "postgresql", *WEEKS[7], OPTIONAL_TABLES, length=2, clock_days=-1),
]


@pytest.mark.parametrize("case", UNREPEATED, ids=lambda case: f"{case.kind}-{case.length} days")
def test_events_that_can_not_repeat_are_counted_as_they_arrive(
    case: Case, warehouse: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    """Without ids that are to be compared no event is kept, and PostgreSQL counts uses of the past itself; bad ones are read
    again, and recorded with all columns."""
    source = case.source()
    url = load_source(case.kind, source, tmp_path, new_database)
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("tables: {events: {columns: {event_id: null}}}")
    for event in source["events"]:
        event["event_id"] = None
    facts = run(
        context_for(url, warehouse, case.clock, zone=case.zone, source_mapping=mapping, max_bad_share="1"),
        case.first,
        case.last,
    ).facts
    expected = tenant_health(source, case.first, case.last, zone=case.zone, clock=case.clock)
    for table, rows in expected.items():
        assert differences(table_rows(warehouse, table), keyed(table, rows)) == []
    assert facts.rows_read["events"] == len(events_read(source, case))
    bad = expected_bad_rows(source, case)
    assert recorded_bad_rows(warehouse) == bad
    reasons = {reason for table, _, reason, _ in bad if table == "events"}
    assert reasons >= {"unknown_tenant", "after_clock", "infinite"}


def test_an_event_after_a_clock_within_the_days_is_read_once(
    warehouse: str, new_database: NewDatabase, tmp_path: Path
) -> None:
    case = Case(3, "postgresql", *WEEKS[0], OPTIONAL_TABLES, clock_days=-2)
    source = case.source()
    start, end = quality.instant(case.clock), quality.instant(end_of(case.last, case.zone))
    ahead = [row for row in source["events"] if row["occurred_at"] not in (None, *quality.INFINITE)]
    assert any(start < quality.instant(row["occurred_at"]) < end for row in ahead)
    url = load_source(case.kind, source, tmp_path, new_database)
    facts = run(context_for(url, warehouse, case.clock, zone=case.zone), case.first, case.last).facts
    assert facts.rows_read["events"] == len(events_read(source, case))
    assert recorded_bad_rows(warehouse) == expected_bad_rows(source, case)


@pytest.mark.parametrize("kind", ["postgresql", "parquet"])
def test_a_bad_row_has_one_record_however_many_runs_meet_it(
    kind: str, new_database: NewDatabase, warehouse: str, tmp_path: Path
) -> None:
    case = Case(6, kind, *WEEKS[2], OPTIONAL_TABLES, length=4)
    source = case.source()
    url = load_source(kind, source, tmp_path, new_database)
    days = [case.first + timedelta(days=n) for n in range(case.length)]
    runs = [(days[0], days[-1]), (days[1], days[1]), (days[0], days[-1])]
    clocks = [case.clock, case.clock + timedelta(seconds=1), case.clock + timedelta(days=1)]
    # Facts one microsecond after the first clock are good at the later ones, unless they are duplicates of one.
    for number, ((first, last), clock) in enumerate(zip(runs, clocks, strict=True)):
        run(context_for(url, warehouse, clock, zone=case.zone, run_id=f"run {number}"), first, last)
        rows = query(warehouse, "SELECT * FROM health.quarantined_rows")
        if number == 0:
            assert recorded_bad_rows(warehouse) == expected_bad_rows(source, case)
            before = {row["quarantine_id"]: row for row in rows}
            assert all(row["first_recorded_at"] == row["last_recorded_at"] == clocks[0] for row in rows)
            assert {row["run_id"] for row in rows} == {"run 0"}

    after = {row["quarantine_id"]: row for row in rows}
    assert after.keys() == before.keys()
    still_bad = {key for key, row in before.items() if not is_mended_by_time(row)}
    assert len(still_bad) > 20
    for key, row in after.items():
        assert row["first_recorded_at"] == clocks[0]
        if key in still_bad:
            assert (row["last_recorded_at"], row["run_id"]) == (clocks[2], "run 2"), row
            unmoved = ("source_table", "row_key", "reason", "row")
            assert [row[name] for name in unmoved] == [before[key][name] for name in unmoved]
        else:
            assert (row["last_recorded_at"], row["run_id"]) == (clocks[0], "run 0"), row


def is_mended_by_time(row: dict[str, Any]) -> bool:
    """Whether the row was bad for a fact of the future that comes to pass."""
    return row["reason"].endswith("after the run's clock") and "infinity" not in row["row"].values()


BadRow = tuple[str, str | None, str, str]
"""source_table, row_key, reason code, the row as canonical JSON."""

REASONS: list[tuple[str, Callable[[str], bool]]] = [
    ("null", lambda text: text.endswith((" is null", " is empty"))),
    ("unknown_tenant", lambda text: text == "tenant_id is not among the good rows of tenants"),
    ("end_before_creation", lambda text: " is before " in text),
    ("after_clock", lambda text: text.endswith(" is after the run's clock")),
    ("infinite", lambda text: text.endswith(" is infinite")),
    ("duplicate", lambda text: text.startswith("duplicated key")),
]


def recorded_bad_rows(warehouse: str) -> Counter[BadRow]:
    rows = query(warehouse, "SELECT source_table, row_key, reason, row FROM health.quarantined_rows")
    return Counter(
        (row["source_table"], row["row_key"], code_of(row["reason"]), json.dumps(row["row"], sort_keys=True))
        for row in rows
    )


def code_of(reason: str) -> str:
    """The reference's code for a recorded reason."""
    (code,) = [code for code, says in REASONS if says(reason)]
    return code


def expected_bad_rows(source: Source, case: Case) -> Counter[BadRow]:
    """The reference's bad rows that a run over the days reads."""
    _, bad = quality.split(source, case.clock)
    read = {
        "events": events_read(source, case),
        "cases": rows_since_windows(source.get("cases", []), case, "case_id", "created_at", "closed_at"),
        "support_tickets": rows_since_windows(source.get("support_tickets", []), case, "ticket_id", "opened_at"),
    }
    ids = {table: {id(row) for row in rows} for table, rows in read.items()}
    return Counter(
        (table, key, reason, as_json(table, row))
        for table, key, reason, row in bad
        if table in READ_TABLES and (table not in ids or id(row) in ids[table])
    )


def rows_since_windows(rows: list[Row], case: Case, key: str, *columns: str) -> list[Row]:
    """All rows but those that ended before all windows, unless they share their key with one of the others."""
    window_start = quality.instant(end_of(case.first - timedelta(days=31), case.zone))

    def is_past(row: Row) -> bool:
        values = [row[name] for name in columns]
        return all(v is not None and v not in quality.INFINITE and quality.instant(v) < window_start for v in values)

    keys = {row[key] for row in rows if not is_past(row)} - {None, ""}
    return [row for row in rows if not is_past(row) or row[key] in keys]


def events_read(source: Source, case: Case) -> list[Row]:
    """The events of the days, of the windows before them the logins, uses and strays, every earlier use, those without an
    instant or after the clock; and whatever shares the event_id of one of them. Of the days, where none has an event_id, only
    what counts there or is told of, but for logins, uses and strays."""
    start, end = (quality.instant(end_of(day, case.zone)) for day in (case.first - timedelta(days=1), case.last))
    window_start = quality.instant(end_of(case.first - timedelta(days=31), case.zone))
    may_repeat = any(row["event_id"] is not None for row in source["events"])
    good_tenants = {row["tenant_id"] for row in quality.split(source, case.clock)[0]["tenants"]}

    def is_read(row: Row) -> bool:
        if row["occurred_at"] in (None, *quality.INFINITE):
            return True
        at = quality.instant(row["occurred_at"])
        is_use = bool(row["feature_key"])
        is_stray = row["tenant_id"] not in good_tenants or not row["user_id"] or not row["event_type"]
        is_wanted = row["event_type"] == "login" or is_use or is_stray
        on_days = start <= at < end and (may_repeat or is_wanted or row["event_type"] not in UNCOUNTED)
        in_window = window_start <= at < start and is_wanted
        return on_days or in_window or at > quality.instant(case.clock) or (at < window_start and is_use)

    read = [row for row in source["events"] if is_read(row)]
    keys = {row["event_id"] for row in read} - {None, ""}
    return [row for row in source["events"] if is_read(row) or row["event_id"] in keys]


def as_json(table: str, given: Row) -> str:
    """The row as quarantined_rows has it."""
    row = quality.as_read(TABLES[table], given)
    for column in timestamp_columns(TABLES[table]):
        if isinstance(row[column], datetime):
            row[column] = row[column].astimezone(UTC).isoformat()
    plain = {name: value.isoformat() if isinstance(value, date) else value for name, value in row.items()}
    return json.dumps(plain, sort_keys=True)

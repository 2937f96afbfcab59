"""The reference itself, held against examples worked out by hand, and the hostile source against what it promises."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from health_pipeline_tests.reference import peers
from health_pipeline_tests.reference.calendar import MICROSECOND, end_of
from health_pipeline_tests.reference.contract import OPTIONAL_TABLES, Row, Source
from health_pipeline_tests.reference.hostile import hostile_source
from health_pipeline_tests.reference.peers import ALL, Cell, recoverable, suppressed_cohorts
from health_pipeline_tests.reference.quality import split
from health_pipeline_tests.reference.scoring import SHIPPED_POLICY, half_up, overall, risk_level, trend_of
from health_pipeline_tests.reference.tenant_health import percentile, tenant_health

DAY = date(2024, 3, 10)
END = datetime(2024, 3, 11, tzinfo=UTC)
CLOCK = datetime(2024, 3, 20, tzinfo=UTC)
LONG_AGO = datetime(2023, 1, 1, tzinfo=UTC)
HOSTILE_DAYS = (date(2024, 3, 2), DAY)
BANDS = ["S", "M", "L"]


@pytest.mark.parametrize(
    ("day", "zone", "end"),
    [
        (date(2024, 2, 28), "UTC", datetime(2024, 2, 29, tzinfo=UTC)),
        (date(2024, 3, 10), "Asia/Kathmandu", datetime(2024, 3, 10, 18, 15, tzinfo=UTC)),
        # The clocks go from 24:00 to 01:00: the next day begins at 01:00.
        (date(2018, 11, 3), "America/Sao_Paulo", datetime(2018, 11, 4, 3, tzinfo=UTC)),
        # They go back from 01:00 to 00:00: the first of the two midnights.
        (date(2023, 11, 4), "America/Havana", datetime(2023, 11, 5, 4, tzinfo=UTC)),
        # They go back from 00:01 to 23:01 of the day before: the first midnight again.
        (date(2010, 11, 6), "America/St_Johns", datetime(2010, 11, 7, 2, 30, tzinfo=UTC)),
        # A day that the zone left out ends when it would have begun.
        (date(2011, 12, 29), "Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
        (date(2011, 12, 30), "Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
    ],
)
def test_end_of_day(day: date, zone: str, end: datetime) -> None:
    assert end_of(day, zone) == end


def tenant(tenant_id: str = "t", **values: Any) -> Row:
    return {"tenant_id": tenant_id, "name": "T", "created_at": LONG_AGO, **values}


def user(user_id: str, **values: Any) -> Row:
    return {"user_id": user_id, "tenant_id": "t", "created_at": LONG_AGO, **values}


def event(user_id: str, occurred_at: datetime, event_type: str = "login", **values: Any) -> Row:
    return {
        "tenant_id": "t",
        "user_id": user_id,
        "event_type": event_type,
        "occurred_at": occurred_at,
        "feature_key": None,
        **values,
    }


def source_of(**tables: list[Row]) -> Source:
    return {"tenants": [tenant()], "users": [], "events": [], **tables}


def health(source: Source, day: date = DAY, **settings: Any) -> dict[str, list[Row]]:
    return tenant_health(source, day, day, clock=CLOCK, **settings)


@pytest.mark.parametrize(
    ("table", "row", "reason"),
    [
        ("users", user(""), "null"),
        ("users", user(" "), None),
        ("users", user("u", tenant_id="T"), "unknown_tenant"),
        ("users", user("u", deactivated_at=LONG_AGO), None),
        ("users", user("u", deactivated_at=LONG_AGO - MICROSECOND), "end_before_creation"),
        ("users", user("u", deactivated_at="-infinity"), "end_before_creation"),
        ("users", user("u", deactivated_at="infinity"), "infinite"),
        ("users", user("u", deactivated_at=CLOCK + timedelta(days=1)), None),
        ("users", user("u", created_at=CLOCK), None),
        ("users", user("u", created_at=CLOCK + MICROSECOND), "after_clock"),
        ("users", user("u", created_at=CLOCK + MICROSECOND, deactivated_at=CLOCK, tenant_id="x"), "unknown_tenant"),
        ("events", event("u", END, event_type=""), "null"),
        ("events", event("u", END, feature_key=""), None),
        ("events", event("u", "infinity"), "after_clock"),  # type: ignore[arg-type]
        ("feedback", {**user("u"), "feedback_id": "f", "score": 101, "submitted_at": END}, "score_range"),
        ("feedback", {**user("u"), "feedback_id": "f", "score": 100, "submitted_at": END}, None),
        ("feedback", {**user("u"), "feedback_id": "f", "score": None, "submitted_at": END}, "null"),
    ],
)
def test_the_first_fault_of_a_row(table: str, row: Row, reason: str | None) -> None:
    good, bad = split(source_of(**{table: [row]}), CLOCK)
    assert [code for _, _, code, _ in bad] == ([] if reason is None else [reason])
    assert len(good[table]) == (1 if reason is None else 0)


@pytest.mark.parametrize(("amount", "is_bad"), [("0.00", False), ("-0.01", True), ("NaN", True)])
def test_amounts(amount: str, is_bad: bool) -> None:
    order = {"order_id": "o", "tenant_id": "t", "customer_id": "c", "ordered_at": END, "total_amount": Decimal(amount)}
    _, bad = split(source_of(orders=[order]), CLOCK)
    assert [(key, code) for _, key, code, _ in bad] == ([("o", "amount")] if is_bad else [])


def test_of_duplicates_the_earliest_stays_then_the_smallest_as_text() -> None:
    later, earlier = user("u", created_at=END, name="A"), user("u", name="B")
    faulty = user("u", created_at=LONG_AGO - MICROSECOND, tenant_id="nowhere")
    sizes = [tenant("s", employee_count=60), tenant("s", employee_count=300)]
    good, bad = split(source_of(tenants=[tenant(), *sizes], users=[later, earlier, faulty]), CLOCK)
    assert [row["name"] for row in good["users"]] == ["B"]
    assert [row["employee_count"] for row in good["tenants"]] == [None, 300]
    assert [(table, key, code) for table, key, code, _ in bad] == [
        ("tenants", "s", "duplicate"),
        ("users", "u", "unknown_tenant"),
        ("users", "u", "duplicate"),
    ]


def test_events_without_an_id_are_never_duplicates_and_a_reused_one_is_however_old_the_first_use() -> None:
    events = [event("u", END, event_id=""), event("u", END, event_id=""), event("u", END)]
    events += [event("u", END - timedelta(days=60), event_id="e"), event("u", END, event_id="e")]
    good, bad = split(source_of(events=events), CLOCK)
    assert len(good["events"]) == 4
    assert [row["occurred_at"] for _, _, _, row in bad] == [END]


def test_windows_are_half_open() -> None:
    start = datetime(2024, 2, 10, tzinfo=UTC)  # end(D − 30 days)
    logins = {"a": start, "b": start - MICROSECOND, "c": END - MICROSECOND, "d": END}
    source = source_of(
        users=[
            *(user(name) for name in logins),
            user("e", created_at=END),
            user("f", deactivated_at=END - MICROSECOND),
        ],
        events=[event(name, instant) for name, instant in logins.items()],
    )
    (row,) = health(source)["usage_metrics"]
    assert (row["total_users"], row["active_users"], row["daily_active_users"]) == (4, 2, 1)


def test_a_row_ends_when_its_end_lies_before_the_end_of_the_day() -> None:
    gone = tenant("gone", deactivated_at=END - MICROSECOND)
    source = source_of(tenants=[tenant(deactivated_at=END), gone, tenant("new", created_at=END)])
    assert [row["tenant_id"] for row in health(source)["usage_metrics"]] == ["t"]
    assert [row["tenant_id"] for row in health(source, DAY + timedelta(days=1))["usage_metrics"]] == ["new"]


def case(case_id: str, closed_at: datetime | None, due: datetime | None = None, status: str | None = None) -> Row:
    keys = {"case_id": case_id, "tenant_id": "t", "created_at": LONG_AGO}
    return {**keys, "closed_at": closed_at, "sla_due_at": due, "sla_status": status}


def test_cases_by_due_date_then_by_status() -> None:
    noon = END - timedelta(hours=12)
    closed = [
        case("1", noon, due=noon, status="BREACHED"),  # in time
        case("2", noon, due=noon - MICROSECOND, status="ON_TRACK"),
        case("3", noon, status="CRITICAL"),
        case("4", noon, status="late"),  # unknown status: in time
        case("5", END - timedelta(days=30), status="WARNING"),  # in the window of 30 days only
    ]
    still_open = [
        case("6", END, due=END - MICROSECOND),  # overdue
        case("7", None, due=END, status="CRITICAL"),
        case("8", None, status="BREACHED"),  # overdue
        case("9", None, status="breached"),
    ]
    (row,) = health(source_of(cases=closed + still_open))["usage_metrics"]
    assert (row["cases_closed"], row["cases_closed_on_time"], row["cases_overdue"]) == (4, 2, 2)
    assert (row["cases_closed_30d"], row["cases_closed_on_time_30d"]) == (5, 3)


def test_a_tenant_without_any_activity_scores_by_the_policy() -> None:
    (row,) = health(source_of(**{table: [] for table in OPTIONAL_TABLES}))["tenant_health_scores"]
    # 25 % × 100 (cases) + 25 % × 100 (campaigns) + 15 % × 100 (tickets)
    assert (row["overall_score"], row["coverage"], row["previous_score"], row["trend"]) == (65, 1.0, 65, "STABLE")
    assert (row["risk_level"], row["alert_level"]) == ("MEDIUM", "DASHBOARD_ONLY")


def test_what_is_not_mapped_is_null_and_its_weight_is_shared() -> None:
    source = source_of(users=[user("a"), user("b")], events=[event("a", END - MICROSECOND, feature_key="SSO")])
    result = health(source)
    (usage,), (score,) = result["usage_metrics"], result["tenant_health_scores"]
    assert usage["cases_overdue"] is usage["assignments_total"] is usage["support_tickets"] is None
    # Logins 50 % / 70 % = 71.43 → 71, features 1/14 / 60 % = 11.9 → 12; (20 × 71 + 15 × 12) / 35 = 45.7 → 46
    assert (score["login_score"], score["feature_adoption_score"], score["overall_score"]) == (71, 12, 46)
    assert score["case_resolution_score"] is score["campaign_completion_score"] is score["support_ticket_score"] is None
    assert (score["coverage"], score["previous_score"], score["trend"]) == (0.35, 0, "IMPROVING")
    assert all(row["is_enabled"] for row in result["feature_adoption"])


def test_rounding_is_half_up() -> None:
    assert [half_up(Fraction(n, 2)) for n in (1, 3, 5, 125)] == [1, 2, 3, 63]
    components: dict[str, int | None] = dict.fromkeys(SHIPPED_POLICY["weights"])
    # (20 × 1 + 25 × 0 + 15 × 2) / 60 = 5/6; (25 × 1 + 25 × 0) / 50 = 1/2
    assert overall({**components, "case_resolution_score": 1, "campaign_completion_score": 0}, SHIPPED_POLICY) == (
        1,
        Fraction(1, 2),
    )
    assert overall(components, SHIPPED_POLICY) == (None, Fraction(0))


@pytest.mark.parametrize(
    ("score", "stable", "declining"),
    [
        (0, "HIGH", "HIGH"),
        (39, "HIGH", "HIGH"),
        (40, "MEDIUM", "HIGH"),
        (59, "MEDIUM", "HIGH"),
        (60, "MEDIUM", "MEDIUM"),
        (69, "MEDIUM", "MEDIUM"),
        (70, "LOW", "MEDIUM"),
        (100, "LOW", "MEDIUM"),
    ],
)
def test_risk_at_the_boundaries(score: int, stable: str, declining: str) -> None:
    assert risk_level(score, "STABLE", SHIPPED_POLICY) == stable
    assert risk_level(score, "DECLINING", SHIPPED_POLICY) == declining


def test_a_change_of_exactly_five_is_stable() -> None:
    trends = [trend_of(change, SHIPPED_POLICY) for change in (-6, -5, None, 5, 6)]
    assert trends == ["DECLINING", "STABLE", "STABLE", "STABLE", "IMPROVING"]


def test_percentiles_interpolate_linearly() -> None:
    values = [Fraction(n) for n in (10, 1, 2, 4)]
    assert [percentile(values, Fraction(n, 4)) for n in (0, 1, 2, 3, 4)] == [1, Fraction(7, 4), 3, Fraction(11, 2), 10]


def place(*counts: tuple[str | None, str | None, int]) -> dict[str, Cell]:
    """Tenants by cell: (sector, band, how many)."""
    return {f"{sector}/{band}/{n}": (sector, band) for sector, band, count in counts for n in range(count)}


def suppressed(cells: dict[str, Cell]) -> set[tuple[str, str]]:
    return suppressed_cohorts(cells, set(cells), BANDS)


def test_a_small_sector_takes_its_smallest_sibling_along() -> None:
    cells = place(("a", None, 4), ("b", None, 6), ("c", None, 5), ("d", None, 5))
    # a has 4; what ALL leaves once b, c and d are known is a itself; c is the first of the smallest.
    assert suppressed(cells) == {("a", ALL), ("c", ALL)}


def test_a_remainder_that_is_exactly_one_hidden_child_is_no_shelter() -> None:
    cells = place(("p", "S", 5), ("p", "M", 6), ("q", "S", 4), ("q", "L", 20), (None, "M", 5), (None, "L", 5))
    # q × S has 4. Beside it q × L goes (q × ALL would leave 4) and p × S (ALL × S would leave 4). Then p × ALL without
    # p × M leaves 5, but exactly p × S, so p × M goes. ALL × M and ALL × L leave more than one hidden child.
    assert suppressed(cells) == {("q", "S"), ("q", "L"), ("p", "S"), ("p", "M")}


def test_a_cohort_found_only_by_combining_families_is_protected_by_step_5() -> None:
    cells = place(("p", "S", 2), ("p", "M", 2), ("q", "S", 3), ("q", "M", 3), ("q", "L", 6), (None, "L", 5))
    # p × ALL = (ALL × S) + (ALL × M) − (q × ALL − q × L). It takes q × ALL (12) and q × L (6), so q × L goes.
    published = {(ALL, ALL), ("q", ALL), (ALL, "S"), (ALL, "M"), (ALL, "L")}
    assert recoverable({*published, ("q", "L")}, cells.values(), BANDS) == [("p", ALL)]
    assert recoverable(published, cells.values(), BANDS) == []
    assert suppressed(cells) == {("p", "S"), ("p", "M"), ("p", ALL), ("q", "S"), ("q", "M"), ("q", "L")}


@pytest.mark.parametrize("seed", range(60))
def test_nothing_suppressed_can_be_recovered(seed: int) -> None:
    rng = random.Random(seed)
    sectors, bands = ["p", "q", "r", None], [*BANDS, None]
    weights = [rng.random() ** 2 for _ in range(16)]
    places: list[Cell] = [(sector, band) for sector in sectors for band in bands]
    cells = dict(enumerate(rng.choices(places, weights, k=rng.randint(5, 40))))
    named = {str(n): cell for n, cell in cells.items()}
    hidden = suppressed_cohorts(named, set(rng.sample(sorted(named), len(named) * 4 // 5)), BANDS)
    assert not recoverable(set(peers.cohorts_of(named.values(), BANDS)) - hidden, named.values(), BANDS)


def test_suppressed_rows_carry_no_figure_and_extremes_need_ten_peers() -> None:
    sectors = {"nine": 9, "ten": 10, "four": 4, "five": 5}
    tenants = [
        tenant(f"{sector}{n}", industry_sector=sector, employee_count=0)
        for sector, m in sectors.items()
        for n in range(m)
    ]
    rows = [row for row in health(source_of(tenants=tenants))["peer_benchmarks"] if row["metric_name"] == "login_score"]
    shown = {row["industry_sector"]: (row["peer_count"], row["median"], row["max_value"]) for row in rows}
    hidden = (None, None, None)
    assert shown == {ALL: (28, 0.0, 0.0), "nine": (9, 0.0, None), "ten": (10, 0.0, 0.0), "four": hidden, "five": hidden}
    assert {row["industry_sector"] for row in rows if row["is_suppressed"]} == {"four", "five"}


def test_an_unknown_sector_counts_under_all_only() -> None:
    sectors = (None, "", "  ", "\u00a0", "ALL", "all")
    tenants = [tenant(str(n), industry_sector=sector, employee_count=49) for n, sector in enumerate(sectors)]
    rows = health(source_of(tenants=tenants))["peer_benchmarks"]
    assert {(row["industry_sector"], row["employee_band"]) for row in rows} == {
        *((ALL, ALL), ("all", ALL), (ALL, "1-49"), ("all", "1-49"))
    }


@pytest.mark.parametrize("seed", range(7))
def test_hostile_source_has_faults_only_when_asked(seed: int) -> None:
    _, none = split(hostile_source(seed, days=HOSTILE_DAYS, clock=CLOCK, faults=False), CLOCK)
    source = hostile_source(seed, days=HOSTILE_DAYS, clock=CLOCK)
    _, bad = split(source, CLOCK)
    assert none == []
    assert max(Counter(table for table, *_ in bad).values()) < 10
    assert {table for table, *_ in bad} == set(source)
    assert {reason for _, _, reason, _ in bad} == {
        *("null", "unknown_tenant", "end_before_creation", "after_clock", "infinite", "score_range", "amount"),
        "duplicate",
    }


def test_hostile_source_is_seeded_and_keeps_to_its_tables_and_clock() -> None:
    clock = end_of(DAY, "America/Havana")
    settings: dict[str, Any] = {"days": HOSTILE_DAYS, "clock": clock, "zone": "America/Havana", "optional": ["cases"]}
    source = hostile_source(1, **settings)
    assert set(source) == {"tenants", "users", "events", "cases"}
    assert str(source) == str(hostile_source(1, **settings)) != str(hostile_source(2, **settings))
    assert split(hostile_source(1, **settings, faults=False, tenants=3), clock)[1] == []


def test_hostile_source_reaches_the_boundaries() -> None:
    scores: set[tuple[int, str]] = set()
    changes: set[int] = set()
    peer_counts: set[int] = set()
    for seed in range(3):
        source = hostile_source(seed, days=HOSTILE_DAYS, clock=CLOCK)
        result = tenant_health(source, *HOSTILE_DAYS, clock=CLOCK)
        scores |= {(row["overall_score"], row["trend"]) for row in result["tenant_health_scores"]}
        changes |= {row["score_change"] for row in result["tenant_health_scores"]}
        peer_counts |= {row["peer_count"] for row in result["peer_benchmarks"]}
    assert {(39, "STABLE"), (40, "STABLE"), (59, "STABLE"), (60, "STABLE"), (69, "STABLE"), (70, "STABLE")} <= scores
    assert {(39, "DECLINING"), (40, "DECLINING"), (59, "DECLINING"), (60, "DECLINING"), (70, "DECLINING")} <= scores
    assert {-6, -5, 5, 6, None} <= changes
    assert {5, 9, 10, None} <= peer_counts

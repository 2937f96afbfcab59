"""The four tenant-health tables, straight from tenant-health.md: day by day, tenant by tenant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction

from health_pipeline_tests.reference.calendar import days_between, end_of
from health_pipeline_tests.reference.contract import Row, Source
from health_pipeline_tests.reference.peers import ALL, Cell, Cohort, cohorts_of, covers, suppressed_cohorts
from health_pipeline_tests.reference.quality import split
from health_pipeline_tests.reference.scoring import (
    COMPONENTS,
    SHIPPED_POLICY,
    Policy,
    alert_level,
    exact,
    half_up,
    overall,
    risk_level,
    trend_of,
)

METRICS = ("overall_score", *COMPONENTS, "active_user_ratio")


@dataclass(frozen=True)
class World:
    """The good rows by table and tenant, the zone, and the policy."""

    rows: dict[str, dict[str, list[Row]]]
    tenants: list[Row]
    zone: str
    policy: Policy

    def of(self, table: str, tenant: Row) -> list[Row]:
        """The tenant's rows of a mapped table."""
        return self.rows[table].get(tenant["tenant_id"], [])

    def is_mapped(self, table: str) -> bool:
        """Whether the source has this table."""
        return table in self.rows

    def end(self, day: date) -> datetime:
        """end(D)."""
        return end_of(day, self.zone)

    def tenants_at(self, day: date) -> list[Row]:
        """The tenants active at end(D)."""
        return [row for row in self.tenants if is_active(row, self.end(day))]


def tenant_health(
    source: Source, first: date, last: date, *, zone: str = "UTC", clock: datetime, policy: Policy | None = None
) -> dict[str, list[Row]]:
    """The rows of the four tables, and of the ranks among peers, from day `first` to `last`.

    `policy` overrides entries of the shipped one.
    """
    good, _ = split(source, clock)
    rows: dict[str, dict[str, list[Row]]] = {}
    for table, table_rows in good.items():
        rows[table] = defaultdict(list)
        for row in table_rows:
            rows[table][row["tenant_id"]].append(row)
    world = World(rows, good["tenants"], zone, {**SHIPPED_POLICY, **(policy or {})})
    result: dict[str, list[Row]] = {
        "usage_metrics": [],
        "feature_adoption": [],
        "tenant_health_scores": [],
        "peer_benchmarks": [],
        "tenant_peer_ranks": [],
    }
    for day in days_between(first, last):
        tenants = world.tenants_at(day)
        usage = [usage_metrics(world, tenant, day) for tenant in tenants]
        scores = [health_score(world, tenant, day) for tenant in tenants]
        result["usage_metrics"] += usage
        result["feature_adoption"] += [row for tenant in tenants for row in feature_adoption(world, tenant, day)]
        result["tenant_health_scores"] += scores
        benchmarks, ranks = peers_of_day(world, day, tenants, usage, scores)
        result["peer_benchmarks"] += benchmarks
        result["tenant_peer_ranks"] += ranks
    return result


def exists(created: datetime, end: datetime) -> bool:
    """A row exists at D if its creation is before end(D)."""
    return created < end


def has_ended(ended: datetime | None, end: datetime) -> bool:
    """An end at or after end(D), or null, has not happened yet."""
    return ended is not None and ended < end


def is_active(row: Row, end: datetime) -> bool:
    """Whether a tenant, user or customer (for itself) is active at end(D)."""
    return exists(row["created_at"], end) and not has_ended(row["deactivated_at"], end)


def within(value: datetime | None, window: tuple[datetime, datetime]) -> bool:
    """Whether an instant lies in a half-open window."""
    return value is not None and window[0] <= value < window[1]


def usage_metrics(world: World, tenant: Row, day: date) -> Row:
    """The `usage_metrics` row of a tenant active at D."""
    end = world.end(day)
    on_day = (world.end(day - timedelta(days=1)), end)
    in_30_days = (world.end(day - timedelta(days=30)), end)
    events = world.of("events", tenant)
    users = {user["user_id"] for user in world.of("users", tenant) if is_active(user, end)}
    logins = [event for event in events if event["event_type"] == "login" and event["user_id"] in users]

    def on_day_of(event_type: str) -> int:
        return sum(event["event_type"] == event_type and within(event["occurred_at"], on_day) for event in events)

    row = {
        "metric_date": day,
        "tenant_id": tenant["tenant_id"],
        "total_users": len(users),
        "active_users": len({event["user_id"] for event in logins if within(event["occurred_at"], in_30_days)}),
        "daily_active_users": len({event["user_id"] for event in logins if within(event["occurred_at"], on_day)}),
        "reports_generated": on_day_of("report_generated"),
        "searches_performed": on_day_of("search_performed"),
        "api_calls": on_day_of("api_call"),
    }
    counted: dict[str, tuple[str, Callable[[Row], bool]]] = {
        "cases_created": ("cases", lambda case: within(case["created_at"], on_day)),
        "cases_closed": ("cases", lambda case: within(case["closed_at"], on_day)),
        "cases_closed_on_time": ("cases", lambda case: within(case["closed_at"], on_day) and closed_on_time(case)),
        "cases_overdue": ("cases", lambda case: is_overdue(case, end)),
        "cases_closed_30d": ("cases", lambda case: within(case["closed_at"], in_30_days)),
        "cases_closed_on_time_30d": (
            "cases",
            lambda case: within(case["closed_at"], in_30_days) and closed_on_time(case),
        ),
        "campaigns_active": (
            "campaigns",
            lambda campaign: exists(campaign["launched_at"], end) and not has_ended(campaign["ended_at"], end),
        ),
        "campaigns_completed": ("campaigns", lambda campaign: within(campaign["ended_at"], on_day)),
        "assignments_total": ("campaign_assignments", lambda task: exists(task["assigned_at"], end)),
        "assignments_completed": (
            "campaign_assignments",
            lambda task: exists(task["assigned_at"], end) and has_ended(task["completed_at"], end),
        ),
        "support_tickets": ("support_tickets", lambda ticket: within(ticket["opened_at"], in_30_days)),
    }
    for column, (table, counts) in counted.items():
        row[column] = sum(counts(entry) for entry in world.of(table, tenant)) if world.is_mapped(table) else None
    return row


def closed_on_time(case: Row) -> bool:
    """Whether a closed case was closed in time; an unknown sla_status counts as none."""
    if case["sla_due_at"] is not None:
        return bool(case["closed_at"] <= case["sla_due_at"])
    return case["sla_status"] not in ("BREACHED", "CRITICAL")


def is_overdue(case: Row, end: datetime) -> bool:
    """Whether the case is open at end(D) and overdue."""
    if not exists(case["created_at"], end) or has_ended(case["closed_at"], end):
        return False
    if case["sla_due_at"] is not None:
        return bool(case["sla_due_at"] < end)
    return case["sla_status"] in ("BREACHED", "CRITICAL")


def feature_adoption(world: World, tenant: Row, day: date) -> list[Row]:
    """The `feature_adoption` rows of a tenant active at D, one per tracked feature."""
    end = world.end(day)
    in_30_days = (world.end(day - timedelta(days=30)), end)
    uses: dict[str, list[datetime]] = defaultdict(list)
    for event in world.of("events", tenant):
        if event["occurred_at"] < end:
            uses[event["feature_key"]].append(event["occurred_at"])
    rows = []
    for feature_key, category in world.policy["features"].items():
        instants = uses[feature_key]
        rows.append(
            {
                "metric_date": day,
                "tenant_id": tenant["tenant_id"],
                "feature_key": feature_key,
                "category": category,
                "is_enabled": is_enabled(world, tenant, feature_key, end),
                "is_adopted": len(instants) >= 1,
                "first_used_at": min(instants, default=None),
                "last_used_at": max(instants, default=None),
                "usage_count": len(instants),
                "usage_count_30d": sum(within(instant, in_30_days) for instant in instants),
            }
        )
    return rows


def is_enabled(world: World, tenant: Row, feature_key: str, end: datetime) -> bool:
    """Whether the tenant is entitled to the feature at end(D); to every one where no entitlements are mapped."""
    if not world.is_mapped("feature_entitlements"):
        return True
    return any(
        period["feature_key"] == feature_key
        and exists(period["enabled_at"], end)
        and not has_ended(period["disabled_at"], end)
        for period in world.of("feature_entitlements", tenant)
    )


def component_scores(world: World, tenant: Row, day: date) -> dict[str, int | None]:
    """The five component scores of a tenant active at D."""
    policy = world.policy
    usage = usage_metrics(world, tenant, day)
    adopted = sum(row["is_adopted"] for row in feature_adoption(world, tenant, day))

    def share(component: str, part: int | None, whole: int | None) -> int | None:
        if part is None or whole is None:
            return None
        if whole == 0:
            fallback = policy["nothing_to_measure"].get(component, "exclude")
            return None if fallback == "exclude" else int(fallback)
        return half_up(min(Fraction(100), Fraction(part, whole) / exact(policy["targets"][component]) * 100 * 100))

    tickets = usage["support_tickets"]
    return {
        "login_score": share("login_score", usage["active_users"], usage["total_users"]),
        "case_resolution_score": share(
            "case_resolution_score", usage["cases_closed_on_time_30d"], usage["cases_closed_30d"]
        ),
        "campaign_completion_score": share(
            "campaign_completion_score", usage["assignments_completed"], usage["assignments_total"]
        ),
        "feature_adoption_score": share("feature_adoption_score", adopted, len(policy["features"])),
        "support_ticket_score": None
        if tickets is None
        else half_up(max(Fraction(0), 100 - exact(policy["points_per_ticket"]) * tickets)),
    }


def health_score(world: World, tenant: Row, day: date) -> Row:
    """The `tenant_health_scores` row of a tenant active at D, without policy_version."""
    policy = world.policy
    components = component_scores(world, tenant, day)
    score, coverage = overall(components, policy)
    earlier = day - timedelta(days=policy["trend_lag_days"])
    previous = None
    if is_active(tenant, world.end(earlier)):
        previous, _ = overall(component_scores(world, tenant, earlier), policy)
    change = None if score is None or previous is None else score - previous
    trend = trend_of(change, policy)
    risk = risk_level(score, trend, policy)
    return {
        "metric_date": day,
        "tenant_id": tenant["tenant_id"],
        **components,
        "overall_score": score,
        "coverage": float(coverage),
        "previous_score": previous,
        "score_change": change,
        "trend": trend,
        "risk_level": risk,
        "alert_level": alert_level(risk, tenant["alert_level"]),
    }


def cell_of(tenant: Row, policy: Policy) -> Cell:
    """The tenant's sector and size band, None where unknown."""
    sector = tenant["industry_sector"]
    if sector is not None and (not sector.strip() or sector == ALL):
        sector = None
    size = tenant["employee_count"]
    for name, smallest, largest in policy["size_bands"]:
        if size is not None and size >= max(1, smallest) and (largest is None or size <= largest):
            return sector, name
    return sector, None


def peers_of_day(
    world: World, day: date, tenants: list[Row], usage: list[Row], scores: list[Row]
) -> tuple[list[Row], list[Row]]:
    """The `peer_benchmarks` and `tenant_peer_ranks` rows of a day, from the rows of its tenants (in one order)."""
    policy = world.policy
    bands = [name for name, _, _ in policy["size_bands"]]
    cells = {tenant["tenant_id"]: cell_of(tenant, policy) for tenant in tenants}
    rows = []
    ranks = {tenant: {"metric_date": day, "tenant_id": tenant} for tenant in cells}
    for metric in METRICS:
        values: dict[str, Fraction] = {}
        for tenant_usage, score in zip(usage, scores, strict=True):
            if metric != "active_user_ratio":
                value = None if score[metric] is None else Fraction(score[metric])
            elif tenant_usage["total_users"] == 0:
                value = None
            else:
                value = Fraction(tenant_usage["active_users"], tenant_usage["total_users"])
            if value is not None:
                values[score["tenant_id"]] = value
        suppressed = suppressed_cohorts(cells, set(values), bands, policy["min_peers"])
        for cohort in cohorts_of(cells.values(), bands):
            peer_values = [value for tenant, value in values.items() if covers(cohort, cells[tenant])]
            row = benchmark_row(cohort, None if cohort in suppressed else peer_values, policy)
            rows.append({"metric_date": day, "metric_name": metric, **row})
        published = [cohort for cohort in cohorts_of(cells.values(), bands) if cohort not in suppressed]
        for tenant, ranked in ranks.items():
            number, rank = rank_of(tenant, values, cells, published)
            ranked |= {f"{metric}_cohort": number, f"{metric}_rank": rank}
    return rows, list(ranks.values())


def rank_of(
    tenant: str, values: dict[str, Fraction], cells: dict[str, Cell], published: list[Cohort]
) -> tuple[int | None, float | None]:
    """Which cohort is the tenant's narrowest published one (0 all, 1 by size, 2 by sector, 3 by both), and its percentile
    rank among the other peers in it."""
    of_tenant = [cohort for cohort in published if tenant in values and covers(cohort, cells[tenant])]
    if not of_tenant:
        return None, None
    others = {
        cohort: [value for other, value in values.items() if other != tenant and covers(cohort, cells[other])]
        for cohort in of_tenant
    }
    numbers = {cohort: 2 * (cohort[0] != ALL) + (cohort[1] != ALL) for cohort in of_tenant}
    narrowest = min(of_tenant, key=lambda cohort: (len(others[cohort]), -numbers[cohort]))
    own, peers = values[tenant], others[narrowest]
    points = sum((Fraction(value < own) + Fraction(value == own) / 2 for value in peers), Fraction(0))
    return numbers[narrowest], float(100 * points / len(peers)) if peers else None


def benchmark_row(cohort: Cohort, values: list[Fraction] | None, policy: Policy) -> Row:
    """The cohort and its figures; no figure where it is suppressed (`values` None)."""
    sector, band = cohort
    smallest, largest = next(((low, high) for name, low, high in policy["size_bands"] if name == band), (None, None))
    shows_extremes = len(values or []) >= policy["min_peers_for_extremes"]
    return {
        "industry_sector": sector,
        "employee_band": band,
        "employee_min": smallest,
        "employee_max": largest,
        "peer_count": None if values is None else len(values),
        "p25": float(percentile(values, Fraction(1, 4))) if values else None,
        "median": float(percentile(values, Fraction(1, 2))) if values else None,
        "p75": float(percentile(values, Fraction(3, 4))) if values else None,
        "mean": float(sum(values, Fraction(0)) / len(values)) if values else None,
        "min_value": float(min(values)) if values and shows_extremes else None,
        "max_value": float(max(values)) if values and shows_extremes else None,
        "is_suppressed": values is None,
    }


def percentile(values: list[Fraction], share: Fraction) -> Fraction:
    """The percentile with linear interpolation between the two nearest ranks."""
    ranked = sorted(values)
    position = share * (len(ranked) - 1)
    below = position.__floor__()
    above = min(below + 1, len(ranked) - 1)
    return ranked[below] + (position - below) * (ranked[above] - ranked[below])

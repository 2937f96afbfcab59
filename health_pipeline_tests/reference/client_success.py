"""The client-success tables, straight from client-success.md: day by day or Sunday by Sunday, client by client."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from health_pipeline_tests.reference.calendar import days_between, end_of
from health_pipeline_tests.reference.contract import Row, Source
from health_pipeline_tests.reference.quality import split
from health_pipeline_tests.reference.scoring import Policy, half_up, overall
from health_pipeline_tests.reference.tenant_health import exists, is_active, within

SHIPPED_POLICY: Policy = {
    "weights": {
        "engagement_score": 25,
        "activation_score": 20,
        "progress_score": 25,
        "satisfaction_score": 15,
        "momentum_score": 15,
    },
    "high_value_events": (
        *("task_completed", "content_generated", "visual_created", "export_downloaded", "feedback_given"),
    ),
    "momentum_minimum_events": 5,
    # (name, from), best first; below the last one AT_RISK.
    "bands": [("EXCELLENT", 80), ("GOOD", 60), ("NEEDS_ATTENTION", 40)],
    "trend_threshold": 5,
    "milestones": (10, 50, 100),
    "nearly_done_tasks": 3,
    "inactivity_hours": 48,
    "zero_activity_hours": 72,
    "task_stalled_hours": 72,
    "score_drop": 20,
    "score_drop_critical": 30,
}

MILESTONE_EVENTS = {"task": "task_completed", "content": "content_generated", "visual": "visual_created"}
WEEK = timedelta(days=7)

Window = tuple[datetime, datetime]


@dataclass(frozen=True)
class Client:
    """A row of `users`, its tenant, and the rows that match on both ids; tasks or feedback None: not mapped."""

    user: Row
    tenant: Row
    events: list[Row]
    tasks: list[Row] | None
    feedback: list[Row] | None

    @property
    def keys(self) -> Row:
        """client_id and tenant_id."""
        return {"client_id": self.user["user_id"], "tenant_id": self.user["tenant_id"]}

    def is_active(self, instant: datetime) -> bool:
        """Whether client and tenant are active at that end."""
        return is_active(self.user, instant) and is_active(self.tenant, instant)

    def events_in(self, window: Window, *types: str) -> list[Row]:
        """The events in a window, of the types or of every type."""
        return [e for e in self.events if within(e["occurred_at"], window) and (not types or e["event_type"] in types)]

    def quiet_since(self, end: datetime) -> datetime:
        """The last event before that end; created_at if there is none."""
        instants = [event["occurred_at"] for event in self.events if event["occurred_at"] < end]
        last: datetime = max(instants) if instants else self.user["created_at"]
        return last


@dataclass(frozen=True)
class Rules:
    """The zone and the policy."""

    zone: str
    policy: Policy

    def start(self, day: date) -> datetime:
        """00:00 of the day; of a Sunday, the end of its partition."""
        return end_of(day - timedelta(days=1), self.zone)

    def days_before(self, sunday: date, days: int) -> Window:
        """The `days` calendar days before 00:00 of the Sunday."""
        return self.start(sunday - timedelta(days=days)), self.start(sunday)

    def date_of(self, instant: datetime) -> date:
        """The calendar date of an instant."""
        return instant.astimezone(ZoneInfo(self.zone)).date()


def rules_of(zone: str, policy: Policy | None) -> Rules:
    """The shipped policy with some entries overridden."""
    return Rules(zone, {**SHIPPED_POLICY, **(policy or {})})


def clients_of(source: Source, clock: datetime) -> list[Client]:
    """Every good user, by user_id."""
    good, _ = split(source, clock)
    tenants = {row["tenant_id"]: row for row in good["tenants"]}
    rows: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for table in ("events", "onboarding_tasks", "feedback"):
        for row in good.get(table, []):
            rows[table, row["tenant_id"], row["user_id"]].append(row)

    def of(table: str, user: Row) -> list[Row]:
        return rows[table, user["tenant_id"], user["user_id"]]

    return [
        Client(
            user,
            tenants[user["tenant_id"]],
            of("events", user),
            of("onboarding_tasks", user) if "onboarding_tasks" in good else None,
            of("feedback", user) if "feedback" in good else None,
        )
        for user in sorted(good["users"], key=lambda row: str(row["user_id"]))
    ]


def client_engagement(
    source: Source, first: date, last: date, *, zone: str = "UTC", clock: datetime, policy: Policy | None = None
) -> list[Row]:
    """A row per day with activity and user created before its end, active or not; event_counts by event type."""
    rules = rules_of(zone, policy)
    clients = clients_of(source, clock)
    mapped = {column for event in source["events"] for column in event}
    rows = []
    for day in days_between(first, last):
        for client in clients:
            events = client.events_in((rules.start(day), end_of(day, zone)))
            if not events or not exists(client.user["created_at"], end_of(day, zone)):
                continue
            counts = Counter(event["event_type"] for event in events)
            sessions = {event["session_id"] for event in events} - {None}
            durations = [event["duration_seconds"] for event in events if event["duration_seconds"] is not None]
            rows.append(
                {
                    "metric_date": day,
                    **client.keys,
                    "events": len(events),
                    "high_value_events": sum(counts[name] for name in rules.policy["high_value_events"]),
                    "sessions": len(sessions) if "session_id" in mapped else None,
                    "duration_seconds": sum(durations) if "duration_seconds" in mapped else None,
                    "event_counts": dict(counts),
                }
            )
    return rows


def client_success_scores(
    source: Source, sundays: Iterable[date], *, zone: str = "UTC", clock: datetime, policy: Policy | None = None
) -> list[Row]:
    """A row per Sunday and client active at 00:00 of it."""
    rules, clients = rules_of(zone, policy), clients_of(source, clock)
    found = [success_score(client, sunday, rules) for sunday in sundays for client in clients]
    return [row for row in found if row is not None]


def success_score(client: Client, sunday: date, rules: Rules) -> Row | None:
    """The `client_success_scores` row; None if the client is not active at 00:00 of the Sunday."""
    if not client.is_active(rules.start(sunday)):
        return None
    components = component_scores(client, sunday, rules)
    score, coverage = overall(components, rules.policy)
    if score is None:
        raise AssertionError("engagement and progress can always be measured")
    previous = None
    if client.is_active(rules.start(sunday - WEEK)):
        previous, _ = overall(component_scores(client, sunday - WEEK, rules), rules.policy)
    change = 0 if previous is None else score - previous
    threshold = rules.policy["trend_threshold"]
    return {
        "metric_date": sunday,
        **client.keys,
        **components,
        "overall_score": score,
        "coverage": float(coverage),
        "band": next((name for name, limit in rules.policy["bands"] if score >= limit), "AT_RISK"),
        "previous_score": previous,
        "trend": "RISING" if change >= threshold else "DECLINING" if change <= -threshold else "STABLE",
    }


def component_scores(client: Client, sunday: date, rules: Rules) -> dict[str, int | None]:
    """The five components at 00:00 of the Sunday, clamped and rounded half up; None where it can't be measured."""
    scores = {
        "engagement_score": engagement(client, sunday, rules),
        "activation_score": activation(client, rules.start(sunday)),
        "progress_score": progress(client, sunday, rules),
        "satisfaction_score": satisfaction(client, sunday, rules),
        "momentum_score": momentum(client, sunday, rules),
    }
    return {
        name: None if score is None else half_up(max(Fraction(0), min(Fraction(100), score)))
        for name, score in scores.items()
    }


def engagement(client: Client, sunday: date, rules: Rules) -> Fraction:
    """50 for 5 active days, 30 for 20 events, 20 for 3 high-value events in 7 days, each in proportion below."""
    events = client.events_in(rules.days_before(sunday, 7))
    active_days = {rules.date_of(event["occurred_at"]) for event in events}
    high_value = [event for event in events if event["event_type"] in rules.policy["high_value_events"]]
    return 50 * share(len(active_days), 5) + 30 * share(len(events), 20) + 20 * share(len(high_value), 3)


def share(count: int, full: int) -> Fraction:
    """min(1, count / full)."""
    return min(Fraction(1), Fraction(count, full))


def activation(client: Client, end: datetime) -> Fraction | None:
    """80 × completed / (all tasks − skipped ones), + 20 if the launch kit was ever viewed; None without such tasks."""
    states = Counter(task_states(client, end))
    expected = states.total() - states["skipped"]
    if expected == 0:
        return None
    has_viewed = any(e["event_type"] == "launch_kit_viewed" and e["occurred_at"] < end for e in client.events)
    return 80 * Fraction(states["completed"], expected) + (20 if has_viewed else 0)


def progress(client: Client, sunday: date, rules: Rules) -> Fraction:
    """60 for 8 contents, 40 for 4 visuals in 28 days, each in proportion below."""
    window = rules.days_before(sunday, 28)
    contents = len(client.events_in(window, "content_generated"))
    return 60 * share(contents, 8) + 40 * share(len(client.events_in(window, "visual_created")), 4)


def satisfaction(client: Client, sunday: date, rules: Rules) -> Fraction | None:
    """The mean feedback score of the last 90 days."""
    window = rules.days_before(sunday, 90)
    scores = [Fraction(row["score"]) for row in client.feedback or [] if within(row["submitted_at"], window)]
    return sum(scores, Fraction(0)) / len(scores) if scores else None


def momentum(client: Client, sunday: date, rules: Rules) -> Fraction | None:
    """50 + 50 × (a − b) / (a + b), from the events of this week and of the one before."""
    this_week = len(client.events_in(rules.days_before(sunday, 7)))
    week_before = len(client.events_in(rules.days_before(sunday - WEEK, 7)))
    both = this_week + week_before
    if both < rules.policy["momentum_minimum_events"]:
        return None
    return 50 + 50 * Fraction(this_week - week_before, both)


def task_states(client: Client, end: datetime) -> list[str]:
    """The state of each onboarding task that exists at an end."""
    return [task_state(task, end) for task in client.tasks or [] if exists(task["created_at"], end)]


def task_state(task: Row, end: datetime) -> str:
    """completed, skipped, in_progress or pending at an end (source-contract.md, Points in time)."""
    completed_at = task["completed_at"]
    if completed_at is None and task["status"] == "COMPLETED":
        completed_at = task["updated_at"]
        if completed_at is None:
            return "completed"
    if completed_at is not None and completed_at < end:
        return "completed"
    if task["status"] == "SKIPPED" and (task["updated_at"] is None or task["updated_at"] < end):
        return "skipped"
    if task["started_at"] is None:
        return "in_progress" if task["status"] == "IN_PROGRESS" else "pending"
    return "in_progress" if task["started_at"] < end else "pending"


def client_insights(
    source: Source, sundays: Iterable[date], *, zone: str = "UTC", clock: datetime, policy: Policy | None = None
) -> list[Row]:
    """A row per Sunday, active client and rule that fires: keys, insight_type, valid_until and `numbers`."""
    rules, clients = rules_of(zone, policy), clients_of(source, clock)
    return [
        {
            "metric_date": sunday,
            **client.keys,
            "rule_id": rule_id,
            "insight_type": insight_type,
            "valid_until": sunday + WEEK,
            "numbers": numbers,
        }
        for sunday in sundays
        for client in clients
        if client.is_active(rules.start(sunday))
        for rule_id, insight_type, numbers in insights_of(client, sunday, rules)
    ]


def insights_of(client: Client, sunday: date, rules: Rules) -> list[tuple[str, str, dict[str, Any]]]:
    """rule_id, insight_type and numbers of the rules that fire for a client active at 00:00 of the Sunday."""
    week = begin, end = rules.days_before(sunday, 7)
    counts = Counter(event["event_type"] for event in client.events_in(week))
    created = {name: counts[name] for name in ("content_generated", "visual_created")}
    found: list[tuple[str, str, dict[str, Any]]] = []
    if counts:
        active_days = {rules.date_of(event["occurred_at"]) for event in client.events_in(week)}
        high_value = sum(counts[name] for name in rules.policy["high_value_events"])
        numbers = {"events": counts.total(), "active_days": len(active_days), "high_value_events": high_value}
        found.append(("weekly_summary", "weekly_summary", numbers))
    if any(created.values()):
        found.append(("achievement_created", "achievement", created))
    for name, event_type in MILESTONE_EVENTS.items():
        instants = [event["occurred_at"] for event in client.events if event["event_type"] == event_type]
        before, now = (sum(instant < limit for instant in instants) for limit in week)
        found += [
            (f"milestone_{name}_{milestone}", "milestone", {"milestone": milestone, "count": now})
            for milestone in rules.policy["milestones"]
            if before < milestone <= now
        ]
    if client.quiet_since(end) < begin:
        found.append(("inactive_7_days", "recommendation", {"quiet_since": client.quiet_since(end)}))
    states = Counter(task_states(client, end))
    open_tasks = states["pending"] + states["in_progress"]
    if 1 <= open_tasks <= rules.policy["nearly_done_tasks"]:
        found.append(("onboarding_nearly_done", "tip", {"open_tasks": open_tasks}))
    return found


def client_momentum_alerts(
    source: Source, first: date, last: date, *, zone: str = "UTC", clock: datetime, policy: Policy | None = None
) -> list[Row]:
    """A row per day, client active at its end and alert open at it, by client and day."""
    rules, clients = rules_of(zone, policy), clients_of(source, clock)
    rows = []
    for client in clients:
        of_scores: dict[date, list[Row]] = {}  # the same from one Sunday to the next
        for day in days_between(first, last):
            if not client.is_active(end_of(day, zone)):
                continue
            sunday = day - timedelta(days=day.isoweekday() % 7)
            if sunday not in of_scores:
                of_scores[sunday] = score_alerts(client, sunday, rules)
            found = [*silence_alerts(client, day, rules), *stalled_tasks(client, day, rules), *of_scores[sunday]]
            rows += [{"metric_date": day, **client.keys, **alert} for alert in found]
    return rows


def alert(alert_type: str, severity: str, opened_on: date, subject_id: str = "") -> Row:
    """An open alert, without its day and client."""
    return {"alert_type": alert_type, "subject_id": subject_id, "severity": severity, "opened_on": opened_on}


def silence_alerts(client: Client, day: date, rules: Rules) -> list[Row]:
    """inactivity from 48 h of silence on; zero_activity, in its place, from 72 h on."""
    end = end_of(day, rules.zone)
    quiet_since = client.quiet_since(end).astimezone(UTC)
    for alert_type, severity in (("zero_activity", "critical"), ("inactivity", "warning")):
        opening = quiet_since + timedelta(hours=rules.policy[f"{alert_type}_hours"])
        if opening < end:
            return [alert(alert_type, severity, rules.date_of(opening))]
    return []


def stalled_tasks(client: Client, day: date, rules: Rules) -> list[Row]:
    """task_stalled for every task in progress whose last update lies 72 h before end(D) or longer."""
    end = end_of(day, rules.zone)
    found = []
    for task in client.tasks or []:
        if not exists(task["created_at"], end) or task_state(task, end) != "in_progress":
            continue
        updates = [task[column] for column in ("created_at", "started_at", "updated_at")]
        last_update = max(update for update in updates if update is not None and update < end)
        opening = last_update.astimezone(UTC) + timedelta(hours=rules.policy["task_stalled_hours"])
        if opening < end:
            found.append(alert("task_stalled", "warning", rules.date_of(opening), task["task_id"]))
    return found


def score_alerts(client: Client, sunday: date, rules: Rules) -> list[Row]:
    """score_drop and churn_risk from the weekly score of a Sunday and those before it."""
    row = success_score(client, sunday, rules)
    if row is None:
        return []
    found = []
    drop = 0 if row["previous_score"] is None else row["previous_score"] - row["overall_score"]
    if drop >= rules.policy["score_drop"]:
        severity = "critical" if drop >= rules.policy["score_drop_critical"] else "warning"
        found.append(alert("score_drop", severity, sunday))
    opened_on = None
    while row is not None and row["band"] == "AT_RISK" and row["trend"] == "DECLINING":
        opened_on = row["metric_date"]
        row = success_score(client, opened_on - WEEK, rules)
    if opened_on is not None:
        found.append(alert("churn_risk", "critical", opened_on))
    return found


def email_recipients(source: Source, sundays: Iterable[date], *, zone: str = "UTC", clock: datetime) -> list[Row]:
    """The keys of `client_success_emails`: clients with a score who opted in and have an email that is not blank."""
    rules, clients = rules_of(zone, None), clients_of(source, clock)
    return [
        {"metric_date": sunday, **client.keys, "email": client.user["email"]}
        for sunday in sundays
        for client in clients
        if client.is_active(rules.start(sunday))
        and client.user["insights_opt_in"] is True
        and (client.user["email"] or "").strip()
    ]

"""Traps of the hostile source that are no faults: each function adds the rows of one of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from health_pipeline_tests.reference.calendar import MICROSECOND
from health_pipeline_tests.reference.hostile_scene import AROUND, Scene
from health_pipeline_tests.reference.scoring import SHIPPED_POLICY, half_up

TRACKED = tuple(SHIPPED_POLICY["features"])
FEATURE_KEYS = (*TRACKED, "sso", "SSO ", "UNTRACKED", "", None, None)
EVENT_TYPES = (
    *("login", "login", "login", "Login", "LOGIN", " login", "page_view", "feature_used", "task_completed"),
    *("report_generated", "search_performed", "api_call", "API_CALL", "report-generated", "made_up \U0001f680"),
)
SLA_STATUSES = ("ON_TRACK", "WARNING", "BREACHED", "CRITICAL", "breached", "LATE", "", None)

# By role: tickets, whether its one user logs in every day (otherwise it has none), the overall score of each day.
SCORE_PATHS: dict[str, tuple[int, bool, list[int]]] = {
    "path_low": (10, False, [39, 44, 50, 45, 39, 40, 46, 40, 40]),
    "path_middle": (0, False, [59, 60, 65, 59, 54, 60, 59, 65, 60]),
    "path_high": (1, True, [66, 60, 69, 70, 76, 70, 75, 69, 70]),
}


def users_and_events(scene: Scene) -> None:
    """Ordinary life: a few users a tenant, some created or deactivated at edges, and events of every kind."""
    for tenant_id in scene.tenants("noise"):
        users = [scene.add_user(tenant_id) for _ in range(scene.rng.randrange(5))]
        users += [scene.add_user(tenant_id, created_at=scene.edge()) for _ in range(scene.rng.randrange(2))]
        users += [scene.add_user(tenant_id, deactivated_at=scene.edge()) for _ in range(scene.rng.randrange(2))]
        for _ in range(scene.rng.randrange(60)):
            user_id = scene.rng.choice([*users, "nobody"])
            values = {"feature_key": scene.rng.choice(FEATURE_KEYS), "session_id": scene.rng.choice(["", "s", None])}
            scene.add_event(tenant_id, user_id, scene.rng.choice(EVENT_TYPES), scene.moment(), **values)


def users_at_edges(scene: Scene) -> None:
    """Users whose only login, creation or deactivation lies at one edge: each of them moves one count by one."""
    for tenant_id in scene.tenants("edges"):
        for edge in [*scene.midnights[:9], *scene.midnights[-6:], *scene.window_starts[:6], *scene.window_starts[-6:]]:
            scene.add_event(tenant_id, scene.add_user(tenant_id), "login", edge)
        for edge in [*scene.midnights[:6], *scene.midnights[-6:]]:
            scene.add_user(tenant_id, created_at=edge)
            scene.add_user(tenant_id, deactivated_at=edge)


def logins_that_miss(scene: Scene) -> None:
    """Logins under another tenant's id, under an id in other case or composition, by users of nobody."""
    tenant_ids = scene.tenants("noise")
    for tenant_id in tenant_ids:
        user_id = scene.add_user(tenant_id) if scene.rng.random() < 0.5 else "nobody"
        noon = scene.end(scene.first) - timedelta(hours=12)
        scene.add_event(scene.rng.choice(tenant_ids), user_id, "login", noon)
        scene.add_event(tenant_id, user_id.swapcase() + " ", "login", noon)


def logins_before_creation(scene: Scene) -> None:
    """Activity dated before its owner's creation counts: users, and a tenant's events from before the tenant."""
    for tenant_id in scene.tenants("noise")[-4:]:
        created_at = scene.end(scene.first)
        user_id = scene.add_user(tenant_id, created_at=created_at)
        scene.add_event(tenant_id, user_id, "login", created_at - timedelta(days=5))
        scene.add_event(tenant_id, user_id, "feature_used", scene.long_ago - timedelta(days=9), feature_key="SSO")


def halves(scene: Scene) -> None:
    """Ratios that scale to exactly 62.5: 7 of 16 users, 9 of 16 cases, 17 of 32 assignments."""
    for tenant_id in scene.tenants("half_up"):
        day_start = scene.end(scene.first - timedelta(days=1))
        for n in range(16):
            user_id = scene.add_user(tenant_id)
            if n < 7:
                scene.add_event(tenant_id, user_id, "login", day_start)
            due = day_start if n < 9 else day_start - MICROSECOND
            add_case(scene, tenant_id, scene.long_ago, closed_at=day_start, sla_due_at=due)
        for n in range(32):
            add_assignment(scene, tenant_id, scene.long_ago, day_start if n < 17 else None)


def scores_at_boundaries(scene: Scene) -> None:
    """Tenants whose overall score takes given values day after day: at the risk limits, with changes of ±5 and ±6.

    Without users, cases, features and tickets a score is 40 + a quarter of the campaign score; a ticket takes 1.5 off,
    a user who logs in every day adds 20. The campaign score follows from what is assigned and completed.
    """
    for role, (ticket_count, logs_in, scores) in SCORE_PATHS.items():
        for tenant_id in scene.tenants(role):
            for _ in range(ticket_count):
                opened_at = scene.end(scene.first - timedelta(days=5))
                scene.add(
                    "support_tickets", ticket_id=scene.new_id("tickets"), tenant_id=tenant_id, opened_at=opened_at
                )
            user_id = scene.add_user(tenant_id) if logs_in else "nobody"
            for day in [scene.first - timedelta(days=1), *scene.days]:
                scene.add_event(tenant_id, user_id, "login", scene.end(day) - MICROSECOND)
            follow_path(scene, tenant_id, 40 - Fraction(3, 2) * ticket_count + 20 * logs_in, scores)


def follow_path(scene: Scene, tenant_id: str, base: Fraction, scores: list[int]) -> None:
    """Assign and complete so that `base` plus a quarter of the campaign score rounds to the day's score.

    An odd score is met from exactly half a point below, so that rounding half to even misses it.
    """
    open_assignments: list[datetime] = []
    completed, total = 0, 0
    for day, score in zip([scene.first - timedelta(days=1), *scene.days], [scores[0], *scores], strict=False):
        at = scene.end(day) - MICROSECOND
        wanted = 4 * (score - base) - (2 if score % 2 else 0)
        completed_now, total_now = next_counts(completed, total, int(wanted))
        open_assignments += [at] * (total_now - total)
        for _ in range(completed_now - completed):
            add_assignment(scene, tenant_id, open_assignments.pop(), at)
        completed, total = completed_now, total_now
    for assigned_at in open_assignments:
        add_assignment(scene, tenant_id, assigned_at, None)


def next_counts(completed: int, total: int, wanted: int) -> tuple[int, int]:
    """The smallest counts from (completed, total) on whose campaign score is the wanted one."""
    for total_now in range(max(total, 40), 4 * total + 400):
        near = wanted * 85 * total_now // 10_000
        for completed_now in range(max(completed, near - 1), min(total_now, near + 2) + 1):
            if half_up(Fraction(completed_now, total_now) / Fraction(85, 100) * 100) == wanted:
                return completed_now, total_now
    raise ValueError(f"no counts from {completed} of {total} reach {wanted}")


def add_assignment(scene: Scene, tenant_id: str, assigned_at: datetime, completed_at: datetime | None) -> None:
    """One assignment; its campaign need not exist."""
    values = {"assigned_at": assigned_at, "completed_at": completed_at, "campaign_id": scene.rng.choice(["gone", "1"])}
    scene.add("campaign_assignments", assignment_id=scene.new_id("assignments"), tenant_id=tenant_id, **values)


def add_case(scene: Scene, tenant_id: str, created_at: datetime, **values: object) -> None:
    """One case."""
    scene.add("cases", case_id=scene.new_id("cases"), tenant_id=tenant_id, created_at=created_at, **values)


def cases(scene: Scene) -> None:
    """Cases due when they close or just before or after, or at an edge, with contradicting and unknown status."""
    for tenant_id in [*scene.tenants("noise"), *scene.tenants("edges")]:
        for _ in range(scene.rng.randrange(15)):
            created_at, closed_at = scene.period()
            due = scene.rng.choice([closed_at or scene.edge(), scene.edge()]) + scene.rng.choice(AROUND)
            values = {"sla_due_at": scene.rng.choice([due, due, None]), "sla_status": scene.rng.choice(SLA_STATUSES)}
            add_case(scene, tenant_id, created_at, closed_at=closed_at, **values)
    for tenant_id in scene.tenants("edges"):
        for edge in scene.midnights:
            add_case(scene, tenant_id, scene.long_ago, sla_due_at=edge, sla_status="ON_TRACK")
            add_case(scene, tenant_id, scene.long_ago, closed_at=edge, sla_due_at=edge)
            add_case(scene, tenant_id, edge, sla_status="CRITICAL")
        for edge in scene.window_starts:
            add_case(scene, tenant_id, scene.long_ago, closed_at=edge, sla_status="WARNING")


def campaigns(scene: Scene) -> None:
    """Campaigns that begin and end at edges, end as they begin, or end after the clock; assignments likewise."""
    for tenant_id in [*scene.tenants("noise"), *scene.tenants("edges")]:
        spans = [scene.period() for _ in range(scene.rng.randrange(4))]
        spans += [(scene.long_ago, scene.edge()), (scene.edge(), scene.clock + timedelta(days=1))]
        instant = scene.edge()
        for launched_at, ended_at in [*spans, (instant, instant)]:
            values = {"launched_at": launched_at, "ended_at": ended_at}
            scene.add("campaigns", campaign_id=scene.new_id("campaigns"), tenant_id=tenant_id, **values)
        for _ in range(scene.rng.randrange(12)):
            add_assignment(scene, tenant_id, *scene.period())


def entitlements(scene: Scene) -> None:
    """Periods that touch, overlap, lie within one another, are empty, or begin and end at edges; keys not tracked."""
    for tenant_id in scene.all_tenants():
        starts: set[tuple[str, datetime]] = set()
        for feature_key in scene.rng.sample([*TRACKED, "sso", "UNTRACKED"], 6):
            a, b, c, d = sorted(scene.rng.sample([*scene.midnights, *scene.window_starts], 4))
            shapes: list[list[tuple[datetime, datetime | None]]] = [
                [(a, b), (b, c)],
                [(a, c), (b, d)],
                [(a, d), (b, c)],
                [(a, a), (b, c + timedelta(days=9000))],
                [(a, b), (c, None)],
                [(a, None), (b, c)],
            ]
            for enabled_at, disabled_at in scene.rng.choice(shapes):
                if (feature_key, enabled_at) not in starts:
                    starts.add((feature_key, enabled_at))
                    values = {"enabled_at": enabled_at, "disabled_at": disabled_at}
                    scene.add("feature_entitlements", tenant_id=tenant_id, feature_key=feature_key, **values)


def features_and_day_counts(scene: Scene) -> None:
    """Uses and counted events at every edge, by users of nobody, in one tenant; a use long before the window."""
    for tenant_id in scene.tenants("edges"):
        for n, edge in enumerate([*scene.midnights, *scene.window_starts]):
            scene.add_event(tenant_id, "nobody", "any", edge, feature_key=TRACKED[n % len(TRACKED)])
            event_type = ("report_generated", "search_performed", "api_call", "Api_call")[n % 4]
            scene.add_event(tenant_id, "nobody", event_type, edge, feature_key=scene.rng.choice(FEATURE_KEYS))
        scene.add_event(tenant_id, "nobody", "any", scene.long_ago, feature_key="SSO")


def tickets(scene: Scene) -> None:
    """0 to 12 tickets (the score ends at ten), some at the edges of the window."""
    for tenant_id in [*scene.tenants("noise"), *scene.tenants("edges")]:
        for _ in range(scene.rng.randrange(13)):
            opened_at, closed_at = scene.period()
            values = {"opened_at": opened_at, "closed_at": closed_at, "priority": scene.rng.choice(["high", "", None])}
            scene.add("support_tickets", ticket_id=scene.new_id("tickets"), tenant_id=tenant_id, **values)


def customers_and_orders(scene: Scene) -> None:
    """Customers who come and go, orders with several deliveries on a date, unknown amounts and other statuses."""
    for tenant_id in scene.tenants("noise"):
        for _ in range(scene.rng.randrange(3)):
            customer_id = scene.new_id("customers")
            values = {
                "created_at": scene.rng.choice([scene.edge(), scene.long_ago]),
                "sales_rep_id": scene.rng.choice(["", "r"]),
            }
            scene.add("customers", customer_id=customer_id, tenant_id=tenant_id, name="", **values)
            for _ in range(scene.rng.randrange(18)):
                order(scene, tenant_id, customer_id)


def order(scene: Scene, tenant_id: str, customer_id: str) -> None:
    """One order, now and then under a wrong tenant."""
    scene.add(
        "orders",
        order_id=scene.new_id("orders"),
        tenant_id=scene.rng.choice([tenant_id] * 9 + scene.all_tenants()[:1]),
        customer_id=customer_id,
        ordered_at=scene.rng.choice([scene.moment(), scene.long_ago]),
        delivered_at=scene.rng.choice([scene.moment(), scene.edge(), None]),
        status=scene.rng.choice([None, "", "DELIVERED", "delivered", "Delivered", "CANCELLED", "delivered "]),
        total_amount=scene.rng.choice([None, Decimal("0.00"), Decimal("0.01"), Decimal("85.00"), Decimal("100.00")]),
    )


def clients(scene: Scene) -> None:
    """Onboarding tasks of every status with dates at edges, and feedback at the ends of its range."""
    users = [row for row in scene.source["users"] if row["tenant_id"] in scene.tenants("noise")]
    for user in users:
        owner = {"tenant_id": user["tenant_id"], "user_id": user["user_id"]}
        for _ in range(scene.rng.randrange(4)):
            created_at, completed_at = scene.period()
            values = {
                "status": scene.rng.choice(["PENDING", "IN_PROGRESS", "COMPLETED", "SKIPPED", "completed", ""]),
                "started_at": scene.rng.choice([None, scene.moment()]),
                "updated_at": scene.rng.choice([None, scene.moment()]),
                "completed_at": completed_at,
            }
            scene.add("onboarding_tasks", task_id=scene.new_id("tasks"), created_at=created_at, **owner, **values)
        score = scene.rng.choice([0, 1, 50, 99, 100])
        scene.add("feedback", feedback_id=scene.new_id("feedback"), score=score, submitted_at=scene.moment(), **owner)


def facts_at_the_clock(scene: Scene) -> None:
    """A fact exactly at the clock is good, and so is an end after it."""
    for tenant_id in scene.tenants("edges"):
        scene.add_event(tenant_id, "nobody", "login", scene.clock)
        ahead = scene.clock + timedelta(days=1)
        scene.add_user(tenant_id, created_at=scene.clock, deactivated_at=ahead)
        add_case(scene, tenant_id, scene.clock, closed_at=scene.clock, sla_due_at=ahead)


TRAPS: tuple[Callable[[Scene], None], ...] = (
    users_and_events,
    users_at_edges,
    logins_that_miss,
    logins_before_creation,
    halves,
    scores_at_boundaries,
    cases,
    campaigns,
    entitlements,
    features_and_day_counts,
    tickets,
    customers_and_orders,
    clients,
    facts_at_the_clock,
)

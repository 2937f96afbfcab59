"""Faults of the hostile source: each function adds the bad rows of one reason, and good rows that look like them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

from health_pipeline_tests.reference.calendar import MICROSECOND
from health_pipeline_tests.reference.hostile_scene import Scene


def nulls(scene: Scene) -> None:
    """Required values that are null, and empty ids, event types and feature keys."""
    tenant_id, past = victim(scene), scene.long_ago
    scene.add_anyway("tenants", tenant_id=None, name="No id", created_at=past)
    scene.add_anyway("tenants", tenant_id="nameless", name=None, created_at=past)
    scene.add_anyway("tenants", tenant_id="", name="Empty id", created_at=past)
    scene.add_anyway("users", user_id="", tenant_id=tenant_id, created_at=past)
    scene.add_anyway("users", user_id="of nobody", tenant_id="", created_at=past)
    event = {"tenant_id": tenant_id, "user_id": "nobody", "event_type": "login", "occurred_at": scene.edge()}
    scene.add_anyway("events", **{**event, "user_id": None})
    scene.add_anyway("events", **{**event, "event_type": "", "feature_key": "SSO"})
    scene.add_anyway("cases", case_id=None, tenant_id=tenant_id, created_at=past)
    scene.add_anyway("campaigns", campaign_id="never launched", tenant_id=tenant_id)
    scene.add_anyway("campaign_assignments", assignment_id="a0", campaign_id="", tenant_id=tenant_id, assigned_at=past)
    scene.add_anyway("feature_entitlements", tenant_id=tenant_id, feature_key="", enabled_at=past)
    scene.add_anyway("support_tickets", ticket_id="never opened", tenant_id=tenant_id)
    scene.add_anyway("orders", order_id="o0", tenant_id=tenant_id, customer_id="", ordered_at=past)
    scene.add_anyway("onboarding_tasks", task_id="t0", tenant_id=tenant_id, user_id="u", created_at=past)
    scene.add_anyway("feedback", feedback_id="f0", tenant_id=tenant_id, user_id="u", submitted_at=past)


def unknown_tenants(scene: Scene) -> None:
    """Rows of tenants that aren't there, that differ by a space, or whose own row is bad."""
    stranger, past = victim(scene) + "  ", scene.long_ago
    scene.add_anyway("tenants", tenant_id="bad tenant", name="Bad", created_at=past, deactivated_at=past - MICROSECOND)
    scene.add_anyway("users", user_id="of a bad tenant", tenant_id="bad tenant", created_at=past)
    scene.add_anyway("users", user_id="of a stranger", tenant_id=stranger, created_at=past)
    event = {"user_id": "nobody", "event_type": "api_call", "occurred_at": scene.edge()}
    scene.add_anyway("events", tenant_id="bad tenant", **event)
    scene.add_anyway("cases", case_id="of a stranger", tenant_id=stranger, created_at=past)
    scene.add_anyway("support_tickets", ticket_id="of a stranger", tenant_id=stranger, opened_at=scene.edge())
    scene.add_anyway("feature_entitlements", tenant_id=stranger, feature_key="SSO", enabled_at=past)
    scene.add_anyway("customers", customer_id="of a stranger", tenant_id=stranger, name="C", created_at=past)


def ends_before_creation(scene: Scene) -> None:
    """An end one microsecond before the beginning."""
    tenant_id, start = victim(scene), scene.edge()
    end = start - MICROSECOND
    scene.add_anyway("users", user_id="ends early", tenant_id=tenant_id, created_at=start, deactivated_at=end)
    scene.add_anyway("cases", case_id="ends early", tenant_id=tenant_id, created_at=start, closed_at=end)
    scene.add_anyway("campaigns", campaign_id="ends early", tenant_id=tenant_id, launched_at=start, ended_at=end)
    owner = {"tenant_id": tenant_id, "user_id": "u"}
    assignment = {"assignment_id": "ends early", "campaign_id": "1", "tenant_id": tenant_id}
    scene.add_anyway("campaign_assignments", **assignment, assigned_at=start, completed_at=end)
    entitlement = {"tenant_id": tenant_id, "feature_key": "AI_ASSISTANT", "enabled_at": start + timedelta(seconds=1)}
    scene.add_anyway("feature_entitlements", **entitlement, disabled_at=start)
    scene.add_anyway("support_tickets", ticket_id="ends early", tenant_id=tenant_id, opened_at=start, closed_at=end)
    customer = {"customer_id": "ends early", "tenant_id": tenant_id, "name": "C"}
    scene.add_anyway("customers", **customer, created_at=start, deactivated_at=end)
    task = {"task_id": "ends early", "status": "COMPLETED", "created_at": start, "completed_at": end}
    scene.add_anyway("onboarding_tasks", **task, **owner)
    # Not an end: an order may have been delivered before it was entered.
    order = {"order_id": "delivered early", "customer_id": "1", "ordered_at": start, "delivered_at": end}
    scene.add("orders", tenant_id=tenant_id, **order)


def facts_after_the_clock(scene: Scene) -> None:
    """Facts one microsecond after the clock."""
    tenant_id, past, ahead = victim(scene), scene.long_ago, scene.clock + MICROSECOND
    scene.add_anyway("tenants", tenant_id="from the future", name="T", created_at=ahead)
    scene.add_anyway("users", user_id="from the future", tenant_id=tenant_id, created_at=ahead)
    event = {"tenant_id": tenant_id, "user_id": "nobody", "event_type": "login"}
    scene.add_anyway("events", **event, occurred_at=ahead, feature_key="SSO")
    case = {"case_id": "closes in the future", "tenant_id": tenant_id, "created_at": past, "closed_at": ahead}
    scene.add_anyway("cases", **case, sla_status="CRITICAL")
    scene.add_anyway("campaigns", campaign_id="from the future", tenant_id=tenant_id, launched_at=ahead)
    assignment = {"assignment_id": "done in the future", "campaign_id": "1", "tenant_id": tenant_id}
    scene.add_anyway("campaign_assignments", **assignment, assigned_at=past, completed_at=ahead)
    entitlement = {"tenant_id": tenant_id, "feature_key": "HRIS_INTEGRATION"}
    scene.add_anyway("feature_entitlements", **entitlement, enabled_at=ahead)
    ticket = {"ticket_id": "closes in the future", "tenant_id": tenant_id, "opened_at": scene.edge()}
    scene.add_anyway("support_tickets", **ticket, closed_at=ahead)
    order = {"order_id": "delivered in the future", "customer_id": "1", "ordered_at": past, "delivered_at": ahead}
    scene.add_anyway("orders", tenant_id=tenant_id, **order)
    owner = {"tenant_id": tenant_id, "user_id": "u"}
    task = {"task_id": "updated in the future", "status": "PENDING", "created_at": past, "updated_at": ahead}
    scene.add_anyway("onboarding_tasks", **task, **owner)
    scene.add_anyway("feedback", feedback_id="from the future", score=50, submitted_at=ahead, **owner)


def infinities(scene: Scene) -> None:
    """Infinite timestamps, each reported as the first fault that it is."""
    tenant_id, past = victim(scene), scene.long_ago
    tenant = {"name": "T", "deactivated_at": "infinity"}
    scene.add_anyway("tenants", tenant_id="forever", created_at=past, **tenant)
    scene.add_anyway("users", user_id="forever", tenant_id=tenant_id, created_at=past, deactivated_at="infinity")
    scene.add_anyway("users", user_id="never", tenant_id=tenant_id, created_at=past, deactivated_at="-infinity")
    event = {"tenant_id": tenant_id, "user_id": "nobody", "event_type": "login", "feature_key": "SSO"}
    scene.add_anyway("events", **event, occurred_at="-infinity")
    scene.add_anyway("events", **event, occurred_at="infinity")
    scene.add_anyway("cases", case_id="forever", tenant_id=tenant_id, created_at=past, sla_due_at="-infinity")
    scene.add_anyway("campaigns", campaign_id="forever", tenant_id=tenant_id, launched_at=past, ended_at="infinity")
    entitlement = {"tenant_id": tenant_id, "feature_key": "API_ACCESS", "enabled_at": "-infinity"}
    scene.add_anyway("feature_entitlements", **entitlement)


def out_of_range(scene: Scene) -> None:
    """Feedback scores and amounts outside their range."""
    tenant_id, past = victim(scene), scene.long_ago
    for n, score in enumerate([-1, 101]):
        feedback = {"feedback_id": f"range {n}", "tenant_id": tenant_id, "user_id": "u", "score": score}
        scene.add_anyway("feedback", **feedback, submitted_at=past)
    for n, amount in enumerate([Decimal("-0.01"), Decimal("NaN")]):
        order = {"order_id": f"amount {n}", "tenant_id": tenant_id, "customer_id": "1", "ordered_at": past}
        scene.add_anyway("orders", **order, total_amount=amount)


def several_faults(scene: Scene) -> None:
    """Rows with more than one fault, of which the first in the contract's order is the reason."""
    past, ahead = scene.long_ago, scene.clock + MICROSECOND
    case = {"case_id": "all wrong", "tenant_id": "nowhere", "created_at": ahead, "closed_at": past}
    scene.add_anyway("cases", **case, sla_due_at="infinity")
    case = {"case_id": "almost all wrong", "tenant_id": victim(scene), "created_at": ahead, "closed_at": past}
    scene.add_anyway("cases", **case, sla_due_at="infinity")
    feedback = {"feedback_id": "two wrong", "tenant_id": victim(scene), "user_id": "u", "score": 101}
    scene.add_anyway("feedback", **feedback, submitted_at=ahead)


def duplicate_events(scene: Scene) -> None:
    """An event_id used long before the window and again inside it; two at one instant; one whose first use is bad."""
    tenant_id = victim(scene)
    inside = scene.end(scene.first) - timedelta(hours=1)
    outside = scene.end(scene.first - timedelta(days=60))

    def login(event_id: str, user_id: str, **values: object) -> None:
        event = {"tenant_id": tenant_id, "user_id": user_id, "event_type": "login", "event_id": event_id}
        scene.add_anyway("events", **{**event, "occurred_at": inside, **values})

    users = [scene.add_user(tenant_id) for _ in range(5)]
    login("used 60 days ago", users[0], occurred_at=outside, tenant_id=scene.all_tenants()[0])
    login("used 60 days ago", users[0])
    login("twice at once", users[1], feature_key="SSO")
    login("twice at once", users[1], feature_key="")
    login("first use is bad", users[2], occurred_at=outside, tenant_id="nowhere")
    login("first use is bad", users[2])
    login("differs by case", users[3])
    login("Differs by case", users[4])


def duplicates(scene: Scene) -> None:
    """Keys used twice: the earliest creation stays, at one instant the smallest by its values as text, null first."""
    tenant_id, past = victim(scene), scene.long_ago
    tenant = {"tenant_id": "twice", "name": "Twice", "created_at": past, "slug": "s"}
    scene.add_anyway("tenants", **tenant, employee_count=60)
    scene.add_anyway("tenants", **tenant, employee_count=300, deactivated_at=past)  # stays: "300" < "60"
    scene.add_anyway("tenants", **{**tenant, "created_at": past + MICROSECOND, "slug": None})
    user = {"user_id": "twice", "created_at": past}
    scene.add_anyway("users", **user, tenant_id=tenant_id, name="A")
    scene.add_anyway("users", **user, tenant_id=tenant_id, name=None, deactivated_at=scene.edge())  # stays
    case = {"case_id": "twice", "tenant_id": tenant_id}
    scene.add_anyway("cases", **case, created_at=scene.end(scene.first) - MICROSECOND, sla_status="WARNING")
    scene.add_anyway("cases", **case, created_at=past, sla_status="CRITICAL")  # stays
    entitlement = {"tenant_id": tenant_id, "feature_key": "EMPLOYEE_PORTAL", "enabled_at": past}
    scene.add_anyway("feature_entitlements", **entitlement, disabled_at=past)
    scene.add_anyway("feature_entitlements", **entitlement, disabled_at=None)  # stays
    ticket = {"ticket_id": "twice", "tenant_id": tenant_id, "opened_at": scene.end(scene.first) - MICROSECOND}
    scene.add_anyway("support_tickets", **ticket, priority="")  # stays, or the next: they read the same
    scene.add_anyway("support_tickets", **ticket, priority=None)
    order = {"order_id": "twice", "tenant_id": tenant_id, "customer_id": "1", "ordered_at": past}
    scene.add_anyway("orders", **order, total_amount=Decimal("9.00"), status="DELIVERED")
    scene.add_anyway("orders", **order, total_amount=Decimal("10.00"), status="DELIVERED")  # stays


def victim(scene: Scene) -> str:
    """A tenant without a designed score, to whom bad rows are given."""
    return (scene.tenants("noise") or scene.all_tenants())[0]


FAULTS: tuple[Callable[[Scene], None], ...] = (
    nulls,
    unknown_tenants,
    ends_before_creation,
    facts_after_the_clock,
    infinities,
    out_of_range,
    several_faults,
    duplicate_events,
    duplicates,
)

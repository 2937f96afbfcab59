"""The source contract: the twelve logical tables that the pipeline reads, their columns, types and roles.

Rule: source-contract.md. A role decides what makes a row bad (faults.py); the order of columns decides ties between
duplicates; the type decides which physical types a mapping may offer (reader.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum


class Kind(StrEnum):
    """Types of the contract."""

    TEXT = "text"  # ids are opaque text too: a uuid or an integer in the source is cast
    INTEGER = "integer"
    NUMERIC = "numeric"
    BOOLEAN = "boolean"
    DATE = "date"
    INSTANT = "timestamptz"


class Role(StrEnum):
    """What an instant means to the rules about bad rows."""

    CREATION = "creation"  # a fact; the row exists from here on
    END = "end"  # not before the creation
    FACT = "fact"  # not after the run's clock
    FREE = "free"  # may lie anywhere, but not at infinity


@dataclass(frozen=True)
class SourceColumn:
    """A column of a logical table.

    required: the mapping must offer it. nullable: a required column in which null is not a fault.
    filled: an empty text is a fault (ids, event_type, feature_key where they are required).
    bounded: a text longer than LONGEST_ID is a fault.
    roles: for instants, which rules apply.
    """

    name: str
    kind: Kind
    required: bool = False
    nullable: bool = False
    filled: bool = False
    bounded: bool = False
    roles: frozenset[Role] = frozenset()


@dataclass(frozen=True)
class SourceTable:
    """A logical table: what a row is, its key, its columns in the contract's order, and whether a source must have it."""

    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[SourceColumn, ...]
    required: bool = False

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    def column(self, name: str) -> SourceColumn:
        return next(column for column in self.columns if column.name == name)

    def with_role(self, role: Role) -> list[SourceColumn]:
        return [column for column in self.columns if role in column.roles]

    @property
    def creation(self) -> str:
        """The column that dates the row; the earliest of duplicates by it stays."""
        return self.with_role(Role.CREATION)[0].name


def _id(name: str) -> SourceColumn:
    return SourceColumn(name, Kind.TEXT, required=True, filled=True)


def _stored_id(name: str) -> SourceColumn:
    """An id that becomes part of keys in the warehouse."""
    return SourceColumn(name, Kind.TEXT, required=True, filled=True, bounded=True)


def _code(name: str) -> SourceColumn:
    return SourceColumn(name, Kind.TEXT, required=True, filled=True)


def _text(name: str, required: bool = False) -> SourceColumn:
    return SourceColumn(name, Kind.TEXT, required=required)


def _created(name: str = "created_at") -> SourceColumn:
    return SourceColumn(name, Kind.INSTANT, required=True, roles=frozenset({Role.CREATION, Role.FACT}))


def _instant(name: str, *roles: Role, required: bool = False) -> SourceColumn:
    return SourceColumn(name, Kind.INSTANT, required=required, nullable=True, roles=frozenset(roles))


TENANTS = SourceTable(
    "tenants",
    "A customer organisation of the SaaS product.",
    ("tenant_id",),
    (
        _stored_id("tenant_id"),
        _text("name", required=True),
        _created(),
        _text("slug"),
        _text("industry_sector"),
        SourceColumn("employee_count", Kind.INTEGER),
        SourceColumn("renewal_date", Kind.DATE),
        _text("alert_level"),
        _instant("deactivated_at", Role.END),
    ),
    required=True,
)
USERS = SourceTable(
    "users",
    "A person with a seat in a tenant.",
    ("user_id",),
    (
        _stored_id("user_id"),
        _id("tenant_id"),
        _created(),
        _text("name"),
        _text("email"),
        SourceColumn("insights_opt_in", Kind.BOOLEAN),
        _instant("deactivated_at", Role.END),
    ),
    required=True,
)
EVENTS = SourceTable(
    "events",
    "One product event of a user.",
    ("event_id",),
    (
        _id("tenant_id"),
        _id("user_id"),
        _code("event_type"),
        _created("occurred_at"),
        _text("event_id"),
        _text("feature_key"),
        _text("session_id"),
        SourceColumn("duration_seconds", Kind.INTEGER),
    ),
    required=True,
)
CASES = SourceTable(
    "cases",
    "A unit of core work with a service level.",
    ("case_id",),
    (
        _id("case_id"),
        _id("tenant_id"),
        _created(),
        _instant("closed_at", Role.END, Role.FACT, required=True),
        _instant("sla_due_at", Role.FREE),
        _text("sla_status"),
    ),
)
CAMPAIGNS = SourceTable(
    "campaigns",
    "A campaign: an attestation, a disclosure, a training.",
    ("campaign_id",),
    (_id("campaign_id"), _id("tenant_id"), _created("launched_at"), _instant("ended_at", Role.END)),
)
CAMPAIGN_ASSIGNMENTS = SourceTable(
    "campaign_assignments",
    "One person's task in a campaign.",
    ("assignment_id",),
    (
        _id("assignment_id"),
        _id("campaign_id"),
        _id("tenant_id"),
        _created("assigned_at"),
        _instant("completed_at", Role.END, Role.FACT, required=True),
    ),
)
FEATURE_ENTITLEMENTS = SourceTable(
    "feature_entitlements",
    "A period in which a tenant may use a feature.",
    ("tenant_id", "feature_key", "enabled_at"),
    (_id("tenant_id"), _code("feature_key"), _created("enabled_at"), _instant("disabled_at", Role.END)),
)
SUPPORT_TICKETS = SourceTable(
    "support_tickets",
    "A ticket that the tenant raised.",
    ("ticket_id",),
    (
        _id("ticket_id"),
        _id("tenant_id"),
        _created("opened_at"),
        _instant("closed_at", Role.END, Role.FACT),
        _text("priority"),
    ),
)
CUSTOMERS = SourceTable(
    "customers",
    "A buyer of a tenant.",
    ("customer_id",),
    (
        _stored_id("customer_id"),
        _id("tenant_id"),
        _text("name", required=True),
        _created(),
        _text("sales_rep_id"),
        _instant("deactivated_at", Role.END),
    ),
)
ORDERS = SourceTable(
    "orders",
    "An order of a buyer.",
    ("order_id",),
    (
        _id("order_id"),
        _id("tenant_id"),
        _id("customer_id"),
        _created("ordered_at"),
        _instant("delivered_at", Role.FACT, required=True),
        _text("status"),
        SourceColumn("total_amount", Kind.NUMERIC),
    ),
)
ONBOARDING_TASKS = SourceTable(
    "onboarding_tasks",
    "An onboarding task of a user.",
    ("task_id",),
    (
        _stored_id("task_id"),
        _id("tenant_id"),
        _id("user_id"),
        _text("status", required=True),
        _created(),
        _instant("started_at", Role.FACT),
        _instant("updated_at", Role.FACT),
        _instant("completed_at", Role.END, Role.FACT),
    ),
)
FEEDBACK = SourceTable(
    "feedback",
    "A satisfaction answer of a user.",
    ("feedback_id",),
    (
        _id("feedback_id"),
        _id("tenant_id"),
        _id("user_id"),
        SourceColumn("score", Kind.INTEGER, required=True),
        _created("submitted_at"),
    ),
)

SOURCE_TABLES: dict[str, SourceTable] = {
    table.name: table
    for table in (
        TENANTS,
        USERS,
        EVENTS,
        CASES,
        CAMPAIGNS,
        CAMPAIGN_ASSIGNMENTS,
        FEATURE_ENTITLEMENTS,
        SUPPORT_TICKETS,
        CUSTOMERS,
        ORDERS,
        ONBOARDING_TASKS,
        FEEDBACK,
    )
}

KNOWN_EVENT_TYPES = frozenset(
    [
        "login",
        "page_view",
        "task_completed",
        "content_generated",
        "visual_created",
        "voice_interaction",
        "insight_reviewed",
        "export_downloaded",
        "settings_updated",
        "feedback_given",
        "launch_kit_viewed",
        "report_generated",
        "search_performed",
        "api_call",
        "feature_used",
    ]
)

# The range of instants that every engine and Python can hold; beyond it an instant counts as infinite.
EARLIEST_INSTANT = datetime.min.replace(tzinfo=UTC)
LATEST_INSTANT = datetime.max.replace(tzinfo=UTC)

# In characters. PostgreSQL refuses a key above some 2,700 bytes, and the longest of the warehouse's has two ids.
LONGEST_ID = 255

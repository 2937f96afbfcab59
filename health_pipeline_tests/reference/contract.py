"""The twelve logical tables (source-contract.md): columns in the contract's order, keys, creation, ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
Source = dict[str, list[Row]]
"""Rows by table. An absent table or key of a row is not mapped; "infinity" and "-infinity" are infinite timestamps."""


@dataclass(frozen=True)
class Table:
    """One logical table; a required column is one without which a row is bad, unless it is named in `may_be_null`."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    key: tuple[str, ...]
    creation: str
    end: str | None = None
    may_be_null: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns in the contract's order."""
        return self.required + self.optional


def _table(required: str, optional: str, key: str, creation: str, end: str | None = None, nullable: str = "") -> Table:
    return Table(
        tuple(required.split()), tuple(optional.split()), tuple(key.split()), creation, end, tuple(nullable.split())
    )


TABLES: dict[str, Table] = {
    "tenants": _table(
        "tenant_id name created_at",
        "slug industry_sector employee_count renewal_date alert_level deactivated_at",
        "tenant_id",
        "created_at",
        "deactivated_at",
    ),
    "users": _table(
        "user_id tenant_id created_at",
        "name email insights_opt_in deactivated_at",
        "user_id",
        "created_at",
        "deactivated_at",
    ),
    "events": _table(
        "tenant_id user_id event_type occurred_at",
        "event_id feature_key session_id duration_seconds",
        "event_id",
        "occurred_at",
    ),
    "cases": _table(
        "case_id tenant_id created_at closed_at",
        "sla_due_at sla_status",
        "case_id",
        "created_at",
        "closed_at",
        "closed_at",
    ),
    "campaigns": _table("campaign_id tenant_id launched_at", "ended_at", "campaign_id", "launched_at", "ended_at"),
    "campaign_assignments": _table(
        "assignment_id campaign_id tenant_id assigned_at completed_at",
        "",
        "assignment_id",
        "assigned_at",
        "completed_at",
        "completed_at",
    ),
    "feature_entitlements": _table(
        "tenant_id feature_key enabled_at",
        "disabled_at",
        "tenant_id feature_key enabled_at",
        "enabled_at",
        "disabled_at",
    ),
    "support_tickets": _table(
        "ticket_id tenant_id opened_at", "closed_at priority", "ticket_id", "opened_at", "closed_at"
    ),
    "customers": _table(
        "customer_id tenant_id name created_at",
        "sales_rep_id deactivated_at",
        "customer_id",
        "created_at",
        "deactivated_at",
    ),
    "orders": _table(
        "order_id tenant_id customer_id ordered_at delivered_at",
        "status total_amount",
        "order_id",
        "ordered_at",
        None,
        "delivered_at",
    ),
    "onboarding_tasks": _table(
        "task_id tenant_id user_id status created_at",
        "started_at updated_at completed_at",
        "task_id",
        "created_at",
        "completed_at",
    ),
    "feedback": _table("feedback_id tenant_id user_id score submitted_at", "", "feedback_id", "submitted_at"),
}

ALWAYS = ("tenants", "users", "events")
OPTIONAL_TABLES = tuple(table for table in TABLES if table not in ALWAYS)

# "every timestamp but sla_due_at, ended_at, disabled_at, deactivated_at" may not lie after the run's clock.
MAY_LIE_AHEAD = ("sla_due_at", "ended_at", "disabled_at", "deactivated_at")


def timestamp_columns(table: Table) -> list[str]:
    """The timestamps of a table: by the contract's naming every column that ends in _at."""
    return [column for column in table.columns if column.endswith("_at")]

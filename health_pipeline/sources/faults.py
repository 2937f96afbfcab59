"""What makes a row bad: its first fault in the contract's order. Pure Ibis expressions over logical rows.

Rule: source-contract.md, "What bad input gets". The texts built here are the reasons in quarantined_rows.
"""

from __future__ import annotations

from datetime import datetime

import ibis
import ibis.expr.types as ir

from health_pipeline.sources.contract import (
    EARLIEST_INSTANT,
    FEEDBACK,
    LATEST_INSTANT,
    LONGEST_ID,
    ORDERS,
    Kind,
    Role,
    SourceTable,
)

UNKNOWN_TENANT = "tenant_id is not among the good rows of tenants"
DUPLICATE = "duplicated key: another row with this key was created earlier, or sorts first"


def row_fault(
    table: SourceTable, rows: ir.Table, is_of_no_tenant: ir.BooleanValue | None, clock: datetime
) -> ir.StringValue:
    """The row's first fault that shows in the row itself, or null. `clock`: the run's, UTC.

    is_of_no_tenant: whether its tenant_id is not among the good rows of `tenants`; None for that table itself.
    """
    branches = [*_unusable_values(table, rows)]
    if is_of_no_tenant is not None:
        branches.append((is_of_no_tenant, UNKNOWN_TENANT))
    creation = rows[table.creation]
    now = ibis.timestamp(clock.replace(tzinfo=None).isoformat(sep=" "))
    branches += [(rows[c.name] < creation, f"{c.name} is before {table.creation}") for c in table.with_role(Role.END)]
    branches += [(rows[c.name] > now, f"{c.name} is after the run's clock") for c in table.with_role(Role.FACT)]
    bounds = [ibis.timestamp(EARLIEST_INSTANT), ibis.timestamp(LATEST_INSTANT)]
    branches += [(rows[c.name].isin(bounds), f"{c.name} is infinite") for c in table.columns if c.kind is Kind.INSTANT]
    if table is FEEDBACK:
        branches.append((~rows.score.between(0, 100), "score is outside 0 to 100"))
    if table is ORDERS:
        branches += _bad_amount(rows)
    return ibis.cases(
        *((condition.fill_null(False), reason) for condition, reason in branches), else_=ibis.null("string")
    )


def _unusable_values(table: SourceTable, rows: ir.Table) -> list[tuple[ir.BooleanValue, str]]:
    branches = []
    for column in table.columns:
        if column.required and not column.nullable:
            branches.append((rows[column.name].isnull(), f"{column.name} is null"))
            if column.filled:
                branches.append((rows[column.name] == "", f"{column.name} is empty"))
            if column.bounded:
                too_long = rows[column.name].length() > LONGEST_ID
                branches.append((too_long, f"{column.name} is longer than {LONGEST_ID} characters"))
    return branches


def _bad_amount(rows: ir.Table) -> list[tuple[ir.BooleanValue, str]]:
    # Most amounts are short, and the engine reads short decimals many times faster than long ones.
    short = rows.total_amount.try_cast("decimal(18, 6)").cast("decimal(38, 6)")
    amount = ibis.coalesce(short, rows.total_amount.try_cast("decimal(38, 6)"))
    return [
        (rows.total_amount.notnull() & amount.isnull(), "total_amount is not a number"),
        (amount < 0, "total_amount is negative"),
    ]


def has_key(table: SourceTable, rows: ir.Table) -> ir.BooleanValue:
    """Whether the row has a key: an event may have none."""
    return ibis.and_(*(rows[name].notnull() for name in table.key))


def duplicate_keys(table: SourceTable, rows: ir.Table) -> ir.Table:
    """The keys that more than one of the rows has; grain: one row per such key."""
    keyed = rows.filter(has_key(table, rows))
    return keyed.group_by(list(table.key)).agg(rows=keyed.count()).filter(lambda t: t.rows > 1).drop("rows")


def rank_among_duplicates(table: SourceTable, rows: ir.Table) -> ir.IntegerValue:
    """0 for the row that stays: the earliest by creation; ties: the smallest by its values as text, null first."""
    texts = [rows[column.name].cast("string") for column in table.columns if column.name in rows.columns]
    order = [rows[table.creation], *(text.asc(nulls_first=True) for text in texts)]
    return ibis.row_number().over(group_by=[rows[name] for name in table.key], order_by=order)

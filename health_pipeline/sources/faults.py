"""What makes a row bad: its first fault in the contract's order. Pure Ibis expressions over logical rows.

Rule: source-contract.md, "What bad input gets". The texts built here are the reasons in quarantined_rows.
"""

from __future__ import annotations

from datetime import datetime

import ibis
import ibis.expr.types as ir

from health_pipeline.days import at
from health_pipeline.sources.contract import (
    FEEDBACK,
    LONGEST_ID,
    ORDERS,
    Kind,
    Role,
    SourceTable,
)
from health_pipeline.sources.logical import is_infinite

UNKNOWN_TENANT = "tenant_id is not among the good rows of tenants"
DUPLICATE = "duplicated key: another row with this key was created earlier, or sorts first"


def row_fault(
    table: SourceTable, rows: ir.Table, is_of_no_tenant: ir.BooleanValue | None, clock: datetime
) -> ir.StringValue:
    """The row's first fault that shows in the row itself, or null. `clock`: the run's, UTC.

    is_of_no_tenant: whether its tenant_id is not among the good rows of `tenants`; None for that table itself.
    """
    branches = _faults(table, rows, is_of_no_tenant, clock)
    return ibis.cases(
        *((condition.fill_null(False), reason) for condition, reason in branches), else_=ibis.null("string")
    )


def is_faulty(table: SourceTable, rows: ir.Table, clock: datetime) -> ir.BooleanValue:
    """Whether the row has a fault, whatever its tenant is: what row_fault says, with less to do.

    The rows may also be as the source holds them.
    """
    return ibis.or_(*(condition for condition, _ in _faults(table, rows, None, clock))).fill_null(False)


def _faults(
    table: SourceTable, rows: ir.Table, is_of_no_tenant: ir.BooleanValue | None, clock: datetime
) -> list[tuple[ir.BooleanValue, str]]:
    """Conditions, which may be null where they don't hold, and what they mean, in the contract's order."""
    found = _unusable_values(table, rows)
    if is_of_no_tenant is not None:
        found.append((is_of_no_tenant, UNKNOWN_TENANT))
    creation = rows[table.creation]
    ends, facts = (
        [rows[column.name] for column in table.with_role(role) if column.name in rows.columns]
        for role in (Role.END, Role.FACT)
    )
    found += [(end < creation, f"{end.get_name()} is before {table.creation}") for end in ends]
    found += [(fact > at(fact, clock), f"{fact.get_name()} is after the run's clock") for fact in facts]
    instants = [rows[c.name] for c in table.columns if c.kind is Kind.INSTANT and c.name in rows.columns]
    found += [(is_infinite(instant), f"{instant.get_name()} is infinite") for instant in instants]
    if table is FEEDBACK:
        found.append((~rows.score.between(0, 100), "score is outside 0 to 100"))
    if table is ORDERS:
        found += _bad_amount(rows)
    return found


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

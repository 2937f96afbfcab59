"""The deliberate bad rows of the demo, for the pipeline to quarantine (source-contract.md, What bad input gets).

Each is a copy of a good row with one fault of the kind that real applications have. There are fewer than 10 per table,
so that they never make a run fail, and all of them load into the DDL: duplicates only in `events`, which has no key.
"""

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa

Row = dict[str, Any]

UNKNOWN_TENANT = "tnt-gone"


def _of_unknown_tenant(row: Row) -> Row:
    return row | {"tenant_id": UNKNOWN_TENANT}


def _sent_twice(row: Row) -> Row:
    return row


def _sent_again_later(row: Row) -> Row:
    return row | {"occurred_at": row["occurred_at"] + datetime.timedelta(milliseconds=400)}


def _without_type(row: Row) -> Row:
    return row | {"event_type": ""}


def _ends_too_early(begin: str, end: str) -> Callable[[Row], Row]:
    """An end two hours before the beginning, as a server with a wrong time zone writes it."""

    def spoil(row: Row) -> Row:
        return row | {end: row[begin] - datetime.timedelta(hours=2)}

    return spoil


def _with_negative_amount(row: Row) -> Row:
    return row | {"total_amount": -abs(row["total_amount"] or Decimal("19.90"))}


def _with_score_off_the_scale(row: Row) -> Row:
    return row | {"score": 130}


# Per table: the faults, and the key column that makes a new row of the copy (None: the copy keeps its key).
_FAULTS: dict[str, tuple[tuple[Callable[[Row], Row], str | None], ...]] = {
    "users": ((_of_unknown_tenant, "user_id"),),
    "events": (
        (_of_unknown_tenant, "event_id"),
        (_without_type, "event_id"),
        (_sent_twice, None),
        (_sent_again_later, None),
    ),
    "cases": ((_ends_too_early("created_at", "closed_at"), "case_id"),) * 2,
    "campaign_assignments": ((_ends_too_early("assigned_at", "completed_at"), "assignment_id"),),
    "support_tickets": ((_ends_too_early("opened_at", "closed_at"), "ticket_id"),),
    "customers": ((_of_unknown_tenant, "customer_id"),),
    "orders": ((_with_negative_amount, "order_id"),),
    "feedback": ((_with_score_off_the_scale, "feedback_id"),),
}


def add_faults(tables: dict[str, pa.Table]) -> dict[str, pa.Table]:
    """The tables with the bad rows behind the good ones; a table without rows gets none."""
    return {name: _spoiled(table, _FAULTS.get(name, ())) for name, table in tables.items()}


def _spoiled(table: pa.Table, faults: tuple[tuple[Callable[[Row], Row], str | None], ...]) -> pa.Table:
    if not faults or table.num_rows == 0:
        return table
    bad = []
    for number, (spoil, key) in enumerate(faults, start=1):
        # Rows spread over the table, which is mostly in the order of time.
        source = table.num_rows * number // (len(faults) + 1)
        row = spoil(table.slice(source, 1).to_pylist()[0])
        bad.append(row if key is None else row | {key: f"{row[key]}-x{number}"})
    return pa.concat_tables([table, pa.Table.from_pylist(bad, schema=table.schema)]).combine_chunks()

"""What bad input gets (source-contract.md): the good rows, and the bad ones with their first fault."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from health_pipeline_tests.reference.contract import MAY_LIE_AHEAD, TABLES, Row, Source, Table, timestamp_columns

Bad = tuple[str, str | None, str, Row]
"""source_table, row_key, reason code, the row as it was given."""

INFINITE = ("infinity", "-infinity")


def split(source: Source, clock: datetime) -> tuple[Source, list[Bad]]:
    """The good rows of every mapped table, and the bad rows.

    A good row has all columns of the contract, None for one that isn't mapped and for empty optional text. A bad row's
    reason is its first fault in the contract's order; duplicates are judged among the rows without an earlier fault,
    over the whole table.
    """
    good: Source = {}
    bad: list[Bad] = []
    for name, table in TABLES.items():  # tenants come first: the others are held against the good ones
        if name not in source:
            continue
        tenant_ids = {row["tenant_id"] for row in good.get("tenants", [])}
        sound: list[tuple[Row, Row]] = []
        for given in source[name]:
            row = as_read(table, given)
            reason = own_fault(name, row, tenant_ids, clock)
            if reason is None:
                sound.append((row, given))
            else:
                bad.append((name, row_key(table, row), reason, given))
        good[name] = []
        for (row, given), is_duplicate in zip(sound, duplicates(table, [row for row, _ in sound]), strict=True):
            if is_duplicate:
                bad.append((name, row_key(table, row), "duplicate", given))
            else:
                good[name].append(row)
    return good, bad


def as_read(table: Table, given: Row) -> Row:
    """The row with every column of the contract; an optional one that isn't mapped or is empty text reads as null."""
    row = {column: given.get(column) for column in table.columns}
    for column in table.optional:
        if row[column] == "":
            row[column] = None
    return row


def own_fault(name: str, row: Row, tenant_ids: set[Any], clock: datetime) -> str | None:
    """The first fault, in the contract's order, that the row has by itself (without looking for duplicates)."""
    table = TABLES[name]
    if any(row[column] is None for column in table.required if column not in table.may_be_null):
        return "null"
    if any(row[column] == "" for column in table.required if may_not_be_empty(column)):
        return "null"
    if name != "tenants" and row["tenant_id"] not in tenant_ids:
        return "unknown_tenant"
    if table.end is not None and row[table.end] is not None and instant(row[table.end]) < instant(row[table.creation]):
        return "end_before_creation"
    stamps = {column: row[column] for column in timestamp_columns(table) if row[column] is not None}
    if any(instant(value) > instant(clock) for column, value in stamps.items() if column not in MAY_LIE_AHEAD):
        return "after_clock"
    if any(value in INFINITE for value in stamps.values()):
        return "infinite"
    if name == "feedback" and not 0 <= row["score"] <= 100:
        return "score_range"
    if name == "orders" and row["total_amount"] is not None and not is_amount(row["total_amount"]):
        return "amount"
    return None


def may_not_be_empty(column: str) -> bool:
    """Whether empty text in this required column is a fault: ids, event_type, feature_key."""
    return column.endswith("_id") or column in ("event_type", "feature_key")


def instant(value: datetime | str) -> tuple[int, datetime]:
    """A timestamp as something that compares, the infinite ones included."""
    if isinstance(value, str):
        return {"-infinity": -1, "infinity": 1}[value], datetime.min
    return 0, value


def is_amount(value: Decimal | float | int) -> bool:
    """Whether it is a number that isn't negative."""
    return math.isfinite(value) and value >= 0


def key_of(table: Table, row: Row) -> tuple[Any, ...] | None:
    """The key's values, or None for a row without one (an event without event_id)."""
    key = tuple(row[column] for column in table.key)
    return None if None in key else key


def row_key(table: Table, row: Row) -> str | None:
    """The key as text, its parts joined by `|`."""
    key = key_of(table, row)
    return None if key is None else "|".join(text(value) for value in key)


def duplicates(table: Table, rows: list[Row]) -> list[bool]:
    """For each row whether another row of the same key stays in its place."""
    keepers: dict[tuple[Any, ...], int] = {}
    for position, row in enumerate(rows):
        key = key_of(table, row)
        if key is None:
            continue
        kept = keepers.get(key)
        if kept is None or precedence(table, row) < precedence(table, rows[kept]):
            keepers[key] = position
    kept_positions = set(keepers.values())
    return [key_of(table, row) is not None and n not in kept_positions for n, row in enumerate(rows)]


def precedence(table: Table, row: Row) -> tuple[datetime, list[tuple[bool, str]]]:
    """What decides which of several rows of one key stays: earliest creation, then the values as text, null first."""
    as_text = [(False, "") if row[column] is None else (True, text(row[column])) for column in table.columns]
    return row[table.creation], as_text


def text(value: Any) -> str:
    """A value as text; timestamps as ISO 8601 in UTC, so that they sort as instants do."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return str(value)

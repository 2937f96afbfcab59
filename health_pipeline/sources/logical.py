"""From a physical relation to a logical table: names, accepted types, and one form of every value.

Pure Ibis expressions, compiled for whichever engine holds the relation. In the logical form texts are text, instants are
naive UTC timestamps held within EARLIEST_INSTANT and LATEST_INSTANT (beyond means infinite), amounts are text (exact),
an empty text in an optional column is null, and an optional column that is not mapped is null.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from health_pipeline.days import at
from health_pipeline.errors import SourceError
from health_pipeline.sources.contract import EARLIEST_INSTANT, LATEST_INSTANT, Kind, SourceColumn, SourceTable
from health_pipeline.sources.mapping import Place

Predicate = Callable[[ir.Table], ir.BooleanValue]


def without_zone(instant: ir.TimestampValue) -> ir.TimestampValue:
    """The instant in UTC, as a timestamp that has no zone."""
    return instant.cast(dt.timestamp)


@dataclass(frozen=True)
class Relation:
    """A physical table or select as an Ibis table, with its columns' types as the source names them.

    without_zone: as the function of that name, where the source has a better way.
    """

    table: ir.Table
    type_names: Mapping[str, str]
    without_zone: Callable[[ir.TimestampValue], ir.TimestampValue] = without_zone


_ENGINE_TYPES: dict[Kind, dt.DataType] = {
    Kind.TEXT: dt.string,
    Kind.INTEGER: dt.int64,
    Kind.NUMERIC: dt.string,
    Kind.BOOLEAN: dt.boolean,
    Kind.DATE: dt.date,
    Kind.INSTANT: dt.timestamp,
}
_MICROSECONDS = 6
_INT64 = dt.int64.bounds


@ibis.udf.scalar.builtin(name="chr")  # type: ignore[untyped-decorator]
def _character(code: int) -> str:
    """The character of the code: a function of the engine, whose SQL can't spell U+0000."""
    raise NotImplementedError


_EXPECTED: dict[Kind, str] = {
    Kind.TEXT: "text, a uuid or an integer",
    Kind.INTEGER: "an integer",
    Kind.NUMERIC: "a number",
    Kind.BOOLEAN: "a boolean",
    Kind.DATE: "a date",
    Kind.INSTANT: "a timestamp",
}


def _accepts(kind: Kind, found: Any) -> bool:
    return bool(_test(kind, found))


def _test(kind: Kind, found: Any) -> Any:
    match kind:
        case Kind.TEXT:
            return found.is_string() or found.is_uuid() or found.is_integer()
        case Kind.INTEGER:
            return found.is_integer() or (found.is_decimal() and found.scale == 0)
        case Kind.NUMERIC:
            return found.is_numeric() and not found.is_boolean()
        case Kind.BOOLEAN:
            return found.is_boolean()
        case Kind.DATE:
            return found.is_date()
        case Kind.INSTANT:
            return found.is_timestamp()


def mapped_columns(table: SourceTable, place: Place, relation: Relation) -> dict[str, str]:
    """Contract column -> physical column, for those that are there.

    Raises SourceError for a required (or expressly mapped) column that is missing, and for an unusable type; the message
    names the logical table and column, the physical object and what was found.
    """
    result = {}
    for column in table.columns:
        physical = place.columns.get(column.name, column.name)
        if physical is None:
            continue
        if physical not in relation.type_names:
            if column.required or column.name in place.columns:
                raise SourceError(
                    f"source table {table.name}: column {column.name} was looked for as {physical!r} in {place}, which has"
                    f" {', '.join(relation.type_names) or 'no columns'}; map it in HEALTH_SOURCE_MAPPING"
                )
            continue
        if not _accepts(column.kind, relation.table.schema()[physical]):
            raise SourceError(
                f"source table {table.name}: column {column.name} must be {_EXPECTED[column.kind]}, but {physical!r} in"
                f" {place} is {relation.type_names[physical]}; map another column or a select that casts it"
            )
        result[column.name] = physical
    return result


def named_rows(table: SourceTable, relation: Relation, mapped: Mapping[str, str], where: Predicate | None) -> ir.Table:
    """The rows for which `where` holds, with every mapped column as the source holds it, under its contract name."""
    named = relation.table.select(
        **{name: _as_named(relation.table[physical], table.column(name)) for name, physical in mapped.items()}
    )
    return named if where is None else named.filter(where(named))


def logical_rows(
    table: SourceTable, relation: Relation, mapped: Mapping[str, str], columns: list[str], where: Predicate | None
) -> ir.Table:
    """The rows for which `where` holds, with `columns` in their logical form.

    `where` sees every mapped column under its contract name: texts already as text, instants as the source holds them
    (so that its index serves), to be compared by `at`.
    """
    kept = named_rows(table, relation, mapped, where)
    return kept.select(**{name: _logical_value(relation, kept, table.column(name)) for name in columns})


def is_infinite(column: ir.TimestampValue) -> ir.BooleanValue:
    """Whether a timestamp, physical or logical, lies beyond what every engine holds, which counts as infinite; null of null."""
    return (column >= at(column, LATEST_INSTANT)) | (column <= at(column, EARLIEST_INSTANT))


def logical_instants(relation: Relation, rows: ir.Table) -> ir.Table:
    """Rows made of the relation's, with their timestamps in the logical form."""
    instants = [name for name, dtype in rows.schema().items() if dtype.is_timestamp()]
    return rows.mutate({name: relation.without_zone(_held_within(rows[name])) for name in instants})


def _logical_value(relation: Relation, rows: ir.Table, column: SourceColumn) -> ir.Value:
    if column.name not in rows.columns:
        return ibis.null(_ENGINE_TYPES[column.kind])
    value = rows[column.name]
    match column.kind:
        case Kind.TEXT:
            return value if column.required else value.nullif("")
        case Kind.INSTANT:
            return relation.without_zone(_held_within(value))
        case Kind.NUMERIC:
            return value.cast("string")
        case Kind.DATE:
            # An infinite date is no day of any calendar.
            return ibis.cases(
                (value.between(ibis.date("0001-01-01"), ibis.date("9999-12-31")), value), else_=ibis.null("date")
            )
        case Kind.INTEGER:
            return _within_64_bits(value, column)
        case Kind.BOOLEAN:
            return value


def _as_named(value: ir.Value, column: SourceColumn) -> ir.Value:
    """Texts as text, so that any of them can be compared; nanoseconds, which hold few centuries, as microseconds."""
    found = value.type()
    if column.kind is Kind.TEXT:
        return value if found.is_string() else value.cast("string")
    if column.kind is Kind.INSTANT and (found.scale or 0) > _MICROSECONDS:
        return value.cast(dt.Timestamp(timezone=found.timezone, scale=_MICROSECONDS))
    return value


def _within_64_bits(value: ir.NumericValue, column: SourceColumn) -> ir.IntegerValue:
    """A wider number than any figure is unknown; where one must be known it is held at the limit, and so out of range."""
    if value.type().is_signed_integer():
        return value.cast("int64")
    if not column.required:
        return value.try_cast("int64")
    limits = ibis.literal(_INT64.lower), ibis.literal(_INT64.upper)
    return ibis.cases((value < limits[0], limits[0]), (value > limits[1], limits[1]), else_=value.try_cast("int64"))


def without_nul(table: ir.Table) -> ir.Table:
    """The rows as the warehouse can hold them: PostgreSQL's texts know no U+0000, so it becomes U+FFFD in every text."""
    cleaned = {}
    for name in table.columns:
        if table[name].type().is_string():
            text = table[name].cast("string")
            cleaned[name] = ibis.cases(
                (text.contains(_character(0)), text.replace(_character(0), "\ufffd")), else_=text
            )
    return table.mutate(cleaned)


def _held_within(value: ir.Value) -> ir.Value:
    low, high = (at(value, bound) for bound in (EARLIEST_INSTANT, LATEST_INSTANT))
    return ibis.cases((value > high, high), (value < low, low), else_=value)
